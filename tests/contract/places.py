"""The places where workflows run, each in front of the embedded server, with one interface for the tests."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.sandbox import Sandbox
from tests.client.workflows import Graph
from tests.clouds.comfyapi.proxied import Proxied
from tests.clouds.runninghub import RunningHub

NOWHERE = "http://127.0.0.1:1"
"""An address without a server."""


class Place(ABC):
    """One kind of server or cloud."""

    @abstractmethod
    def make_kit(self, **options: Any) -> ComfyKit:
        """Return a kit that runs workflows there."""

    @abstractmethod
    def make_lost_kit(self) -> ComfyKit:
        """Return a kit whose server is unreachable."""

    def name_workflow(self, graph: Graph) -> Any:
        """Return a source by which a kit can run this workflow there."""
        return graph

    @abstractmethod
    def count_jobs(self) -> int:
        """Return how many jobs were created there."""


class ComfyUIPlace(Place):
    """A ComfyUI server."""

    def __init__(self, server: Sandbox, count: Callable[[], int]) -> None:
        self._url = server.url
        self._count = count

    def make_kit(self, **options: Any) -> ComfyKit:
        return ComfyKit(self._url, **options)

    def make_lost_kit(self) -> ComfyKit:
        return ComfyKit(NOWHERE)

    def count_jobs(self) -> int:
        return self._count()


class ComfyAPIPlace(ComfyUIPlace):
    """The official comfy-api-proxy."""

    def __init__(self, server: Sandbox, proxied: Proxied, count: Callable[[], int]) -> None:
        super().__init__(server, count)
        self._url = proxied.url

    def make_lost_kit(self) -> ComfyKit:
        return ComfyKit(NOWHERE, api="v2")


class RunningHubPlace(Place):
    """The double of RunningHub."""

    def __init__(self, cloud: RunningHub) -> None:
        self._cloud = cloud
        self._ids = itertools.count(1904136902449209346)

    def make_kit(self, **options: Any) -> ComfyKit:
        given = {"runninghub_concurrency": 8, **options}
        return ComfyKit(NOWHERE, runninghub_url=self._cloud.url, runninghub_api_key=self._cloud.key, **given)

    def make_lost_kit(self) -> ComfyKit:
        return ComfyKit(NOWHERE, runninghub_url=NOWHERE, runninghub_api_key="a" * 32, runninghub_retry_count=0)

    def name_workflow(self, graph: Graph) -> Any:
        id_ = str(next(self._ids))
        self._cloud.workflows[id_] = graph
        return id_

    def count_jobs(self) -> int:
        return len(self._cloud.tasks)


@contextmanager
def open_place(name: str, server: Sandbox, count: Callable[[], int]) -> Iterator[Place]:
    """Start the place of this name in front of the embedded server."""
    if name == "comfyui":
        yield ComfyUIPlace(server, count)
    elif name == "comfyapi":
        with Proxied(server.url) as proxied:
            yield ComfyAPIPlace(server, proxied, count)
    else:
        with RunningHub(server.url) as cloud:
            yield RunningHubPlace(cloud)
