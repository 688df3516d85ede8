"""Results as plain dicts and as JSON, and back; and what pydantic needs to accept them as a type."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from datetime import date
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import Self

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.results.media import Media, find_media, parse_media
from comfykit_jupyter.workflow.errors import describe_type, short_repr
from comfykit_jupyter.workflow.file_names import to_encodable
from comfykit_jupyter.workflow.json_values import MAX_BITS, is_missing, to_plain_scalar
from comfykit_jupyter.workflow.media_kinds import KINDS
from comfykit_jupyter.workflow.progress.progress import RunError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

    from comfykit_jupyter.client.results.result import ExecuteResult

MAX_DEPTH = 64
"""How deep the values of a result may be nested."""
_STATUSES = {"completed": "completed", "failed": "failed", "error": "failed", "timeout": "failed"}
"""The status by what a dict calls it: `comfykit` has its own words for a failed run."""
_TEXT, _NUMBER, _NULL = {"type": "string"}, {"type": "number"}, {"type": "null"}
_TEXTS = {"type": "array", "items": _TEXT}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "Literal['completed', 'failed']": {"type": "string", "enum": ["completed", "failed"]},
    "Any": {},
    "str": _TEXT,
    "str | None": {"anyOf": [_TEXT, _NULL]},
    "float | None": {"anyOf": [_NUMBER, _NULL]},
    "list[str]": _TEXTS,
    "list[Media]": {"type": "array", "items": {"type": "object"}},
    "dict[str, list[str]]": {"type": "object", "additionalProperties": _TEXTS},
    "dict[str, float]": {"type": "object", "additionalProperties": _NUMBER},
    "dict[str, int]": {"type": "object", "additionalProperties": {"type": "integer"}},
    "dict[str, Any]": {"type": "object"},
    "dict[str, Any] | None": {"anyOf": [{"type": "object"}, _NULL]},
    "RunError | None": {"anyOf": [{"type": "object"}, _NULL]},
}
"""The JSON schemas of a result's attributes, by their types."""


