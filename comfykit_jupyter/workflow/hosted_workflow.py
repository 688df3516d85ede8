"""Parse the names that people give to workflows which a cloud stores and runs by an ID."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from comfykit_jupyter.workflow.errors import WorkflowError
from comfykit_jupyter.workflow.untrusted_json import parse_id

_ID = re.compile(r"[0-9]{1,25}")
_NAMED = re.compile(r"(rh|rh-app):([0-9]{1,25})")
# Where the site shows workflows and apps; a language may go before, and more may follow.
_PAGE = re.compile(
    r"(?:/#)?(?:/[a-z]{2}(?:-[a-z]{2})?)?/"
    r"(?P<page>workflow|post|run/workflow|ai-detail|app|run/ai-app)/(?P<id>[0-9]{1,25})(?:[/?#].*)?",
    re.IGNORECASE,
)
_APPS = frozenset({"ai-detail", "app", "run/ai-app"})
_SITES = ("runninghub.cn", "runninghub.ai")


@dataclass(frozen=True)
class HostedWorkflow:
    """A workflow that RunningHub stores; `app` for an AI app; `site` is the site of the page that named it, if any."""

    id: str
    app: bool = False
    site: str = ""

    @property
    def name(self) -> str:
        """The name that a user types for it."""
        return f"{'rh-app' if self.app else 'rh'}:{self.id}"

    def is_on_other_site(self, site: str) -> bool:
        """Return whether the page that named it belongs to the other one of the two public sites.

        Args:
            site: The URL of the site in use. A URL of neither may be a proxy for either.
        """
        named, own = _parse_host(self.site), _parse_host(site)
        return named in _SITES and own in _SITES and named != own

    @classmethod
    def parse(cls, text: str, site: str) -> HostedWorkflow | None:
        """Parse what names a workflow: `1904136902449209346`, `rh:ID`, `rh-app:ID`, a page's URL; or return None.

        Args:
            text: Any text.
            site: The URL of the site in use; pages of the public sites are known as well.
        """
        if _ID.fullmatch(text):
            return cls(text)
        if named := _NAMED.fullmatch(text):
            return cls(named[2], app=named[1] == "rh-app")
        if not text.startswith(("http://", "https://")):
            return None
        try:
            parts, own = urlsplit(text), urlsplit(site)
        except ValueError:
            return None
        if parts.netloc != own.netloc and _parse_host(text) not in _SITES:
            return None
        rest = parts._replace(scheme="", netloc="").geturl()
        page = _PAGE.fullmatch(rest)
        if page is None:
            return None
        return cls(page["id"], page["page"].lower() in _APPS, f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")

    @classmethod
    def from_reference(cls, content: Any) -> HostedWorkflow | None:
        """Read the `workflow_id` or `webapp_id` of `{"_source": "runninghub", …}`; return None for other content."""
        if not isinstance(content, Mapping) or "runninghub" not in (content.get("_source"), content.get("source")):
            return None
        for key, app in (("workflow_id", False), ("webapp_id", True)):
            id_ = (parse_id(content.get(key)) or "").strip()
            if _ID.fullmatch(id_):
                return cls(id_, app)
        raise WorkflowError('it refers to RunningHub, and names no workflow: give it "workflow_id": "1904…"')


def _parse_host(url: str) -> str:
    return (urlsplit(url).hostname or "").lower().removeprefix("www.")
