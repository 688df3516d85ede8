"""Parameters of a workflow, and the node inputs that they set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """One input that a parameter fills. `default` is what the workflow has there: MISSING if absent or a link."""

    node_id: str
    field: str
    upload: bool
    default: Any


@dataclass(frozen=True)
class Parameter:
    """A named value of a workflow and all the inputs it fills; title and class are those of the first one's node."""

    name: str
    targets: tuple[Target, ...]
    required: bool
    node_title: str
    class_type: str
