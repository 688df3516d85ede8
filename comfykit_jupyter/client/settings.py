"""The settings of a `ComfyKit`: one table of defaults, environment variables and checks."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args
from urllib.parse import SplitResult, urlsplit

from typing_extensions import ParamSpec

from comfykit_jupyter.client.addresses import AddressSecrets
from comfykit_jupyter.client.engines import is_server_source
from comfykit_jupyter.client.errors import SettingsError
from comfykit_jupyter.workflow.errors import one_line, short_repr, strip_traceback

if TYPE_CHECKING:
    from ssl import SSLContext

P = ParamSpec("P")
T = TypeVar("T")
ExecutorType = Literal["http", "websocket"]
Api = Literal["comfyui", "v2"]
Place = Literal["runninghub"]
Keep = Literal["originals", "thumbs", "links"]
SameServer = Literal["row"]

DEFAULT_URL = "http://127.0.0.1:8188"
DEFAULT_RUNNINGHUB_URL = "https://www.runninghub.ai"

Check = Callable[[Any, str], Any]
"""Return a value as it is kept; `SettingsError` if it can't be used. The text is the name for the message."""


# -- checks ------------------------------------------------------------------------------------------------------------


def _accept(value: Any, name: str) -> Any:  # noqa: ARG001 - a `Check`
    return value


def _check_text(value: Any, name: str) -> str | None:
    if not isinstance(value, str):
        raise SettingsError(f"{name} must be text, not {type(value).__name__}")
    return value.strip() or None


def _check_url(value: Any, name: str) -> str:
    """Return an address without its trailing slash; `gpu-box:8188` means `http://gpu-box:8188`."""
    parts = _split_url(value, name)
    if parts.username or parts.password:  # they would end up in every link
        raise SettingsError(f"{name} must not contain a name or password for {parts.hostname}")
    if parts.query:
        raise SettingsError(
            f"{name}: the address of {parts.hostname} must end with its path: remove the ? and the rest"
        )
    return parts.geturl()


def _check_server_url(value: Any, name: str) -> str:
    """Return the address as it is shown: without name, password and query, which are in `AddressSecrets`."""
    parts = _split_url(value, name)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl().rstrip("/")


def _split_url(value: Any, name: str) -> SplitResult:
    if not isinstance(value, str):
        raise SettingsError(f"{name} must be an address such as {DEFAULT_URL}, not {type(value).__name__}")
    text = value.strip()
    text = (text if "://" in text else f"http://{text}").rstrip("/")
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if parts is None or parts.scheme not in ("http", "https") or not host:
        # the value may hold a password, in any part of it: it is not repeated
        advice = " (a password's special characters must be written as %XX)" if "@" in text else ""
        raise SettingsError(f"{name} must be an address such as {DEFAULT_URL}{advice}")
    if re.search(r"(^|\.)runninghub\.(cn|ai)$", host) and re.match(r"/proxy(-plus)?/.", parts.path):
        raise SettingsError(
            f"{name}: an address of {host}/proxy/ contains a key, which would appear in every link: use "
            "runninghub_api_key=, and name the workflow by its ID"
        )
    if parts.fragment:
        raise SettingsError(f"{name}: the address of {host} must not have a #: remove it and the rest")
    return parts


def _check_proxy(value: Any, name: str) -> str:
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https", "socks5", "socks5h") and parts.hostname and (parts.port or True)
    except (ValueError, AttributeError):
        fine = False
    if not fine:  # the value may hold a password: it is not repeated
        raise SettingsError(f"{name} must be an address such as http://proxy:3128 or socks5://proxy:1080")
    return str(value)


def _check_timeout(value: Any, name: str) -> float:
    if not _is_number(value) or not value > 0:
        raise SettingsError(f"{name} must be a positive number of seconds, or None")
    return float(value)


def _check_patience(value: Any, name: str) -> float:
    if not _is_number(value) or not value >= 0:
        raise SettingsError(f"{name} must be a number of seconds, 0 or more")
    return float(value)


