"""What can be said after `%comfykit`: the commands with their options, and how a line becomes values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from comfykit_jupyter.notebook.magic.body import BodyError, read_body
from comfykit_jupyter.notebook.magic.line import LineError, Token, split
from comfykit_jupyter.workflow.nodes import MISSING, Input
from comfykit_jupyter.workflow.params import nearest

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.workflow import Field, Workflow

HELP = """%comfykit run WORKFLOW [NAME=VALUE …] [-o RESULT] [--timeout SECONDS] [--dry-run] [--url URL]
    runs a workflow; the cell ends with the run, shows it meanwhile, and fails if it failed;
    --dry-run: sends nothing, and tells what would be sent, as a diff to the file
%comfykit form WORKFLOW [NAME=VALUE …] [-o FORM] [--url URL]
    a form of its parameters
%comfykit params WORKFLOW [--url URL]
    its parameters: kinds, values, bounds, choices
%comfykit connect URL
    the server of all this, and of ComfyKit() without an address; `connect sandbox` starts the embedded one
%comfykit status [WORKFLOW]
    the server, or the cloud where this workflow lies, its queue, and this kernel's runs
%comfykit queue [--url URL]
    the jobs of the server that run and wait
%comfykit history [N] [--url URL]
    the N jobs of the server that ended last; 10 if nothing is said
%comfykit models [FOLDER] [--url URL]
    the models that the server has in a folder; without one, its folders
%comfykit attach PROMPT_ID [-o RESULT] [--url URL]
    shows a run that was begun elsewhere, or before the kernel restarted, to its end; ■ leaves it, and it goes on
%comfykit cancel [PROMPT_ID]
    cancels this kernel's runs, or that one
%comfykit keep [off | links | thumbnails [KILOBYTES]]
    what stays of a run in the notebook; 150 kB of thumbnails, values and texts where nothing is said

A WORKFLOW is a file, a URL, or in braces a Python object: {graph}, {result.image}. So are values: image={picture}.
Those with spaces go in quotes: prompt="a cat". A seed may be `random`. `-o NAME` binds the result; so does
`result = %comfykit run …`.

One that lies on RunningHub is named by its ID: 1904…, an app by rh-app:1937…; or by the address of its page. It runs
there, with the key of RUNNINGHUB_API_KEY; PROMPT_ID is the ID of the task then.

