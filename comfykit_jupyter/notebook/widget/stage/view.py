"""Show runs in the page, and handle the page's messages: the widget without its form."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import traitlets

from comfykit_jupyter.client.backends.server import describe_server
from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.notebook.page.media import read_piece, run_in_background
from comfykit_jupyter.notebook.page.page_widget import PageWidget, Reply
from comfykit_jupyter.notebook.page.writer import writer
from comfykit_jupyter.notebook.widget.stage.node_times import list_node_times
from comfykit_jupyter.notebook.widget.stage.stage import Stage

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.server import Server
    from comfykit_jupyter.client.results.media import Media
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.running.run import Run

MAX_SERVERS = 16
"""Servers in the title line."""
ID_LENGTH = 40
"""Characters of the id of a page."""


class LatestResult(traitlets.Any):
    """The trait `result`. It can be read as soon as `Run.result()` returns; observers are called in their turn."""

    def get(self, obj: Any, cls: Any = None) -> Any:
        """Return the result, or None before the first run has ended."""
        super().get(obj, cls)
        return obj.stage.latest


class RunView(PageWidget):
    """Progress, previews, Cancel and outputs of runs. `FormView` adds the form of a workflow.

    Attributes:
        view: `run`, or `form` with a form.
        title: The name of the workflow.
        server: The server's state and version. Its address goes in a message, so that no notebook keeps it.
        fields: The fields of the form.
        values: The values of the form by name.
        errors: The errors at the fields by name.
        status: `idle`, or the status of the run on the stage.
        progress: How far the run on the stage is.
        runs: The summaries of ended runs, newest first.
        waiting: The runs that wait behind the one on the stage, and the paused ones.
        batch: How many runs have ended, and how many there are, until nothing is left to run.
        has_origin: Whether the workflow came in an image, which the empty stage shows.
        storage: The name of the form's drafts in the browser: the same for every form of the same workflow.
        result: The `ExecuteResult` of the run that ended last. It is not sent to the page.
        lock: Held while traits change.
        stage: The runs of this widget.
        handlers: What handles each kind of message from the page, and on which thread.
    """

    server = traitlets.Dict().tag(sync=True)
    fields: Any = traitlets.List().tag(sync=True)
    values: Any = traitlets.Dict().tag(sync=True)
    errors = traitlets.Dict().tag(sync=True)
    notes: Any = traitlets.List().tag(sync=True)
    status = traitlets.Unicode("idle").tag(sync=True)
    progress = traitlets.Dict().tag(sync=True)
    runs: Any = traitlets.List().tag(sync=True)
    waiting: Any = traitlets.List().tag(sync=True)
    batch: Any = traitlets.Dict().tag(sync=True)
    has_origin = traitlets.Bool(False).tag(sync=True)
    storage = traitlets.Unicode("").tag(sync=True)
    result: Any = LatestResult()

    def __init__(self, **traits: Any) -> None:
        self.stage = Stage(self)
        self.handlers = {
            "hello": (writer.post, self._on_hello),
            "ping": (writer.post, lambda _content, _buffers: ({}, ())),
            "cancel": (writer.post, self._on_cancel),
            "sight": (writer.post, self._on_sight),
            "pause": (writer.post, self._on_pause),
            "discard": (writer.post, self._on_discard),
            "times": (writer.post, self._on_times),
            "media": (run_in_background, self._on_media),
        }
        self._address: dict[str, Any] = {}
        """What the page shows of the server beside the trait: its address, and a message."""
        super().__init__(**traits)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.title}: {self.status}>"

    def show(self, run: Run) -> None:
        """Show a run, after the runs shown before."""
        self.stage.add(run)

    def cancel(self, prompt_id: str | None = None) -> None:
        """Cancel a run of this widget, and return when the server knows.

        Args:
            prompt_id: The prompt ID, or the run's own ID; None means the run on the stage.
        """
        run = self.stage.find(prompt_id)
        if run is not None:
            run.cancel()

    @contextlib.contextmanager
    def hold_changes(self) -> Iterator[None]:
        """Change several traits: they are sent as one message, and observers see all of them changed."""
        with self.lock, self.hold_sync(), self.hold_trait_notifications():
            yield

    def handle_unsent(self, _run: Run) -> bool:
        """Return whether a run was not sent because of its values. Called on the writer's thread."""
        return False

    def on_run_ended(self, result: ExecuteResult) -> None:
        """Handle the end of a run. Called on the writer's thread."""

    def _on_message(self, widget: object, content: Any, buffers: Sequence[Any]) -> None:
        if isinstance(content, dict) and content.get("kind") == "painted":
            writer.post(partial(self._on_painted, content))
        super()._on_message(widget, content, buffers)

    def set_server(
        self, url: str, state: str, message: str = "", version: str | None = None, servers: Sequence[Server] = ()
    ) -> None:
        """Show a server in the title line.

        Args:
            url: Its address.
            state: `ready`, `busy` or `unreachable`.
            message: What is wrong, or what kind of server it is.
            version: Its version of ComfyUI.
            servers: The servers that it stands for, if there are several.
        """
        self._address = {"address": urlsplit(url).netloc, "message": message}
        if servers:
            listed = [describe_server(each) for each in servers[:MAX_SERVERS]]
            self._address |= {"address": f"{len(servers)} servers", "servers": listed}
        self.server = {"state": state, "version": version}
        self._send_address()

    def _send_address(self) -> None:
        self.send({"kind": "server", **self._address})

    def _on_hello(self, _content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        self._send_address()
        self.stage.resend()
        return {}, ()

    def _on_cancel(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        # Answer before the server knows: a page that has no answer soon interrupts the kernel.
        self.stage.cancel(content.get("prompt_id"), everything=content.get("all") is True)
        return {}, ()

    def _on_sight(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Note whether the page shows the stage."""
        self.stage.set_sight(str(content["page"])[:ID_LENGTH], content["visible"] is True)
        return {}, ()

    def _on_pause(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Pause the runs that wait, or resume them."""
        if content.get("resume") is True:
            self.stage.resume()
        else:
            self.stage.pause()
        return {}, ()

    def _on_discard(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Discard the outputs of a run, or restore them."""
        if content.get("restore") is True:
            self.stage.restore(str(content["run"]))
        else:
            self.stage.discard(str(content["run"]))
        return {}, ()

    def _on_times(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Return where the time of an ended run went."""
        result = self.stage.results.get(str(content["run"]))
        return {"nodes": [] if result is None else list_node_times(result)}, ()

    def _on_painted(self, content: dict[str, Any]) -> None:
        """Handle an acknowledgement of a preview: many arrive each second, and none is answered."""
        with contextlib.suppress(KeyError, TypeError, ValueError):
            self.stage.acknowledge(str(content["prompt_id"]), int(content["seq"]))

    def _on_media(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        path, mime = self.find_file(content["run"], content["key"])
        return read_piece(path, mime, content.get("size", "full"), int(content.get("offset") or 0))

    def find_file(self, run: str, key: str) -> tuple[Path, str]:
        """Return the local file of an output, and its MIME type.

        Args:
            run: The id of the run.
            key: The key of the output in the run's items.

        Raises:
            ComfyKitError: There is no such output, or the server no longer has it.
        """
        media = self.find_media(run, key)
        return media.path, media.mime

    def find_media(self, run: str, key: str) -> Media:
        """Return an output of a run; arguments and errors are the same as for `find_file`."""
        result = self.stage.results.get(run)
        if result is None or not key.isdecimal() or int(key) >= len(result.media):
            raise ComfyKitError("this output is no longer available: run the cell again")
        return result.media[int(key)]
