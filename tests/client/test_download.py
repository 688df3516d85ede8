"""Test the download of a model from a local TLS server, with hosts that break off, lie, and lead elsewhere."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.client.missing import download
from comfykit_jupyter.client.missing.download import DownloadError, DownloadState, ModelDownload, check_name
from comfykit_jupyter.client.missing.safetensors import NotSafetensors, check_header, read_header_length

MODEL_BYTES = 3_000_000


def make_model(size: int = MODEL_BYTES, **more: Any) -> bytes:
    entry = {"dtype": "U8", "shape": [size], "data_offsets": [0, size], **more}
    header = json.dumps({"__metadata__": {}, "weight": entry}).encode()
    return len(header).to_bytes(8, "little") + header + os.urandom(size)


MODEL = make_model()
DIGEST = hashlib.sha256(MODEL).hexdigest()


class Host:
    """A host of models, which answers as each test says."""

    def __init__(self) -> None:
        self.content = MODEL
        self.etag = '"one"'
        self.headers: dict[str, str] = {}
        self.break_after: list[int] = []
        """After how many bytes the connection of each request breaks."""
        self.seen: list[web.BaseRequest] = []
        self.answer: Callable[[web.BaseRequest], web.StreamResponse | None] = lambda _request: None
        self.stuck = asyncio.Event()
        """Set when a request for `/stuck` has sent its part and waits."""
        self.released = asyncio.Event()
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        if (answer := self.answer(request)) is not None:
            return answer
        begin = 0
        if (wanted := request.headers.get("Range")) and request.headers.get("If-Range") == self.etag:
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
        body = self.content[begin:]
        response = web.StreamResponse(status=206 if begin else 200, headers={"ETag": self.etag, **self.headers})
        if begin:
            response.headers["Content-Range"] = f"bytes {begin}-{len(self.content) - 1}/{len(self.content)}"
        response.content_length = len(body)
        await response.prepare(request)
        if request.path == "/stuck":
            await response.write(body[:1_500_000])
            self.stuck.set()
            await self.released.wait()
        most = self.break_after.pop(0) if self.break_after else len(body)
        await response.write(body[:most])
        if most < len(body) and request.transport is not None:
            request.transport.close()
        return response


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", path, "-out", path.with_suffix(".crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@pytest.fixture
async def host(certificate: Path) -> AsyncIterator[Host]:
    host = Host()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.with_suffix(".crt"), certificate)
    runner = web.ServerRunner(web.Server(host.handle), shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    host.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    yield host
    host.released.set()
    await runner.cleanup()


Make = Callable[..., ModelDownload]


@pytest.fixture
def make(host: Host, certificate: Path, tmp_path: Path) -> Make:
    """Make a download into the test's folder."""
    tls = ssl.create_default_context(cafile=certificate.with_suffix(".crt"))

    def make(path: str = "/model.safetensors", name: str = "model.safetensors", **more: Any) -> ModelDownload:
        url = path if "://" in path else host.url + path
        return ModelDownload(url, tmp_path.resolve(), name, tls=tls, pause=0.0, **more)

    return make


async def fail(job: ModelDownload, reason: str) -> None:
    """Run a download that fails for a reason, and leaves no file under the name."""
    existed = os.path.lexists(job.target)
    with pytest.raises(DownloadError, match=reason):
        await job.run()
    assert job.state.status == "failed"
    assert os.path.lexists(job.target) == existed


async def test_a_model_is_downloaded_without_credentials(
    host: Host, make: Make, monkeypatch: Any, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    states: list[DownloadState] = []
    job = make(notify=states.append)
    path = await job.run()
    assert path.read_bytes() == MODEL
    assert not job.part.exists()
    assert (job.state.status, job.state.verified, job.state.host) == ("completed", False, "127.0.0.1")
    assert [each.received for each in states] == sorted(each.received for each in states)
    assert {each.status for each in states} == {"running", "checking", "completed"}
    assert not {"authorization", "cookie"} & {name.lower() for name in host.seen[0].headers}


async def test_redirects_are_followed_over_https_and_the_last_host_is_shown(host: Host, make: Make) -> None:
    def answer(request: web.BaseRequest) -> web.StreamResponse | None:
        if request.path != "/start":
            return None
        there = host.url.replace("127.0.0.1", "localhost") + "/model"
        return web.Response(status=302, headers={"Location": there, "X-Linked-Etag": f'"{DIGEST}"'})

    host.answer = answer
    job = make("/start")
    await job.run()
    assert (job.state.host, job.state.verified) == ("localhost", True)


@pytest.mark.parametrize(
    "place", ["http://127.0.0.1:1/model", "https://me:secret@127.0.0.1:1/model", "file:///etc/passwd"]
)
async def test_a_redirect_to_anything_but_https_is_refused(place: str, host: Host, make: Make) -> None:
    host.answer = lambda _request: web.Response(status=302, headers={"Location": place})
    await fail(make(), "not https|not an HTTP address")
    assert len(host.seen) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/model", "https://me:secret@127.0.0.1/model", "ftp://127.0.0.1/model"]
)
async def test_an_address_without_https_is_refused(url: str, make: Make) -> None:
    with pytest.raises(DownloadError, match="https"):
        make(url)


