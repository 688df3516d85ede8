"""Measure kept runs and sweeps beside the naive way: a folder for each run, and a loop of `submit`.

Prints a table with processor times, so that a busy machine counts less: `python -m benchmarks.exploring`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
import tracemalloc
import uuid
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.__main__ import run_server
from benchmarks.napper import run_napper
from comfykit_jupyter import ComfyKit, Sweep
from comfykit_jupyter.explore.ledger.ledger import Ledger
from comfykit_jupyter.explore.runs.runs import Runs

WORKFLOW = Path(__file__).parents[1] / "notebooks/workflows/text_to_image.json"
PICTURE: dict[str, Any] = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 32, "height": 16, "batch_size": 1, "color": 255},
        "_meta": {"title": "Canvas, $width, $height, $color"},
    },
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "bench"}},
}
"""A workflow that takes milliseconds."""


def measure(title: str, work: Callable[[], object], *, per: int = 1, unit: str = "ms", target: str = "") -> object:
    """Do some work and print how long it took."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    processor, wall = time.process_time() - processor, time.perf_counter() - wall
    scale = {"µs": 1e6, "ms": 1e3, "s": 1.0}[unit] / per
    print(f"{title:58} {processor * scale:9.2f} {wall * scale:9.2f} {unit:3} {target}")
    return result


