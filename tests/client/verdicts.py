"""Compare the problems that a server reports for a prompt with those that `kit.check` reports."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import httpx

from comfykit_jupyter import Workflow
from comfykit_jupyter.workflow.nodes import NodeDefinition
from comfykit_jupyter.workflow.values.prompt_check import check_prompt

Found = set[tuple[str, str, "str | None"]]
"""Node id, kind, input."""

STUMBLED = {"exception_during_inner_validation", "exception_during_validation", "dependency_cycle"}
STUMBLED_HERE = {"linked_node_missing", "linked_output_missing", "dependency_cycle"}
"""Over these the server stumbles: it gives up on that node, so that what else is wrong there it may say or not."""


class Server:
    """A server whose judgement is asked for. What it accepts is taken back at once.

    Args:
        url: its address.
        strict: whether it checks the choices of all its nodes, as newer ones do.
    """

    def __init__(self, url: str, *, strict: bool = True) -> None:
        self.client = httpx.Client(base_url=url, timeout=60)
        self.info: dict[str, Any] = self.client.get("/object_info").json()
        self.definitions = {name: NodeDefinition.parse(name, raw) for name, raw in self.info.items()}
        self.strict = strict

    def judge(self, prompt: Mapping[str, Any]) -> tuple[set[str], Found]:
        """The outputs that it would run, and what it finds wrong."""
        prompt_id = str(uuid.uuid4())
        response = self.client.post("/prompt", json={"prompt": prompt, "prompt_id": prompt_id})
        answer = response.json()
        errors = answer.get("node_errors") or {}
        found = {
            (node, error["type"], (error.get("extra_info") or {}).get("input_name"))
            for node, about in errors.items()
            for error in about["errors"]
        }
        if response.status_code != 200:
            return set(), found
        self.client.post("/queue", json={"delete": [prompt_id]})
        self.client.post("/interrupt", json={"prompt_id": prompt_id})
        left_out = {output for about in errors.values() for output in about["dependent_outputs"]}
        outputs = {node for node, each in prompt.items() if self.info[each["class_type"]]["output_node"]}
        return outputs - left_out, found

    def disagreement(self, prompt: Mapping[str, Any]) -> str:
        """In what the server and we differ; nothing when we agree."""
        workflow = Workflow.parse(prompt)
        verdict = check_prompt(workflow, {name: self.definitions[name] for name in workflow.classes & {*self.info}})
        ours: Found = {(str(each.node_id), each.kind, each.field) for each in verdict.problems}
        outputs, theirs = self.judge(prompt)
        if self._is_known(prompt, ours):
            return ""
        if outputs != set(verdict.outputs):
            return f"outputs: {sorted(outputs)}, not {sorted(verdict.outputs)}; {theirs} and {ours}"
        if not theirs or {kind for _, kind, _ in ours} & STUMBLED_HERE or {kind for _, kind, _ in theirs} & STUMBLED:
            return ""
        named = {"custom_validation_failed": "value_not_in_list"}  # of a file: what the node's own code says of it
        theirs = {(node, named.get(kind, kind), name) for node, kind, name in theirs}
        if not self.strict and "return_type_mismatch" in {kind for _, kind, _ in theirs}:
            ours &= theirs  # older servers do not look behind such a link
        return "" if ours == theirs else f"problems: {theirs - ours} are not found, {ours - theirs} are not there"

    def _is_known(self, prompt: Mapping[str, Any], ours: Found) -> bool:
        """Whether it is a difference that `Report` reports."""
        for node, kind, name in ours:
            if kind != "value_not_in_list" or name is None:
                continue
            inputs = self.info[prompt[node]["class_type"]]["input"]
            spec = {**inputs.get("required", {}), **inputs.get("optional", {})}.get(name)
            if spec is not None and (prompt[node]["inputs"][name] == "" or (spec[0] == "COMBO" and not self.strict)):
                return True
        return False
