"""`ComfyKit.check`: find everything that can be known to be wrong before a workflow runs. Sends nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError, ParameterError, Problem, ServerError, WorkflowError
from comfykit_jupyter.client.inputs.files import RemoteFile
from comfykit_jupyter.client.inputs.masked import Masked
from comfykit_jupyter.client.inputs.media import read_media
from comfykit_jupyter.client.inputs.workflows import convert_workflow, read_workflow
from comfykit_jupyter.client.missing.finder import MissingFinder, explain_missing_model
from comfykit_jupyter.client.missing.item import CORE_PACK, Missing
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS
from comfykit_jupyter.workflow.model_names import is_model_name
from comfykit_jupyter.workflow.nodes import Definitions
from comfykit_jupyter.workflow.parameters.inputs import NodeInput
from comfykit_jupyter.workflow.spelling import find_nearest
from comfykit_jupyter.workflow.values.binding import Binding
from comfykit_jupyter.workflow.values.prompt_check import check_prompt, is_unlisted_file

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.workflow.document.workflow import Upload, Workflow


@dataclass(frozen=True, repr=False)
class Report:
    """What `ComfyKit.check` found.

    Choices of newer nodes are checked as newer servers do; servers up to 0.3.64 let them pass, and the node fails. What
    the code of a custom node rejects, or accepts beyond its list of choices, is not known. An empty file name is
    reported here, and rejected by servers when the file is read.

    Attributes:
        workflow: Name of the workflow.
        server: Address of the server that was asked.
        problems: Each with `message` (one line: where, what, what to do), `kind`, `node_id`, `node_title` and `field`.
            `kind` is `value`, `missing_model`, `missing_file`, `missing_node_type`, `workflow` (it can't be read),
            `unreachable`, or the server's own type of error, such as `required_input_missing`.
        outputs: IDs of the output nodes that would run. If there are problems as well, the server would run these and
            leave out the rest.
        warnings: One line each, about what is worth knowing and does not prevent a run, such as a title that is not
            read.
        missing: The models, files and node classes that the server lacks, each with its folder, what is most like it,
            and where it comes from if the workflow says so.

    Example:
        report = await kit.check("text.json", {"subject": "a fox"})
        print(report)  # text: no problems found for http://127.0.0.1:8188; or one line for each problem
        if not report.ok:
            print(report.problems[0].message)
    """

    workflow: str
    server: str
    problems: tuple[Problem, ...] = ()
    outputs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    def __str__(self) -> str:
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        found = f"no problems found for {self.server}" if self.ok else count
        lines = [*(each.message for each in self.problems), *(f"warning: {each}" for each in self.warnings)]
        return "\n".join([f"{one_line(self.workflow)}: {found}", *(f"  {line}" for line in lines)])

    __repr__ = __str__


async def check(server: Backend, source: Any, values: Mapping[str, Any]) -> Report:
    """Check a workflow with its values; see `ComfyKit.check`."""
    name = "workflow"
    try:
        workflow = await read_workflow(source, server)
        name = workflow.name
        definitions = await server.get_definitions(workflow.classes, fresh=True)
        try:
            workflow = await convert_workflow(workflow, server)
        except WorkflowError:
            if not server.has_object_info:  # it can't be converted there at all
                raise
        if not workflow.resolved:  # nodes are missing, which is not all that may be wrong
            workflow = workflow.resolve(definitions, partial=True)
        report = await _Check(server, workflow, definitions).report(values)
        fitted = workflow.fit_preset(values, definitions)
        return replace(report, warnings=(*workflow.notes, *workflow.unread_titles, *fitted.warnings))
    except ServerError as error:
        return Report(name, server.url, (Problem("", str(error), kind="unreachable"),))
    except ComfyKitError as error:
        return Report(name, server.url, (Problem("", str(error), kind="workflow"),))


async def check_servers(server: Backend, source: Any, values: Mapping[str, Any]) -> Report:
    """Check a workflow with its values on each of several servers, and return the best report."""
    if not server.members:
        return await check(server, source, values)
    try:
        source = await read_workflow(source, server)
    except ComfyKitError:
        return await check(server.members[0], source, values)
    reports = await asyncio.gather(*(check(each, source, values) for each in server.members))
    best = min(reports, key=lambda report: (len(report.problems), report.problems[:1] == ()))
    left_out = [f"{each.server} is left out: {each.problems[0].message}" for each in reports if not each.ok]
    return replace(best, warnings=(*best.warnings, *left_out)) if best.ok else best


class _Check:
    """One check: a workflow, the server that it would run on, and what that says about its nodes."""

    def __init__(self, server: Backend, workflow: Workflow, definitions: Definitions) -> None:
        self.server = server
        self.workflow = workflow
        self.definitions = definitions
        self.finder = MissingFinder(server, workflow, definitions)
        self.given_missing: list[Missing] = []

    async def report(self, values: Mapping[str, Any]) -> Report:
        binding, wrong = self._bind(values)
        problems = [await self._explain_value(problem, values) for problem in wrong]
        for upload in binding.uploads:
            problems += await self._check_upload(upload)
        sent = not problems  # nothing is sent if a value does not fit
        given = {(upload.node_id, upload.field) for upload in binding.uploads} | self._find_inputs(problems)
        problems += await self.server.preflight(self.workflow)
        if not self.server.has_object_info:
            return Report(self.workflow.name, self.server.url, tuple(dict.fromkeys(problems)))
        verdict = check_prompt(self.workflow, self.definitions, binding.prompt, given)
        for problem in verdict.problems:
            problems += await self._explain(problem, binding.prompt)
        for place in self._find_unlisted_files(binding.prompt, given):
            problems += await self._check_unlisted_file(*place)
        outputs = verdict.outputs if sent else ()
        missing = tuple(dict.fromkeys([*self.given_missing, *await self.finder.find(binding.prompt, given)]))
        problems += self._describe_hidden(missing)
        return Report(self.workflow.name, self.server.url, tuple(dict.fromkeys(problems)), outputs, missing=missing)

    def _bind(self, values: Mapping[str, Any]) -> tuple[Binding, list[Problem]]:
        """Bind the values that fit, so that the rest is checked as well, and return the problems of the others."""
        try:
            return self.workflow.bind(values, self.definitions), []
        except ParameterError as error:
            problems = list(error.problems)
        wrong = {problem.parameter for problem in problems}
        try:
            rest = {name: value for name, value in values.items() if name not in wrong}
            return self.workflow.bind(rest, self.definitions), problems
        except ParameterError:
            return Binding(dict(self.workflow.prompt), {}, {}, (), {}), problems

    def _find_inputs(self, problems: list[Problem]) -> set[tuple[str, str]]:
        """Return the inputs that the wrong values were meant for: what the workflow has there does not matter."""
        inputs: set[tuple[str, str]] = set()
        for problem in problems:
            with contextlib.suppress(ParameterError):  # no such parameter
                targets = self.workflow.find_parameter(problem.parameter, self.definitions).targets
                inputs |= {(target.node_id, target.field) for target in targets}
        return inputs

    async def _explain_value(self, problem: Problem, values: Mapping[str, Any]) -> Problem:
        """Say more about a value that does not fit, if it is a model that the server does not have."""
        value = values.get(problem.parameter)
        if not is_model_name(value) or problem.node_id is None:
            return problem
        for target in self.workflow.find_parameter(problem.parameter, self.definitions).targets:
            found = NodeInput.find(self.workflow.prompt, target, self.definitions)
            if found.node_id == problem.node_id and found.spec.choices is not None and value not in found.spec.choices:
                missing = await self.finder.describe_model(found.node_id, found.field, value, found.spec.choices)
                self.given_missing.append(missing)
                reason = explain_missing_model(missing)
                message = f"{one_line(problem.parameter)} ({problem.node_title}): {reason}"
                return replace(problem, kind="missing_model", message=message, field=found.field)
        return problem

    async def _check_upload(self, upload: Upload) -> list[Problem]:
        """Check a media value that was given. A URL is not opened, and an open file not read: it can be read once."""
        if isinstance(upload.value, str) and upload.value.startswith(("http://", "https://")):
            return []  # this includes outputs of earlier runs
        if hasattr(upload.value, "read") or (isinstance(upload.value, Masked) and upload.value.has_url):
            return []
        if isinstance(upload.value, str) and self.server.find_output(upload.value) is not None:
            return []
        try:
            source = await read_media(upload, self.server)
        except ParameterError as error:
            return [replace(each, kind="missing_file", field=upload.field) for each in error.problems]
        source.remove()
        if (
            isinstance(source, RemoteFile)
            and source.name not in upload.choices
            and not await self.server.has_file(source.name)
        ):
            where = f"{one_line(upload.parameter)} ({upload.node_title})"
            message = f"{where}: the server has no file {short_repr(source.name)}"
            return [Problem(upload.parameter, message, upload.node_id, upload.node_title, "missing_file", upload.field)]
        return []

    async def _explain(self, problem: Problem, prompt: Mapping[str, Any]) -> list[Problem]:
        """Say more about a problem of the prompt: which model, file or class is missing, and what to do."""
        if problem.node_id is None:
            return [problem]
        node = prompt[problem.node_id]
        if problem.kind == "missing_node_type":
            return [replace(problem, message=await self._explain_missing_class(problem, node["class_type"]))]
        if problem.kind != "value_not_in_list" or problem.field is None:
            return [problem]
        value = node["inputs"][problem.field]
        spec = self.definitions[node["class_type"]].inputs.get(problem.field)
        setter = self.workflow.find_setter(problem.node_id, problem.field, self.definitions)
        name = setter.name if setter is not None else problem.field
        where = f"{one_line(name)} ({problem.node_title}, node {one_line(problem.node_id)})"
        if spec is not None and spec.kind in MEDIA_KINDS and isinstance(value, str):
            if value and await self.server.has_file(value):
                return []
            message = f"{where}: {_explain_missing_file(value)}"
            return [replace(problem, kind="missing_file", message=message)]
        if is_model_name(value):
            choices = (spec.choices or ()) if spec is not None else ()
            reason = explain_missing_model(
                await self.finder.describe_model(problem.node_id, problem.field, value, choices)
            )
            return [replace(problem, kind="missing_model", message=f"{where}: {reason}")]
        return [problem]

    async def _explain_missing_class(self, problem: Problem, class_type: str) -> str:
        """Say what to do about a node class that the server does not have."""
        pack = self.workflow.packs.get(problem.node_id or "", "")
        if pack:
            where = f"{problem.node_title} (node {one_line(problem.node_id or '')})"
            advice = "update ComfyUI, which has it" if pack == CORE_PACK else f"install {one_line(pack)}, which has it"
            return f"{where}: the server has no node {one_line(class_type)}: {advice}"
        nearest = find_nearest(class_type, await self.server.list_classes(), likeness=0.8)
        return f"{problem.message} (did you mean {one_line(nearest)}?)" if nearest else problem.message

    def _describe_hidden(self, missing: tuple[Missing, ...]) -> Iterator[Problem]:
        """Yield the problems of models and files that a server does not look at while nodes are missing."""
        for each in missing if any(each.kind == "node" for each in missing) else ():
            if each.kind != "node" and each not in self.given_missing:
                reason = explain_missing_model(each) if each.kind == "model" else _explain_missing_file(each.name)
                message = f"{one_line(each.parameter)} ({each.node_title}): {reason}"
                yield Problem(each.parameter, message, None, each.node_title, f"missing_{each.kind}")

    def _find_unlisted_files(
        self, prompt: Mapping[str, Any], given: set[tuple[str, str]]
    ) -> list[tuple[str, str, str]]:
        """Find the workflow's own media values that no list of choices contains: in folders, or of earlier runs."""
        found = []
        for id_, node in prompt.items():
            definition = self.definitions.get(node["class_type"])
            for field, spec in definition.inputs.items() if definition is not None else ():
                value = node["inputs"].get(field)
                if spec.kind in MEDIA_KINDS and is_unlisted_file(value, spec) and (id_, field) not in given:
                    found.append((id_, field, value))
        return found

    async def _check_unlisted_file(self, id_: str, field: str, value: str) -> list[Problem]:
        if await self.server.has_file(value):
            return []
        title = self.workflow.get_title(id_, self.definitions)
        setter = self.workflow.find_setter(id_, field, self.definitions)
        name = setter.name if setter is not None else field
        message = f"{one_line(name)} ({title}, node {one_line(id_)}): {_explain_missing_file(value)}"
        parameter = setter.name if setter is not None else self.workflow.build_address(id_, field)
        return [Problem(parameter, message, id_, title, "missing_file", field)]


def _explain_missing_file(name: str) -> str:
    return f"the server has no file {short_repr(name)}: choose another one, or upload it"