@pytest.mark.parametrize("digest", [DIGEST, "0" * 64], ids=["right", "wrong"])
@pytest.mark.parametrize("source", ["workflow", "host"])
async def test_a_digest_is_checked(digest: str, source: str, host: Host, make: Make) -> None:
    host.headers = {"X-Linked-Etag": f'"{digest}"'} if source == "host" else {}
    job = make(sha256=digest if source == "workflow" else "")
    if digest == DIGEST:
        await job.run()
        assert job.state.verified
    else:
        await fail(job, "is damaged: its sha256")
        assert not job.part.exists()


def encode_digest(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


async def test_digests_of_a_redirect_or_of_a_part_are_not_those_of_the_model(host: Host, make: Make) -> None:
    def answer(request: web.BaseRequest) -> web.StreamResponse | None:
        begin = int(request.headers.get("Range", "bytes=0-")[6:-1])
        host.headers = {"Content-Digest": encode_digest(MODEL[begin:]), "Repr-Digest": encode_digest(MODEL)}
        if request.path != "/start":
            return None
        headers = {
            "Location": f"{host.url}/model",
            "Repr-Digest": encode_digest(b"Found"),
            "Digest": "sha-256=" + "A" * 43 + "=",
        }
        return web.Response(status=302, text="Found", headers=headers)

    host.answer = answer
    host.break_after = [1_200_000]
    job = make("/start")
    assert (await job.run()).read_bytes() == MODEL
    assert "Range" in host.seen[-1].headers
    assert job.state.verified


async def test_a_transfer_continues_after_breaks(host: Host, make: Make) -> None:
    host.break_after = [1_200_000, 1_000_000]
    job = make()
    assert (await job.run()).read_bytes() == MODEL
    offsets = [int(each.headers.get("Range", "bytes=0-")[6:-1]) for each in host.seen]
    assert len(offsets) == 3
    assert 0 == offsets[0] < offsets[1] < offsets[2]


async def test_another_file_at_the_host_is_received_from_its_begin(host: Host, make: Make) -> None:
    host.break_after = [1_200_000]
    other = make_model()
    seen = len(host.seen)

    def answer(_request: web.BaseRequest) -> None:
        if len(host.seen) > seen + 1:
            host.content, host.etag = other, '"two"'

    host.answer = answer
    assert (await make().run()).read_bytes() == other


async def test_a_host_that_always_breaks_is_given_up_and_a_later_try_continues(host: Host, make: Make) -> None:
    host.break_after = [1_200_000, *[0] * download.ATTEMPTS]
    job = make()
    await fail(job, "try again to continue")
    assert job.part.stat().st_size > 1_000_000
    again = make()
    await again.run()
    assert host.seen[-1].headers["Range"] == f"bytes={host.seen[-2].headers['Range'][6:-1]}-"


async def test_a_cancelled_download_keeps_its_part_and_continues(host: Host, make: Make) -> None:
    begun = asyncio.Event()
    job = make("/stuck", notify=lambda state: begun.set() if state.received else None)
    task = asyncio.ensure_future(job.run())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert job.state.status == "cancelled"
    assert 0 < job.part.stat().st_size < len(MODEL)
    assert (await make("/model").run()).read_bytes() == MODEL
    assert "Range" in host.seen[-1].headers


async def test_one_model_is_not_downloaded_twice_at_once(host: Host, make: Make) -> None:
    task = asyncio.ensure_future(make("/stuck").run())
    await host.stuck.wait()
    with pytest.raises(DownloadError, match="is being downloaded already"):
        await make().run()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_part_of_unknown_origin_is_not_continued(make: Make) -> None:
    job = make()
    job.part.write_bytes(b"something else")
    assert (await job.run()).read_bytes() == MODEL


@pytest.mark.parametrize("kind", ["file", "link", "broken link", "folder"])
async def test_nothing_is_ever_replaced(kind: str, make: Make, tmp_path: Path) -> None:
    job = make()
    other = tmp_path / "other"
    other.write_bytes(b"kept")
    if kind == "file":
        job.target.write_bytes(b"kept")
    elif kind == "folder":
        job.target.mkdir()
    else:
        job.target.symlink_to(other if kind == "link" else tmp_path / "nowhere")
    await fail(job, "exists already")
    assert other.read_bytes() == b"kept"


async def test_a_file_that_appears_meanwhile_is_not_replaced(make: Make) -> None:
    job = make()

    def appear(state: DownloadState) -> None:
        if state.status == "checking":
            job.target.write_bytes(b"kept")

    job._notify = appear
    with pytest.raises(DownloadError, match="exists already"):
        await job.run()
    assert job.target.read_bytes() == b"kept"


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
async def test_a_part_that_is_a_link_is_not_written_to(kind: str, make: Make, tmp_path: Path) -> None:
    job = make()
    other = tmp_path / "other"
    other.write_bytes(b"kept")
    if kind == "symbolic":
        job.part.symlink_to(other)
    else:
        job.part.hardlink_to(other)
    await fail(job, "delete it")
    assert other.read_bytes() == b"kept"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>Please log in</html>" * 1000, "is not a safetensors file"),
        (b"\x80\x02pickle" * 10_000, "is not a safetensors file"),
        (MODEL[:-10], "has .* bytes, and its header describes"),
        (MODEL + b"more", "has .* bytes, and its header describes"),
        ((2**40).to_bytes(8, "little") + b"{" * 100, "it has no header"),
        (b"abc", "is damaged"),
    ],
)
async def test_what_is_not_a_model_is_refused_early(content: bytes, reason: str, host: Host, make: Make) -> None:
    host.content = content
    job = make()
    await fail(job, reason)
    assert not job.part.exists()


