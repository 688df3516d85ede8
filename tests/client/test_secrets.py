"""Test that secrets are sent to their server only, and appear nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from comfykit_jupyter import ComfyKit, ComfyKitError, Media
from comfykit_jupyter.client import loop
from comfykit_jupyter.notebook.page.writer import writer
from tests.kits import MakeKit

from . import workflows
from .proxy import Proxy, Served

SECRETS = {
    "api_key": "the-api-key-secret",
    "cookies": '{"session": "the-cookie-secret"}',
    "headers": {"X-Access": "the-header-secret"},
}
CARRIED = {
    "Authorization": "Bearer the-api-key-secret",
    "Cookie": "session=the-cookie-secret",
    "X-Access": "the-header-secret",
}


IN_ADDRESS = ("name-secret", "password-secret", "token-secret", "bmFtZS1zZWNyZXQ6cGFzc3dvcmQtc2VjcmV0")


def add_secrets(url: str) -> str:
    """Return an address with name, password and token."""
    return f"{url.replace('://', '://name-secret:password-secret@')}/?token=token-secret&x=1"


class Elsewhere(Served):
    """A server of another origin that records all requests."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append({**request.headers, "path": request.path_qs, "body": (await request.read()).decode("latin-1")})
        return web.json_response({})


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere() as site:
        yield site


async def test_every_request_and_socket_carries_the_secrets(either: ComfyKit, proxy: Proxy, make_kit: MakeKit) -> None:
    kit = make_kit(proxy.url, executor_type=either.executor_type, **SECRETS)
    result = await kit.execute(workflows.picture())
    _ = result.image.path
    paths = {seen.path for seen in proxy.seen}
    assert {"/prompt", "/view"} <= paths
    assert ("/ws" in paths) == (either.executor_type == "websocket")
    for seen in proxy.seen:
        assert {name: seen.headers.get(name) for name in CARRIED} == CARRIED, seen.path
    (prompt,) = proxy.requests("POST", "/prompt")
    assert json.loads(prompt.body)["extra_data"]["api_key_comfy_org"] == "the-api-key-secret"


async def test_every_request_and_socket_carries_what_the_address_holds(
    either: ComfyKit, proxy: Proxy, make_kit: MakeKit
) -> None:
    kit = make_kit(add_secrets(proxy.url), executor_type=either.executor_type)
    first = await kit.execute(workflows.picture())
    assert await asyncio.to_thread(first.image.read)
    new = Image.frombytes("RGB", (8, 8), os.urandom(192))
    for image in (first.image, new):
        assert (await kit.execute(workflows.inverted(), {"image": image})).status == "completed"
    paths = {seen.path for seen in proxy.seen}
    assert {"/prompt", "/view", "/upload/image"} <= paths
    assert ("/ws" in paths) == (either.executor_type == "websocket")
    for seen in proxy.seen:
        assert seen.headers.get("Authorization") == f"Basic {IN_ADDRESS[3]}", seen.path
        assert seen.query.endswith("token=token-secret&x=1"), seen.path
    assert first.images[0].startswith(f"{proxy.url}/view?filename=")


