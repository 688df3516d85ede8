"""Parse what follows `%comfykit`: the commands with their options, and the values of a line in their types."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from comfykit_jupyter.notebook.magic.body import BodyError, read_body
from comfykit_jupyter.notebook.magic.line import LineError, Token, split
from comfykit_jupyter.workflow.nodes import MISSING, Input
from comfykit_jupyter.workflow.spelling import find_nearest

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.document.workflow import Field, Workflow

Evaluate = Callable[[str], Any]
"""Returns the object of a Python expression in braces."""

NAME_LENGTH = 60
"""Characters of what the user typed in a message."""
NUMBER_LENGTH = 100
"""Characters of a number; a longer text is not read as one."""

HELP = """%comfykit run WORKFLOW [NAME=VALUE …] [-o RESULT] [--preset NAME] [--loras NAME:STRENGTH,…]
              [--timeout SECONDS] [--dry-run] [--new] [--url URL]
    Run a workflow and show it in the cell. The cell ends with the run, and fails if the run fails.
    --timeout cancels the run after that many seconds. --dry-run sends nothing, and shows what would be sent,
    as differences from the file. After a kernel restart the same cell attaches to its job if that still waits
    or runs; --new sends a new one. --preset reads the values that are not given from presets/NAME.toml, as saved by
    a form or workflow.save_preset. --loras add_detail:0.7,style:0.4 sets loaders of LoRAs, or inserts them.
%comfykit sweep WORKFLOW NAME=VALUE,VALUE … [-o SWEEP] [--preset NAME] [--loras …]
                [--plan] [--sure] [--url URL]
    Run all combinations of several values: cfg=3,4.5,6 steps=10..30:5 seed=*4 (four seeds). A text is one value;
    for several texts give a list: prompt={["a fox", "a cat"]}. The same cell, run again, sends only new points.
    --plan sends nothing, and shows how many points are new, and how long they take. --sure starts a large sweep.
%comfykit runs [FOLDER]
    Keep all runs of this kernel in a folder from now on. Without a folder, show the library of kept runs.
%comfykit form WORKFLOW [NAME=VALUE …] [-o FORM] [--preset NAME] [--loras …] [--url URL]
    Show a form of the workflow's parameters. Mask… beside an image paints a mask on it. In a prompt, ↑ brings earlier
    prompts, Ctrl+↑ and Ctrl+↓ change the weight of the selected words, and __ completes names of wildcards.
%comfykit params WORKFLOW [--all] [--url URL]
    List the parameters of a workflow: types, values, bounds, choices; and its presets. --all adds its other inputs.
%comfykit connect URL [URL …]
    Use this server in all cells, and in ComfyKit() without an address. With several, each run goes to an idle one.
    `connect sandbox` starts the embedded server.
%comfykit status [WORKFLOW]
    Show the server (or the cloud that hosts the workflow), its queue, and the unfinished runs of this kernel.
%comfykit queue [--url URL]
    List the running and queued jobs of the server.
%comfykit history [LIMIT] [--url URL]
    List the last jobs of the server, 10 by default.
%comfykit models [FOLDER] [--url URL]
    List the server's models in a folder, or its folders.
%comfykit attach PROMPT_ID [-o RESULT] [--url URL]
    Show a run that was started elsewhere, or before the kernel restarted. ■ stops watching; the run continues.
%comfykit cancel [PROMPT_ID]
    Cancel all runs of this kernel, or one of them.
%comfykit keep [off | links | thumbnails [KILOBYTES]]
    Set how much of a run the notebook keeps. The default is thumbnails, with values and texts, in 150 kB.

WORKFLOW is a file, a URL, or a Python object in braces: {graph}, {result.image}. Values can be Python objects,
too: image={photo}, image={Masked(photo, mask)}. Quote a value that contains spaces: prompt="a cat".
A seed can be `random`.
`-o NAME` assigns the result to a variable; so does `result = %comfykit run …`.

