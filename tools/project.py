"""What the project says about itself outside of the package: addresses, security contact, citation.

An empty value is left out everywhere: none is invented.
`python -m tools.project` writes the files again after a change here.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
AUTHORS = "the comfykit-jupyter developers"


@dataclass(frozen=True)
class Project:
    """The addresses of the project.

    Attributes:
        repository: The address of the repository, such as `https://example.org/comfykit-jupyter`.
        documentation: The address of the documentation.
        security_contact: The mail address for reports of vulnerabilities.
        doi: The identifier of an archived release, for citations.
    """

    repository: str = ""
    documentation: str = ""
    security_contact: str = ""
    doi: str = ""


PROJECT = Project()
"""The only place to fill in."""


def read_version() -> str:
    """Return the version of the package."""
    text = (ROOT / "comfykit_jupyter/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if found is None:
        raise ValueError("comfykit_jupyter/__init__.py has no __version__")
    return found[1]


def read_table() -> dict[str, Any]:
    """Return the table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def render_files(project: Project = PROJECT) -> dict[str, str]:
    """Return the content of each file that depends on the project's addresses, by its path."""
    return {
        "pyproject.toml": _render_pyproject(project),
        "SECURITY.md": _render_security(project),
        "CODE_OF_CONDUCT.md": _render_conduct(project),
        "CITATION.cff": _render_citation(project),
        ".github/ISSUE_TEMPLATE/config.yml": _render_issue_config(project),
        "recipe/meta.yaml": _render_recipe(project),
    }


def _render_pyproject(project: Project) -> str:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    text = re.sub(r"\[project\.urls\]\n(?:.+\n)*\n", "", text)
    urls = {
        "Documentation": project.documentation,
        "Repository": project.repository,
        "Issues": project.repository and f"{project.repository}/issues",
        "Changelog": project.repository and f"{project.repository}/blob/main/CHANGELOG.md",
    }
    lines = [f'{name} = "{url}"\n' for name, url in urls.items() if url]
    table = f"[project.urls]\n{''.join(lines)}\n" if lines else ""
    return text.replace("[project.scripts]\n", f"{table}[project.scripts]\n", 1)


def _render_security(project: Project) -> str:
    how = (
        f"Write to <{project.security_contact}>. "
        if project.security_contact
        else "Open an issue that only says that you have found a vulnerability, and in which part. "
    )
    return f"""# Security

## Report a vulnerability

{how}Say which version it is, and how to see it.
Leave the details out of public places until there is a fix. The changelog thanks you if you like.

The newest release gets fixes.

## What counts

Whatever comes from a server, a file or a workflow is untrusted. A vulnerability is, for example:

- a workflow, media file or answer of a server that runs code in the kernel or page, or writes outside of its folder
- a key, cookie or password that is sent to another address than its own, or stays in a log, error or saved notebook
- an embedded server that other users of the machine, or pages in its browser, can use

It is not a vulnerability that a ComfyUI server runs the nodes of a workflow that you send to it. Trust the nodes of a
workflow before you run it.
"""


def _render_conduct(project: Project) -> str:
    where = f" to <{project.security_contact}>" if project.security_contact else " to a maintainer, in private"
    return f"""# Code of conduct

Be kind, and assume that others mean well. Talk about the work and not about the person. Explain instead of showing off,
and say so when you were wrong.

Insults, harassment, unwanted advances, and publishing what others told you in private have no place here: in issues,
reviews, chats, or at meetings.

If something happens, write{where}. It is kept confidential. Maintainers can edit or remove contributions, and exclude
people for a time or for good. This applies to maintainers too.
"""


def _render_citation(project: Project) -> str:
    lines = [
        "cff-version: 1.2.0",
        "message: If you use this software in your work, please cite it.",
        "type: software",
        "title: comfykit-jupyter",
        f"abstract: '{read_table()['description']}'",
        "authors:",
        f"  - name: {AUTHORS}",
        f"version: {read_version()}",
        "license: MIT",
    ]
    lines += [f"repository-code: '{project.repository}'"] if project.repository else []
    lines += [f"url: '{project.documentation}'"] if project.documentation else []
    lines += [f"doi: {project.doi}"] if project.doi else []
    return "\n".join([*lines, ""])


def _render_issue_config(project: Project) -> str:
    text = "blank_issues_enabled: true\n"
    links = [("Documentation", project.documentation, "Errors and what to do, recipes, API reference")]
    entries = [f"  - name: {name}\n    url: {url}\n    about: {about}\n" for name, url, about in links if url]
    return text + ("contact_links:\n" + "".join(entries) if entries else "")


def _render_recipe(project: Project) -> str:
    table = read_table()
    needs = "".join(f"    - {_format_conda(each)}\n" for each in table["dependencies"])
    addresses = {"home": project.repository, "dev_url": project.repository, "doc_url": project.documentation}
    about = "".join(f"  {name}: {url}\n" for name, url in addresses.items() if url)
    return f"""# A recipe in the form of conda-forge. Its source is the sdist that `make release` leaves in dist/.
{{% set version = "{read_version()}" %}}

package:
  name: comfykit-jupyter
  version: {{{{ version }}}}

source:
  path: ../dist/comfykit_jupyter-{{{{ version }}}}.tar.gz

build:
  noarch: python
  number: 0
  script: {{{{ PYTHON }}}} -m pip install . -vv --no-deps --no-build-isolation
  entry_points:
    - comfykit-jupyter = comfykit_jupyter.cli:main

requirements:
  host:
    - python 3.10
    - pip
    - hatchling >=1.27
    - hatch-jupyter-builder >=0.9.1
  run:
    - python >=3.10
{needs}
test:
  imports:
    - comfykit_jupyter
  commands:
    - comfykit-jupyter --help

about:
  summary: {table["description"]!r}
  license: MIT
  license_file: LICENSE
{about}"""


def _format_conda(requirement: str) -> str:
    """Return a requirement in conda's form, without its marker, which a package for all Pythons can't have."""
    return re.sub(r"(?<=[\w-])(?=[<>=])", " ", requirement.partition(";")[0].strip(), count=1)


def main() -> None:
    """Write all files again."""
    for name, content in render_files().items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
