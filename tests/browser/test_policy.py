"""Test the widget under a content security policy that allows only the page's own scripts: `script-src 'self' blob:`.

JupyterLab itself evaluates code (its settings are checked by functions that it makes), so the strict policy is held by
a page that loads the widget as anywidget does. What JupyterLab needs is added for JupyterLab alone.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, Route, expect

from .lab import ROOT, Notebook, running_lab

STRICT = "script-src 'self' blob:"
POLICY = (
    f"default-src 'none'; {STRICT}; style-src 'unsafe-inline'; img-src blob: data:; media-src blob:; connect-src 'self'"
)
STATIC = ROOT / "comfykit_jupyter/notebook/static"

SCRIPT = """
const { script, style, picture, traits } = await (await fetch("/widget.json")).json();
const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
window.violations = [];
document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
  window.violations.push(`${violatedDirective}: ${blockedURI}`));
document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
const listeners = [];
const model = {
  get: (name) => traits[name],
  on: (event, callback) => listeners.push([event, callback]),
  off: () => {},
  send: ({ kind, id, size }) => setTimeout(() => {
    const media = kind === "media" && { total: bytes.length, mime: "image/png", offset: 0, width: 64, height: 64 };
    fire("msg:custom", { kind: "answer", id, ...media }, media ? [new DataView(bytes.buffer)] : []);
  }),
};
const fire = (event, ...args) => listeners.forEach(([name, callback]) => name === event && callback(...args));
const { default: widget } = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
const { initialize, render } = await widget();
initialize({ model });
const el = document.body.appendChild(document.createElement("div"));
render({ model, el });
window.put = (changes) => {
  Object.assign(traits, changes);
  for (const name of Object.keys(changes)) fire(`change:${name}`);
};
window.preview = () =>
  fire("msg:custom", { kind: "preview", prompt_id: "r", mime: "image/png", seq: 1 }, [new DataView(bytes.buffer)]);
"""


FORM = """
import os
from comfykit_jupyter import ComfyKit
ComfyKit().form(os.environ["WORKFLOWS"] + "/text_to_image.json", width=256, height=256, steps=4)"""


def test_form_preview_images_and_lightbox_work_under_a_strict_policy(page: Page) -> None:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).save(out, "PNG")
    item = {"key": "0", "kind": "image", "name": "a.png", "node": "Save", "var": "", "temp": False, "mime": "image/png"}
    run = {"id": "r", "status": "completed", "seconds": 1.0, "seeds": {"seed": "7"}, "changed": {}, "error": None,
           "items": [item], "workflow": "w.json", "server": "host"}  # fmt: skip
    fields = [
        {"name": f"a {kind}", "kind": kind, "node": "N", "node_id": "1", "class_type": "N", "tooltip": "", "min": 0,
         "required": False, "default": None, "max": 9, "step": 1, "slider": True, "choices": [1, 2], "choice_count": 2,
         "multiselect": False, "label_on": "", "label_off": "", "advanced": False}
        for kind in ("integer", "number", "seed", "choice", "toggle", "text", "multiline", "image", "video", "file")
    ]  # fmt: skip
    widget = {
        "script": (STATIC / "widget.js").read_text("utf-8"),
        "style": (STATIC / "widget.css").read_text("utf-8"),
        "picture": base64.b64encode(out.getvalue()).decode(),
        "traits": {"view": "form", "title": "w.json", "fields": fields, "values": {}, "status": "idle", "runs": []},
    }
    served = {
        "/": ("text/html", '<!doctype html><title>w</title><body><script type="module" src="/page.js"></script>'),
        "/page.js": ("text/javascript", SCRIPT),
        "/widget.json": ("application/json", json.dumps(widget)),
    }

    def serve(route: Route) -> None:
        kind, body = served.get(route.request.url.removeprefix("http://page.test"), ("text/plain", ""))
        route.fulfill(body=body, headers={"Content-Type": kind, "Content-Security-Policy": POLICY})

    page.route("http://page.test/**", serve)
    page.goto("http://page.test/")
    for field in fields:
        expect(page.get_by_label(str(field["name"]), exact=True).first).to_be_visible()
    page.evaluate("put({ status: 'running', progress: { prompt_id: 'r', status: 'running', fraction: 0.5 } })")
    page.evaluate("preview()")
    expect(page.get_by_role("img", name="Preview")).to_be_visible()
    page.evaluate("run => put({ status: 'completed', progress: { prompt_id: 'r' }, runs: [run] })", run)
    page.locator(".ck-gallery .ck-open img").click()
    expect(page.get_by_role("dialog").locator(".ck-pane img")).to_be_visible()
    assert page.evaluate("violations") == []
    # The policy is in force.
    page.evaluate("document.head.append(Object.assign(document.createElement('script'), { textContent: '1' }))")
    page.wait_for_function("violations.length === 1")


def test_form_runs_in_jupyterlab_with_a_strict_policy(page: Page, environment: dict[str, str], tmp_path: Path) -> None:
    headers = {"headers": {"Content-Security-Policy": f"{STRICT} 'unsafe-eval'"}}
    with running_lab(tmp_path, environment, "lab", f"--ServerApp.tornado_settings={json.dumps(headers)}") as lab:
        lab.write("policy.ipynb", [FORM])
        notebook = Notebook(lab, page, "policy.ipynb").open()
        notebook.run(0)
        form = notebook.output(0)
        form.get_by_role("button", name="Run", exact=True).click()
        expect(form.get_by_role("status").first).to_contain_text("Done in")
        expect(form.locator("img:visible").first).to_be_visible()
