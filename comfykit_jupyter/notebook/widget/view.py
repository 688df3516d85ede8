"""The widget without its form: what a page sees of runs, and how it talks to the kernel.

Traits go to the page, messages come from it. A message arrives on a thread of the kernel that must not wait, so it is
handed over at once: to the writer, where what it changes is in order, or to a worker where it takes time.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.local_files import strip_folders
from comfykit_jupyter.notebook.widget.media import piece, work
from comfykit_jupyter.notebook.widget.stage import Stage
from comfykit_jupyter.notebook.widget.writer import writer

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.media import Media
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.running.run import Run

logger = logging.getLogger(__name__)

_STATIC = Path(__file__).parents[1] / "static"
if not (_STATIC / "widget.js").is_file():
    raise ImportError(
        "the widget's JavaScript is not built: run `npm install && npm run build` in the folder js/, "
        "or install comfykit-jupyter from its wheel"
    )

Reply = tuple[dict[str, Any], Sequence[Any]]
Handler = Callable[[dict[str, Any], Sequence[Any]], Reply]


class LatestResult(traitlets.Any):
    """The result of the run that ended last: there as soon as `Run.result()` is; observers are told in their turn."""

    def get(self, obj: Any, cls: Any = None) -> Any:
        """The result; None before the first."""
        super().get(obj, cls)
        return obj.stage.latest


class RunView(anywidget.AnyWidget):
    """Progress, previews, Cancel and outputs of runs. The form of a workflow is added by `WorkflowWidget`."""

    # as texts: of files anywidget would keep every widget that was ever made, to tell it of changes
    _esm = (_STATIC / "widget.js").read_text(encoding="utf-8")
    _css = (_STATIC / "widget.css").read_text(encoding="utf-8")

    view = traitlets.Unicode("run").tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    server = traitlets.Dict().tag(sync=True)
    fields: Any = traitlets.List().tag(sync=True)
    values: Any = traitlets.Dict().tag(sync=True)
    errors = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode("idle").tag(sync=True)
    progress = traitlets.Dict().tag(sync=True)
    runs: Any = traitlets.List().tag(sync=True)
    waiting: Any = traitlets.List().tag(sync=True)
    storage = traitlets.Unicode("").tag(sync=True)
    """Names what the browser keeps for a form: the same for every form of the same workflow."""
    result: Any = LatestResult()
    """The `ExecuteResult` of the run that ended last. Not sent to the page."""

    def __init__(self, **traits: Any) -> None:
        self.lock = threading.RLock()
        self.stage = Stage(self)
        self.handlers: dict[str, tuple[Callable[[Callable[[], None]], object], Handler]] = {
            "hello": (writer.post, self._on_hello),
            "cancel": (writer.post, self._on_cancel),
            "remove": (writer.post, self._on_remove),
            "media": (work, self._on_media),
        }
        super().__init__(**traits)
        _receive_during_cells(self.comm)
        self.on_msg(self._on_message)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.title}: {self.status}>"

    def close(self) -> None:
        """Take it out of the page, with the layout that every widget brings along."""
        layout = self.layout
        super().close()
        layout.close()

    def show(self, run: Run) -> None:
        """Show a run, behind those that are shown already."""
        self.stage.add(run)

    def cancel(self, prompt_id: str | None = None) -> None:
        """Cancel a run of this widget; without an id the one on the stage. Comes back when the server was told."""
        run = self.stage.find(prompt_id)
        if run is not None:
            run.cancel()

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """Change several traits: as one message, and observers see all of them changed."""
        with self.lock, self.hold_sync(), self.hold_trait_notifications():
            yield

    def ended(self, run: Run, result: ExecuteResult) -> None:
        """A run of this view has ended. On the writer's thread."""

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """A page that sets traits is not listened to: it sends messages, which are checked."""

    def _on_message(self, _widget: object, content: Any, buffers: Sequence[Any]) -> None:
        if isinstance(content, dict) and content.get("kind") == "painted":
            writer.post(partial(self._on_painted, content))
        if not isinstance(content, dict) or content.get("kind") not in self.handlers:
            return
        thread, handler = self.handlers[content["kind"]]
        thread(partial(self._answer, handler, content, buffers))

    def _answer(self, handler: Handler, content: dict[str, Any], buffers: Sequence[Any]) -> None:
        answer: dict[str, Any] = {"kind": "answer", "id": content.get("id")}
        parts: Sequence[Any] = ()
        try:
            reply, parts = handler(content, buffers)
            answer = {**reply, **answer}
        except ComfyKitError as error:
            answer["error"] = strip_folders(str(error))
        except OSError as error:
            answer["error"] = f"the file can't be read or kept: {error.strerror or type(error).__name__}"
        except (KeyError, TypeError, ValueError) as error:
            answer["error"] = f"the message {content['kind']!r} is not understood: {strip_folders(str(error))}"
        except Exception as error:
            logger.exception("a message of the page failed")
            answer["error"] = f"{type(error).__name__}: the kernel's log says more"
        self.send(answer, list(parts))

    def _on_hello(self, _content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        self.stage.greet()
        return {}, ()

    def _on_cancel(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        # answered before the server was told: a page that hears nothing soon interrupts the kernel instead
        run = self.stage.find(content.get("prompt_id"))
        if run is not None:
            work(partial(_cancel, run))
        return {}, ()

    def _on_remove(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        self.stage.remove(content["run"])
        return {}, ()

    def _on_painted(self, content: dict[str, Any]) -> None:
        """Many a second come, and none has an answer."""
        with contextlib.suppress(KeyError, TypeError, ValueError):
            self.stage.painted(str(content["prompt_id"]), int(content["seq"]))

    def _on_media(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        path, mime = self.file(content["run"], content["key"])
        return piece(path, mime, content.get("size", "full"), int(content.get("offset") or 0))

    def file(self, run: str, key: str) -> tuple[Path, str]:
        """The local file of an output, and its MIME type.

        Raises:
            ComfyKitError: there is no such output, or the server no longer has it.
        """
        media = self.media(run, key)
        return media.path, media.mime

    def media(self, run: str, key: str) -> Media:
        """The output of a run. Raises as `file`."""
        result = self.stage.results.get(run)
        if result is None or not key.isdecimal() or int(key) >= len(result.media):
            raise ComfyKitError("this output is no longer there: run the cell again")
        return result.media[int(key)]


def _cancel(run: Run) -> None:
    try:
        run.cancel()
    except ComfyKitError as error:
        logger.warning("the run was not cancelled: %s", error)


def _receive_during_cells(comm: Any) -> None:
    """Let messages of the page be handled while a cell runs.

    Ipykernel 7.4 sends a message to the shell that was busy when the comm was last written to, which is the main one,
    and there it waits for the cell to end. Its own default is the shell that the page asked for.
    """
    if hasattr(type(comm), "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, default: default  # noqa: SLF001 - there is no public way
