"""Test a hostile server: the widget's state stays small, and cell outputs are escaped and cut."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from tests.client.proxy import Served

from .kernels import Cell, Model, Page, kernel

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"
EVIL = f"{SCRIPT}\"'&\u202egnp.exe\u2066\x1b[31m\x00\r\n"
HUGE = EVIL + "W" * 200_000
MANY = 1500
RUN = """
import threading
ended = threading.Event()
form.run().subscribe(done=lambda result: ended.set())
assert ended.wait(20)
"""
"""Runs a form, and waits for its end."""
STATE_BYTES = 64_000
"""Bytes of a widget's state without its bundle, with 2,000 choices and more than 1,000 outputs."""
OUTPUT_BYTES = 160_000
"""Bytes of a run's static output: 150 kB, and what surrounds it."""
ALLOWED = {
    *("div", "p", "br", "strong", "code", "img", "details", "summary", "a"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
"""The elements of static outputs: none of them runs, loads or covers anything, and all sanitizers keep them."""
ATTRIBUTES = {"class", "align", "title", "alt", "src", "href", "width", "height"}
"""Their attributes: no style, which sanitizers treat differently, and nothing that a page can refer to."""


def make_image() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return buffer.getvalue()


class Hostile(Served):
    """A server that speaks ComfyUI's protocol with malicious texts."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False
        self.sent: dict[str, Any] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path == "/system_stats":
            return web.json_response({"system": {"comfyui_version": HUGE}})
        if path == "/queue":
            item = [EVIL, HUGE, {EVIL: {"class_type": HUGE, "inputs": {EVIL: HUGE}}}, {}, [HUGE]]
            short = [0, EVIL, {"1": {"class_type": EVIL, "inputs": {EVIL: EVIL}}}, {}, [EVIL]]
            return web.json_response({"queue_running": [item, 7, None], "queue_pending": [short] * 300})
        if path.startswith("/object_info/"):
            return web.json_response(self.definition(path.partition("/object_info/")[2]))
        if path == "/prompt":
            body = await request.json()
            self.sent[body["prompt_id"]] = body["prompt"]
            return web.json_response({"prompt_id": body["prompt_id"], "node_errors": {}})
        if path.startswith("/history/"):
            id_ = path.rpartition("/")[2]
            return web.json_response({id_: self.build_record(id_)} if id_ in self.sent else {})
        if path == "/history":
            return web.json_response({f"{number}{HUGE}": self.build_record("") for number in range(5)})
        if path == "/models":
            return web.json_response([HUGE, EVIL, "loras", 7])
        if path.startswith("/models/"):
            return web.json_response([f"{number}{EVIL}" for number in range(3000)])
        if path == "/view":
            return web.Response(body=make_image(), content_type="image/png")
        return web.Response(status=404, text=HUGE)

    def definition(self, class_type: str) -> dict[str, Any]:
        text = {"tooltip": HUGE, "multiline": True, "default": HUGE}
        choices = [f"{number}{EVIL}" for number in range(2000)]
        about: dict[str, Any] = {
            "input": {"required": {"text": ["STRING", text], "choice": [choices, {"tooltip": HUGE}]}},
            "output": ["IMAGE"],
            "output_name": [HUGE],
            "name": class_type,
            "display_name": HUGE,
            "description": HUGE,
            "category": HUGE,
            "output_node": True,
        }
        return {class_type: about}

    def build_record(self, prompt_id: str) -> dict[str, Any]:
        files = [{"filename": f"{number}{EVIL}.png", "subfolder": EVIL, "type": "output"} for number in range(MANY)]
        stamp = {"prompt_id": prompt_id, "timestamp": 1}
        messages: list[Any] = [["execution_start", stamp], ["execution_success", {**stamp, "timestamp": 10**40}]]
        if self.fails:
            error = {
                "node_id": "1",
                "node_type": HUGE,
                "exception_message": HUGE,
                "exception_type": HUGE,
                "traceback": [HUGE] * 20,
                "current_inputs": {EVIL: [HUGE]},
            }
            messages[1] = ["execution_error", {**stamp, **error}]
        return {
            "prompt": [0, prompt_id, self.sent.get(prompt_id, {}), {"extra_pnginfo": {"workflow": HUGE}}, ["1"]],
            "outputs": {"1": {"images": files, "text": [HUGE] * 20, EVIL: [HUGE]}},
            "status": {"status_str": "error" if self.fails else "success", "completed": True, "messages": messages},
            "meta": {"1": {"display_node": HUGE}},
        }


@pytest.fixture(scope="module")
def server() -> Iterator[Hostile]:
    with Hostile() as server:
        yield server


@pytest.fixture(scope="module")
def hostile(server: Hostile, folder: Path) -> Iterator[Page]:
    """Start a kernel with a hostile server and a hostile workflow."""
    node: dict[str, Any] = {
        "class_type": "Evil",
        "inputs": {"text": EVIL, "choice": "x"},
        "_meta": {"title": f"{SCRIPT}\u202e, $text, $choice"},
    }
    (folder / "evil.json").write_text(json.dumps({"1": node, "2": {**node, "_meta": {"title": HUGE}}}))
    with kernel(folder, COMFYUI_BASE_URL=server.url) as page:
        loaded = page.run("%load_ext comfykit_jupyter\nfrom comfykit_jupyter import ComfyKit\nkit = ComfyKit()")
        assert loaded.status == "ok", loaded.error
        yield page


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.text += "".join(value or "" for name, value in attrs if name in ("alt", "title"))

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_shown_safely(cell: Cell) -> None:
    """Assert that the outputs of a cell, and its error, are escaped, plain and bounded."""
    assert cell.bundles
    for bundle in cell.bundles:
        assert len(json.dumps(bundle)) < OUTPUT_BYTES
        found = Elements(bundle["text/html"])
        assert found.tags <= ALLOWED
        assert found.attributes <= ATTRIBUTES
        assert_plain(found.text)
        assert_plain(bundle["text/plain"])


def assert_plain(text: str) -> None:
    assert not [c for c in text if c not in "\n\t" and unicodedata.category(c) == "Cc"]
    assert not [c for c in text if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "LRI", "RLI", "FSI")]


def count_state_bytes(model: Model) -> int:
    state = {name: value for name, value in model.state.items() if name not in ("_esm", "_css")}
    return len(json.dumps(state, ensure_ascii=False).encode())


@pytest.mark.parametrize(
    "line",
    ["params evil.json", "queue", "history", "history 1000", "models", "models loras", "run evil.json --dry-run"],
)
def test_tables_are_escaped_and_bounded(hostile: Page, line: str) -> None:
    cell = hostile.run(f"%comfykit {line}" + (' choice="0" text={"b" * 500000}' if "run" in line else ""))
    if "run" in line:
        choice = "kit.fields('evil.json')[1].choices[0]"
        cell = hostile.run(f"choice = {choice}\n%comfykit {line} text={{'b' * 500000}} choice={{choice}}")
    assert cell.status == "ok", cell.error[:2000]
    assert_shown_safely(cell)


def test_status_prints_bounded_lines_without_controls(hostile: Page) -> None:
    cell = hostile.run("%comfykit status")
    assert cell.status == "ok", cell.error[:2000]
    assert len(cell.stdout) < 2000
    assert_plain(cell.stdout)


@pytest.mark.parametrize("fails", [False, True])
def test_run_leaves_an_escaped_and_bounded_output(hostile: Page, server: Hostile, fails: bool) -> None:
    server.fails = fails
    hostile.run("choice = kit.fields('evil.json')[1].choices[0]")
    cell = hostile.run("%comfykit run evil.json choice={choice} -o evil")
    assert cell.status == ("error" if fails else "ok"), cell.error[:2000]
    assert_shown_safely(cell)
    assert len(cell.error) < 5000
    assert_plain(cell.error)
    again = hostile.run(f"%comfykit attach {hostile.value('evil.prompt_id')}")
    assert_shown_safely(again)
    assert len(hostile.value("evil")) < 5000


@pytest.mark.parametrize("fails", [False, True])
def test_form_keeps_its_state_small(hostile: Page, server: Hostile, fails: bool) -> None:
    server.fails = fails
    cell = hostile.run("form = kit.form('evil.json', choice=kit.fields('evil.json')[1].choices[0], text='a cat')\nform")
    assert cell.status == "ok", cell.error[:2000]
    model = hostile.model(cell)
    assert count_state_bytes(model) < STATE_BYTES
    for _ in range(2):
        ran = hostile.run(RUN)
        assert ran.status == "ok", ran.error[:2000]
    hostile.wait(lambda: len(model.state["runs"]) == 2)
    assert count_state_bytes(model) < STATE_BYTES
    hostile.wait(lambda: "ck-result" in cell.html)
    assert_shown_safely(Cell("", [output for output in cell.outputs if "text/html" in output["data"]]))
    hostile.run("form.close()")
