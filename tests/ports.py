"""A port for a server that can't choose a free one by itself."""

from __future__ import annotations

import random
import socket

_BELOW_EPHEMERAL = range(20_000, 32_000)


def find_free_port() -> int:
    """Return a port that nothing listens on, and that the system does not give to anyone by itself."""
    while True:
        port = random.choice(_BELOW_EPHEMERAL)
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