@pytest.mark.parametrize(
    ("status", "reason"), [(404, "answers 404"), (403, "requires an account"), (500, "answers 500: try again")]
)
async def test_answers_without_a_model_are_explained(status: int, reason: str, host: Host, make: Make) -> None:
    host.answer = lambda _request: web.Response(status=status)
    await fail(make(), reason)


async def test_a_host_that_does_not_say_the_size_is_refused(host: Host, make: Make) -> None:
    host.answer = lambda _request: web.Response(body=b"", headers={"Content-Encoding": "gzip"})
    await fail(make(), "compressed")

    def chunked(request: web.BaseRequest) -> web.StreamResponse | None:
        response = web.Response(body=MODEL)
        response.enable_chunked_encoding()
        return response

    host.answer = chunked
    await fail(make(), "how large")


async def test_a_full_disk_is_noticed_before_it_is_full(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "RESERVE_BYTES", 2**60)
    job = make()
    await fail(job, "GB free, and model.safetensors needs")
    assert job.part.stat().st_size == 0


async def test_an_unknown_certificate_is_refused(host: Host, tmp_path: Path) -> None:
    job = ModelDownload(f"{host.url}/model", tmp_path.resolve(), "model.safetensors", pause=0.0)
    await fail(job, "can't be read")
    assert not host.seen


@pytest.mark.parametrize(
    "name",
    [
        "../a.safetensors", "a/b.safetensors", "a\\b.safetensors", ".safetensors", "a.ckpt", "a.safetensors.exe",
        "con.safetensors", "a\0.safetensors", "a\n.safetensors", "..", "", "a:b.safetensors",
        "x" * 300 + ".safetensors",
    ],
)  # fmt: skip
def test_only_plain_names_of_safetensors_are_accepted(name: str) -> None:
    with pytest.raises(DownloadError):
        check_name(name)


@pytest.mark.parametrize("name", ["a.safetensors", "Model v1.0 (fp8).SFT", "größe.sft"])
def test_usual_names_are_accepted(name: str) -> None:
    check_name(name)


@given(st.binary(max_size=200), st.integers(0, 300) | st.none())
def test_no_bytes_break_the_check_of_a_header(content: bytes, size: int | None) -> None:
    for check in (lambda: read_header_length(content), lambda: check_header(content, size)):
        try:
            check()
        except NotSafetensors:
            continue


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda each: st.lists(each) | st.dictionaries(
    st.sampled_from(["dtype", "shape", "data_offsets", "a"]), each), max_leaves=8))  # fmt: skip
def test_no_json_breaks_the_check_of_a_header(entry: Any) -> None:
    with pytest.raises(NotSafetensors):
        check_header(json.dumps({"a": entry}).encode(), None)
    with pytest.raises(NotSafetensors):
        check_header(json.dumps({}).encode(), None)
