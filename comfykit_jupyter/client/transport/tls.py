"""TLS: whose certificates are accepted."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from comfykit_jupyter.client.errors import SettingsError

if TYPE_CHECKING:
    from ssl import SSLContext


def build_tls_context(verify: bool | str | SSLContext = True) -> SSLContext:
    """Return the TLS context for the setting `verify`; True stands for the certificates that the machine trusts.

    Raises:
        SettingsError: The file of certificates can't be read.
    """
    if verify is True:
        return _load_default(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    import ssl

    if isinstance(verify, ssl.SSLContext):
        return verify
    try:
        context = ssl.create_default_context(cafile=verify or None)
    except OSError as error:
        raise SettingsError(
            f"verify: the certificates in {verify!r} can't be read: {error.strerror or error}"
        ) from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@functools.lru_cache(maxsize=4)
def _load_default(file: str | None, folder: str | None) -> SSLContext:  # noqa: ARG001 - what httpx reads
    """Read the certificates that the machine trusts, once: that takes longer than many a request."""
    import httpx

    return httpx.create_ssl_context()