With two signs, values go in the lines below (or are one JSON object):
    %%comfykit run portrait.json -o fox
    prompt: |
        a red fox in the snow,
        soft light
    seed: 42
    image: {picture}"""


@dataclass(frozen=True)
class Command:
    """One command: whether it takes a workflow and values, its options, flags (without a value), what else it takes."""

    workflow: bool = False
    values: bool = False
    options: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    argument: str = ""
    arguments: int = 1


COMMANDS: Mapping[str, Command] = {
    "run": Command(workflow=True, values=True, options=("-o", "--timeout", "--url"), flags=("--dry-run",)),
    "form": Command(workflow=True, values=True, options=("-o", "--url")),
    "params": Command(workflow=True, options=("--url",)),
    "connect": Command(argument="URL, or sandbox"),
    "status": Command(argument="WORKFLOW"),
    "queue": Command(options=("--url",)),
    "history": Command(argument="N", options=("--url",)),
    "models": Command(argument="FOLDER", options=("--url",)),
    "attach": Command(argument="PROMPT_ID", options=("-o", "--url")),
    "cancel": Command(argument="PROMPT_ID"),
    "keep": Command(argument="off, links or thumbnails", arguments=2),
}


@dataclass
class Call:
    """A line that was understood, and the body below it. `arguments` are objects where the line has `{expression}`.

    A value is a `Token`, or what a JSON body has.
    """

    command: str
    arguments: list[Any] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def understand(line: str, evaluate: Callable[[str], Any], body: str = "") -> Call | None:
    """The call of a line; None when it asks for help.

    Args:
        line: what stands behind `%comfykit`.
        body: the lines below `%%comfykit`.
        evaluate: gives the object of an expression in braces.

    Raises:
        UsageError: it is no such call; the message says what is wrong, and what was probably meant.
    """
    try:
        tokens = split(line)
    except LineError as error:
        raise UsageError(str(error)) from None
    if not tokens or any(token.text in ("-h", "--help") and token.name is None for token in tokens):
        return None
    name = tokens[0].text
    if name not in COMMANDS or tokens[0].name is not None:
        raise UsageError(f"no command {name[:60]!r}{_meant(name, COMMANDS)}")
    call, command = Call(name), COMMANDS[name]
    rest = iter(tokens[1:])
    for token in rest:
        option = token.name or token.text
        if option.startswith("-") and not token.quoted and len(option) > 1:
            if option in command.flags and token.name is None:
                call.options[option] = True
                continue
            if option not in command.options:
                known = (*command.options, *command.flags)
                hint = ": it has no value" if option in command.flags else _meant(option, known)
                raise UsageError(f"{name}: no option {option[:60]}{hint}")
            value = token if token.name is not None else next(rest, None)
            if value is None:
                raise UsageError(f"{name}: {option} needs a value")
            call.options[option] = evaluate(value.text) if value.expression else value.text
        elif token.name is not None and command.values and (call.arguments or not command.workflow):
            call.values[token.name] = token
        else:
            whole = token.text if token.name is None else f"{token.name}={token.text}"
            call.arguments.append(evaluate(whole) if token.expression else whole)
    _count(call, command)
    if body.strip():
        _take(call, command, body)
    return call


def _take(call: Call, command: Command, body: str) -> None:
    """The values of a body, added to those of the line."""
    if not command.values:
        raise UsageError(f"{call.command} takes no values: leave out the lines below it, and one of the two %")
    try:
        found = read_body(body)
    except BodyError as error:
        raise UsageError(str(error)) from None
    if twice := next((name for name in found if name in call.values), None):
        raise UsageError(f"{twice[:60]!r} is given in the first line and below: leave one of them out")
    call.values |= found


def _count(call: Call, command: Command) -> None:
    most = command.arguments if command.workflow or command.argument else 0
    if command.workflow and not call.arguments:
        raise UsageError(f"{call.command}: say which workflow: %comfykit {call.command} workflow.json")
    if len(call.arguments) > most:
        hint = ": values are given as name=value, those with spaces in quotes" if command.values else ""
        raise UsageError(f"{call.command}: {str(call.arguments[most])[:60]!r} is one word too many{hint}")


def typed(
    tokens: Mapping[str, Any],
    workflow: Workflow,
    fields: Sequence[Field],
    evaluate: Callable[[str], Any],
) -> dict[str, Any]:
    """The values of a call, in the types that the workflow's parameters have; those of JSON have theirs.

    Raises:
        ParameterError: the workflow has no such parameter.
    """
    known = {field.name: field for field in fields}
    values = {}
    for name, token in tokens.items():
        if not isinstance(token, Token):
            values[name] = token
        elif token.expression:
            values[name] = evaluate(token.text)
        elif name in known:
            values[name] = _read(token.text, known[name].kind, known[name].choices)
        else:
            default = workflow.parameter(name).targets[0].default
            kind = "" if default is MISSING else Input.inferred(name, default).kind
            values[name] = _read(token.text, kind, None)
    return values


def _read(text: str, kind: str, choices: Sequence[Any] | None) -> Any:
    """A text as what the kind of its parameter takes; as it stands where it is none, for the check to say so."""
    if kind in ("integer", "seed"):
        return _number(text, int)
    if kind == "number":
        number = _number(text, int)
        return _number(text, float) if isinstance(number, str) else number
    if kind == "toggle":
        return _TRUTH.get(text.casefold(), text)
    if kind == "choice":
        return next((choice for choice in choices or () if str(choice) == text), text)
    if kind:
        return text
    return _TRUTH[text.casefold()] if text.casefold() in ("true", "false") else _read(text, "number", None)


_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _number(text: str, number: type[int | float]) -> Any:
    try:
        return number(text) if len(text) < 100 and "_" not in text else text
    except ValueError:
        return text


def _meant(name: str, names: Any) -> str:
    close = nearest(name, names)
    if close is not None:
        return f": did you mean {close}?"
    return f": there are {', '.join(names)}" if names else ": it takes none"
