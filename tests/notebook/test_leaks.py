"""Test that closed forms leave nothing behind, in the kernel or in the page."""

from __future__ import annotations

from .kernels import Page

MAKE = """
import gc, threading, weakref
from ipywidgets.widgets.widget import _instances as widgets
from comfykit_jupyter.client.running.registry import find_unfinished_runs
from comfykit_jupyter.notebook.page.writer import writer

def cycle(count, run):
    for _ in range(count):
        form = kit.form("picture.json")
        seen.append(weakref.ref(form))
        if run:
            result = form.run().result()
            form._ipython_display_()
        form.close()

def left():
    writer.drain(20)
    for thread in threading.enumerate():
        if thread.name == "comfykit-watch":  # it ends when the form has been closed
            thread.join(20)
    gc.collect()
    return sum(reference() is not None for reference in seen)

def kept():
    # thread pools grow up to their limits
    pools = ("comfykit-media", "asyncio_")
    others = [thread.name for thread in threading.enumerate() if not thread.name.startswith(pools)]
    return len(widgets), sorted(others)

seen = []
"""


def test_two_hundred_forms_leave_nothing_behind(page: Page) -> None:
    assert page.run(MAKE).status == "ok"
    page.run("cycle(3, False); left(); before = kept()")
    models = set(page.models)
    cell = page.run("cycle(200, False)")
    assert cell.status == "ok", cell.error
    page.wait(lambda: all(page.models[id_].closed for id_ in set(page.models) - models))
    assert len(set(page.models) - models) >= 200
    page.run("kit.run('picture.json')")  # anything still running has ended by now
    assert page.value("left()") == "0"
    after, before = page.value("kept()"), page.value("before")
    assert after == before
    assert page.value("len(writer._offers), len(writer._ran)") == "(0, 0)"


def test_forms_that_have_run_leave_their_outputs_in_the_notebook_and_nothing_else(page: Page) -> None:
    page.run(MAKE)
    cell = page.run("cycle(10, True)")
    assert cell.status == "ok", cell.error
    page.wait(lambda: cell.html.count("data:image/webp") >= 10)
    page.run("__import__('time')")
    assert page.value("left()") == "0"
    assert page.value("len(find_unfinished_runs())") == "0"
