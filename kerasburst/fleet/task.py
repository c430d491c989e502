"""One piece of a fleet's work."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from kerasburst.validation import InputError, fail

_NAME = re.compile(r"\w[\w.+-]*(/\w[\w.+-]*)*", re.ASCII)
_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


@dataclass(frozen=True)
class Task:
    """A function to call in a process of its own, which saves its result itself and atomically.

    Args:
        name: what the task is called in progress, errors and its log's path: letters, digits, `_.+-`, and / between
            folders.
        function: "package.module:function", importable where this process can import it.
        arguments: its keyword arguments, as JSON values.

    Raises:
        InputError: for a name that is no path of a log, a function not so named, or arguments that JSON changes.

    Example:
        >>> Task("rate/shadow-2", "time:sleep", {"secs": 1}).name
        'rate/shadow-2'
    """

    name: str
    function: str
    arguments: dict

    def __post_init__(self):
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise fail("name", "letters, digits and _.+- with / between folders", self.name)
        if not isinstance(self.function, str) or not _FUNCTION.fullmatch(self.function):
            raise fail("function", "package.module:function", self.function)
        if not isinstance(self.arguments, dict) or not _is_json(self.arguments):
            raise InputError(f"arguments of {self.name} must be a dictionary of JSON values, received {self.arguments}")


def _is_json(value: object) -> bool:
    try:
        return json.loads(json.dumps(value)) == value
    except (TypeError, ValueError, RecursionError):
        return False
