"""Test TLS certificates and proxies, for requests and for the event socket."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, ComfyKitError
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit

from . import workflows
from .proxy import Proxy


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", path.with_suffix(".crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


@pytest.fixture
def secure(sandbox: Sandbox, certificate: Path) -> Iterator[Proxy]:
    """The embedded server behind TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with Proxy(sandbox.url, context) as proxy:
        yield proxy


async def test_unknown_certificate_is_rejected(secure: Proxy, make_kit: MakeKit) -> None:
    result = await make_kit(secure.url).execute(workflows.text())
    assert (result.status, str(result.error and result.error.kind)) == ("failed", "unreachable")
    assert not secure.seen


@pytest.mark.parametrize("form", ["file", "context", "any"])
@pytest.mark.parametrize("executor", ["http", "websocket"])
async def test_configured_certificate_is_trusted(
    form: str, executor: Any, secure: Proxy, certificate: Path, make_kit: MakeKit
) -> None:
    verify: Any = {
        "file": str(certificate.with_suffix(".crt")),
        "context": ssl.create_default_context(cafile=certificate.with_suffix(".crt")),
        "any": False,
    }[form]
    kit = make_kit(secure.url, executor_type=executor, verify=verify)
    result = await kit.execute(workflows.picture())
    assert result.status == "completed", result.msg
    assert result.image.read()[:4] == b"\x89PNG"
    assert secure.sockets.opened == (executor == "websocket")


async def test_missing_certificate_file_is_reported(make_kit: MakeKit, tmp_path: Path) -> None:
    result = await make_kit("https://127.0.0.1:1", verify=str(tmp_path / "none.crt")).execute(workflows.text())
    assert "verify: the certificates in" in str(result.msg)


@pytest.mark.parametrize("proxy", ["", "proxy:3128", "ftp://proxy", "http://", "http://user:planted-secret@proxy:x"])
def test_invalid_proxy_is_rejected_and_not_shown(proxy: str) -> None:
    with pytest.raises(ComfyKitError, match="proxy must be an address") as caught:
        ComfyKit("http://gpu-box:8188", proxy=proxy)
    assert "planted-secret" not in str(caught.value)


async def test_proxy_is_used_and_its_password_not_shown(proxy: Proxy, make_kit: MakeKit) -> None:
    address = proxy.url.replace("://", "://user:planted-secret@")
    kit = make_kit("http://gpu-box.invalid:8188", proxy=address)
    result = await kit.execute(workflows.text())
    assert result.status == "completed", result.msg
    assert any(seen.headers.get("Host") == "gpu-box.invalid:8188" for seen in proxy.seen)
    assert "planted-secret" not in f"{result!r} {result.msg} {kit!r} {kit._settings!r} {result.error!r}"


async def test_socks_proxy_without_its_package_is_named(make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    result = await make_kit("http://127.0.0.2:1", proxy="socks5://127.0.0.1:1").execute(workflows.text())
    assert result.msg == "proxy: a SOCKS proxy needs the package socksio: install httpx[socks]"
