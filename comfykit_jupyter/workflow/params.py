"""Values: does one fit an input (type, bounds, choices), and what was meant by a name that nobody knows.

Nothing is coerced in silence: text is never a number, true is never 1. An integer stays exact, whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

from comfykit_jupyter.workflow.errors import ParameterError, Problem, kind_of, one_line, short_repr

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.nodes import Input

_ATOMS = frozenset({str, bool, type(None)})
_MAX_BITS = 1024  # past that an integer is an attack, and Python refuses to print it


def check_value(
    value: Any, spec: Input, *, parameter: str | None = None, node_id: str | None = None, node_title: str | None = None
) -> Any:
    """Returns `value` as it is sent to the server, in plain types of JSON.

    An integer is fine where a number is wanted and becomes a float; numpy scalars become Python's.
    Raises ParameterError with the one problem found, told with the parameter's name and the node's title.

    >>> from comfykit_jupyter.workflow.nodes import Input
    >>> check_value(0, Input("steps", "INT", "integer", min=1), node_title="KSampler")
    Traceback (most recent call last):
    comfykit_jupyter.workflow.errors.ParameterError: steps (KSampler): 0 is below the minimum 1
    """
    name = parameter if parameter is not None else spec.name
    where = f"{one_line(name)} ({one_line(node_title)})" if node_title else one_line(name)

    def refuse(reason: str) -> NoReturn:
        raise ParameterError([Problem(name, f"{where}: {reason}", node_id, node_title)])

    value = plain_scalar(value)
    if spec.kind == "integer":
        return _integer(value, spec, refuse)
    if spec.kind == "number":
        return _number(value, spec, refuse)
    if spec.kind == "toggle":
        return (
            value if isinstance(value, bool) else refuse(f"{short_repr(value)} is {kind_of(value)}: give True or False")
        )
    if spec.kind == "choice":
        return _choice(value, spec, refuse)
    if spec.kind == "link":
        return _json(value, refuse)
    if not isinstance(value, str):
        refuse(f"{short_repr(value)} is {kind_of(value)}: give text")
    return value


def _integer(value: Any, spec: Input, refuse: Callable[[str], NoReturn]) -> int:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        refuse(f"{value!r} is a number with a point: give {int(value)}")
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(f"{short_repr(value)} is {kind_of(value)}: give an integer")
    if value.bit_length() > _MAX_BITS:
        refuse(f"the integer is too large ({value.bit_length()} bits)")
    _within(value, spec, refuse)
    return value


def _number(value: Any, spec: Input, refuse: Callable[[str], NoReturn]) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        refuse(f"{short_repr(value)} is {kind_of(value)}: give a number")
    try:
        number = float(value)
    except OverflowError:
        refuse(f"the number is too large ({int(value).bit_length()} bits)")
    if not isfinite(number):
        refuse(f"{number} is not a finite number")
    _within(number, spec, refuse)
    return number


def _within(value: float, spec: Input, refuse: Callable[[str], NoReturn]) -> None:
    if spec.min is not None and value < spec.min:
        refuse(f"{value!r} is below the minimum {spec.min}")
    if spec.max is not None and value > spec.max:
        refuse(f"{value!r} is above the maximum {spec.max}")


def _choice(value: Any, spec: Input, refuse: Callable[[str], NoReturn]) -> Any:
    if spec.multiselect and isinstance(value, (list, tuple)):
        return [_one_choice(plain_scalar(each), spec, refuse) for each in value]
    return _one_choice(value, spec, refuse)


def _one_choice(value: Any, spec: Input, refuse: Callable[[str], NoReturn]) -> Any:
    if not isinstance(value, (str, int, float)):
        refuse(f"{short_repr(value)} is {kind_of(value)}: give one of the choices")
    if spec.choices is None:
        return value
    for choice in spec.choices:
        # 1 == True, and a choice between them is not a choice between equals
        if choice == value and isinstance(choice, bool) is isinstance(value, bool):
            return choice
    if not spec.choices:
        refuse(f"{short_repr(value)} can't be chosen: the server has nothing to choose from here")
    meant = nearest(str(value), [choice for choice in spec.choices if isinstance(choice, str)])
    if len(spec.choices) == 1:
        refuse(f"{short_repr(value)} can't be chosen: there is only {short_repr(spec.choices[0])}")
    if meant is not None:
        refuse(f"{short_repr(value)} is not one of the {len(spec.choices)} choices: did you mean {short_repr(meant)}?")
    some = ", ".join(short_repr(choice) for choice in spec.choices[:5])
    more = f" and {len(spec.choices) - 5} more" if len(spec.choices) > 5 else ""
    return refuse(f"{short_repr(value)} is not one of the choices: {some}{more}")


def _json(value: Any, refuse: Callable[[str], NoReturn]) -> Any:
    try:
        return plain_json(value)
    except ValueError as error:
        refuse(str(error))


def plain_scalar(value: Any) -> Any:
    """A scalar of numpy or torch, or a subclass of str or int, as the plain Python value; anything else as it is."""
    if type(value) in (str, int, float, bool):
        return value
    for base in (bool, int, float, str):
        if isinstance(value, base):
            return base.__str__(value) if base is str else base(value)
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        return value.item()
    return value


def plain_json(value: Any, depth: int = 64, *, lenient: bool = False) -> Any:
    """A copy of `value` in plain types of JSON. Raises ValueError, in words, when it can't be one.

    `lenient`: NaN and the infinities become None, as JavaScript writes them.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is int:
        if value.bit_length() > _MAX_BITS:
            raise ValueError(f"an integer of {value.bit_length()} bits is too large")
        return value
    if kind is float:
        if isfinite(value):
            return value
        if lenient:
            return None
        raise ValueError(f"{value} is not a finite number")
    if depth == 0:
        raise ValueError("the value is nested too deeply")
    # The atoms are looked at here, not by a call of their own: they are most of a workflow.
    if isinstance(value, (list, tuple)):
        return [each if type(each) in _ATOMS else plain_json(each, depth - 1, lenient=lenient) for each in value]
    if kind is dict or isinstance(value, Mapping):
        return {
            key if type(key) is str else _key(key): (
                each if type(each) in _ATOMS else plain_json(each, depth - 1, lenient=lenient)
            )
            for key, each in value.items()
        }
    scalar = plain_scalar(value)
    if type(scalar) is kind:
        raise ValueError(f"{kind_of(value)} is not a value of JSON")
    return plain_json(scalar, depth - 1, lenient=lenient)


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"the key {short_repr(key)} is {kind_of(key)}, not text")  # noqa: TRY004 - see plain_json
    return str.__str__(key)


def nearest(name: str, names: Iterable[str], likeness: float = 0.6) -> str | None:
    """The one of `names` that was most likely meant by `name`; None when none is close: 0 is any, 1 the same.

    A suffix that both have makes them no more alike: `x.png` does not mean `cat.png`.

    >>> nearest("promt", ["prompt", "negative"])
    'prompt'
    """
    from difflib import get_close_matches

    known = {each[:200].casefold(): each for each in list(names)[:5000]}
    wanted = name[:200].casefold()
    if wanted in known:
        return known[wanted]
    stem, _, suffix = wanted.rpartition(".")
    if stem and any(each.endswith(f".{suffix}") for each in known):
        known = {each.removesuffix(f".{suffix}"): said for each, said in known.items()}
        wanted = stem
    found = get_close_matches(wanted, known, n=1, cutoff=likeness)
    return known[found[0]] if found else None
