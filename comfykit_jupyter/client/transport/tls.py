"""TLS: whose certificates are accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykit_jupyter.client.errors import SettingsError

if TYPE_CHECKING:
    from ssl import SSLContext


def build_tls_context(verify: bool | str | SSLContext) -> SSLContext | None:
    """Return the TLS context for the setting `verify`; None stands for the certificates that the machine trusts.

    Raises:
        SettingsError: The file of certificates can't be read.
    """
    if verify is True:
        return None
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
