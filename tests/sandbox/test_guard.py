"""The protection against other sites' pages, and basic routes."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from comfykit_jupyter.sandbox import Sandbox


@pytest.fixture
def http(server: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, verify=False, trust_env=False) as connected:
        yield connected


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://[bad"},
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "127.0.0.1:bad"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    ],
)
def test_pages_of_other_origins_are_rejected(http: httpx.Client, headers: dict[str, str]) -> None:
    assert http.get("/queue", headers=headers).status_code == 403
    assert http.post("/queue", headers=headers, json={"clear": True}).status_code == 403


def test_the_servers_own_page_and_programs_are_accepted(server: Sandbox, http: httpx.Client) -> None:
    port = server.url.rpartition(":")[2]
    own = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
    local = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}
    assert http.get("/queue", headers=own).status_code == 200
    assert http.get("/queue", headers=local).status_code == 200
    assert http.get("/queue", headers={"Host": f"[::1]:{port}"}).status_code == 200


def test_a_link_on_another_page_can_be_followed_but_changes_nothing(http: httpx.Client) -> None:
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert http.get("/", headers=followed).status_code == 200
    assert http.post("/queue", headers=followed, json={}).status_code == 403


def test_sockets_are_protected_too(server: Sandbox) -> None:
    address = f"{server.url.replace('http', 'ws')}/ws"
    with (
        pytest.raises(InvalidStatus),
        connect(address, additional_headers={"Origin": "http://evil.example"}, proxy=None),
    ):
        pass


def test_a_json_body_has_a_size_limit(http: httpx.Client) -> None:
    assert http.post("/prompt", content=b" " * (33 * 1024 * 1024)).status_code == 413


def test_an_unknown_route_is_404(http: httpx.Client) -> None:
    for path in ("/nope", "/api/nope", "/manager/version", "/internal/logs", "/models/nope"):
        assert http.get(path).status_code == 404


@pytest.mark.parametrize(
    "path", ["/prompt", "/queue", "/history", "/object_info", "/models", "/system_stats", "/features"]
)
def test_every_route_is_also_below_api(http: httpx.Client, path: str) -> None:
    plain, prefixed = http.get(path), http.get(f"/api{path}")
    assert (plain.status_code, prefixed.status_code) == (200, 200)
    assert plain.json().keys() == prefixed.json().keys() if isinstance(plain.json(), dict) else True


def test_the_server_describes_itself(http: httpx.Client) -> None:
    stats = http.get("/system_stats").json()
    assert stats["system"]["comfyui_version"] == "0.33.0"
    assert "sandbox" in stats["system"]["deploy_environment"]
    assert stats["devices"]
    assert "sandbox" in http.get("/").text
    assert http.get("/embeddings").json() == []
    assert http.get("/extensions").json() == []
    assert http.get("/object_info/Nope").json() == {}
    assert http.get("/object_info/ProbeCount").json()["ProbeCount"]["output_node"] is True
