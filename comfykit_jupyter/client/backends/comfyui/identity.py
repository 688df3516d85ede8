"""Find out whether a balancer answers at an address, with several servers behind it.

Each of them has a queue and a history of its own, so that a job which was posted to one is not found at the next.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.comfyui.api import Api

QUESTIONS = 4
"""How often each question is asked: a balancer passes them on in turn, or by the connection."""
_LASTING = ("os", "python_version", "pytorch_version", "comfyui_version", "argv", "ram_total", "embedded_python")
"""What `/system_stats` says of a server that does not change while it runs."""


async def check_identity(api: Api) -> bool:
    """Return whether it is certain that one server answers; False if too little is known, as of one that is new.

    Raises:
        ComfyKitError: Several do.
        ServerError: None does.
    """
    stats = await asyncio.gather(*(api.read_stats() for _ in range(QUESTIONS)))
    newest = [
        tuple(await api.request_members("/history", lambda *_: None, params={"max_items": 1})) for _ in range(QUESTIONS)
    ]
    if len({_describe(each) for each in stats}) > 1 or has_gone_back(newest):
        raise ComfyKitError(
            f"{api.url} is a balancer with several servers behind it, where jobs can't be found again: give the "
            "addresses of the servers themselves, as in ComfyKit([URL, URL])"
        )
    return any(newest)


def has_gone_back(seen: Sequence[Any]) -> bool:
    """Return whether a value came again after another one: the newest job of one server never does."""
    changed = [value for at, value in enumerate(seen) if at == 0 or value != seen[at - 1]]
    return len(set(changed)) < len(changed)


def _describe(stats: Any) -> str:
    """Return what `/system_stats` says of the machine and of how the server was started."""
    system = stats.get("system") if isinstance(stats, Mapping) else None
    devices = stats.get("devices") if isinstance(stats, Mapping) else None
    lasting = {name: system.get(name) for name in _LASTING} if isinstance(system, Mapping) else {}
    names = [each.get("name") for each in devices if isinstance(each, Mapping)] if isinstance(devices, list) else []
    return json.dumps([lasting, names], default=str)
