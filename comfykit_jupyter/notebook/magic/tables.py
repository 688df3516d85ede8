"""Build the tables that the magics show, as text and HTML; texts from servers and workflows are cut and escaped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from comfykit_jupyter.client.results.wording import format_value, hide_address
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.tables import build_table, to_line

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.client.checking.dry_run import DryRun

VALUE_LENGTH = 60
"""Characters of a value in a cell."""
MAX_VALUES = 8
"""Values of a job in a cell."""
_OWNERS = {"kernel": "this kernel", "user": "you", "other": "other"}
"""The words for `Job.owner`."""


def tabulate_queue(title: str, jobs: Sequence[Job]) -> dict[str, Any]:
    """Build the table of running and queued jobs."""
    columns = ("position", "prompt ID", "sent by", "nodes", "values")
    rows = [
        (str(job.place or job.status), job.prompt_id, _OWNERS[job.owner], str(job.nodes or ""), _format_values(job))
        for job in jobs
    ]
    return build_table(title, *_add_servers(columns, rows, [job.server for job in jobs]))


def tabulate_history(title: str, jobs: Sequence[Job]) -> dict[str, Any]:
    """Build the table of ended jobs."""
    rows = [
        (
            "" if job.began is None else f"{datetime.fromtimestamp(job.began).astimezone():%Y-%m-%d %H:%M:%S}",
            job.status,
            "" if job.seconds is None else f"{job.seconds:.1f} s",
            str(job.files or ""),
            job.prompt_id,
            job.message or _format_values(job),
        )
        for job in jobs
    ]
    columns = ("started", "status", "duration", "files", "prompt ID", "values")
    return build_table(title, *_add_servers(columns, rows, [job.server for job in jobs]))


def tabulate_names(title: str, column: str, names: Sequence[str], servers: int = 1) -> dict[str, Any]:
    """Build a table with one name a row, and the servers that have it if there are several."""
    rows = [(name,) for name in names]
    if servers < 2:
        return build_table(title, (column,), rows)
    owners = [getattr(name, "servers", ()) for name in names]
    where = ["all" if len(urls) == servers else ", ".join(map(_format_host, urls)) for urls in owners]
    return build_table(title, (column, "servers"), [(*row, text) for row, text in zip(rows, where, strict=True)])


def _add_servers(
    columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], urls: Sequence[str]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Add a column with the servers of jobs, if a kit has several."""
    if not any(urls):
        return columns, list(rows)
    return (*columns, "server"), [(*row, _format_host(url)) for row, url in zip(rows, urls, strict=True)]


def _format_host(url: str) -> str:
    return urlsplit(url).netloc or url


def tabulate_dry_run(dry_run: DryRun) -> dict[str, Any]:
    """Build the table of the inputs that would be sent with a value other than the file's."""
    rows = [(each.node_title, each.field, each.before, each.after) for each in dry_run.changes]
    headline = hide_address(dry_run.headline, dry_run.server)
    return build_table(headline, ("node", "input", "in the file", "would be sent"), rows)


def _format_values(job: Job) -> str:
    values = list(job.values.items())[:MAX_VALUES]
    return " · ".join(f"{one_line(name)} = {_format_value(value)}" for name, value in values)


def _format_value(value: Any) -> str:
    return to_line(format_value(value[:1000]), VALUE_LENGTH) if isinstance(value, str) else short_repr(value)
