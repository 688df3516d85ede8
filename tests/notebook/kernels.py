"""A real kernel, and a page in front of it: the messages that a notebook sends and receives, without a browser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any, cast

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / ".venv/kernels"
"""Older kernels, a folder of packages each."""
PATIENCE = 30.0
"""Seconds after which a test gives up; nothing waits that long when all is well."""

WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass
class Cell:
    """What the page knows of one cell that was sent to the kernel."""

    request: str
    outputs: list[dict[str, Any]] = field(default_factory=list)
    reply: dict[str, Any] | None = None
    idle: bool = False

    @property
    def ended(self) -> bool:
        return self.reply is not None and self.idle

    @property
    def status(self) -> str:
        return str(self.reply["status"]) if self.reply else "running"

    @property
    def stdout(self) -> str:
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        return self._stream("stderr")

    @property
    def bundles(self) -> list[dict[str, Any]]:
        """The mime bundles of the outputs that are shown."""
        return [output["data"] for output in self.outputs if "data" in output]

    @property
    def html(self) -> str:
        return "\n".join(bundle.get("text/html", "") for bundle in self.bundles)

    @property
    def error(self) -> str:
        """What a person sees of an error."""
        shown = [line for output in self.outputs for line in output.get("traceback", [])]
        return "\n".join(shown) or self.stderr

    def _stream(self, name: str) -> str:
        return "".join(output["text"] for output in self.outputs if output.get("name") == name)


@dataclass
class Model:
    """A widget's model in the page."""

    id: str
    state: dict[str, Any]
    messages: list[tuple[dict[str, Any], list[bytes]]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    closed: bool = False


class Page:
    """What a notebook's page does: it sends cells and messages, keeps outputs and models, and follows display ids."""

    def __init__(self, process: subprocess.Popen[bytes], connection: str) -> None:
        self.process = process
        self.client = BlockingKernelClient(connection_file=connection)
        self.client.load_connection_file()
        self.client.start_channels(stdin=False, hb=False)
        self.models: dict[str, Model] = {}
        self.cells: dict[str, Cell] = {}
        self._displays: dict[str, list[dict[str, Any]]] = {}
        self._changed = threading.Condition()
        self._open = True
        self._shell = threading.Lock()
        self._asked = 0
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._iopub, self._replies)]
        for thread in self._threads:
            thread.start()
        self._heard = False
        self.wait(self._is_heard)
        self._subshell = self._new_subshell()

    def _is_heard(self) -> bool:
        """Whether the kernel's outputs arrive: it is asked until they do."""
        if not self._heard:
            self.client.kernel_info()
            threading.Timer(0.1, self._notify).start()
        return self._heard

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        self._open = False
        for thread in self._threads:
            thread.join(PATIENCE)
        self.client.stop_channels()

    # -- cells ---------------------------------------------------------------------------------------------------------

    def start(self, code: str) -> Cell:
        """Send a cell; returns at once."""
        with self._shell, self._changed:
            request = self.client.execute(code)
            cell = self.cells[request] = Cell(request)
        return cell

    def run(self, code: str, timeout: float = PATIENCE) -> Cell:
        """Run a cell to its end."""
        cell = self.start(code)
        self.wait(lambda: cell.ended, timeout)
        return cell

    def value(self, expression: str) -> str:
        """The repr of an expression in the kernel."""
        cell = self.run(f"print(repr(({expression})))")
        assert cell.status == "ok", cell.error
        return cell.stdout.strip()

    def interrupt(self) -> None:
        """The ■ of the toolbar."""
        self.process.send_signal(signal.SIGINT)

    def complete(self, code: str) -> list[str]:
        """What Tab offers at the end of a line, as whole lines."""
        with self._shell:
            request = self.client.complete(code)
        reply = self._reply_to(request)
        return [code[: reply["cursor_start"]] + match for match in reply["matches"]]

    # -- widgets -------------------------------------------------------------------------------------------------------

    def model(self, cell: Cell) -> Model:
        """The model of the widget that a cell shows."""
        found = self.wait(lambda: next((self.models[b[WIDGET]["model_id"]] for b in cell.bundles if WIDGET in b), None))
        return cast("Model", found)

    def send(self, model: Model, kind: str, buffers: Sequence[bytes] = (), **body: Any) -> str:
        """Send a message of the page; returns its id."""
        self._asked += 1
        id_ = f"page-{self._asked}"
        self._comm(model, {"method": "custom", "content": {**body, "kind": kind, "id": id_}}, buffers)
        return id_

    def cancel(self, model: Model) -> None:
        """The Cancel of a cell that runs: a message, and where it is not answered soon, the kernel's interrupt."""
        answer = {"kind": "answer", "id": self.send(model, "cancel", prompt_id=None)}
        with self._changed:
            heard = self._changed.wait_for(lambda: any(answer.items() <= m[0].items() for m in model.messages), 0.3)
        if not heard:
            self.interrupt()

    def update(self, model: Model, state: dict[str, Any]) -> None:
        """Set traits, as ours never does."""
        self._comm(model, {"method": "update", "state": state, "buffer_paths": []})

    def _comm(self, model: Model, data: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        with self._shell:
            message = self.client.session.msg("comm_msg", {"comm_id": model.id, "data": data})
            message["header"]["subshell_id"] = self._subshell
            message["buffers"] = list(buffers)
            self.client.shell_channel.send(message)

    def ask(
        self, model: Model, kind: str, buffers: Sequence[bytes] = (), **body: Any
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Send a message and wait for its answer."""
        id_ = self.send(model, kind, buffers, **body)
        answer = {"kind": "answer", "id": id_}
        found = self.wait(lambda: next((m for m in model.messages if answer.items() <= m[0].items()), None))
        return cast("tuple[dict[str, Any], list[bytes]]", found)

    def wait(self, condition: Callable[[], Any], timeout: float = PATIENCE) -> Any:
        """Wait for something to be true of what was received; returns it."""
        with self._changed:
            found = None

            def met() -> bool:
                nonlocal found
                found = condition()
                return bool(found)

            assert self._changed.wait_for(met, timeout), f"not seen within {timeout:g} s"
            return found

    # -- what comes from the kernel ------------------------------------------------------------------------------------

    def _iopub(self) -> None:
        while self._open:
            try:
                message = self.client.iopub_channel.get_msg(timeout=0.2)
            except Empty:
                continue
            with self._changed:
                self._heard = True
                self._receive(message)
                self._changed.notify_all()

    def _replies(self) -> None:
        while self._open:
            try:
                message = self.client.shell_channel.get_msg(timeout=0.2)
            except Empty:
                continue
            with self._changed:
                request = message["parent_header"].get("msg_id", "")
                self.cells.setdefault(request, Cell(request)).reply = message["content"]
                self._changed.notify_all()

    def _reply_to(self, request: str) -> dict[str, Any]:
        reply: dict[str, Any] = self.wait(lambda: request in self.cells and self.cells[request].reply)
        return reply

    def _receive(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        cell = self.cells.get(message["parent_header"].get("msg_id", ""))
        if kind == "comm_open":
            self.models[content["comm_id"]] = Model(content["comm_id"], dict(content["data"].get("state", {})))
        elif kind == "comm_close" and content["comm_id"] in self.models:
            self.models[content["comm_id"]].closed = True
        elif kind == "comm_msg" and content["comm_id"] in self.models:
            model, data = self.models[content["comm_id"]], content["data"]
            if data["method"] == "update":
                model.state.update(data["state"])
                model.history.append(data["state"])
            elif data["method"] == "custom":
                model.messages.append((data["content"], [bytes(buffer) for buffer in message["buffers"]]))
        elif kind == "update_display_data":
            for output in self._displays.get(content["transient"]["display_id"], []):
                output["data"] = content["data"]
        elif cell is not None and kind in ("stream", "display_data", "execute_result", "error"):
            cell.outputs.append(dict(content))
            if display_id := content.get("transient", {}).get("display_id"):
                self._displays.setdefault(display_id, []).append(cell.outputs[-1])
        elif cell is not None and kind == "status" and content["execution_state"] == "idle":
            cell.idle = True

    def _new_subshell(self) -> str | None:
        """The subshell that a page asks for, to send its messages to; None where the kernel has none."""
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                reply = self.client.control_channel.get_msg(timeout=1)
            except Empty:
                return None
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return cast("str | None", reply["content"].get("subshell_id"))
        return None


@contextmanager
def kernel(folder: Path, packages: Path | None = None, **environment: str) -> Iterator[Page]:
    """A page in front of a fresh kernel that works in a folder; `packages`: with these before the installed ones."""
    path = os.pathsep.join(str(part) for part in (packages, ROOT, os.environ.get("PYTHONPATH")) if part)
    private = {"IPYTHONDIR": str(folder / ".ipython"), "PYTHONPATH": path}
    connection, _ = write_connection_file(str(folder / f"kernel-{uuid.uuid4().hex}.json"))
    process = subprocess.Popen(
        [sys.executable, "-m", "ipykernel_launcher", "-f", connection],
        cwd=folder,
        env={**os.environ, **private, **environment},
    )
    page = None
    try:
        page = Page(process, connection)
        yield page
    finally:
        if page is not None:
            page.close()
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
