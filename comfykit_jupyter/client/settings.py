"""Settings: what was given, else the environment, else the documented default."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal, cast
from urllib.parse import urlsplit

from comfykit_jupyter.client.errors import ComfyKitError

if TYPE_CHECKING:
    from ssl import SSLContext

ExecutorType = Literal["http", "websocket"]
Api = Literal["comfyui", "v2"]

DEFAULT_URL = "http://127.0.0.1:8188"
DEFAULT_RUNNINGHUB_URL = "https://www.runninghub.ai"


class SettingsError(ComfyKitError):
    """A setting that can't be used: the line says which, and what it may be."""


@dataclass(frozen=True)
class Settings:
    """Everything a `ComfyKit` can be told. Secrets are kept out of its repr."""

    comfyui_url: str = DEFAULT_URL
    executor_type: ExecutorType = "http"
    api_key: str | None = field(default=None, repr=False)
    cookies: str | None = field(default=None, repr=False)
    """A JSON object, `name=value; other=value`, or the URL of a page that gives either."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    api: Api | None = None
    """What the server of `comfyui_url` speaks: ComfyUI's own protocol, or Comfy API v2. None: its address tells."""
    runninghub_url: str = DEFAULT_RUNNINGHUB_URL
    runninghub_api_key: str | None = field(default=None, repr=False)
    runninghub_timeout: int = 300
    runninghub_retry_count: int = 3
    runninghub_instance_type: str | None = None
    runninghub_concurrency: int = 1
    """Tasks of one key that run at a time; those of members may be one."""
    timeout: float | None = None
    """Seconds that a run may take, the queue included; past it the job is cancelled. None: no limit."""
    patience: float = 60.0
    """Seconds that the server may be away during a run, for a restart say, before the run is given up."""
    verify: bool | str | SSLContext = True
    """Whose TLS certificates are believed: those that the machine does, a file of certificates, or any (False)."""
    proxy: str | None = field(default=None, repr=False)
    """The address of a proxy on the way to the server; it may hold a password."""
    raise_on_error: bool = True
    """Whether `run` and `Run.result` raise `RunFailed` for a run that failed."""


def resolve_settings(
    comfyui_url: str | None = None,
    executor_type: str | None = None,
    api_key: str | None = None,
    cookies: str | None = None,
    runninghub_url: str | None = None,
    runninghub_api_key: str | None = None,
    runninghub_timeout: int | None = None,
    runninghub_retry_count: int | None = None,
    *,
    runninghub_instance_type: str | None = None,
    runninghub_concurrency: int | None = None,
    headers: Mapping[str, str] | None = None,
    api: str | None = None,
    timeout: float | None = None,
    patience: float | None = None,
    verify: bool | str | SSLContext = True,
    proxy: str | None = None,
    raise_on_error: bool = True,
) -> Settings:
    """The settings in force, from what was given (None: not given) and the environment.

    Raises:
        SettingsError: one of them can't be used.
    """
    url = normalize_url(comfyui_url or os.environ.get("COMFYUI_BASE_URL") or DEFAULT_URL, "comfyui_url")
    executor = executor_type or os.environ.get("COMFYUI_EXECUTOR_TYPE") or "http"
    if executor not in ("http", "websocket"):
        raise SettingsError(f"executor_type: {executor!r} is neither 'http' nor 'websocket'")
    if api not in (None, "comfyui", "v2"):
        raise SettingsError(f"api: {api!r} is neither 'comfyui' nor 'v2'")
    if timeout is not None and timeout <= 0:
        raise SettingsError(f"timeout: {timeout!r} is no number of seconds above 0 (None waits as long as it takes)")
    if patience is not None and not patience >= 0:
        raise SettingsError(f"patience: {patience!r} is no number of seconds (0 gives up at once)")
    return Settings(
        comfyui_url=url,
        executor_type=cast("ExecutorType", executor),
        api_key=(api_key or os.environ.get("COMFYUI_API_KEY") or "").strip() or None,
        cookies=cookies or os.environ.get("COMFYUI_COOKIES") or None,
        headers=dict(headers or {}),
        api=cast("Api | None", api),
        runninghub_url=normalize_url(
            runninghub_url or os.environ.get("RUNNINGHUB_BASE_URL") or DEFAULT_RUNNINGHUB_URL, "runninghub_url"
        ),
        runninghub_api_key=(runninghub_api_key or os.environ.get("RUNNINGHUB_API_KEY") or "").strip() or None,
        runninghub_timeout=_whole(runninghub_timeout, "RUNNINGHUB_TIMEOUT", 300),
        runninghub_retry_count=_whole(runninghub_retry_count, "RUNNINGHUB_RETRY_COUNT", 3),
        runninghub_concurrency=_whole(runninghub_concurrency, "RUNNINGHUB_CONCURRENCY", 1, least=1),
        runninghub_instance_type=runninghub_instance_type or os.environ.get("RUNNINGHUB_INSTANCE_TYPE") or None,
        timeout=timeout,
        patience=Settings.patience if patience is None else patience,
        verify=verify,
        proxy=_proxy(proxy),
        raise_on_error=raise_on_error,
    )


def normalize_url(url: str, setting: str) -> str:
    """An address without its trailing slash; `gpu-box:8188` is taken as `http://gpu-box:8188`.

    Raises:
        SettingsError: it is no http address, or carries a name and password, which would end up in every link.
    """
    text = url.strip()
    text = (text if "://" in text else f"http://{text}").rstrip("/")
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(f"{setting}: {_shown(url)} is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise SettingsError(f"{setting}: {_shown(url)} is no address such as {DEFAULT_URL}")
    if re.search(r"(^|\.)runninghub\.(cn|ai)$", host) and re.match(r"/proxy(-plus)?/.", parts.path):
        raise SettingsError(
            f"{setting}: an address of {host}/proxy/ holds a key, which would end up in every link: give the key as "
            "runninghub_api_key=, and the workflow by its ID"
        )
    if parts.query or parts.fragment:
        raise SettingsError(f"{setting}: leave what follows the path out of {_shown(url.partition('?')[0])}")
    if parts.username or parts.password:
        raise SettingsError(f"{setting}: leave the name and password out of the address of {host}; give `headers=`")
    return text


def _proxy(address: str | None) -> str | None:
    if address is None:
        return None
    try:
        parts = urlsplit(address)
        fine = parts.scheme in ("http", "https", "socks5", "socks5h") and parts.hostname and (parts.port or True)
    except ValueError:
        fine = False
    if not fine:
        raise SettingsError("proxy: give an address such as http://proxy:3128 or socks5://proxy:1080")
    return address


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _whole(given: int | None, variable: str, default: int, *, least: int = 0) -> int:
    """A whole number that was given, or is in the environment, or the default."""
    text = os.environ.get(variable)
    name, told = (variable.lower(), given) if given is not None else (variable, text or default)
    try:
        number = int(told)
    except (TypeError, ValueError):
        raise SettingsError(f"{name}: {told!r} is no whole number") from None
    if number < least:
        raise SettingsError(f"{name}: {told!r} is less than {least}")
    return number


def _shown(url: str) -> str:
    """An address for a message: what might be a password in it is left out."""
    return repr(url if "@" not in url else f"…@{url.rpartition('@')[2]}")


connected: Settings | None = None
"""What `%comfykit connect` chose for the kits of this process that name no server."""
