"""Where a workflow runs: the first of these that takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.backends.comfyapi.backend import ComfyAPI
from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI
from comfykit_jupyter.client.backends.runninghub.backend import RunningHub

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.settings import Settings

BACKENDS: tuple[type[Backend], ...] = (RunningHub, ComfyAPI, ComfyUI)


def backend_for(source: Any, settings: Settings) -> type[Backend]:
    """The kind of server that runs a workflow which is named so; None for `source`: that of `comfyui_url`."""
    return next(each for each in BACKENDS if each.handles(source, settings))


def backend_of(prompt_id: str, settings: Settings) -> type[Backend]:
    """The kind of server that has a job of this id."""
    return next(each for each in BACKENDS if each.handles_job(prompt_id, settings))