Name a workflow on RunningHub by its ID (1904…), an app by rh-app:1937…, or either by the address of its page.
It runs there, with the key in RUNNINGHUB_API_KEY. Its PROMPT_ID is the ID of the task. To run a file there, use
kit.options(place="runninghub").run(…) in Python.

With %%comfykit, give the values in the lines below, or as one JSON object:
    %%comfykit run portrait.json -o fox
    prompt: |
        a red fox in the snow,
        soft light
    seed: 42
    image: {photo}"""


@dataclass(frozen=True)
class Command:
    """What one command accepts.

    Attributes:
        workflow: Whether its first argument is a workflow.
        values: Whether it accepts `name=value`.
        options: Its options with a value.
        flags: Its options without one.
        argument: What its argument is, if it has one that is not a workflow.
        arguments: How many arguments it accepts at most.
    """

    workflow: bool = False
    values: bool = False
    options: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    argument: str = ""
    arguments: int = 1


RUN_OPTIONS = ("-o", "--preset", "--loras", "--url")
"""Options of all commands that run a workflow."""

COMMANDS: Mapping[str, Command] = {
    "run": Command(
        workflow=True,
        values=True,
        options=("-o", "--preset", "--loras", "--timeout", "--url"),
        flags=("--dry-run", "--new"),
    ),
    "sweep": Command(workflow=True, values=True, options=RUN_OPTIONS, flags=("--plan", "--sure")),
    "runs": Command(argument="FOLDER", options=("--url",)),
    "form": Command(workflow=True, values=True, options=RUN_OPTIONS),
    "params": Command(workflow=True, options=("--url",), flags=("--all",)),
    "connect": Command(argument="URL, or sandbox", arguments=100),
    "status": Command(argument="WORKFLOW"),
    "queue": Command(options=("--url",)),
    "history": Command(argument="LIMIT", options=("--url",)),
    "models": Command(argument="FOLDER", options=("--url",)),
    "attach": Command(argument="PROMPT_ID", options=("-o", "--url")),
    "cancel": Command(argument="PROMPT_ID"),
    "keep": Command(argument="off, links or thumbnails", arguments=2),
}


@dataclass
class Call:
    """A parsed line, and the body below it.

    Attributes:
        command: The name of the command.
        arguments: Its arguments: texts, and objects where the line has `{expression}`.
        values: The workflow's values by name: a `Token`, or whatever a JSON body holds.
        options: The values of its options by name.
    """

    command: str
    arguments: list[Any] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def parse_call(line: str, evaluate: Evaluate, body: str = "") -> Call | None:
    """Parse the line of a magic; return None when it asks for help.

    Args:
        line: The text after `%comfykit`.
        evaluate: Returns the object of an expression in braces.
        body: The lines below `%%comfykit`.

    Raises:
        UsageError: The line or the body is wrong; the message says what, and what was probably meant.
    """
    try:
        tokens = split(line)
    except LineError as error:
        raise UsageError(str(error)) from None
    if not tokens or any(token.text in ("-h", "--help") and token.name is None for token in tokens):
        return None
    name = tokens[0].text
    if name not in COMMANDS or tokens[0].name is not None:
        raise UsageError(f"unknown command {name[:NAME_LENGTH]!r}{_suggest(name, COMMANDS)}")
    call, command = Call(name), COMMANDS[name]
    rest = iter(tokens[1:])
    for token in rest:
        option = token.name or token.text
        if option.startswith("-") and not token.quoted and len(option) > 1:
            _add_option(call, command, token, rest, evaluate)
        elif token.name is not None and command.values and (call.arguments or not command.workflow):
            call.values[token.name] = token
        else:
            text = token.text if token.name is None else f"{token.name}={token.text}"
            call.arguments.append(evaluate(text) if token.expression else text)
    _check_arguments(call, command)
    if body.strip():
        _add_body(call, command, body)
    return call


def _add_option(call: Call, command: Command, token: Token, rest: Iterator[Token], evaluate: Evaluate) -> None:
    """Add an option to a call; its value is in the token itself, or the next one."""
    option = token.name or token.text
    if option in command.flags:
        if token.name is not None:
            raise UsageError(f"{call.command}: {option} takes no value")
        call.options[option] = True
        return
    if option not in command.options:
        known = (*command.options, *command.flags)
        raise UsageError(f"{call.command}: unknown option {option[:NAME_LENGTH]}{_suggest(option, known)}")
    value = token if token.name is not None else next(rest, None)
    if value is None:
        raise UsageError(f"{call.command}: {option} needs a value")
    call.options[option] = evaluate(value.text) if value.expression else value.text


def _check_arguments(call: Call, command: Command) -> None:
    allowed = command.arguments if command.workflow or command.argument else 0
    if command.workflow and not call.arguments:
        raise UsageError(f"{call.command}: give a workflow: %comfykit {call.command} workflow.json")
    if len(call.arguments) > allowed:
        hint = "; give values as name=value, and quote those that contain spaces" if command.values else ""
        unexpected = str(call.arguments[allowed])[:NAME_LENGTH]
        raise UsageError(f"{call.command}: unexpected argument {unexpected!r}{hint}")


def _add_body(call: Call, command: Command, body: str) -> None:
    """Add the values of a body to the values of the line."""
    if not command.values:
        raise UsageError(f"{call.command} takes no values: remove the lines below it, and one of the two %")
    try:
        found = read_body(body)
    except BodyError as error:
        raise UsageError(str(error)) from None
    if twice := next((name for name in found if name in call.values), None):
        raise UsageError(f"{twice[:NAME_LENGTH]!r} is given both in the first line and below it")
    call.values |= found


def _suggest(name: str, names: Collection[str]) -> str:
    """Return the end of a message about an unknown name: the closest known one, or all of them."""
    close = find_nearest(name, names)
    if close is not None:
        return f": did you mean {close}?"
    return f"; choose from {', '.join(names)}" if names else "; it takes no options"


# -- values ------------------------------------------------------------------------------------------------------------


def convert_values(
    tokens: Mapping[str, Any], workflow: Workflow, fields: Sequence[Field], evaluate: Evaluate
) -> dict[str, Any]:
    """Convert the values of a call to the types of the workflow's parameters; values from JSON keep their types.

    Raises:
        ParameterError: The workflow has no such parameter.
    """
    known = {field.name: field for field in fields}
    values = {}
    for name, token in tokens.items():
        if not isinstance(token, Token):
            values[name] = token
        elif token.expression:
            values[name] = evaluate(token.text)
        elif name in known:
            values[name] = _convert(token.text, known[name].kind, known[name].choices)
        else:
            default = workflow.find_parameter(name).targets[0].default
            kind = "" if default is MISSING else Input.infer(name, default).kind
            values[name] = _convert(token.text, kind, None)
    return values


def _convert(text: str, kind: str, choices: Sequence[Any] | None) -> Any:
    """Convert a text to the type of its parameter; a text that does not fit stays a text, and the check rejects it."""
    if kind in ("integer", "seed"):
        return _parse_number(text, int)
    if kind == "number":
        number = _parse_number(text, int)
        return _parse_number(text, float) if isinstance(number, str) else number
    if kind == "toggle":
        return _BOOLEANS.get(text.casefold(), text)
    if kind == "choice":
        return next((choice for choice in choices or () if str(choice) == text), text)
    if kind:
        return text
    return _BOOLEANS[text.casefold()] if text.casefold() in ("true", "false") else _convert(text, "number", None)


_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _parse_number(text: str, number: type[int | float]) -> Any:
    try:
        return number(text) if len(text) < NUMBER_LENGTH and "_" not in text else text
    except ValueError:
        return text
