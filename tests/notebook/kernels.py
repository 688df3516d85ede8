"""A real kernel, and a page connected to it: the messages of a notebook, without a browser."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

import zmq
from jupyter_client.blocking.client import BlockingKernelClient

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / ".venv/kernels"
"""Older kernels, each a folder of packages."""
PATIENCE = 90.0
"""Seconds after which a test gives up; a passing test never waits that long."""

WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass
class Cell:
    """A cell that was sent to the kernel, as the page knows it."""

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
        """The MIME bundles of the displayed outputs, without those that were emptied: a wait that was over."""
        return [data for output in self.outputs if (data := output.get("data")) and any(data.values())]

    @property
    def html(self) -> str:
        return "\n".join(bundle.get("text/html", "") for bundle in self.bundles)

    @property
    def error(self) -> str:
        """The error text that a user sees."""
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

    @property
    def server(self) -> dict[str, Any]:
        """What the title line shows of the server: the trait, and the last message."""
        sent = [content for content, _ in self.messages if content.get("kind") == "server"]
        trait: dict[str, Any] = self.state["server"]
        return trait | (sent[-1] if sent else {})


class Page:
    """A notebook's page: it sends cells and messages, keeps outputs and models, and updates displays by ID."""

    def __init__(self, process: subprocess.Popen[bytes], connection: str) -> None:
        self.process = process
        self.models: dict[str, Model] = {}
        self.cells: dict[str, Cell] = {}
        self._client = BlockingKernelClient(connection_file=connection)
        self._client.load_connection_file()
        self._client.start_channels(stdin=False, hb=False)
        self._channels = [self._client.iopub_channel, self._client.shell_channel, self._client.control_channel]
        self._displays: dict[str, list[dict[str, Any]]] = {}
        self._replies: dict[str, dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._asked = 0
        self._heard = self._open = True
        # a socket belongs to one thread: the receiving thread also sends, when it is woken
        self._outbox: SimpleQueue[tuple[Any, dict[str, Any]]] = SimpleQueue()
        self._bell: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PAIR)
        self._ear: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PAIR)
        self._ear.bind(f"inproc://{id(self)}")
        self._bell.connect(f"inproc://{id(self)}")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._subshell: str | None = None
        if "kernel subshells" in self._greet().get("supported_features", []):
            created = self._reply_to(self._send("create_subshell_request", {}, control=True))
            self._subshell = created["subshell_id"]

    def _greet(self) -> dict[str, Any]:
        """Wait until the kernel replies and its published messages arrive; return its kernel info."""
        self._heard = False
        for _ in range(int(PATIENCE / 0.2)):
            self._send("kernel_info_request", {})
            with self._changed:
                if self._changed.wait_for(lambda: self._heard and self._replies, 0.2):
                    return next(iter(self._replies.values()))
        raise AssertionError("the kernel does not start")

    def close(self) -> None:
        """Shut down the kernel, as a notebook does; the caller terminates the process if it does not end."""
        self._send("shutdown_request", {"restart": False}, control=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        self._open = False
        self._bell.send(b"")
        self._thread.join(PATIENCE)
        self._client.stop_channels()
        self._bell.close()
        self._ear.close()

    # -- cells ---------------------------------------------------------------------------------------------------------

    def start(self, code: str, cell_id: str | None = None) -> Cell:
        """Send a cell and return at once. `cell_id` is that of an earlier cell, "" for none; by default it is new."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        with self._changed:
            metadata = {} if cell_id == "" else {"cellId": cell_id or uuid.uuid4().hex}
            request = self._send("execute_request", content, metadata=metadata)
            cell = self.cells[request] = Cell(request)
        return cell

    def run(self, code: str, timeout: float = PATIENCE, cell_id: str | None = None) -> Cell:
        """Run a cell to its end."""
        cell = self.start(code, cell_id)
        self.wait(lambda: cell.ended, timeout)
        return cell

    def value(self, expression: str) -> str:
        """Return the repr of an expression in the kernel."""
        cell = self.run(f"print(repr(({expression})))")
        assert cell.status == "ok", cell.error
        return cell.stdout.strip()

    def interrupt(self) -> None:
        """Interrupt the kernel, like the ■ of the toolbar."""
        self.process.send_signal(signal.SIGINT)

    def complete(self, code: str) -> list[str]:
        """Return the completions at the end of a line, as whole lines."""
        reply = self._reply_to(self._send("complete_request", {"code": code, "cursor_pos": len(code)}))
        return [code[: reply["cursor_start"]] + match for match in reply["matches"]]

    # -- widgets -------------------------------------------------------------------------------------------------------

    def model(self, cell: Cell) -> Model:
        """Return the model of the widget that a cell shows."""
        found = self.wait(lambda: next((self.models[b[WIDGET]["model_id"]] for b in cell.bundles if WIDGET in b), None))
        return cast("Model", found)

    def send(self, model: Model, kind: str, buffers: Sequence[bytes] = (), **body: Any) -> str:
        """Send a message of the page and return its ID."""
        self._asked += 1
        id_ = f"page-{self._asked}"
        self._comm(model, {"method": "custom", "content": {**body, "kind": kind, "id": id_}}, buffers)
        return id_

    def ask(
        self, model: Model, kind: str, buffers: Sequence[bytes] = (), **body: Any
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Send a message, wait for its reply, and return it."""
        answer = {"kind": "answer", "id": self.send(model, kind, buffers, **body)}
        found = self.wait(lambda: next((m for m in model.messages if answer.items() <= m[0].items()), None))
        return cast("tuple[dict[str, Any], list[bytes]]", found)

    def cancel(self, model: Model) -> None:
        """Cancel a running cell, as the page does: send a message, and interrupt the kernel if no reply comes."""
        answer = {"kind": "answer", "id": self.send(model, "cancel", prompt_id=None)}
        with self._changed:
            heard = self._changed.wait_for(lambda: any(answer.items() <= m[0].items() for m in model.messages), 0.3)
        if not heard:
            self.interrupt()

    def update(self, model: Model, state: dict[str, Any]) -> None:
        """Set traits, which the real page never does."""
        self._comm(model, {"method": "update", "state": state, "buffer_paths": []})

    def _comm(self, model: Model, data: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        content = {"comm_id": model.id, "data": data}
        self._send("comm_msg", content, buffers=list(buffers), subshell_id=self._subshell)

    def _send(
        self,
        kind: str,
        content: dict[str, Any],
        *,
        control: bool = False,
        buffers: Sequence[bytes] = (),
        subshell_id: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> str:
        """Send a message and return its ID."""
        message = self._client.session.msg(kind, content)
        message["header"]["subshell_id"] = subshell_id
        message["buffers"] = buffers
        message["metadata"] = metadata or {}
        self._outbox.put((self._client.control_channel if control else self._client.shell_channel, message))
        self._bell.send(b"")
        return str(message["header"]["msg_id"])

    def wait(self, condition: Callable[[], Any], timeout: float = PATIENCE) -> Any:
        """Wait until a condition holds, and return its value."""
        with self._changed:
            found = None

            def is_met() -> bool:
                nonlocal found
                found = condition()
                return bool(found)

            assert self._changed.wait_for(is_met, timeout), f"not seen within {timeout:g} s"
            return found

    # -- messages from the kernel --------------------------------------------------------------------------------------

    def _serve(self) -> None:
        poller = zmq.Poller()
        for socket in (self._ear, *(channel.socket for channel in self._channels)):
            poller.register(socket, zmq.POLLIN)
        while self._open:
            poller.poll()
            while self._ear.poll(0):
                self._ear.recv()
            while not self._outbox.empty():
                channel, message = self._outbox.get()
                channel.send(message)
            with self._changed:
                for channel in self._channels:
                    while channel.msg_ready():
                        self._receive(channel.get_msg(timeout=0))
                self._changed.notify_all()

    def _reply_to(self, request: str) -> dict[str, Any]:
        reply: dict[str, Any] = self.wait(lambda: self._replies.get(request))
        return reply

    def _receive(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        request = message["parent_header"].get("msg_id", "")
        cell = self.cells.get(request)
        if kind.endswith("_reply"):
            self._replies[request] = content
            if cell is not None:
                cell.reply = content
            return
        self._heard = True
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


@contextlib.contextmanager
def kernel(folder: Path, packages: Path | None = None, **environment: str) -> Iterator[Page]:
    """Yield a page connected to a new kernel in a folder; `packages` come before the installed ones."""
    path = os.pathsep.join(str(part) for part in (packages, ROOT, os.environ.get("PYTHONPATH")) if part)
    private = {"IPYTHONDIR": str(folder / ".ipython"), "PYTHONPATH": path}
    # the kernel chooses its ports itself: of those that another process chooses for it, one may be taken by then
    connection = folder / f"kernel-{uuid.uuid4().hex}.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "ipykernel_launcher", "-f", str(connection)],
        cwd=folder,
        env={**os.environ, **private, **environment},
    )
    page = None
    try:
        _wait_for_connection_file(process, connection)
        page = Page(process, str(connection))
        yield page
    finally:
        if page is not None:
            page.close()
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()


def _wait_for_connection_file(process: subprocess.Popen[bytes], connection: Path) -> None:
    """Wait until the kernel has written its whole connection file."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(FileNotFoundError, ValueError):
            json.loads(connection.read_text())
            return
        assert process.poll() is None, "the kernel ended"
        assert time.monotonic() < deadline, "the kernel does not start"
        time.sleep(0.01)


@contextlib.contextmanager
def hold_writer(page: Page, model: Model) -> Iterator[None]:
    """Keep the writer from handling what the page sends to the kernel's `form`: all of it is handled at the end.

    Messages hold and release it, since the end of a cell would wait for it.
    """
    page.run("""
import threading
from comfykit_jupyter.notebook.page.writer import writer
gate = threading.Event()
def hold(*_message): return writer.post(gate.wait) or ({}, ())
def release(*_message): return gate.set() or ({}, ())
form.handlers |= {"hold": (lambda job: job(), hold), "release": (lambda job: job(), release)}
""")
    page.ask(model, "hold")
    try:
        yield
        page.ask(model, "wildcards")  # is answered by a worker thread: what was sent before has arrived
    finally:
        page.ask(model, "release")
