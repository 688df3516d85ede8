"""`PageWidget`: what all widgets of this package share: the bundle, and messages of the page that are answered.

Traits go to the page, messages come from it. A message arrives on a thread of the kernel that must not wait, so it is
passed on at once: to the writer, which keeps changes in order, or to a worker thread if it takes time. What takes time
and needs the values of the form reads them on the writer, and leaves the rest to a worker thread.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.local_files import strip_folders
from comfykit_jupyter.notebook.page.media import run_in_background

logger = logging.getLogger(__name__)

_STATIC = Path(__file__).parents[1] / "static"
if not (_STATIC / "widget.js").is_file():
    raise ImportError(
        "the widget's JavaScript is not built: run `npm install && npm run build` in the folder js/, "
        "or install comfykit-jupyter from its wheel"
    )

Reply = tuple[dict[str, Any], Sequence[Any]]
"""The content of an answer to the page, and its buffers."""
Work = Callable[[], Reply]
"""The slow part of a handler, which a worker thread runs."""
Handler = Callable[[dict[str, Any], Sequence[Any]], Reply | Work]
"""Handles a message of the page: its content, and its buffers."""
Schedule = Callable[[Callable[[], None]], object]
"""Runs a handler in another thread."""


class PageWidget(anywidget.AnyWidget):
    """A widget of this package.

    Attributes:
        view: What the page shows: `run`, `form` or `sweep`.
        title: The name of the workflow.
        comm_id: The ID of the widget's comm, by which the page finds the host's own model.
        lock: Held while traits change.
        handlers: What handles each kind of message from the page, and on which thread.
    """

    # These are texts: given paths, anywidget would keep every widget alive, to update it when the files change.
    _esm = (_STATIC / "widget.js").read_text(encoding="utf-8")
    _css = (_STATIC / "widget.css").read_text(encoding="utf-8")

    view = traitlets.Unicode("run").tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    comm_id = traitlets.Unicode("").tag(sync=True)

    handlers: dict[str, tuple[Schedule, Handler]]

    def __init__(self, **traits: Any) -> None:
        self.lock = threading.RLock()
        comm_id = uuid.uuid4().hex
        super().__init__(model_id=comm_id, comm_id=comm_id, **traits)
        _receive_during_cells(self.comm)
        self.on_msg(self._on_message)

    def close(self) -> None:
        """Remove the widget from the page, with the layout that every widget has."""
        layout = self.layout
        super().close()
        layout.close()

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Ignore traits that a page sets: a page sends messages, which are checked."""

    def _on_message(self, _widget: object, content: Any, buffers: Sequence[Any]) -> None:
        kind = content.get("kind") if isinstance(content, dict) else None
        if not isinstance(kind, str) or kind not in self.handlers:
            return
        schedule, handler = self.handlers[kind]
        schedule(partial(self._answer, handler, content, buffers))

    def _answer(self, handler: Handler, content: dict[str, Any], buffers: Sequence[Any]) -> None:
        answer: dict[str, Any] = {"kind": "answer", "id": content.get("id")}
        parts: Sequence[Any] = ()
        try:
            reply = handler(content, buffers)
            if callable(reply):
                work = reply
                run_in_background(partial(self._answer, lambda _content, _buffers: work(), content, buffers))
                return
            answer, parts = {**reply[0], **answer}, reply[1]
        except ComfyKitError as error:
            answer["error"] = strip_folders(str(error))
        except OSError as error:
            answer["error"] = f"the file can't be read or written: {error.strerror or type(error).__name__}"
        except (KeyError, TypeError, ValueError) as error:
            answer["error"] = f"invalid message {content['kind']!r}: {strip_folders(str(error))}"
        except Exception as error:
            logger.exception("handling a message of the page failed")
            answer["error"] = f"{type(error).__name__}: see the kernel's log"
        self.send(answer, list(parts))


def _receive_during_cells(comm: Any) -> None:
    """Handle messages of the page while a cell runs.

    Ipykernel 7.4 sends a message to the shell that was busy when the comm was last written to. That is the main shell,
    where the message waits for the cell to end. Its own default is the shell that the page has asked for.
    """
    if hasattr(type(comm), "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, default: default  # noqa: SLF001 - there is no public way