class Exchangeable:
    """What an `ExecuteResult` can be turned into, and made from."""

    def to_dict(self) -> dict[str, Any]:
        """Return the result in plain types of JSON, so that `json.dumps` works whatever it contains.

        Images are their addresses; `media` has all that is known of each. What JSON has no form for, such as the bytes
        of an image among `params`, is described in a few words. NaN becomes None.

        Example:
            >>> result = kit.run("text.json", subject="a cat")
            >>> result.to_dict()["texts"]
            ['a cat, watercolor, morning light']
        """
        found = {each.name: to_any_json(getattr(self, each.name)) for each in fields(cast("Any", self))}
        return {**found, "media": [_describe_media(each) for each in cast("ExecuteResult", self).media]}

    def to_json(self, indent: int | None = None) -> str:
        """Return `to_dict()` as JSON.

        Args:
            indent: Spaces by which each level is indented; None writes one line.
        """
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=indent)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return a result as it was when `to_dict` was called, or as a `model_dump` of the original `comfykit` has it.

        Its media are downloaded when they are read, with the secrets that this process has for their server, if any.

        Args:
            data: The dict; names that a result does not have are ignored.

        Raises:
            ComfyKitError: It is not a result.

        Example:
            >>> from comfykit_jupyter import ExecuteResult
            >>> result = kit.run("text_to_image.json", width=64, height=64, steps=1)
            >>> ExecuteResult.from_dict(result.to_dict()).image == result.image
            True
        """
        return cls(**_parse(cls, data))

    # -- as of a pydantic model ----------------------------------------------------------------------------------------

    def model_dump(
        self,
        *,
        mode: str = "python",  # noqa: ARG002 - pydantic's two modes are the same for plain types
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
        exclude_none: bool = False,
    ) -> dict[str, Any]:
        """Return `to_dict()`, or a part of it: `comfykit` has results that are pydantic models.

        Args:
            mode: As in pydantic. The types are JSON's in any case.
            include: The names to return; None returns all.
            exclude: The names to leave out.
            exclude_none: Whether to leave out what is None.
        """
        return {
            name: value
            for name, value in self.to_dict().items()
            if (include is None or name in include)
            and name not in (exclude or ())
            and not (exclude_none and value is None)
        }

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """Return `model_dump(…)` as JSON."""
        return json.dumps(self.model_dump(**options), ensure_ascii=False, allow_nan=False, indent=indent)

    @classmethod
    def model_validate(cls, data: Mapping[str, Any] | ExecuteResult) -> Self:
        """Return `from_dict(data)`; a result is returned as it is.

        Raises:
            ValueError: It is not a result.
        """
        if isinstance(data, cls):
            return data
        try:
            return cls.from_dict(data)  # type: ignore[arg-type]
        except ComfyKitError as error:
            raise ValueError(str(error)) from None

    @classmethod
    def model_validate_json(cls, data: str | bytes) -> Self:
        """Return the result that JSON describes.

        Raises:
            ValueError: It is not the JSON of a result.
        """
        return cls.model_validate(json.loads(data))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        def serialize(result: Exchangeable, serialize_dict: Any) -> Any:
            return serialize_dict(result.to_dict())

        names = [each.name for each in fields(cast("Any", cls))]
        attribute = core_schema.typed_dict_field(core_schema.any_schema())
        as_dict = core_schema.typed_dict_schema(dict.fromkeys(names, attribute))  # leaves out what a caller excludes
        return core_schema.no_info_plain_validator_function(
            cls.model_validate,
            serialization=core_schema.wrap_serializer_function_ser_schema(serialize, schema=as_dict),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        names = {each.name: each for each in fields(cls)}  # type: ignore[arg-type]
        properties = {name: {"title": name, **_SCHEMAS[str(each.type)]} for name, each in names.items()}
        return {"title": cls.__name__, "type": "object", "properties": properties, "required": ["status"]}


def to_any_json(value: Any, around: tuple[int, ...] = ()) -> Any:
    """Return any value in plain types of JSON; never raise. `around` has the IDs of the values that it is in."""
    if isinstance(value, bool) or is_missing(value):
        return None if is_missing(value) else value
    if isinstance(value, (str, os.PathLike)):
        return to_encodable(os.fspath(value) if isinstance(value, os.PathLike) else str.__str__(value))
    plain = to_plain_scalar(value)
    if isinstance(plain, int):
        return plain if plain.bit_length() <= MAX_BITS else short_repr(plain)
    if isinstance(plain, float):
        return plain if math.isfinite(plain) else None
    if len(around) == MAX_DEPTH or id(value) in around:
        return short_repr(value)
    if isinstance(value, RunError):
        value = asdict(value)
    inside = (*around, id(value))
    if isinstance(value, Mapping):
        return {to_encodable(name): to_any_json(each, inside) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_any_json(each, inside) for each in value]
    return value.isoformat() if isinstance(value, date) else short_repr(value)


def _describe_media(media: Media) -> dict[str, Any]:
    names = ("kind", "name", "mime", "node", "var", "temp", "animated", "query")
    known = {name: to_any_json(getattr(media, name)) for name in names}
    origin = media.origin
    return {"url": str(media), **known, "server": origin.url, "place": getattr(origin, "place", None)}


# -- and back ----------------------------------------------------------------------------------------------------------


def _parse(kind: type[Any], data: Any) -> dict[str, Any]:
    """Return the arguments for a result.

    Raises:
        ComfyKitError: The data is not a result.
    """
    status = data.get("status") if isinstance(data, Mapping) else None
    if not isinstance(status, str) or status not in _STATUSES:
        raise ComfyKitError(f"{short_repr(data)} is not a result: its status is not one of {', '.join(_STATUSES)}")
    known = {each.name: data[each.name] for each in fields(kind) if data.get(each.name) is not None}
    for each in fields(kind):
        if each.name in known:
            _check_type(each.name, str(each.type), known[each.name])
    media = [parse_media(each) for each in known.get("media", [])]
    for plural in [each.plural for each in KINDS.values()]:
        if plural in known:
            known[plural] = _restore_all(known[plural], media)
        if f"{plural}_by_var" in known:
            grouped = known[f"{plural}_by_var"]
            known[f"{plural}_by_var"] = {str(var): _restore_all(urls, media, str(var)) for var, urls in grouped.items()}
    error = known.pop("error", None)
    return {
        **known,
        "status": _STATUSES[status],
        "media": media,
        "error": error if error is None or isinstance(error, RunError) else _parse_error(error),
    }


def _check_type(name: str, type_: str, value: Any) -> None:
    """Reject what would fail later: a list must be a list, a dict a dict, and a text a text."""
    wanted: tuple[type, ...] = {"list": (list, tuple), "dict": (Mapping,), "str": (str,), "float": (int, float)}.get(
        re.split(r"\W", type_)[0], (object,)
    )
    if not isinstance(value, wanted) or (float in wanted and isinstance(value, bool)):
        raise ComfyKitError(f"{name} of a result can't be {describe_type(value)}: {short_repr(value)}")
    if type_ == "dict[str, list[str]]" and isinstance(value, Mapping):
        for each in value.values():
            _check_type(name, "list", each)


def _restore_all(urls: Any, media: list[Media], var: str = "") -> list[str]:
    """Return the media at some addresses, and add those to `media` that it lacks; name those that have no name yet."""
    found = []
    for url in map(str, urls):
        same = [each for each in media if each == url]
        known = next((each for each in same if each.var == var), same[0] if same else find_media(url) or url)
        if isinstance(known, Media):
            known.var = known.var or var
            media += [] if same else [known]
        found.append(known)
    return found


def _parse_error(data: Any) -> RunError:
    if not isinstance(data, Mapping):
        raise ComfyKitError(f"the error of a result can't be {describe_type(data)}: {short_repr(data)}")
    known = {each.name: data[each.name] for each in fields(RunError) if data.get(each.name) is not None}
    texts: Any = {name: str(each) for name, each in known.items() if name != "traceback"}
    lines = known.get("traceback", ())
    trace = tuple(str(line) for line in lines) if isinstance(lines, (list, tuple)) else ()
    return RunError(**{"kind": "", "message": "", **texts, "traceback": trace})
