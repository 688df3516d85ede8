"""Scenarios for any package with the ComfyKit API, run in a process of a Python that has it.

    python play.py PACKAGE

Reads requests `{"scenario", ...arguments}`, one JSON per line, and answers each with one. Imports only the standard
library: the two packages must not see each other. `comfykit` polls every second; its pauses are shortened to a tenth,
or to another share that a request has as `pauses`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LISTS = ("images", "videos", "audios", "texts", "files")
PLAIN = ("status", "prompt_id", "duration", "msg", "outputs", "seeds", "warnings")
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
"""A red image of 1 × 1 pixel."""


def to_dict(result: Any) -> dict[str, Any]:
    """Convert a result to JSON. Its status `error` in one package is `failed` in the other: not a defect."""
    found = {name: getattr(result, name) for name in PLAIN if hasattr(result, name)}
    found["status"] = {"error": "failed"}.get(result.status, result.status)
    for name in LISTS:
        found[name] = [str(each) for each in getattr(result, name, [])]
        by_var = getattr(result, f"{name}_by_var", {})
        found[f"{name}_by_var"] = {var: [str(each) for each in values] for var, values in by_var.items()}
    return found


async def execute(
    kit_class: Any, kit: dict[str, Any], workflow: str, params: dict[str, Any] | None, seconds: float = 20.0
) -> dict[str, Any]:
    """Return the result of `kit.execute(…)`, or how it ended otherwise."""
    try:
        return to_dict(await asyncio.wait_for(kit_class(**kit).execute(workflow, params), seconds))
    except asyncio.TimeoutError:
        return {"status": "hangs"}
    except Exception as error:  # noqa: BLE001 - any exception is the scenario's result
        return {"status": "raises", "msg": f"{type(error).__name__}: {error}"}


async def execute_json(kit_class: Any, kit: dict[str, Any], graph: Any) -> dict[str, Any]:
    """Return the result of `kit.execute_json(…)`, and whether a notebook would display it."""
    result = await kit_class(**kit).execute_json(graph)
    shown = any(hasattr(result, name) for name in ("_repr_html_", "_repr_mimebundle_", "_ipython_display_"))
    return {**to_dict(result), "shown": shown}


async def execute_both(kit_class: Any, kits: list[dict[str, Any]], workflow: str) -> list[dict[str, Any]]:
    """Run the same workflow with several kits."""
    return [await execute(kit_class, kit, workflow, None) for kit in kits]


async def close(kit_class: Any, kit: dict[str, Any], workflow: str) -> dict[str, Any]:
    """Run a workflow, then close the kit twice and by `async with`."""
    try:
        async with kit_class(**kit) as made:
            result = await made.execute(workflow)
        await made.close()
        await made.close()
    except Exception as error:  # noqa: BLE001 - any exception is the scenario's result
        return {"status": "raises", "msg": f"{type(error).__name__}: {error}"}
    return to_dict(result)


async def pictures(kit_class: Any, kit: dict[str, Any], workflow: str, parameter: str, folder: str) -> list[str]:
    """Return how runs end with an image given as a path object, as bytes, and as an open file."""
    path = Path(folder) / "given.png"
    path.write_bytes(PIXEL)
    ends = []
    for form in ("path", "bytes", "file"):
        with path.open("rb") as file:
            value = {"path": path, "bytes": PIXEL, "file": file}[form]
            ends.append((await execute(kit_class, kit, workflow, {parameter: value}))["status"])
    return ends


async def settings(kit_class: Any, kit: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    """Return a kit's settings in this environment."""
    with _environment(environment):
        made = kit_class(**kit)
    return {name: getattr(made, name) for name in ("comfyui_url", "executor_type", "runninghub_retry_count")}


async def leave(kit_class: Any, kit: dict[str, Any], workflow: str, seconds: float) -> str:
    """Cancel the waiting task after `seconds`, and return whether it ended."""
    task = asyncio.ensure_future(kit_class(**kit).execute(workflow))
    await asyncio.wait({task}, timeout=seconds)
    if task.done():
        return "ended"
    task.cancel()
    await asyncio.wait({task}, timeout=10)
    return "left" if task.cancelled() else "stayed"


async def requirements(kit_class: Any) -> list[str]:
    """Return the declared requirements of the installed package."""
    return importlib.metadata.requires(kit_class.__module__.partition(".")[0]) or []


@contextlib.contextmanager
def _shorten_pauses(share: float) -> Iterator[None]:
    sleep = asyncio.sleep
    asyncio.sleep = lambda seconds, result=None: sleep(seconds * share, result)
    try:
        yield
    finally:
        asyncio.sleep = sleep


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


SCENARIOS = {
    each.__name__: each
    for each in (execute, execute_json, execute_both, close, pictures, settings, leave, requirements)
}


def main(package: str) -> None:
    """Run scenarios until there are no more requests."""
    answers = sys.stdout
    sys.stdout = sys.stderr
    kit_class = importlib.import_module(package).ComfyKit
    for line in sys.stdin:
        request = json.loads(line)
        os.chdir(request.pop("folder_of_work", "/"))
        scenario = SCENARIOS[request.pop("scenario")]
        pauses = request.pop("pauses", 0.1)
        with _shorten_pauses(pauses if package == "comfykit" else 1):
            result = asyncio.run(scenario(kit_class, **request))
        answers.write(json.dumps(result, default=str) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
