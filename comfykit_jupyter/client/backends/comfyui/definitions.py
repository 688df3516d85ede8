"""`DefinitionReader`: what a ComfyUI server says about its node classes, asked once for each class."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from comfykit_jupyter.client.backends.comfyui.api import Api
from comfykit_jupyter.client.backends.comfyui.failures import build_nonsense_error
from comfykit_jupyter.client.backends.comfyui.shared_request import SharedRequest
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.workflow.nodes import NodeDefinition


class DefinitionReader:
    """The definitions of one server's node classes. It belongs to one event loop.

    Args:
        api: The server.
        known: The definitions that have been read; None for a class that the server lacks.
    """

    def __init__(self, api: Api, known: dict[str, NodeDefinition | None]) -> None:
        self._api = api
        self._known = known
        self._asking = SharedRequest()

    async def read(self, classes: Iterable[str], *, fresh: bool = False) -> dict[str, NodeDefinition]:
        """Return the definitions of node classes, which are kept; a class that the server lacks is left out."""
        wanted = sorted(set(classes))
        async with self._asking:  # a hundred runs at once ask only once
            missing = [name for name in wanted if fresh or name not in self._known]
            if missing:
                await self._read_missing(missing)
        return {name: known for name in wanted if (known := self._known.get(name)) is not None}

    async def _read_missing(self, classes: list[str]) -> None:
        asked = [asyncio.ensure_future(self._try_definition(name)) for name in classes]
        try:
            stats, *found = await asyncio.gather(self._try_stats(), *asked)
        finally:
            for each in asked:
                each.cancel()
        for name, definition in zip(classes, found, strict=True):
            if isinstance(definition, ServerError):
                if not isinstance(stats, dict):
                    raise definition
                definition = None  # a class may run although the server can't describe it
            self._known[name] = definition

    async def _try_stats(self) -> Any:
        with contextlib.suppress(ServerError):
            return await self._api.read_stats()
        return None

    async def _try_definition(self, class_type: str) -> NodeDefinition | ServerError | None:
        """Return the definition of a class, or why the server can't give it; raise if the server does not answer."""
        try:
            return await self._read_definition(class_type)
        except ServerError as error:
            if error.sent and error.status is None:
                raise  # others would take as long
            return error

    async def _read_definition(self, class_type: str) -> NodeDefinition | None:
        raw = await self._api.request_json("GET", f"/object_info/{quote(class_type, safe='')}", long=True)
        if not isinstance(raw, dict):
            raise build_nonsense_error(self._api.url, "/object_info")
        found = raw.get(class_type)
        return NodeDefinition.parse(class_type, found) if isinstance(found, dict) else None
