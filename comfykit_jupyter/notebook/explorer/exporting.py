"""Export runs that were picked in the page: as a folder beside the notebook, or as a file that the page saves."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from comfykit_jupyter.client.local_files import get_local_folder
from comfykit_jupyter.explore.exports.row_files import write_folder
from comfykit_jupyter.workflow.file_names import number_name, to_safe_name

if TYPE_CHECKING:
    from comfykit_jupyter.explore.runs.rows import Rows

FOLDER = "exports"
"""Where folders of exported files appear, below the kernel's current folder."""
NAME = "{workflow}-{index}"
"""The names of exported files."""


def export_rows(rows: Rows, kind: str, title: str) -> Path:
    """Export runs, and return the folder or the file.

    Args:
        rows: The runs.
        kind: `folder`, `zip`, `sheet` or `html`.
        title: What to call it.

    Raises:
        ComfyKitError: There is nothing to export, or an original is no longer here.
        ValueError: The kind is none of these.
    """
    name = to_safe_name(title) or "runs"
    if kind == "folder":
        numbered = (Path(FOLDER, number_name(name, number)) for number in range(1, 10_000))
        return write_folder(rows, next(each for each in numbered if not each.exists()), NAME)
    folder = Path(tempfile.mkdtemp(dir=get_local_folder()))
    if kind == "zip":
        return rows.zip(folder / f"{name}.zip", NAME)
    if kind == "sheet":
        return rows.sheet(folder / f"{name}.webp")
    if kind == "html":
        return rows.to_html(folder / f"{name}.html")
    raise ValueError(f"format {kind!r} is not one of folder, zip, sheet, html")
