"""Test the summaries of runs: the trait keeps its size for any outputs, and the page receives all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.client.local_files import strip_server_folders
from comfykit_jupyter.client.results.media import Media, build_view_url
from comfykit_jupyter.client.results.result import ExecuteResult
from comfykit_jupyter.notebook.widget.stage.run_summaries import TRAIT_BYTES, RunSummaries
from comfykit_jupyter.workflow.progress.progress import RunError


class Nowhere:
    url = "http://server"

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        return build_view_url(self.url, entry)

    async def fetch(self, media: Media) -> Path:
        raise AssertionError("nothing is fetched")


def make_result(pictures: int, texts: int = 0, trace: int = 0, prompt: str = "a cat") -> ExecuteResult:
    media = [
        Media(Nowhere(), {"filename": f"ComfyUI_{index:05}_.png"}, node="9", var="cover") for index in range(pictures)
    ]
    error = RunError("node_error", f"no {prompt}", "3", "Sampler", "KSampler", None, "E", ("x" * trace,))
    return ExecuteResult(
        "failed" if trace else "completed",
        "id",
        1.5,
        media=media,
        texts_by_var={"story": ["long " * 5_000] * texts},
        changed={"prompt": prompt},
        seeds={"seed": 2**63},
        error=error if trace else None,
        server="http://server",
        workflow_name="portrait",
    )


class Page:
    """A page that receives items in the trait and in messages."""

    def __init__(self) -> None:
        self.items: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, content: dict[str, Any]) -> None:
        assert content["kind"] == "items"
        self.items[content["run"]] = content["items"]

    def of(self, trait: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        return {run["id"]: self.items.get(run["id"], run["items"]) for run in trait}


def count_bytes(trait: list[dict[str, Any]]) -> int:
    return len(json.dumps(trait, ensure_ascii=False).encode())


@pytest.mark.parametrize(("runs", "pictures"), [(1, 1000), (100, 10), (10, 100), (3, 2)])
def test_thousand_items_leave_the_state_small_and_reach_the_page(runs: int, pictures: int) -> None:
    page = Page()
    summaries = RunSummaries(page)
    for number in range(runs):
        trait = summaries.add(f"run{number}", make_result(pictures, prompt="a cat " * 100))
        summaries.send_items()
    assert count_bytes(trait) <= TRAIT_BYTES
    assert [run["id"] for run in trait] == [f"run{number}" for number in reversed(range(runs))]
    assert {len(items) for items in page.of(trait).values()} == {pictures}
    if runs * pictures <= 10:
        assert page.items == {}
    late = Page()
    summaries._send = late
    summaries.resend_items()
    assert late.of(trait) == page.of(trait)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3), st.integers(0, 20_000)), max_size=12))
def test_state_keeps_its_size_for_any_outputs(runs: list[tuple[int, int, int]]) -> None:
    page = Page()
    summaries = RunSummaries(page)
    trait: list[dict[str, Any]] = []
    for number, (pictures, texts, trace) in enumerate(runs):
        trait = summaries.add(f"run{number}", make_result(pictures, texts, trace, f"{number}"))
        summaries.send_items()
        assert count_bytes(trait) <= TRAIT_BYTES
        assert {id_: len(items) for id_, items in page.of(trait).items()} == {
            f"run{index}": pictures + texts for index, (pictures, texts, _) in enumerate(runs[: number + 1])
        }
    if runs:
        assert [run["id"] for run in summaries.remove("run0")] == [run["id"] for run in trait][:-1]


def test_newest_failure_keeps_its_traceback() -> None:
    summaries = RunSummaries(Page())
    for number in range(20):
        trait = summaries.add(f"run{number}", make_result(0, trace=8_000, prompt=f"{number}"))
    assert len(trait[0]["error"]["traceback"]) == 8_000
    assert count_bytes(trait) <= TRAIT_BYTES


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("cannot identify image file '/home/u/ComfyUI/input/notes.txt'", "cannot identify image file 'notes.txt'"),
        ("No such file: 'C:\\ComfyUI\\models\\x.pt'", "No such file: 'x.pt'"),
        ("see https://host.example/docs/models.html", "see https://host.example/docs/models.html"),
        ("1/2 of sd/xl.safetensors, a / b", "1/2 of sd/xl.safetensors, a / b"),
    ],
)
def test_message_of_a_server_shows_no_folders(message: str, shown: str) -> None:
    assert strip_server_folders(message) == shown


def make_refusal(message: str = "no", **values: Any) -> ExecuteResult:
    error = RunError("refused", message, "3", "Sampler", "KSampler", None, None, ())
    return ExecuteResult("failed", "id", 0.1, changed=values, error=error, server="http://server")


def test_runs_that_fail_for_the_same_reason_are_one_entry_with_a_count() -> None:
    summaries = RunSummaries(Page())
    for number in range(64):
        trait = summaries.add(f"run{number}", make_refusal(steps=number))
    (entry,) = trait
    assert (entry["id"], entry["alike"], entry["changed"]) == ("run63", 64, {"steps": 63})
    summaries.add("done", make_result(1))
    summaries.add("again", make_refusal())
    trait = summaries.add("other", make_refusal("another reason"))
    listed = [("other", 1), ("again", 1), ("done", 1), ("run63", 64)]
    assert [(run["id"], run.get("alike", 1)) for run in trait] == listed


def test_runs_that_fail_for_the_same_reason_are_discarded_and_restored_together() -> None:
    summaries = RunSummaries(Page())
    for number in range(3):
        summaries.add(f"run{number}", make_refusal())
    assert summaries.hide("run2") == []
    assert [run.get("alike", 1) for run in summaries.add("run3", make_refusal())] == [1]
    assert [run["alike"] for run in summaries.restore("run2")] == [4]
