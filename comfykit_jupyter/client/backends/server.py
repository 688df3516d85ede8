"""`Server`: the state of a server or cloud when it was asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_GIGABYTE = 2**30
"""Bytes of a gigabyte, as makers of GPUs count them."""


@dataclass(frozen=True)
class Server:
    """The state of a server or cloud when it was asked.

    Attributes:
        url: Its address.
        reachable: Whether it answers.
        version: The version of ComfyUI, if it says so.
        message: One line: what is wrong, or what kind of server it is.
        running: The number of running jobs.
        pending: The number of queued jobs.
        device: What it computes on, such as the name of its GPU; empty if unknown.
        vram_free: The bytes of the GPU's memory that are free; None if unknown, or without a GPU.
        vram_total: All bytes of the GPU's memory.
        ram_free: The bytes of the machine's memory that are free; None if unknown.
        ram_total: All bytes of the machine's memory.

    Example:
        >>> from comfykit_jupyter import ComfyKit
        >>> kit.server().reachable, ComfyKit("http://127.0.0.1:1").server().reachable
        (True, False)
    """

    url: str
    reachable: bool
    version: str | None = None
    message: str = ""
    running: int = 0
    pending: int = 0
    device: str = ""
    vram_free: int | None = None
    vram_total: int | None = None
    ram_free: int | None = None
    ram_total: int | None = None

    @property
    def memory(self) -> str:
        """How much memory is free, on one line; empty if unknown."""
        kinds = (("VRAM", self.vram_free, self.vram_total), ("memory", self.ram_free, self.ram_total))
        parts = [
            f"{free / _GIGABYTE:.1f} of {total / _GIGABYTE:.1f} GB {kind} free"
            for kind, free, total in kinds
            if free is not None and total is not None
        ]
        return f"{', '.join(parts)}{f' ({self.device})' if self.device else ''}" if parts else ""


def describe_server(server: Server) -> dict[str, str]:
    """Return what a form says about one of several servers: `address`, `state`, and `detail` in a few words."""
    address = server.url.partition("://")[2] or server.url  # several may differ in their paths
    if not server.reachable:
        return {"address": address, "state": "unreachable", "detail": "away"}
    facts = [f"{server.running + server.pending} in the queue"] if server.running + server.pending else ["idle"]
    if server.vram_free is not None:
        facts.append(f"{server.vram_free / _GIGABYTE:.1f} GB VRAM free")
    return {"address": address, "state": "busy" if server.running else "ready", "detail": ", ".join(facts)}


class Servers(list[Server]):
    """The states of several servers, in the order in which they were given.

    It has the attributes of a `Server`, too, for all of them together: it is reachable if one of them is.

    Example:
        >>> from comfykit_jupyter import ComfyKit
        >>> servers = ComfyKit([kit.comfyui_url, "http://127.0.0.1:1"]).server()
        >>> [server.reachable for server in servers], servers.reachable
        ([True, False], True)
    """

    def __init__(self, servers: Sequence[Server]) -> None:
        super().__init__(servers)
        there = [server for server in servers if server.reachable]
        self.url = ", ".join(server.url for server in servers)
        self.reachable = bool(there)
        self.version = there[0].version if len({server.version for server in there}) == 1 else None
        self.running = sum(server.running for server in there)
        self.pending = sum(server.pending for server in there)
        self.device = ""
        self.vram_free = _add(server.vram_free for server in there)
        self.vram_total = _add(server.vram_total for server in there)
        self.ram_free = _add(server.ram_free for server in there)
        self.ram_total = _add(server.ram_total for server in there)
        self.memory = "; ".join(server.memory for server in there if server.memory)
        away = [server.message for server in servers if not server.reachable]
        counted = f"{len(there)} of {len(servers)} servers" if away else f"{len(servers)} servers"
        self.message = "; ".join([counted, *away])


def _add(amounts: Iterable[int | None]) -> int | None:
    """Return the sum of what is known; None if nothing is."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None