async def test_what_the_address_holds_is_not_shown_logged_or_saved(
    either: ComfyKit,
    proxy: Proxy,
    elsewhere: Elsewhere,
    make_kit: MakeKit,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    names = [name for name in logging.root.manager.loggerDict if name.startswith(("websockets", "comfykit", "http"))]
    shown: list[Any] = []
    with caplog.at_level(1), contextlib.ExitStack() as levels:
        for name in names:
            levels.enter_context(caplog.at_level(1, name))
        for url in (proxy.url, "http://127.0.0.1:1"):
            kit = make_kit(add_secrets(url), executor_type=either.executor_type, patience=0)
            shown += [kit, kit._settings, kit.find_backend(), kit.server(), kit.options(timeout=3), vars(kit)]
            for graph in (workflows.picture(), workflows.failing()):
                result = await kit.execute(graph)
                shown += [result, *(getattr(result, field.name) for field in dataclasses.fields(result))]
                shown += [result._repr_mimebundle_(), result.to_html(tmp_path / "result.html").read_text()]
        for status in (401, 302, 500, 404):
            location = {"Location": f"{elsewhere.url}/login?next=/?token=token-secret"}
            proxy.answer = lambda _, status=status, location=location: web.Response(  # type: ignore[misc]
                status=status, headers=location if status == 302 else {}
            )
            result = await make_kit(add_secrets(proxy.url), patience=0).execute(workflows.picture())
            shown += [result, result.msg, result.error]
    text = "\n".join([*map(str, shown), *map(repr, shown), caplog.text])
    assert "picture_" in text
    assert [secret for secret in IN_ADDRESS if secret in text] == []
    assert not elsewhere.seen


async def test_query_of_the_address_goes_through_a_proxy(proxy: Proxy, make_kit: MakeKit) -> None:
    """The proxy of the tests is asked as an HTTP proxy: it sees the whole address."""
    proxy.answer = lambda _: web.Response(status=503)
    kit = make_kit("http://gpu-box.invalid:1/?token=token-secret", proxy=proxy.url, patience=0)
    assert kit.server().url == "http://gpu-box.invalid:1"
    assert {seen.query for seen in proxy.seen} == {"token=token-secret"}


@pytest.mark.parametrize("path", ["/object_info/EmptyImage", "/prompt", "/view", "/ws"])
async def test_redirect_does_not_carry_the_secrets(
    path: str, proxy: Proxy, elsewhere: Elsewhere, make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfykit_jupyter.client.backends.comfyui.follow.LOOK_QUEUE", 0.001)
    monkeypatch.setattr("comfykit_jupyter.client.running.late.SETTLING", 0.2)

    def redirect(request: web.Request) -> web.Response | None:
        if request.path != path:
            return None
        return web.Response(status=307, headers={"Location": f"{elsewhere.url}{request.path_qs}"})

    proxy.answer = redirect
    proxy.sockets.answered = path == "/ws"
    kit = make_kit(proxy.url, executor_type="websocket", **SECRETS)
    result = await kit.execute(workflows.picture())
    if path == "/view":
        with pytest.raises(ComfyKitError, match="redirects to"):
            result.image.read()
    elif path == "/prompt":
        assert "redirects to" in str(result.msg)
    else:
        assert result.status == "completed"
    assert not elsewhere.seen


async def test_url_on_another_port_gets_no_secrets(elsewhere: Elsewhere, proxy: Proxy, make_kit: MakeKit) -> None:
    kit = make_kit(proxy.url, **SECRETS)
    for value in (f"{elsewhere.url}/cat.png", f"{elsewhere.url}/view?filename=cat.png&type=output"):
        await kit.execute(workflows.inverted(), {"image": value})
    await kit.execute(f"{elsewhere.url}/workflow.json")
    assert len(elsewhere.seen) == 3
    assert "secret" not in str(elsewhere.seen)


async def test_media_of_another_server_are_fetched_with_its_own_secrets(
    proxy: Proxy, elsewhere: Elsewhere, make_kit: MakeKit
) -> None:
    origin = make_kit(elsewhere.url).find_backend()
    media = Media(origin, {"filename": "cat.png"}, node="1", var="1")
    await make_kit(proxy.url, **SECRETS).execute(workflows.inverted(), {"image": media})
    assert [seen["path"] for seen in elsewhere.seen] == ["/view?filename=cat.png&type=output"]
    assert "secret" not in str(elsewhere.seen)


@pytest.mark.usefixtures("eager")
async def test_options_for_another_server_drop_the_secrets(
    proxy: Proxy, elsewhere: Elsewhere, make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfykit_jupyter.client.running.late.SETTLING", 0.1)
    kit = make_kit(proxy.url, **SECRETS)
    other = kit.options(comfyui_url=elsewhere.url, patience=0)
    await other.execute(workflows.text())
    assert elsewhere.seen
    assert "secret" not in str(elsewhere.seen)
    assert kit.options(comfyui_url=elsewhere.url, api_key="its-own").api_key == "its-own"
    await other.close()


def test_options_for_another_runninghub_site_drop_the_key(make_kit: MakeKit) -> None:
    kit = make_kit(runninghub_url="https://www.runninghub.cn", runninghub_api_key="planted-key")
    assert kit.options(runninghub_url="https://www.runninghub.ai").runninghub_api_key is None
    assert kit.options(runninghub_url="https://www.runninghub.cn/").runninghub_api_key == "planted-key"
    assert kit.options(timeout=3).runninghub_api_key == "planted-key"


async def test_secrets_are_not_shown_or_logged(
    proxy: Proxy, make_kit: MakeKit, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[Any] = []
    with caplog.at_level(logging.DEBUG):
        kit = make_kit(proxy.url, executor_type="websocket", **SECRETS)
        shown += [kit, kit._settings, kit.find_backend(), kit.server(), kit.options(timeout=3)]
        run = kit.submit(workflows.picture())
        result = await run
        shown += [run, run.progress, result.image]
        results = [result, await kit.execute(workflows.failing()), await kit.execute(workflows.picture(), {"x": 1})]
        for status in (401, 302, 500, 404):
            proxy.answer = lambda request, status=status: web.Response(status=status)  # type: ignore[misc]
            results.append(await make_kit(proxy.url, **SECRETS).execute(workflows.picture()))
        results.append(await make_kit("http://127.0.0.1:1", **SECRETS).execute(workflows.picture()))
        for each in results:
            shown += [each, *(getattr(each, field.name) for field in dataclasses.fields(each))]
        await kit.close()
    text = "\n".join([*map(str, shown), *map(repr, shown), caplog.text])
    assert "picture_" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://me:secret@sso.example:8443/login?token=secret#secret", "https://sso.example:8443/login"),
        ("/login?next=secret", "/login"),
        ("//sso.example?secret", "sso.example"),
        ("http://[secret", "an address that is not valid"),
        ("?secret", "an unknown address"),
        (None, "an unknown address"),
    ],
)
async def test_redirect_is_shown_without_its_secrets(
    location: str | None, shown: str, proxy: Proxy, make_kit: MakeKit
) -> None:
    proxy.answer = lambda _: web.Response(status=302, headers={"Location": location} if location else {})
    result = await make_kit(proxy.url).execute(workflows.picture())
    assert f"redirects to {shown}" in str(result.msg) or f"redirects to http://{shown}" in str(result.msg)
    assert "secret" not in f"{result.msg}{result.error!r}"


async def test_socket_logs_no_headers_at_any_level(
    proxy: Proxy, make_kit: MakeKit, caplog: pytest.LogCaptureFixture
) -> None:
    names = [name for name in logging.root.manager.loggerDict if name.startswith(("websockets", "comfykit_jupyter"))]
    with caplog.at_level(1), contextlib.ExitStack() as levels:
        for name in names:
            levels.enter_context(caplog.at_level(1, name))
        kit = make_kit(proxy.url, executor_type="websocket", **SECRETS)
        assert (await kit.execute(workflows.picture())).status == "completed"
    assert "/ws" in {seen.path for seen in proxy.seen}
    assert "secret" not in caplog.text


async def test_password_in_the_address_of_a_file_is_in_no_message(kit: ComfyKit) -> None:
    hosts = ("me:secret@127.0.0.1:1", "127.0.0.1:secret", "me:secret@[x", "me:secret\uff03@a")
    for host in hosts:
        for result in (
            await kit.execute(f"http://{host}/cat.json"),
            await kit.execute(workflows.inverted(), {"image": f"http://{host}/cat.png"}),
        ):
            assert result.status == "failed"
            assert "secret" not in f"{result.msg} {result.error!r} {result!r}"


def test_mistyped_argument_shows_no_secrets_in_its_frames() -> None:
    """As `%xmode Verbose` shows them."""
    secrets = {"api_key": "key-secret", "headers": {"X-A": "header-secret"}}
    with pytest.raises(TypeError, match="patiense") as caught:
        ComfyKit("http://127.0.0.1:1", patiense=5, **secrets)  # type: ignore[arg-type, call-arg]
    frames = [frame.frame.f_locals for frame in caught.traceback if frame.path != Path(__file__)]
    assert frames
    assert "secret" not in repr(frames)


@pytest.mark.parametrize(
    "proxy_url",
    ["http://me:secret@127.0.0.1:1", "socks5://me:secret@127.0.0.1:1", "http://127.0.0.1:1/?token=secret"],
)
async def test_password_of_a_proxy_is_in_no_message(
    proxy_url: str, make_kit: MakeKit, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        kit = make_kit("http://127.0.0.2:1", executor_type="websocket", proxy=proxy_url, patience=0)
        result = await kit.execute(workflows.text())
    assert result.status == "failed"
    assert "secret" not in f"{result.msg} {result.error!r} {result!r} {caplog.text}"


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": "two\nlines-secret"},
        {"api_key": "“quoted”-secret"},
        {"headers": {"X-A": "secret\r\nX-B: secret"}},
        {"headers": {"X A": "secret"}},
        {"headers": {"": "secret"}},
        {"cookies": "session=secret\x00"},
        {"cookies": "secret"},
        {"cookies": '{"secret'},
        {"cookies": '{"session": "sécret"}'},
        {"cookies": "http://127.0.0.1:1/cookies?token=secret"},
        {"cookies": "http://[x/?secret"},
    ],
    ids=repr,
)
async def test_invalid_secret_is_rejected_and_not_shown(
    options: dict[str, Any], proxy: Proxy, make_kit: MakeKit, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        result = await make_kit(proxy.url, executor_type="websocket", **options).execute(workflows.text())
    assert result.status == "failed"
    assert next(iter(options)) in str(result.msg)
    assert "secret" not in f"{result!r}{result.error}{caplog.text}"
    assert "sécret" not in f"{result!r}{result.error}{caplog.text}"
    assert not proxy.seen


async def test_key_with_surrounding_whitespace_works(proxy: Proxy, make_kit: MakeKit) -> None:
    assert (await make_kit(proxy.url, api_key=" key-secret\n").execute(workflows.text())).status == "completed"
    assert proxy.seen[0].headers["Authorization"] == "Bearer key-secret"


@pytest.mark.parametrize("page", ['{"session": "abc", "n": 1}', "session=abc; n=1"])
async def test_cookies_can_come_from_a_url_that_is_fetched_once(
    page: str, proxy: Proxy, make_kit: MakeKit, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        asked.append(str(request.headers))
        return web.Response(text=page)

    with Served(serve) as site, caplog.at_level(logging.DEBUG):
        url = f"{site.url}/cookies?token=secret"
        kit = make_kit(proxy.url, executor_type="websocket", cookies=url, api_key="key-secret")
        for _ in range(2):
            assert (await kit.execute(workflows.text())).status == "completed"
    assert "secret" not in caplog.text
    assert len(asked) == 1
    assert "secret" not in asked[0]
    assert {seen.headers["Cookie"] for seen in proxy.seen} == {"session=abc; n=1"}


@pytest.mark.parametrize("text", ['{"a": 1', '{"a":' * 100_000])
async def test_cookies_that_are_broken_json_are_rejected(text: str, kit: ComfyKit) -> None:
    result = await kit.options(cookies=text).execute(workflows.text())
    assert result.msg == "cookies: looks like JSON, but can't be read as an object of names and values"


def test_key_from_the_environment_is_sent_to_the_server(
    proxy: Proxy, make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYUI_API_KEY", "from-environment")
    kit = make_kit(proxy.url)
    loop.call(kit.find_backend().status())
    assert {seen.headers["Authorization"] for seen in proxy.seen} == {"Bearer from-environment"}


@pytest.mark.parametrize("status", [200, 404, 302])
async def test_token_in_a_url_is_not_shown_or_logged(
    status: int, kit: ComfyKit, caplog: pytest.LogCaptureFixture
) -> None:
    async def serve(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="no picture", headers={"Location": "/next"} if status == 302 else {})

    with caplog.at_level(logging.DEBUG), Served(serve) as site:
        address = f"{site.url}/cat.png?token=planted-token"
        results = [
            await kit.execute(workflows.inverted(), {"image": address}),
            await kit.execute(address.replace("http://", "http://user:planted-token@")),
            await kit.execute("http://127.0.0.1:1/wf.json?token=planted-token"),
        ]
    for result in results:
        assert result.status == "failed"
        assert "planted-token" not in f"{result.msg} {result.error!r} {result!r}"
    assert "planted-token" not in caplog.text


async def test_secrets_are_not_saved_in_files_or_notebooks(proxy: Proxy, make_kit: MakeKit, tmp_path: Path) -> None:
    kit = make_kit(proxy.url, **SECRETS)
    result = await kit.execute(workflows.picture())
    saved = [await asyncio.to_thread(result.to_html, tmp_path / "result.html")]
    saved.append(await asyncio.to_thread(kit.load(workflows.picture()).save, tmp_path / "workflow.json"))
    saved.append(await asyncio.to_thread(result.image.save, tmp_path / "picture.png"))
    for path in saved:
        assert b"secret" not in path.read_bytes()
    assert "secret" not in str(await asyncio.to_thread(result._repr_mimebundle_))


def test_secrets_are_not_in_traits(proxy: Proxy, make_kit: MakeKit) -> None:
    kit = make_kit(proxy.url, **SECRETS)
    form = kit.form(workflows.picture())
    form.run().result()
    assert writer.drain(20)
    assert ".png" in str(form.runs)
    assert "secret" not in str(form.get_state())
    form.close()