def build_event(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the two lines of a run."""
    id_ = str(uuid.UUID(int=number))
    sent = {
        "event": "sent", "id": id_, "key": f"1{number:064x}", "name": "fox", "template": "ab" * 32,
        "patch": [["3", "seed", number], ["3", "steps", number % 50]],
        "params": {"prompt": "a red fox in the snow, morning light", "seed": number, "steps": number % 50, "cfg": 7.0},
        "seeds": {"seed": number}, "server": "http://gpu-a:8188",
    }  # fmt: skip
    entry = {"filename": f"fox_{number:05}_.png", "subfolder": "", "type": "output"}
    outputs = [{"name": entry["filename"], "node": "9", "var": "picture", "entry": entry, "hash": f"{number:064x}"}]
    return sent, {"event": "end", "id": id_, "status": "completed", "seconds": 1.5, "waited": 0.2, "outputs": outputs}


def measure_ledger(folder: Path, count: int) -> None:
    """Measure writing and reading many runs, and a DataFrame of them."""
    events = [build_event(number) for number in range(count)]
    ledger = Ledger(folder / "runs")

    def append() -> None:
        for sent, end in events:
            ledger.append(sent)
            ledger.append(end)

    def write_folders() -> None:
        for sent, end in events[: count // 10]:
            run = folder / "naive" / sent["id"]
            run.mkdir(parents=True)
            (run / "run.json").write_text(json.dumps({**sent, **end}, indent=1))

    def read_folders() -> None:
        for path in (folder / "naive").iterdir():
            json.loads((path / "run.json").read_bytes())

    measure("append a line to the journal", append, per=2 * count, unit="µs", target="≤ 50 µs")
    measure("  naive: a folder and a file for each run", write_folders, per=count // 10, unit="µs")
    tracemalloc.start()
    fresh = Ledger(folder / "runs")
    fresh.read()
    print(
        f"{'memory of a run in the kernel':58} {tracemalloc.get_traced_memory()[0] / count / 1000:9.2f} {'':9} kB  ≤ 5"
    )
    tracemalloc.stop()
    measure(f"read {count:,} runs", Ledger(folder / "runs").read, unit="s", target="≤ 0.5 s")
    measure(f"  naive: {count // 10:,} files", read_folders, unit="s")
    measure("read again, nothing new", fresh.read, unit="ms")
    import_module("pandas")
    runs = Runs(fresh, ComfyKit(runs=folder / "runs"))
    measure("a DataFrame of them", lambda: runs.df, unit="s", target="≤ 0.2 s")
    measure("where(prompt=…, steps=[…])", lambda: runs.where(prompt="fox", steps=[3, 4]), unit="s")
    size = sum(path.stat().st_size for path in (folder / "runs/journal").iterdir())
    print(f"{'disk':58} {size / 1e6:9.2f} {'':9} MB")


def measure_plans(kit: ComfyKit) -> None:
    """Measure how long it takes to plan large sweeps."""
    large = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    clip = next(node["inputs"]["clip"] for node in large.values() if "clip" in node["inputs"])
    large |= {f"n{n}": {"class_type": "CLIPTextEncode", "inputs": {"text": f"{n}", "clip": clip}} for n in range(93)}
    axes = {"steps": range(1, 11), "seed": range(100)}
    measure("plan 1,000 points of 100 nodes", lambda: kit.sweep(large, over=axes).plan, unit="s", target="≤ 0.5 s")
    axes = {"steps": range(1, 101), "seed": range(100)}
    measure("plan 10,000 points of 7 nodes", lambda: kit.sweep(WORKFLOW, over=axes).plan, unit="s", target="≤ 2 s")


def measure_sweep(kit: ComfyKit, count: int) -> None:
    """Measure what a sweep adds to each point, and the same cell again."""

    def loop() -> None:
        naive = kit.options(runs=None)
        for run in [naive.submit(PICTURE, width=width) for width in range(1, count + 1)]:
            run.result()

    over = {"height": range(1, count + 1)}
    measure(
        f"a point of a sweep of {count}",
        lambda: kit.sweep(PICTURE, over=over).wait(),
        per=count,
        target="≤ 20 ms more than naive",
    )
    measure("  naive: a loop of submit", loop, per=count, target="not kept")
    again = f"the same cell again, {count:,} points done"
    measure(again, lambda: kit.sweep(PICTURE, over=over).wait(), unit="s", target="≤ 1 s for 1,000")
    measure_first_point(kit)


def measure_first_point(kit: ComfyKit) -> None:
    """Measure how long it takes from the cell of a large sweep to its first point."""
    over = {"height": range(1, 11), "color": range(100)}

    def run_one() -> Sweep:
        sweep = kit.sweep(PICTURE, over=over).start()
        next(sweep.as_completed())
        return sweep

    sweep = measure("the first point of 1,000", run_one, unit="s", target="≤ 0.3 s")
    assert isinstance(sweep, Sweep)
    sweep.stop()
    while sweep.running:
        time.sleep(0.01)


def measure_servers(folder: Path, points: int, seconds: float) -> None:
    """Measure a sweep on one server and on two, and how long they are idle between points."""
    nap = {
        "1": {"class_type": "BenchNap", "inputs": {"seconds": seconds, "number": 0}, "_meta": {"title": "Nap, $number"}}
    }
    took = []
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(run_napper()) for _ in range(2)]
        for given in (urls[:1], urls):
            kit = ComfyKit(given, runs=folder / f"on-{len(given)}")
            numbers = range(points * len(given), points * (len(given) + 1))  # others: the server would have them cached
            sweep = kit.sweep(nap, over={"number": numbers})
            began = time.perf_counter()
            sweep.wait()
            took.append(time.perf_counter() - began)
            assert len(sweep.done) == points
        idle = took[1] / (points / 2) - seconds
    title = f"a sweep of {points} points that wait {seconds:g} s, on one server"
    print(f"{title:58} {'':9} {took[0]:9.2f} s")
    print(f"{'  on two':58} {'':9} {took[1]:9.2f} s   {took[0] / took[1]:.2f} × one; target ≥ 1.9 ×")
    print(f"{'  a server is idle between two points':58} {'':9} {idle * 1000:9.1f} ms  ≤ 50 ms")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000, help="kept runs (default: 10,000)")
    parser.add_argument("--points", type=int, default=200, help="points of the sweep that is run (default: 200)")
    options = parser.parse_args(arguments)
    os.environ.pop("COMFYKIT_RUNS", None)
    print(f"{'':58} {'processor':>9} {'clock':>9}")
    with tempfile.TemporaryDirectory() as name:
        measure_ledger(Path(name), options.runs)
        with run_server() as url:
            kit = ComfyKit(url, runs=Path(name, "sweeps"))
            measure_plans(kit)
            measure_sweep(kit, options.points)
        measure_servers(Path(name), options.points, 0.5)


if __name__ == "__main__":
    main()
