"""`ServerKit`: what a `ComfyKit` can ask a server."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.kit_parts.base_kit import BaseKit

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.client.backends.server import Server, Servers
    from comfykit_jupyter.client.results.media import Media
    from comfykit_jupyter.workflow.document.workflow import Workflow
    from comfykit_jupyter.workflow.nodes import Definitions


class ServerKit(BaseKit):
    """A kit that can be asked about its server: its state, jobs, models and files."""

    def server(self, workflow: Any = None) -> Server | Servers:
        """Return what the server is and does now. Never raises for an unreachable server.

        A kit with several servers returns a list of them, with the same attributes for all together.

        Args:
            workflow: Ask the server or cloud that runs this workflow; by default the kit's own server.

        Example:
            >>> kit.server().reachable
            True
        """
        return loop.call(self.find_backend(workflow).status())

    def free(self, *, keep_results: bool = False, workflow: Any = None) -> None:
        """Unload the models of the server, and free its memory. A job that runs is not disturbed: its end comes first.

        The next run loads its models again, which takes its time.

        Args:
            keep_results: Whether the results of nodes stay in the server's cache: unchanged nodes don't run again.
            workflow: As for `server`.

        Raises:
            ServerError: The server is unreachable, or too old.
            ComfyKitError: It is a cloud.

        Example:
            >>> kit.free()
            >>> kit.server().memory  # doctest: +SKIP
            '22.8 of 24.0 GB VRAM free, 51.2 of 64.0 GB memory free (cuda:0 NVIDIA GeForce RTX 4090)'
        """
        loop.call(self.find_backend(workflow).free(keep_results=keep_results))

    def queue(self) -> list[Job]:
        """Return the jobs that the server runs, then those that wait, in order; `Job.owner` says whose they are.

        With several servers it has the jobs of all; `Job.server` says where each is.

        Raises:
            ServerError: The server is unreachable.

        Example:
            waiting = [job for job in kit.queue() if job.owner == "user"]
        """
        from comfykit_jupyter.client.running.registry import find_unfinished_runs

        jobs = loop.call(self.find_backend().list_queue())
        followed = {run.prompt_id for run in find_unfinished_runs()}  # also those that an earlier kernel sent
        return [
            replace(job, owner="kernel") if job.owner == "user" and job.prompt_id in followed else job for job in jobs
        ]

    def history(self, limit: int = 10) -> list[Job]:
        """Return the jobs of the server that have ended, newest first; with several servers, of all of them.

        Args:
            limit: The most jobs to return, 1 to 1000.

        Raises:
            ServerError: The server is unreachable.
            ComfyKitError: The limit is not allowed.
        """
        return loop.call(self.find_backend().list_history(limit))

    def models(self, folder: str | None = None) -> list[str]:
        """Return the files in one of the server's folders of models.

        With several servers it has the files of all; `.servers` of each name has the addresses of those that have it.

        Args:
            folder: Such as `loras`; None returns the names of the folders.

        Raises:
            ServerError: The server is unreachable.
            ComfyKitError: It has no such folder.
        """
        return loop.call(self.find_backend().list_models(folder))

    def input(self, name: str, workflow: Any = None) -> Media:
        """Return a file that the server has. It is downloaded when it is read.

        Args:
            name: The name that nodes use, such as `cat.png` or `cats/cat.png [output]`.
            workflow: Ask the server or cloud that runs this workflow; by default the kit's own server.

        Raises:
            ComfyKitError: The name is not valid, or the cloud does not give files back.
        """
        from comfykit_jupyter.client.results.media import Media

        backend = self.find_backend(workflow)
        return Media.from_name(loop.call(backend.find_file(name)) if backend.members else backend, name)

    def upload(self, file: Any, workflow: Any = None) -> str:
        """Upload a file, unless it is there already. A run uploads its files itself; this is for other uses.

        Args:
            file: A path, a URL, bytes, an open file, a Pillow image, an array, or an output of an earlier run.
            workflow: Upload to the server or cloud that runs this workflow; by default to the kit's own server.

        Returns:
            Its name there, which runs accept as a value: such as `comfykit-….png [input]` on a ComfyUI server, and
            `api/….png` on RunningHub, which keeps it for a day.

        Raises:
            ComfyKitError: There is no such file, or it is too large.
            ServerError: The server is unreachable, or rejects the file.

        Example:
            name = kit.upload("cat.png", "1904136902449209346")  # to RunningHub
            kit.run("1904136902449209346", image=name)
        """
        from comfykit_jupyter.client.inputs.media import upload

        return loop.call(upload(self.find_backend(workflow), file))

    def spell_file(self, text: str, workflow: Any = None) -> str:
        """Return how a file of the server is given as a value without the server's address; other text unchanged.

        Args:
            text: Its address, or a name.
            workflow: As for `server`.
        """
        return self.find_backend(workflow).spell_file(text)

    def definitions(self, workflow: Workflow) -> Definitions:
        """Return what the server says about the node classes of a workflow.

        Raises:
            ServerError: The server is unreachable.
        """
        return loop.call(self.find_backend(workflow).get_definitions(workflow.classes, fresh=True))

    def find(self, ending: str, workflow: Any = None) -> list[str]:
        """Return the prompt IDs on the server with this ending: the job that ended last, then those that still run.

        Args:
            ending: The end of the IDs.
            workflow: As for `server`. In a cloud that chooses the IDs, those that this machine has noted.

        Raises:
            ServerError: The server is unreachable.
        """
        return loop.call(self.find_backend(workflow).find_jobs(ending))
