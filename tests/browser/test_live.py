"""Test the form while the kernel is busy, after a reload, and after the notebook was renamed."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from .lab import KERNELS, Lab, Notebook

Open = Callable[..., Notebook]

SETUP = """
import os, pathlib, time
from comfykit_jupyter import ComfyKit
kit = ComfyKit()
wf = os.environ["WORKFLOWS"] + "/text_to_image.json"
"""

FORM = f"{SETUP}\nform = kit.form(wf, width=256, height=256, steps=4)\nform"
SLOW_MACHINE = """() => {
    const timeout = window.timeout = AbortSignal.timeout;
    AbortSignal.timeout = (milliseconds) => timeout.call(AbortSignal, milliseconds === 2000 ? 0 : milliseconds);
}"""
FAST_MACHINE = "() => { AbortSignal.timeout = window.timeout }"
RENAME = "name => window.jupyterapp.shell.currentWidget.context.rename(name)"


@pytest.fixture
def old_kernel() -> str:
    """An older kernel that receives no messages of the page while a cell runs."""
    if not (KERNELS / "6.31.0").is_dir():
        pytest.skip("ipykernel 6.31.0 is not installed beside: make test does")
    return "ipykernel-6.31.0"


def test_reload_during_an_awaiting_cell_stays_live(open_notebook: Open) -> None:
    cell = "form = kit.form(wf, width=256, height=256, steps=5000)\ndisplay(form)\nrun = form.run()\nawait run"
    notebook = open_notebook(SETUP, cell, "print(form.status, kit.server().running)")
    notebook.run(0)
    notebook.start(1)
    expect(notebook.output(1).get_by_role("img", name="Preview")).to_be_visible()
    notebook.save()
    notebook.reload()
    form = notebook.output(1)
    bar = form.get_by_role("progressbar")
    expect(bar).to_be_visible()
    expect(form.get_by_role("img", name="Preview")).to_be_visible()
    before = bar.get_attribute("aria-valuetext")
    expect(bar).not_to_have_attribute("aria-valuetext", before or "")
    form.get_by_role("button", name="Cancel", exact=True).click()
    expect(form.get_by_role("status").first).to_contain_text("Cancelled")
    notebook.wait_for_kernel()
    assert notebook.run(2).strip() == "cancelled 0"


def test_form_that_took_long_to_load_is_as_live_as_any(open_notebook: Open, page: Page) -> None:
    notebook = open_notebook(FORM, "form.values['steps'] = 3", "print(len(form.stage.unfinished_runs), form.status)")
    page.evaluate(SLOW_MACHINE)  # anywidget gives a model two seconds to load
    notebook.run(0)
    form = notebook.output(0)
    steps = form.get_by_role("spinbutton", name="Steps", exact=True)
    expect(steps).to_have_value("4")
    expect(form).to_contain_text("127.0.0.1")
    page.evaluate(FAST_MACHINE)
    notebook.run(1)
    expect(steps).to_have_value("3")
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.get_by_role("status").first).to_contain_text("Done in")
    expect(form.locator(".ck-gallery .ck-open")).to_have_count(1)
    assert notebook.run(2).strip() == "0 completed"


def test_form_shows_a_busy_kernel_and_runs_when_it_is_free(open_notebook: Open, lab: Lab, old_kernel: str) -> None:
    gate = lab.notebooks / "gate"
    notebook = open_notebook(
        FORM, f"while not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.05)", kernel=old_kernel
    )
    notebook.run(0)
    form = notebook.output(0)
    notebook.start(1)
    form.get_by_role("button", name="Run", exact=True).click()
    busy = form.get_by_text("Kernel busy")
    expect(busy).to_be_visible()
    gate.touch()
    expect(busy).to_have_count(0)
    expect(form.get_by_role("status").first).to_contain_text("Done in")


def test_cancel_interrupts_a_kernel_that_receives_no_messages(open_notebook: Open, old_kernel: str) -> None:
    notebook = open_notebook(
        f"%load_ext comfykit_jupyter\n{SETUP}\nrun = kit.submit(wf, width=256, height=256, steps=5000)",
        "%comfykit attach {run.prompt_id}",
        "print(run.status, kit.server().running)",
        "run.cancel()",
        kernel=old_kernel,
    )
    notebook.run(0)
    notebook.start(1)
    shown = notebook.output(1)
    expect(shown.get_by_role("progressbar")).to_be_visible()
    shown.get_by_role("button", name="Cancel", exact=True).click()
    notebook.wait_for_end(1)
    expect(shown).to_contain_text(re.compile("keeps running"))
    assert notebook.run(2).strip() == "running 1"
    notebook.run(3)


def test_kernel_that_is_shut_down_is_noticed_at_once(open_notebook: Open) -> None:
    notebook = open_notebook(FORM)
    notebook.run(0)
    form = notebook.output(0)
    expect(form.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    notebook.shut_down()
    expect(form.get_by_text("Kernel disconnected")).to_be_visible()
    expect(form.get_by_role("button", name="Run", exact=True)).to_be_disabled()


def test_values_of_the_last_run_come_back_after_a_restart(open_notebook: Open, page: Page) -> None:
    notebook = open_notebook(FORM)
    notebook.run(0)
    form = notebook.output(0)
    form.get_by_label("Prompt", exact=True).fill("a hare at night")
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.get_by_role("status").first).to_contain_text("Done in")
    notebook.save()
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    notebook.wait_for_kernel()
    page.evaluate("() => localStorage.clear()")  # as in another browser: the run itself has the values
    notebook.run(0)
    expect(form.get_by_label("Prompt", exact=True)).to_have_value("a hare at night")
    expect(form.get_by_role("spinbutton", name="Steps", exact=True)).to_have_value("4")


@pytest.mark.own_page
def test_draft_stays_with_a_renamed_or_moved_notebook(open_notebook: Open, lab: Lab, page: Page) -> None:
    notebook = open_notebook(FORM)
    prompt = notebook.output(0).get_by_label("Prompt", exact=True)
    notebook.run(0)
    prompt.fill("typed, not run")
    expect(notebook.output(0).get_by_role("button", name="Reset").first).to_be_visible()
    page.evaluate(RENAME, "renamed.ipynb")
    notebook.save()
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    for address in ("lab/tree/renamed.ipynb?reset&", "lab/workspaces/other/tree/renamed.ipynb?"):
        page.goto(f"{lab.url}/{address}token={lab.token}")
        notebook.wait_for_kernel()
        notebook.run(0)
        expect(prompt).to_have_value("typed, not run")

    lab.write("another.ipynb", [FORM])
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:open', {path: 'another.ipynb'})")
    another = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    expect(another.locator(".jp-Cell")).to_have_count(1)
    notebook.wait_for_kernel()
    another.locator(".jp-InputArea-editor").click()
    page.keyboard.press("Control+Enter")
    field = another.get_by_label("Prompt", exact=True)
    expect(field).to_be_visible()
    expect(field).not_to_have_value("typed, not run")
