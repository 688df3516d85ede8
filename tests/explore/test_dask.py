"""Test the engine for Dask: kits, sweeps, forms and files through a cluster of processes, whatever is killed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from distributed import Client

from comfykit_jupyter import ComfyKit, SettingsError
from comfykit_jupyter.client.backends.comfyui import remote
from tests.client.workflows import inverted, picture, sound
from tests.kits import MakeKit

from .dask_clusters import Counts, counting, kill, local_cluster, wait_until


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Counts]]:
    with local_cluster(tmp_path_factory.mktemp("dask")) as found:
        yield found


@pytest.fixture
def counts(cluster: tuple[Client, Counts]) -> Counts:
    return cluster[1]


@pytest.fixture
def kit(cluster: tuple[Client, Counts], make_kit: MakeKit) -> ComfyKit:
    kit = make_kit(cluster[0])
    wait_until(lambda: len(kit.servers) == 2)
    return kit


def test_a_kit_of_a_cluster(kit: ComfyKit, cluster: tuple[Client, Counts]) -> None:
    urls = kit.addresses
    assert kit.comfyui_url is None
    assert all(url.startswith("dask://") for url in urls)
    assert len(set(urls)) == 2
    assert [state.reachable for state in kit.server()] == [True, True]  # type: ignore[union-attr]
    assert kit.options(timeout=50).addresses == kit.options(servers=cluster[0]).addresses == urls
    assert kit.options(patience=7).servers[0].patience == 7
    result = kit.servers[0].options(timeout=50).run(picture(), width=7, height=5)
    assert result.server in urls
    assert result.image.pil().size == (7, 5)
    assert kit.run(inverted(), image=result.image).image.pil().getpixel((0, 0)) == (255, 255, 0)
    assert {job.server for job in kit.history()} == {result.server}


def test_progress_previews_and_cancel(kit: ComfyKit, counts: Counts) -> None:
    kit = kit.options(raise_on_error=False)
    previews: list[Any] = []
    steps: list[Any] = []
    run = kit.submit(counting(8), number=1)
    run.subscribe(progress=lambda progress: steps.append(progress.fraction), preview=previews.append)
    wait_until(lambda: bool(previews) and len(steps) > 2)
    attached = kit.attach(run.prompt_id)
    [job] = kit.queue()
    assert (job.server, job.owner) == (run.server, "kernel")
    began = time.monotonic()
    run.cancel()
    assert "cancelled" in str(run.result().msg)
    assert "interrupted" in str(attached.result().msg)
    wait_until(lambda: not kit.queue())
    assert time.monotonic() - began < 5
    assert counts.read("end")[1] == 0


def test_a_large_file_comes_in_pieces(kit: ComfyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "CHUNK", 1000)
    assert kit.run(picture(), width=999, height=700).image.pil().size == (999, 700)
    assert kit.run(sound(), duration=0.5).audio.read()[:4] == b"fLaC"


def test_a_worker_is_killed_and_its_server_taken_over(kit: ComfyKit, cluster: tuple[Client, Counts]) -> None:
    client, counts = cluster
    sweep = kit.sweep(counting(0.2), over={"number": range(100, 116)}).start()
    wait_until(lambda: sum(counts.read("end")[number] for number in range(100, 116)) >= 4)
    pids = client.run(os.getpid)
    kill(next(iter(pids.values())))
    sweep.wait(60)
    assert sweep.summary.startswith("16 of 16 done")
    ended = counts.read("end")
    assert {number: ended[number] for number in range(100, 116)} == dict.fromkeys(range(100, 116), 1)
    assert {row.server for row in sweep.done} == set(kit.addresses)


def test_what_is_not_a_client(cluster: tuple[Client, Counts]) -> None:
    with pytest.raises(SettingsError, match=r"give a Dask client, Client"):
        ComfyKit(cluster[0].cluster)
    with pytest.raises(SettingsError, match="api_key belongs to one server"):
        ComfyKit(cluster[0], api_key="secret")
