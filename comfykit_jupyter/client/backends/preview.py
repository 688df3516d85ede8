"""A preview: an image of the unfinished sample, as ComfyUI sends it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from comfykit_jupyter.workflow.untrusted_json import parse_json

ABOUT_LIMIT = 1 << 16
"""Maximum size in bytes of what the newer form says about the image."""
_MIMES = {1: "image/jpeg", 2: "image/png"}


@dataclass(frozen=True)
class Preview:
    """An image of the unfinished sample, as the server sent it.

    Attributes:
        prompt_id: The run's own ID.
        node_id: ID of the node that samples; None if unknown.
        mime: MIME type of the image: JPEG or PNG.
        data: The encoded image.
        step: The step that it shows; None if unknown.

    Example:
        run = kit.submit("text_to_image.json")
        stop = run.subscribe(preview=lambda preview: print(preview.step, len(preview.data)))
    """

    prompt_id: str
    node_id: str | None
    mime: str
    data: bytes
    step: int | None = None


def read_preview(frame: bytes, running: str | None) -> Preview | None:
    """Read a preview in one of its two forms; None for any other frame.

    Args:
        frame: A binary frame of the socket.
        running: The ID of the running job, which the older form lacks.
    """
    if len(frame) < 8:
        return None
    kind, number = struct.unpack_from(">II", frame)
    if kind == 1 and running is not None:
        return Preview(running, None, _MIMES.get(number, "image/jpeg"), frame[8:])
    if kind != 4:
        return None
    try:
        about = parse_json(frame[8 : 8 + min(number, ABOUT_LIMIT)])
        return Preview(
            str(about["prompt_id"]),
            str(about.get("display_node_id") or about["node_id"]),
            "image/png" if about.get("image_type") == "image/png" else "image/jpeg",
            frame[8 + number :],
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
