"""One way from frozen dataclasses to JSON and back: configs, references and results, checked by their annotations."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from kerasburst import files
from kerasburst.validation import InputError, fail, shown, suggestion
from kerasburst.version import __version__

T = TypeVar("T")
_HEAD = ("format", "kerasburst")  # what a stamped record begins with
_MUST_BE = {
    "int_type": "an integer",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a JSON object",
    "mapping_type": "a JSON object",
    "dataclass_type": "a JSON object",
    "none_required": "null",
}


def to_json(record: Any) -> Any:
    """Return a record's JSON values.

    A dataclass with a class attribute `FORMAT` is stamped with it and the version of kerasburst, at every depth. One
    whose JSON is not its fields has a method `to_json`.

    Args:
        record: a dataclass, or what one may hold.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Point:
        ...     x: float
        ...     names: tuple[str, ...] = ()
        >>> to_json(Point(1.0, ("a", "b")))
        {'x': 1.0, 'names': ['a', 'b']}
    """
    if hasattr(record, "to_json"):
        return record.to_json()
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        fields = {field.name: to_json(getattr(record, field.name)) for field in dataclasses.fields(record)}
        number = getattr(record, "FORMAT", None)
        return fields if number is None else {"format": number, "kerasburst": __version__, **fields}
    if isinstance(record, Mapping):
        return {name: to_json(value) for name, value in record.items()}
    return [to_json(value) for value in record] if isinstance(record, list | tuple) else record


def from_json(cls: type[T], value: object, source: str = "config") -> T:
    """Build a record from its JSON values.

    Args:
        cls: the dataclass. With a class attribute `WHAT` ("an audit"), something else is refused as a whole.
        value: as `to_json` returns it; fields with a default may be absent.
        source: where it comes from, as errors name it: a file, or a file and a field.

    Raises:
        InputError: for another format, an unknown or missing field, or a value of another type or out of range.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Point:
        ...     x: float
        >>> from_json(Point, {"x": "one"}, "point.json")
        Traceback (most recent call last):
        kerasburst.validation.InputError: point.json: x must be a number, received 'one'
    """
    kind: Any = cls
    if hasattr(kind, "WHAT") and not _resembles(kind, value):
        raise InputError(f"{source} must be {kind.WHAT}'s config of format {kind.FORMAT}, it is not")
    if not isinstance(value, Mapping):
        raise fail(source, "a JSON object", value)
    import pydantic  # its 30 ms are for those alone who read

    bare = _bare(kind, value, source)
    try:
        return _adapter(kind).validate_json(json.dumps(bare), strict=True)
    except pydantic.ValidationError as error:
        raise InputError(f"{source}: {_line(dict(error.errors()[0]))}") from None


def load(cls: type[T], path: str | Path) -> T:
    """Read a record from a file; see `from_json`.

    Raises:
        InputError: where the file cannot be read, or holds something else.
    """
    return from_json(cls, files.read_json(path), str(path))


@functools.cache
def _adapter(cls: Any) -> Any:
    import pydantic

    return pydantic.TypeAdapter(cls)


@functools.cache
def _parts(cls: Any) -> dict[str, Any]:
    """Return each field's dataclass, if it is one, by its name."""
    hints = typing.get_type_hints(cls)
    parts: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        choices = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        parts[field.name] = next((choice for choice in choices if dataclasses.is_dataclass(choice)), None)
    return parts


def _bare(cls: Any, value: Mapping, source: str) -> dict:
    """Return the fields of a record without its stamp, which is checked; so are the fields' names, at every depth."""
    stamped = hasattr(cls, "FORMAT")
    if stamped and value.get("format") != cls.FORMAT:
        raise InputError(
            f"{source} must be of format {cls.FORMAT}, which kerasburst {__version__} writes, received "
            f"{shown(value.get('format'))} by kerasburst {value.get('kerasburst', 'unknown')}"
        )
    parts, bare = _parts(cls), {}
    for name, inner in value.items():
        if stamped and name in _HEAD:
            continue
        if name not in parts:
            raise InputError(f"{source}.{name} is unknown: {source} has {', '.join(parts)}" + suggestion(name, parts))
        part = parts[name]
        nested = part is not None and isinstance(inner, Mapping)
        bare[name] = _bare(part, inner, f"{source}: {name}") if nested else inner
    return bare


def _resembles(cls: Any, value: object) -> bool:
    """Return whether a value has the format and the fields of a record, whatever they hold."""
    if not isinstance(value, Mapping) or value.get("format") != cls.FORMAT:
        return False
    needed = {
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    return needed <= set(value) and set(value) <= {*_HEAD, *_parts(cls)}


def _line(error: dict) -> str:
    """Return what is wrong with which field, as one line."""
    if error["type"] == "value_error":
        where = "".join(f"{part}: " for part in error["loc"])
        return where + str(error["ctx"]["error"])
    place = ".".join(str(part) for part in error["loc"] if not _is_branch(part)) or "it"
    if error["type"] == "missing":
        return f"{place} is missing"
    allowed = _MUST_BE.get(error["type"], error["msg"].lower().removeprefix("input should be "))
    return f"{place} must be {allowed}, received {shown(error['input'])}"


def _is_branch(part: object) -> bool:
    """Return whether a part of a place names a type of a union, not a field."""
    return isinstance(part, str) and ("[" in part or part in ("int", "float", "str", "bool"))
