"""Test that settings come from arguments, then the environment, then defaults."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, ComfyKitError, SettingsError
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.kit.current import connect, get_current_kit
from comfykit_jupyter.sandbox import Sandbox

from . import workflows

SETTINGS: list[tuple[str, str, str, Any, Any, Any]] = [
    # attribute, environment variable, its text, the parsed value, an argument, the default
    ("comfyui_url", "COMFYUI_BASE_URL", "http://a:1/", "http://a:1", "http://b:2", "http://127.0.0.1:8188"),
    ("executor_type", "COMFYUI_EXECUTOR_TYPE", "websocket", "websocket", "http", "http"),
    ("api_key", "COMFYUI_API_KEY", "key-of-env", "key-of-env", "key-given", None),
    ("cookies", "COMFYUI_COOKIES", "a=1", "a=1", "b=2", None),
    ("runninghub_url", "RUNNINGHUB_BASE_URL", "http://r:1", "http://r:1", "http://s:2", "https://www.runninghub.ai"),
    ("runninghub_api_key", "RUNNINGHUB_API_KEY", "rh-env", "rh-env", "rh-given", None),
    ("runninghub_timeout", "RUNNINGHUB_TIMEOUT", "20", 20, 300, 300),
    ("runninghub_retry_count", "RUNNINGHUB_RETRY_COUNT", "7", 7, 3, 3),
    ("runninghub_instance_type", "RUNNINGHUB_INSTANCE_TYPE", "plus", "plus", "basic", None),
    ("runninghub_retain_seconds", "RUNNINGHUB_RETAIN_SECONDS", "30", 30, 180, None),
    ("runninghub_access_password", "RUNNINGHUB_ACCESS_PASSWORD", "sesame-env", "sesame-env", "secret", None),
]

NAMES = {field.name for field in fields(Settings) if not field.metadata["rule"].derived}
ATTRIBUTES = NAMES - {"attach", "runs", "servers"}
"""The settings that are attributes of a kit: the others have the names of methods and properties."""


@pytest.mark.parametrize(("name", "variable", "text", "parsed", "given", "default"), SETTINGS)
def test_argument_overrides_environment_overrides_default(
    name: str, variable: str, text: str, parsed: Any, given: Any, default: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert getattr(ComfyKit(), name) == default
    monkeypatch.setenv(variable, text)
    assert getattr(ComfyKit(), name) == parsed
    assert getattr(ComfyKit(**{name: given}), name) == given
    monkeypatch.setenv(variable, "")
    assert getattr(ComfyKit(), name) == default


def test_settings_keep_the_order_of_comfykit() -> None:
    kit = ComfyKit("http://a:1", "websocket", "key", "c=1", "http://r:1", "rh", 5, 6)
    assert [getattr(kit, name) for name, *_ in SETTINGS[:8]] == [
        "http://a:1", "websocket", "key", "c=1", "http://r:1", "rh", 5, 6,
    ]  # fmt: skip


def test_kit_accepts_and_documents_every_setting() -> None:
    assert set(inspect.signature(ComfyKit).parameters) == NAMES
    described = inspect.cleandoc(ComfyKit.__doc__ or "").partition("\nArgs:\n")[2].partition("\n\n")[0].splitlines()
    assert {line.strip().partition(":")[0] for line in described if not line.startswith(" " * 5)} == NAMES


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"comfyui_url": "ftp://a"}, "comfyui_url"),
        ({"comfyui_url": "http://a:port"}, "comfyui_url"),
        ({"comfyui_url": "http://"}, "comfyui_url"),
        ({"comfyui_url": "http://me:secret@a:port"}, "must be written as %XX"),
        ({"comfyui_url": "http://me:se/secret@a"}, "must be written as %XX"),
        (
            {"comfyui_url": "http://me:secret@a", "api_key": "secret"},
            "^api_key and the name and password in comfyui_url",
        ),
        ({"comfyui_url": "http://me:secret@a", "headers": {"authorization": "secret"}}, r"^headers\['authorization'\]"),
        ({"comfyui_url": "http://a/#secret"}, "must not have a #"),
        ({"runninghub_url": "http://me:secret@a"}, "must not contain a name or password"),
        ({"runninghub_url": "http://a/?key=secret"}, "must end with its path"),
        ({"comfyui_url": "a:secret"}, "comfyui_url"),
        ({"comfyui_url": "ftp://me:secret"}, "comfyui_url"),
        ({"comfyui_url": "http://me:secret\uff03@a"}, "comfyui_url"),  # urlsplit shows it in its error
        ({"executor_type": "grpc"}, "executor_type"),
        ({"timeout": 0}, "timeout must be a positive number of seconds, or None"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"patience": -1}, "patience must be a number of seconds, 0 or more"),
        ({"runninghub_timeout": "x"}, "runninghub_timeout must be an integer of at least 0, not 'x'"),
        ({"runninghub_concurrency": 0}, "runninghub_concurrency must be an integer of at least 1, not 0"),
        ({"runninghub_retain_seconds": 5}, "runninghub_retain_seconds must be an integer between 10 and 180, not 5"),
        (
            {"runninghub_retain_seconds": 181},
            "runninghub_retain_seconds must be an integer between 10 and 180",
        ),
        ({"runninghub_use_personal_queue": "yes"}, "runninghub_use_personal_queue must be True or False, not 'yes'"),
        ({"proxy": "me:secret"}, "proxy must be an address"),
    ],
)
def test_invalid_setting_is_rejected_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ComfyKitError, match=message) as caught:
        ComfyKit(**options)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"comfyui_url": "http://me:secret@a"},
        {"comfyui_url": "http://me:secret@a:x"},
        {"comfyui_url": "a:secret"},
        {"proxy": "secret"},
    ],
)
@pytest.mark.parametrize(
    "call", [ComfyKit, ComfyKit().options, lambda **given: connect(given.pop("comfyui_url", "http://a"), **given)]
)
def test_frames_of_the_error_hold_no_secrets(call: Callable[..., object], options: dict[str, Any]) -> None:
    secrets = {
        "api_key": "key-secret",
        "headers": {"X-A": "secret"},
        "cookies": "a=secret",
        "runninghub_api_key": "secret",
    }
    with pytest.raises(SettingsError) as caught:
        call(**{"proxy": "http://me:secret@a", **secrets, **options})
    error = caught.value
    assert error.__context__ is error.__cause__ is None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if "tests" not in frame.f_code.co_filename]
    assert frames
    assert "secret" not in " ".join(repr(frame.f_locals) for frame in frames)


@pytest.mark.parametrize("text", ["WEBSOCKET", " WebSocket\n"])
def test_executor_type_may_be_written_in_capitals(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ComfyKit(executor_type=text).executor_type == "websocket"  # type: ignore[arg-type]
    monkeypatch.setenv("COMFYUI_EXECUTOR_TYPE", text)
    assert ComfyKit().executor_type == "websocket"


@pytest.mark.parametrize("name", sorted(ATTRIBUTES))
def test_settings_of_a_kit_are_read_only_and_options_are_named(name: str) -> None:
    kit = ComfyKit("http://a:1")
    with pytest.raises(AttributeError, match=rf"{name} of a kit can't be changed: use kit = kit\.options\({name}=…\)"):
        setattr(kit, name, "secret")
    assert "secret" not in f"{kit!r}{vars(kit)}"


def test_name_and_password_in_the_address_conflict_with_the_key_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMFYUI_API_KEY", "secret")
    with pytest.raises(SettingsError, match=r"^COMFYUI_API_KEY and the name and password in comfyui_url"):
        ComfyKit("http://me:secret@a")


def test_secrets_in_an_address_belong_to_it() -> None:
    kit = ComfyKit("http://me:p%40ss@a:1/comfy/?token=x&ü=/")
    secrets = kit._settings.address_secrets
    assert (secrets.query, secrets.authorization) == ("token=x&%C3%BC=/", "Basic bWU6cEBzcw==")
    assert kit.comfyui_url == "http://a:1/comfy"
    assert kit.options(timeout=3)._settings.address_secrets == secrets
    assert kit.options(comfyui_url="http://a:1/comfy")._settings.address_secrets == secrets
    assert kit.options(comfyui_url="http://a:1/comfy?token=y")._settings.address_secrets.query == "token=y"
    assert not kit.options(comfyui_url="http://a:1/comfy?token=y")._settings.shares_connection(kit._settings)
    assert kit.options(comfyui_url="http://b:1")._settings.address_secrets == ComfyKit()._settings.address_secrets
    with pytest.raises(SettingsError, match="unknown setting 'address_secrets'"):
        kit.options(address_secrets=secrets)


def test_kit_whose_settings_were_rejected_has_a_repr() -> None:
    assert repr(ComfyKit.__new__(ComfyKit)) == "ComfyKit()"


def test_invalid_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNINGHUB_TIMEOUT", "soon")
    with pytest.raises(ComfyKitError, match="RUNNINGHUB_TIMEOUT must be an integer of at least 0, not 'soon'"):
        ComfyKit()


def test_options_keep_the_connections_if_possible() -> None:
    kit = ComfyKit("http://a:1", api_key="key", runninghub_api_key="rh")
    assert kit.options(timeout=5)._backends is kit._backends
    elsewhere = kit.options(comfyui_url="http://b:2")
    assert elsewhere._backends is not kit._backends
    assert (elsewhere.api_key, elsewhere.runninghub_api_key) == (None, "rh")


def test_url_can_lack_a_scheme_and_have_a_path(sandbox: Sandbox) -> None:
    assert ComfyKit("gpu-box:8188").comfyui_url == "http://gpu-box:8188"
    assert ComfyKit("https://host/comfy/").comfyui_url == "https://host/comfy"
    assert ComfyKit(f"{sandbox.url}/api").run(workflows.text()).text == "hello"


def test_options_change_only_what_is_given(sandbox: Sandbox) -> None:
    kit = ComfyKit(sandbox.url, "websocket", api_key="key")
    other = kit.options(timeout=5, raise_on_error=False)
    assert (other.comfyui_url, other.executor_type, other.api_key) == (sandbox.url, "websocket", "key")
    assert kit.options(executor_type="http").executor_type == "http"
    with pytest.raises(ComfyKitError, match="timeoutt"):
        kit.options(timeoutt=5)


def test_connect_sets_the_default_server(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_BASE_URL", "http://from-environment:1")
    try:
        kit = connect(sandbox.url, api_key="only-there")
        assert (kit.comfyui_url, kit.api_key) == (sandbox.url, "only-there")
        assert get_current_kit() is kit
        assert (ComfyKit().comfyui_url, ComfyKit().api_key) == (sandbox.url, "only-there")
        assert (ComfyKit("http://other:1").comfyui_url, ComfyKit("http://other:1").api_key) == ("http://other:1", None)
    finally:
        connect(None)
    assert ComfyKit().comfyui_url == "http://from-environment:1"


def test_server_status_and_unreachable_server(kit: ComfyKit) -> None:
    here = kit.server()
    assert (here.reachable, here.version, here.url) == (True, "0.33.0", kit.comfyui_url)
    away = ComfyKit("http://127.0.0.1:1").server()
    assert not away.reachable
    assert "no ComfyUI server at http://127.0.0.1:1" in away.message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.json", None, "no file absent.json in .*did you mean present.json"),
        ("broken.json", b"{", "not JSON"),
        ("empty.json", b'{"nodes": [], "links": []}', "has no nodes"),
        ("list.json", b"[1]", "is a list, not a workflow"),
        ("x" * 300, None, "can't be read"),
        ("nul\0", None, "can't be read"),
    ],
)
async def test_invalid_workflow_is_reported_in_one_line(
    name: str, content: bytes | None, message: str, kit: ComfyKit, tmp_path: Path
) -> None:
    (tmp_path / "present.json").write_bytes(b"{}")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ComfyKitError, match=message) as caught:
        kit.load(f"{tmp_path}/{name}")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    result = await kit.execute(tmp_path / name)
    assert (result.status, result.msg) == ("failed", str(caught.value))


@pytest.mark.parametrize("site", ["www.runninghub.ai", "www.runninghub.cn", "runninghub.cn"])
@pytest.mark.parametrize("route", ["proxy", "proxy-plus"])
def test_url_that_contains_a_key_is_rejected_and_not_shown(site: str, route: str) -> None:
    key = "0123456789abcdef0123456789abcdef"
    with pytest.raises(ComfyKitError, match="runninghub_api_key=") as refused:
        ComfyKit(f"https://{site}/{route}/{key}")
    assert key not in str(refused.value)
