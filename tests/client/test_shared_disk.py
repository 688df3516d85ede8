"""Test the proof that a server uses this machine's disk: without it, no model is downloaded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI
from comfykit_jupyter.client.missing.shared_disk import NotShared, find_shared_folder
from comfykit_jupyter.client.settings import resolve_settings


class Disk:
    """A server that says where its folders are, truly or not."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said = root
        """Where it says that its folders are."""
        self.listed: list[str] = []
        self.argv: list[str] = ["main.py"]
        self.route = "/internal/folder_paths"
        self.stored: str | None = None
        (root / "input").mkdir(parents=True)
        (root / "models/loras").mkdir(parents=True)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path == "/upload/image":
            form = await request.post()
            image: Any = form["image"]
            (self.root / "input" / image.filename).write_bytes(image.file.read())
            return web.json_response({"name": self.stored or image.filename, "subfolder": "", "type": "input"})
        folders = [str(self.said / "models/loras")]
        if path == "/internal/folder_paths" == self.route:
            return web.json_response({"loras": folders, "checkpoints": ["relative/path"]})
        if path == "/experiment/models" == self.route:
            return web.json_response([{"name": "loras", "folders": folders}])
        known: dict[str, Any] = {
            "/models": ["loras", "checkpoints"], "/models/checkpoints": [], "/models/loras": self.listed,
            "/system_stats": {"system": {"argv": self.argv, "comfyui_version": "0.33.0"}},
        }  # fmt: skip
        return web.json_response(known[path]) if path in known else web.Response(status=404)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "ComfyUI")


@pytest.fixture
async def server(disk: Disk) -> AsyncIterator[ComfyUI]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", disk.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    backend = ComfyUI(resolve_settings({"comfyui_url": f"http://127.0.0.1:{runner.addresses[0][1]}"}))
    yield backend
    await loop.await_on_loop(backend.close())
    await runner.cleanup()


async def find(server: ComfyUI, folder: str = "loras") -> Path:
    return await loop.await_on_loop(find_shared_folder(server, folder))


@pytest.mark.parametrize("route", ["/internal/folder_paths", "/experiment/models"])
async def test_a_server_on_this_disk_is_proven_and_the_proof_is_deleted(
    route: str, disk: Disk, server: ComfyUI
) -> None:
    disk.route = route
    assert await find(server) == (disk.root / "models/loras").resolve()
    assert list((disk.root / "input").iterdir()) == []


async def test_a_folder_of_inputs_elsewhere_is_named_on_the_command_line(disk: Disk, server: ComfyUI) -> None:
    elsewhere = disk.root.parent / "elsewhere"
    (disk.root / "input").rename(elsewhere)
    (disk.root / "input").symlink_to(elsewhere)
    disk.argv = ["main.py", "--input-directory", str(elsewhere)]
    assert await find(server)


async def test_the_end_of_a_tunnel_is_not_taken_for_this_machine(disk: Disk, server: ComfyUI) -> None:
    """Another machine has the same folders, but what is uploaded there is not found here."""
    disk.said = disk.root.parent / "twin"
    for name in ("input", "models/loras"):
        (disk.said / name).mkdir(parents=True)
    with pytest.raises(NotShared, match="does not use this machine's disk"):
        await find(server)


async def test_a_file_of_another_content_proves_nothing(disk: Disk, server: ComfyUI) -> None:
    disk.stored = "old.txt"
    (disk.root / "input/old.txt").write_bytes(b"a" * 64)
    with pytest.raises(NotShared):
        await find(server)
    assert (disk.root / "input/old.txt").read_bytes() == b"a" * 64


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a//b", ".."])
async def test_a_name_that_leads_out_of_the_folder_proves_nothing(name: str, disk: Disk, server: ComfyUI) -> None:
    disk.stored = name
    with pytest.raises(NotShared):
        await find(server)


async def test_a_folder_without_the_models_that_the_server_lists_is_not_the_servers(
    disk: Disk, server: ComfyUI
) -> None:
    disk.listed = ["style.safetensors"]
    with pytest.raises(NotShared, match="is not on this machine"):
        await find(server)
    (disk.root / "models/loras/style.safetensors").touch()
    assert await find(server)


@pytest.mark.parametrize("folder", ["nowhere", "checkpoints", "../input"])
async def test_folders_that_the_server_does_not_name_or_not_fully_are_refused(folder: str, server: ComfyUI) -> None:
    with pytest.raises(NotShared):
        await find(server, folder)


async def test_a_server_that_names_no_folders_proves_nothing(disk: Disk, server: ComfyUI) -> None:
    disk.route = ""
    with pytest.raises(NotShared, match="does not say where its folders are"):
        await find(server)
