"""Measure the page in a real JupyterLab in Chromium, and print a table.

Previews: how many are painted per second and how old they are, from their arrival in the kernel until the page
confirms that it has painted them; for one form, for four at once, and in a busy cell on each kernel. Memory over
10,000 frames. The longest task while a gallery of 1,000 images is scrolled. The servers, which would be on other
machines, run at the lowest priority; the page and the kernel share this machine with JupyterLab.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.browser.chromium import find_chromium
from tests.browser.conftest import CHROMIUM_OPTIONS
from tests.browser.lab import KERNELS, Lab, Notebook, running_lab

ROOT = Path(__file__).parents[1]
FRAMES_PER_SECOND = 25
"""Previews per second that each server sends, like a fast GPU."""

WORKFLOW = {
    "1": {"class_type": "BenchFrames", "inputs": {"steps": 100_000, "seed": 0}, "_meta": {"title": "$seed"}},
    "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
}

SETUP = f"""
import json, time
from comfykit_jupyter import ComfyKit
from comfykit_jupyter.notebook.widget.stage.previews import Previews

arrivals, sent, painted = {{}}, [], []

def offer(self, preview, original=Previews.offer):
    arrivals[id(self)] = time.time()
    original(self, preview)

def resend(self, original=Previews.send_newest):
    content, data = self._newest
    sent.append((id(self), content["seq"], time.time(), len(data), self.arrival))
    original(self)

def send_next(self, original=Previews._send_next):
    self.arrival = arrivals.pop(id(self), None)
    original(self)

def acknowledge(self, sequence, original=Previews.acknowledge):
    painted.append((id(self), sequence, time.time()))
    original(self, sequence)

Previews.offer, Previews.send_newest, Previews._send_next, Previews.acknowledge = offer, resend, send_next, acknowledge

def summarize(since):
    arrived = {{(view, number): at for view, number, _, _, at in sent}}
    frames = [frame for frame in sent if frame[2] > since]
    seen = [frame for frame in painted if frame[2] > since and arrived.get(frame[:2])]
    return json.dumps(dict(
        views=len({{frame[0] for frame in frames}}), sent=len(frames), largest=max(frame[3] for frame in frames),
        bytes=sum(frame[3] for frame in frames), ages=[at - arrived[view, number] for view, number, at in seen],
        in_sight=len({{view for view, _, _ in seen}}),
    ))

