"""`ENGINES`: what opens the servers of a cluster, by the package that the cluster's object comes from."""

from __future__ import annotations

from importlib import import_module
from typing import Any

ENGINES = {"distributed": "comfykit_jupyter.client.servers.engine_dask"}
"""By the first name of a class's module, the module of the engine that knows its objects. It is loaded when it is used.

An engine has the function `open_servers(source: Any, settings: Settings, make: MakeKit) -> ServerSource`; see
`client/servers/pool.py`.
"""


def is_server_source(value: Any) -> bool:
    """Return whether a value has servers without being an address: a kit, or what an engine opens or has opened."""
    return find_engine(value) is not None or isinstance(getattr(type(value), "servers", None), property)


def find_engine(value: Any) -> str | None:
    """Return the module of the engine that opens a value; None for a kit, and for anything else."""
    return ENGINES.get(type(value).__module__.partition(".")[0])


def open_source(value: Any, settings: Any, make: Any) -> Any:
    """Return what has the servers of a value, a `ServerSource`; for a kit that is the kit.

    Args:
        value: For which `is_server_source` is true.
        settings: The settings of the kit that gets the servers.
        make: Makes a kit of settings and backends, for each server.

    Raises:
        SettingsError: It has none.
    """
    engine = find_engine(value)
    return value if engine is None else import_module(engine).open_servers(value, settings, make)
