"""`Folders`: where a server says that its folders are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Folders:
    """The folders of a server, as paths on its own machine.

    Attributes:
        models: The folders of models by name, such as `checkpoints`.
        inputs: Where its folder of inputs may be.
    """

    models: Mapping[str, tuple[str, ...]]
    inputs: tuple[str, ...]