workflow = {WORKFLOW!r}
"""

URLS = """() => {
  if (window.urls) return;
  const urls = window.urls = { live: 0, most: 0, drawn: 0 };
  const [make, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
  URL.createObjectURL = (blob) => {
    urls.most = Math.max(urls.most, ++urls.live);
    return make.call(URL, blob);
  };
  URL.revokeObjectURL = (url) => {
    urls.live--;
    revoke.call(URL, url);
  };
  const drawing = CanvasRenderingContext2D.prototype;
  const draw = drawing.drawImage;
  drawing.drawImage = function (...what) {
    urls.drawn++;
    draw.apply(this, what);
  };
}"""


def serve(number: int) -> None:
    """Run servers in this process whose only node sends moving previews, until standard input ends."""
    from PIL import Image, ImageChops

    from comfykit_jupyter.sandbox import Sandbox
    from comfykit_jupyter.sandbox.interface.node import Context, Output, node

    image = Image.effect_mandelbrot((512, 512), (-2.2, -1.4, 0.8, 1.4), 60).convert("L")
    noise = Image.effect_noise((512, 512), 6)
    image = Image.merge("RGB", (image, ImageChops.add(image, noise, 2), image.rotate(90)))
    previews = [ImageChops.offset(image, 8 * step, 0) for step in range(64)]

    @node(
        "BenchFrames", display_name="Frames", category="bench", returns=("IMAGE",),
        required={"steps": ("INT", {"default": 9, "max": 1_000_000}), "seed": ("INT", {"default": 0, "max": 2**53})},
    )  # fmt: skip
    def bench_frames(context: Context, steps: int, seed: int) -> Output:
        import numpy as np

        for step in range(steps):
            time.sleep(1 / FRAMES_PER_SECOND)
            context.report_progress(step + 1, steps, previews[(step + seed) % len(previews)])
        return Output((np.zeros((1, 8, 8, 3), dtype=np.float32),))

    servers = [Sandbox().start() for _ in range(number)]
    print(*(server.url for server in servers), flush=True)
    sys.stdin.read()
    for server in servers:
        server.stop()


@contextmanager
def run_servers(number: int) -> Iterator[list[str]]:
    """Run servers in another process; yield their addresses."""
    process = subprocess.Popen(
        ["nice", "-n", "19", sys.executable, "-m", "benchmarks.page", "--serve", str(number)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()
    finally:
        process.communicate()


def open_notebook(lab: Lab, page: Page, cells: Sequence[str], kernel: str = "python3") -> Notebook:
    """Write a notebook, open it in the page and run its first cell."""
    name = f"bench-{len(list(lab.notebooks.iterdir()))}.ipynb"
    lab.write(name, cells, kernel)
    notebook = Notebook(lab, page, name).open()
    page.evaluate(URLS)
    notebook.run(0)
    return notebook


def read_summary(notebook: Notebook, index: int) -> dict[str, Any]:
    """Run a cell and return the JSON that it prints."""
    notebook.run(index)
    line = notebook.output(index).locator(".jp-OutputArea-output").first
    line.wait_for()
    return dict(json.loads(line.text_content() or ""))  # unlike inner_text(), also if it is not visible


def print_row(title: str, seconds: float, summary: dict[str, Any], page: Page) -> None:
    """Print a line of the table."""
    ages = sorted(1000 * age for age in summary["ages"])
    views = max(1, summary["views"])
    painted = len(ages) / seconds / max(1, summary["in_sight"])  # what is out of sight is not acknowledged
    age = f"{ages[len(ages) // 2]:5.0f} {ages[len(ages) * 95 // 100]:5.0f}" if ages else " " * 11
    urls = page.evaluate("window.urls")
    print(
        f"{title:26} {summary['in_sight']:8} {summary['sent'] / seconds / views:7.1f} {painted:8.1f} {age}"
        f" {summary['largest'] / 1000:9.1f}"
        f" {summary['bytes'] / seconds / 1000:8.0f} {urls['most']:6}",
        flush=True,
    )


def measure_forms(lab: Lab, page: Page, urls: Sequence[str], seconds: float, *, all_in_sight: bool = False) -> None:
    """Measure the previews of one form per server, each with a run; not all forms fit into the visible page."""
    page.set_viewport_size({"width": 1280, "height": 1000 * (len(urls) if all_in_sight else 1)})
    create = f"forms = [ComfyKit(url).form(workflow) for url in {list(urls)!r}]"
    display = [f"forms[{index}]" for index in range(len(urls))]
    notebook = open_notebook(
        lab, page,
        [SETUP + create, *display, "runs = [form.run() for form in forms]", "since = time.time()",
         "print(summarize(since))\nfor run in runs:\n    run.cancel()"],
    )  # fmt: skip
    for index in range(len(urls) + 1):
        notebook.run(1 + index)
    time.sleep(2)
    notebook.run(len(urls) + 2)
    began = time.time()
    time.sleep(seconds)
    summary = read_summary(notebook, len(urls) + 3)
    print_row(f"{len(urls)} form{'s' * (len(urls) > 1)}", time.time() - began, summary, page)
    notebook.command("notebook:shutdown-kernel")
    page.set_viewport_size({"width": 1280, "height": 1000})


def measure_busy_cell(lab: Lab, page: Page, url: str, kernel: str, seconds: float) -> None:
    """Measure the previews while a cell is busy; some kernels do not read the page's messages meanwhile."""
    cell = f"""
form = ComfyKit({url!r}).form(workflow)
run = form.run()
display(form)
time.sleep(2)
since = time.time()
time.sleep({seconds})
line = summarize(since)
run.cancel()"""
    notebook = open_notebook(lab, page, [SETUP, cell, "print(line)"], kernel)
    notebook.run(1, timeout=seconds + 30)
    print_row(f"busy cell, {kernel}", seconds, read_summary(notebook, 2), page)
    notebook.command("notebook:shutdown-kernel")


def measure_memory(lab: Lab, page: Page, url: str, frames: int) -> None:
    """Measure the page's memory after a tenth of the frames, and after all of them."""
    send = """
def send(number):
    for index in range(number):
        form.send(dict(kind="preview", prompt_id="bench", mime="image/jpeg", seq=0), [images[index % len(images)]])
        time.sleep(0.01)"""
    setup = f"""
import io, random
from PIL import Image
images = []
for seed in range(20):
    out = io.BytesIO()
    Image.frombytes("RGB", (64, 64), random.Random(seed).randbytes(12288)).resize((512, 512)).save(out, "JPEG")
    images.append(out.getvalue())
form = ComfyKit({url!r}).form(workflow)
{send}
form.status, form.progress = "running", dict(prompt_id="bench")
form"""
    notebook = open_notebook(lab, page, [SETUP, setup, f"send({frames // 10})", f"send({frames})"])
    notebook.run(1)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")

    def read_metrics() -> dict[str, float]:
        for _ in range(3):
            devtools.send("HeapProfiler.collectGarbage")
        metrics = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
        return {name: metrics[name] for name in ("JSHeapUsedSize", "Nodes", "JSEventListeners")}

    notebook.run(2, timeout=600)
    before = read_metrics()
    notebook.run(3, timeout=600)
    after = read_metrics()
    urls = page.evaluate("window.urls")
    print(
        f"{frames} frames, {urls['drawn']} drawn in total: heap {before['JSHeapUsedSize'] / 1e6:.1f} → "
        f"{after['JSHeapUsedSize'] / 1e6:.1f} MB, nodes {before['Nodes']:.0f} → {after['Nodes']:.0f}, listeners "
        f"{before['JSEventListeners']:.0f} → {after['JSEventListeners']:.0f}, at most {urls['most']} object URLs",
        flush=True,
    )
    notebook.command("notebook:shutdown-kernel")


GALLERY = """
import io, random
from pathlib import Path
from PIL import Image
folder = Path("images")
folder.mkdir()
for number in range(1000):
    colours = random.Random(number).randbytes(192)
    Image.frombytes("RGB", (8, 8), colours).resize((1024, 1024)).save(folder / f"{number}.png", compress_level=1)
form = ComfyKit(%r).form(workflow)
form.find_file = lambda run, key: (folder / f"{int(run[1:]) * 10 + int(key)}.png", "image/png")
brief = dict(status="completed", seconds=1.0, seeds={}, changed={}, error=None, workflow="w", server="s")
item = dict(kind="image", name="a.png", node="Save", var="", temp=False, mime="image/png")
runs = [dict(brief, id=f"r{r}", items=[dict(item, key=str(i)) for i in range(10)]) for r in range(100)]
form"""

SCROLL = """async (seconds) => {
  const box = document.querySelector(".ck-gallery");
  const tasks = [];
  new PerformanceObserver((list) => tasks.push(...list.getEntries())).observe({ type: "longtask" });
  const began = performance.now();
  const gaps = [];
  let [most, images, last] = [0, 0, began];
  for (;;) {
    const now = await new Promise(requestAnimationFrame);
    gaps.push(now - last);
    last = now;
    const part = (now - began) / seconds / 1000;
    if (part > 1) break;
    // Down and up again, twice.
    box.scrollTop = (box.scrollHeight - box.clientHeight) * (1 - Math.abs(1 - ((part * 4) % 2)));
    most = Math.max(most, document.querySelectorAll(".ck-root *").length);
    images = Math.max(images, document.querySelectorAll(".ck-gallery img").length);
  }
  gaps.sort((a, b) => a - b);
  const durations = tasks.filter(({ startTime }) => startTime > began).map(({ duration }) => duration);
  return { tasks: durations.length, longest: Math.max(0, ...durations), most, images, urls: window.urls.live,
           gap: gaps[Math.floor(gaps.length * 0.95)] };
}"""


@contextmanager
def trace_processor_times(page: Page) -> Iterator[list[float]]:
    """Trace the page's main thread; after the block, the yielded list holds each task's processor time in ms."""
    devtools = page.context.new_cdp_session(page)
    events: list[dict[str, Any]] = []
    ends: list[object] = []
    times: list[float] = []
    devtools.on("Tracing.dataCollected", lambda part: events.extend(part["value"]))
    devtools.on("Tracing.tracingComplete", lambda end: ends.append(end))
    devtools.send("Tracing.start", {"transferMode": "ReportEvents", "categories": "toplevel"})
    yield times
    devtools.send("Tracing.end")
    while not ends:
        page.wait_for_timeout(100)
    named = [event for event in events if event.get("name") == "thread_name"]
    main = {(each["pid"], each["tid"]) for each in named if each["args"]["name"] == "CrRendererMain"}
    times += [
        event.get("tdur", 0) / 1000
        for event in events
        if event.get("ph") == "X" and event["name"].endswith("RunTask") and (event["pid"], event["tid"]) in main
    ]


def measure_gallery(lab: Lab, page: Page, url: str, seconds: float) -> None:
    """Measure scrolling through 1,000 images of one megapixel."""
    notebook = open_notebook(lab, page, [SETUP, GALLERY % url, "form.runs = runs"])
    notebook.run(1, timeout=120)
    notebook.run(2)
    page.locator(".ck-gallery .ck-open img").first.wait_for()
    page.locator(".ck-gallery").scroll_into_view_if_needed()
    with trace_processor_times(page) as times:
        found = page.evaluate(SCROLL, seconds)
    print(
        f"1,000 images scrolled: {found['tasks']} tasks took over 50 ms; the longest task took "
        f"{found['longest']:.0f} ms by the clock and {max(times):.0f} ms of processor time; 95 % of frames within "
        f"{found['gap']:.0f} ms; at most {found['most']} elements and {found['images']} images; "
        f"{found['urls']} object URLs at the end"
    )
    notebook.command("notebook:shutdown-kernel")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15, help="duration of each measurement (default: %(default)s)")
    parser.add_argument(
        "--frames", type=int, default=10_000, help="frames of the memory measurement (default: %(default)s)"
    )
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        return serve(options.serve)
    kernels = ["python3", *(f"ipykernel-{folder.name}" for folder in sorted(KERNELS.glob("*")))]
    with run_servers(4) as urls, tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        environment = {"COMFYUI_BASE_URL": urls[0], "PYTHONPATH": str(ROOT)}
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_OPTIONS)
        with running_lab(Path(folder) / "lab", environment) as lab:
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            heads = ("", "in sight", "sent/s", "painted/s", "age p50", "p95", "largest kB", "kB/s", "URLs")
            print("{:26} {:>8} {:>7} {:>8} {} {} {} {} {:>6}".format(*heads))
            measure_forms(lab, page, urls[:1], options.seconds)
            measure_forms(lab, page, urls, options.seconds)
            measure_forms(lab, page, urls, options.seconds, all_in_sight=True)
            for kernel in kernels:
                measure_busy_cell(lab, page, urls[0], kernel, options.seconds)
            measure_memory(lab, page, urls[0], options.frames)
            measure_gallery(lab, page, urls[0], options.seconds)
            limits = (Path(folder) / "lab/lab.log").read_text().count("rate exceeded")
            print(f"JupyterLab's rate limit was exceeded {limits} times")
        browser.close()
    return None


if __name__ == "__main__":
    main()
