"""Who sent a job: what this package adds to it, to recognize its user, kernel, call and run later.

Anybody on a server can read its queue, and can send a job in another's name. So a sender is only hashes and a random
number, and a call that attaches to a job compares its prompt as well.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

KEY = "comfykit_jupyter"
"""The key of the sender in a job's `extra_data`."""
LENGTH = 16
"""Hexadecimal digits of a hash."""
_PART = re.compile(r"[0-9a-f]{1,40}")

kernel = f"{time.time_ns() // 1_000_000:012x}{uuid.uuid4().hex[:8]}"
"""This process: when it began, so that kernels can be put in order, and a random number."""


@dataclass(frozen=True)
class Sender:
    """The sender of one job.

    Attributes:
        user: A hash of the user's name and machine.
        kernel: The process that sent it; see `kernel`.
        call: A hash of the call in a cell that sent it; "" outside of cells.
        run: A hash of the ID of the run that sent it, for servers that choose another prompt ID.
    """

    user: str
    kernel: str
    call: str = ""
    run: str = ""

    @classmethod
    def parse(cls, extra_data: Any) -> Sender | None:
        """Return the sender in a job's `extra_data`; None if this package did not write one."""
        found = extra_data.get(KEY) if isinstance(extra_data, Mapping) else None
        if not isinstance(found, Mapping):
            return None
        user, of_kernel, *more = (found.get(part) for part in ("user", "kernel", "call", "run"))
        if not (_is_part(user) and _is_part(of_kernel) and all(part is None or _is_part(part) for part in more)):
            return None
        return cls(str(user), str(of_kernel), *(str(part or "") for part in more))

    def to_json(self) -> dict[str, str]:
        """Return it as `parse` reads it, below `KEY`."""
        more = {"call": self.call, "run": self.run}
        return {"user": self.user, "kernel": self.kernel, **{name: part for name, part in more.items() if part}}

    @property
    def owner(self) -> str:
        """Whose job it is; see `Job.owner`."""
        if self.user != get_user():
            return "other"
        return "kernel" if self.kernel == kernel else "user"

    @property
    def is_resumable(self) -> bool:
        """Whether a cell of an earlier kernel of this user sent it."""
        return bool(self.call) and self.user == get_user() and self.kernel < kernel


@dataclass(frozen=True)
class SentJob:
    """A job whose sender is known.

    Attributes:
        prompt_id: The server's ID.
        sender: Who sent it.
        prompt: What it runs, in API format.
        run_id: The ID of the run that sent it.
    """

    prompt_id: str
    sender: Sender
    prompt: Mapping[str, Any]
    run_id: str


def build_sender(call: str = "", run_id: str = "") -> Sender:
    """Build the sender of a job that this process is about to send."""
    return Sender(get_user(), kernel, call, compute_hash(run_id) if run_id else "")


@cache
def get_user() -> str:
    """Return the hash of this user's name and machine."""
    return compute_hash(socket.gethostname(), find_user_name())


def find_user_name() -> str:
    """Return the name of the user; "" if there is none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # the user's number has no name, or on Windows no variable says it
        return ""


def compute_hash(*parts: Any, length: int = LENGTH) -> str:
    """Return the first digits of a hash of values that can be written as JSON."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:length]


def _is_part(value: Any) -> bool:
    return isinstance(value, str) and _PART.fullmatch(value) is not None