def _check_headers(value: Any, name: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise SettingsError(f"{name} must be a dict of header names and values, not {type(value).__name__}")
    return dict(value)


def _check_servers(value: Any, name: str) -> tuple[Any, ...]:
    """Return several servers: addresses, kits, and what an engine of `client.engines` opens."""
    if is_server_source(value):
        return (value,)
    if not isinstance(value, (list, tuple)):
        raise SettingsError(f"{name} must be a list of addresses or kits, not {type(value).__name__}")
    if not value:
        raise SettingsError(f"{name} is empty: give the address of at least one server")
    for each in value:
        if isinstance(each, str):
            _check_server_url(each, name)
        elif not is_server_source(each):
            raise SettingsError(f"{name} must be addresses or kits, not {type(each).__name__}")
    return tuple(value)


def _check_bool(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"{name} must be True or False, not {value!r}")
    return value


def _check_runs(value: Any, name: str) -> Path:
    """Return the full path of a folder for runs, whether it exists yet or not."""
    if not isinstance(value, (str, os.PathLike)) or not str(value).strip():
        raise SettingsError(f"{name} must be a folder, not {short_repr(value)}")
    try:
        path = Path(value).expanduser().resolve()
        existing = next(each for each in (path, *path.parents) if each.exists())
    except (OSError, ValueError, RuntimeError):
        raise SettingsError(f"{name}: {short_repr(str(value), 200)} can't be a folder") from None
    if not existing.is_dir():
        raise SettingsError(f"{name}: {one_line(str(existing), 200)} is a file: give a folder")
    if "site-packages" in path.parts:
        raise SettingsError(f"{name}: {one_line(str(path), 200)} is among Python's packages: give another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise SettingsError(f"{name}: {one_line(str(existing), 200)} is read-only: give another folder")
    return path


def _check_choice(choices: Any) -> Check:
    """Build a check for the values of a `Literal`."""
    allowed = get_args(choices)

    def check(value: Any, name: str) -> Any:
        known = value.strip().lower() if isinstance(value, str) else value
        if known not in allowed:
            raise SettingsError(f"{name} must be {' or '.join(map(repr, allowed))}, not {value!r}")
        return known

    return check


def _check_integer(least: int, most: int | None = None) -> Check:
    """Build a check for integers in these bounds; text such as an environment variable's is converted."""
    bounds = f"of at least {least}" if most is None else f"between {least} and {most}"

    def check(value: Any, name: str) -> int:
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError):
            number = least - 1
        if number < least or (most is not None and number > most):
            raise SettingsError(f"{name} must be an integer {bounds}, not {value!r}")
        return number

    return check


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def hide_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that gets secrets: the frames of a SettingsError, or of a mistyped argument, don't hold them.

    A traceback that shows local variables, as `%xmode Verbose` does, would print them.
    """

    @functools.wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> T:
        try:
            return function(*args, **options)
        except (SettingsError, TypeError) as error:
            del args, options
            strip_traceback(error)
            raise error.with_traceback(None)  # noqa: B904 - it is the same error

    return call


# -- the table ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """How one setting is checked, and where it comes from."""

    check: Check
    variable: str | None
    """The environment variable that is read when the setting is not given."""
    belongs_to: str | None
    """The setting whose address this secret belongs to: it is dropped when that address changes."""
    of_run: bool
    """Whether it concerns single runs only: kits that differ in it share their connections."""
    derived: bool
    """Whether it comes from another setting, and is not an argument."""


def _rule(
    check: Check = _accept,
    variable: str | None = None,
    *,
    belongs_to: str | None = None,
    of_run: bool = False,
    derived: bool = False,
) -> dict[str, Rule]:
    return {"rule": Rule(check, variable, belongs_to, of_run, derived)}


@dataclass(frozen=True)
class Settings:
    """All settings of a `ComfyKit`, whose docstring explains them. Secrets are left out of the repr.

    To add one: a line here, and an argument of `ComfyKit` with its description.
    """

    comfyui_url: str = field(default=DEFAULT_URL, metadata=_rule(_check_server_url, "COMFYUI_BASE_URL"))
    servers: tuple[Any, ...] = field(default=(), repr=False, metadata=_rule(_check_servers))
    executor_type: ExecutorType = field(
        default="http", metadata=_rule(_check_choice(ExecutorType), "COMFYUI_EXECUTOR_TYPE", of_run=True)
    )
    api_key: str | None = field(
        default=None, repr=False, metadata=_rule(_check_text, "COMFYUI_API_KEY", belongs_to="comfyui_url")
    )
    cookies: str | None = field(
        default=None, repr=False, metadata=_rule(variable="COMFYUI_COOKIES", belongs_to="comfyui_url")
    )
    runninghub_url: str = field(default=DEFAULT_RUNNINGHUB_URL, metadata=_rule(_check_url, "RUNNINGHUB_BASE_URL"))
    runninghub_api_key: str | None = field(
        default=None, repr=False, metadata=_rule(_check_text, "RUNNINGHUB_API_KEY", belongs_to="runninghub_url")
    )
    runninghub_timeout: int = field(default=300, metadata=_rule(_check_integer(0), "RUNNINGHUB_TIMEOUT"))
    runninghub_retry_count: int = field(default=3, metadata=_rule(_check_integer(0), "RUNNINGHUB_RETRY_COUNT"))
    runninghub_instance_type: str | None = field(default=None, metadata=_rule(variable="RUNNINGHUB_INSTANCE_TYPE"))
    runninghub_concurrency: int = field(default=1, metadata=_rule(_check_integer(1), "RUNNINGHUB_CONCURRENCY"))
    runninghub_use_personal_queue: bool = field(default=False, metadata=_rule(_check_bool))
    runninghub_retain_seconds: int | None = field(
        default=None, metadata=_rule(_check_integer(10, 180), "RUNNINGHUB_RETAIN_SECONDS")
    )
    runninghub_access_password: str | None = field(
        default=None,
        repr=False,
        metadata=_rule(_check_text, "RUNNINGHUB_ACCESS_PASSWORD", belongs_to="runninghub_url"),
    )
    headers: Mapping[str, str] = field(
        default_factory=dict, repr=False, metadata=_rule(_check_headers, belongs_to="comfyui_url")
    )
    api: Api | None = field(default=None, metadata=_rule(_check_choice(Api)))
    # It has no variable: a workflow file goes to a cloud that costs money only where the code says so.
    place: Place | None = field(default=None, metadata=_rule(_check_choice(Place), of_run=True))
    timeout: float | None = field(default=None, metadata=_rule(_check_timeout, of_run=True))
    patience: float = field(default=60.0, metadata=_rule(_check_patience))
    verify: bool | str | SSLContext = field(default=True, metadata=_rule())
    proxy: str | None = field(default=None, repr=False, metadata=_rule(_check_proxy))  # it may hold a password
    expand_choices: bool = field(default=True, metadata=_rule(_check_bool, of_run=True))
    raise_on_error: bool = field(default=True, metadata=_rule(of_run=True))
    attach: bool = field(default=True, metadata=_rule(_check_bool, of_run=True))
    runs: Path | None = field(default=None, metadata=_rule(_check_runs, "COMFYKIT_RUNS", of_run=True))
    same_server: SameServer | None = field(default=None, metadata=_rule(_check_choice(SameServer), of_run=True))
    keep: Keep = field(default="originals", metadata=_rule(_check_choice(Keep), of_run=True))
    address_secrets: AddressSecrets = field(
        default=AddressSecrets(), repr=False, metadata=_rule(belongs_to="comfyui_url", derived=True)
    )

    @property
    def is_of_engine(self) -> bool:
        """Whether the server is one of a cluster, which its engine reaches: see `client.engines`."""
        return bool(self.comfyui_url) and not self.comfyui_url.startswith(("http://", "https://"))

    def replace(self, options: Mapping[str, Any]) -> Settings:
        """Return settings with some of them changed; a secret is dropped when the address it belongs to changes.

        Raises:
            SettingsError: There is no such setting, or it can't be used.
        """
        known = {each.name for each in fields(self) if not each.metadata["rule"].derived}
        if unknown := sorted(set(options) - known):
            raise SettingsError(f"unknown setting {unknown[0]!r}: use one of {', '.join(sorted(known))}")
        if self.is_of_engine and not {"comfyui_url", "servers"} & options.keys():
            # An engine's server has a name instead of an address, and gets none of our secrets.
            changed = dataclasses.replace(self, comfyui_url=DEFAULT_URL).replace(options)
            url = self.comfyui_url
            return dataclasses.replace(changed, comfyui_url=url, api_key=None, cookies=None, headers={})
        own: dict[str, Any] = {"servers": self.servers} if self.servers else {"comfyui_url": self.comfyui_url}
        if {"comfyui_url", "servers"} & options.keys():
            own = {}
        changed = resolve_settings({**own, "runninghub_url": self.runninghub_url, **options})
        given = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in ("comfyui_url", "servers")
            and (not (owner := each.metadata["rule"].belongs_to) or getattr(changed, owner) == getattr(self, owner))
        }
        return resolve_settings({**given, **own, **options})

    def shares_connection(self, other: Settings) -> bool:
        """Whether a kit with these settings can use the connections of one with the others."""
        return all(
            getattr(self, each.name) == getattr(other, each.name)
            for each in fields(self)
            if not each.metadata["rule"].of_run
        )


_connected: Mapping[str, Any] = {}
_runs: Path | None = None


def set_runs(folder: str | Path | None) -> Path | None:
    """Set the folder that keeps the runs of all kits of this process that name none; None resets it.

    Raises:
        SettingsError: It can't be used.
    """
    global _runs
    _runs = None if folder is None else _check_runs(folder, "runs")
    return _runs


def set_connected(given: Mapping[str, Any]) -> None:
    """Set the server and its settings for all kits of this process that name no server; an empty mapping resets it.

    Raises:
        SettingsError: One of the settings can't be used; the earlier ones stay.
    """
    global _connected
    resolve_settings(given)
    _connected = dict(given)


def resolve_settings(given: Mapping[str, Any]) -> Settings:
    """Return the settings in force: what is given, else what is connected, else the environment, else the default.

    None means not given. What is connected counts only where no server is given: its secrets go nowhere else.

    Raises:
        SettingsError: One of them can't be used.
    """
    given = _separate_servers(given)
    connected = {} if given.get("comfyui_url") or given.get("servers") is not None else _separate_servers(_connected)
    if several := given.get("servers") or connected.get("servers"):
        _refuse_secrets(given)
    values: dict[str, Any] = {}
    secrets = AddressSecrets()
    for each in fields(Settings):
        rule: Rule = each.metadata["rule"]
        name, value = each.name, given.get(each.name)
        if several and "comfyui_url" in (each.name, rule.belongs_to):
            values |= {"comfyui_url": ""}
            continue
        if name in connected and (value is None or value is each.default):
            value = connected[name]
        if value is None and each.name == "runs":
            value = _runs
        if value in (None, "") and rule.variable is not None:  # an empty variable counts as not set
            name, value = rule.variable, os.environ.get(rule.variable) or None
        if value is not None:
            values[each.name] = rule.check(value, name)
        if each.name == "comfyui_url" and value is not None:
            secrets = AddressSecrets.parse(value)
    if secrets != AddressSecrets():
        values["address_secrets"] = secrets
    settings = Settings(**values)
    if settings.address_secrets.authorization:
        _check_only_authorization(settings, "api_key" if given.get("api_key") else "COMFYUI_API_KEY")
    return settings


def _separate_servers(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return settings in which several servers that were given as `comfyui_url` are `servers`.

    Raises:
        SettingsError: One server was given as well.
    """
    url = given.get("comfyui_url")
    if url is not None and not isinstance(url, str) and (isinstance(url, (list, tuple)) or is_server_source(url)):
        several = url if isinstance(url, (list, tuple)) else [url]
        given = {**given, "comfyui_url": None, "servers": several}
    elif url and given.get("servers"):
        raise SettingsError("comfyui_url and servers are both given: leave one of them out")
    return given


def _refuse_secrets(given: Mapping[str, Any]) -> None:
    """Reject a secret beside several servers."""
    for name in ("api_key", "cookies", "headers"):
        if given.get(name):
            hint = f"[ComfyKit(URL, {name}=…), …]"
            raise SettingsError(f"{name} belongs to one server: give a kit that has it: {hint}")


def _check_only_authorization(settings: Settings, api_key: str) -> None:
    """Reject an API key, and a header Authorization, beside the name and password in the address."""
    names = [api_key] if settings.api_key else []
    names += [f"headers[{name!r}]" for name in settings.headers if str(name).lower() == "authorization"]
    if names:
        what = "the name and password in comfyui_url"
        raise SettingsError(f"{names[0]} and {what} are sent as the same header, Authorization: leave one of them out")
