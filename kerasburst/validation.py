"""One error style: which argument, what is allowed, what came.

Everything a user can get wrong raises `InputError`, a `ValueError`; the command line turns it into
one line and exit code 2. An error of any other type is a defect of kerasburst or of the machine, and
is not dressed up as the user's.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import inspect
import json
import math
import numbers
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

LARGEST = 2**31 - 1  # what the libraries underneath take for a size or a number of times
MOST = 10_000  # models of a study, and answers of each to an example
ROUNDING = 1e-6  # how far beyond its range a value may lie that rounding brought there; it counts as the range's end
BACKENDS = {  # of Keras, and how to install the package of each
    "tensorflow": "pip install tensorflow",
    "jax": "pip install 'kerasburst[jax]'",
    "torch": "pip install 'kerasburst[torch]'",
}


class InputError(ValueError):
    """Bad input: the message names the argument, the allowed range and the value received."""

    _keras_call_info_injected = True  # Keras puts no description of a layer's call around the line


def fail(argument: str, allowed: str, received: object) -> InputError:
    """Build the error for an `argument` that should be `allowed` but was `received`."""
    return InputError(f"{argument} must be {allowed}, received {shown(received)}")


def shown(value: object) -> str:
    """Return `value` as it appears in an error: its repr on one line, shortened past 80 characters."""
    try:
        return one_line(repr(value), 80)
    except ValueError:  # Python does not write out an integer of more than 4,300 digits
        return "a number without end"


def one_line(error: object, most: int | None = 160) -> str:
    """Return the text of an error on one line, shortened past `most` characters; without text, the error's type.

    Example:
        >>> one_line(OSError("no  space")), one_line(EOFError()), one_line("abcdef", most=5)
        ('no space', 'EOFError', 'ab...')
    """
    text = visible(" ".join(str(error).split())) or type(error).__name__
    return text if most is None or len(text) <= most else text[: most - 3] + "..."


def visible(value: Any) -> Any:
    r"""Return a text with what cannot be printed escaped: control characters, turned writing, undecodable bytes.

    Names of data, classes and files pass through it once, where they enter a terminal, a picture or a page.

    Args:
        value: a text; or a JSON value, of which every text is returned so.

    Example:
        >>> print(visible("a\x1b[1m\n\u202eb\udcff"), visible({"na\tme": ["é", 1]}))
        a\x1b[1m\n\u202eb\xff {'na\\tme': ['é', 1]}
    """
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "".join(c if c.isprintable() else _escaped(c) for c in value)
    if isinstance(value, Mapping):
        return {visible(name): visible(each) for name, each in value.items()}
    return [visible(each) for each in value] if isinstance(value, list | tuple) else value


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file's name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def check_int(argument: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """Return `value` as an int within [low, high]; a bool or a fraction is refused."""
    allowed = "an integer" + _bounds(low, high)
    whole = isinstance(value, numbers.Integral) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole:
        raise fail(argument, allowed, value)
    number = int(value)  # type: ignore[call-overload]
    if (low is not None and number < low) or (high is not None and number > high):
        raise fail(argument, allowed, number)
    return number


def check_sizes(argument: str, value: object) -> tuple[int, ...]:
    """Return one integer from 1, or a list or tuple of them, as a tuple.

    Example:
        >>> check_sizes("hidden_units", 64), check_sizes("hidden_units", [64, 32])
        ((64,), (64, 32))
    """
    sizes = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(check_int(argument, size, low=1, high=LARGEST) for size in sizes)


def check_float(
    argument: str,
    value: object,
    low: float | None = None,
    high: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return `value` as a finite float with low <= value <= high, value > above, value < below."""
    bounds = [
        "" if above is None else f" above {above:g}",
        _bounds(low, high),
        "" if below is None else f" below {below:g}",
    ]
    allowed = "a finite number" + " and".join(filter(None, bounds))
    number = _as_float(value)
    if not math.isfinite(number):
        raise fail(argument, allowed, value)
    value = number
    if (
        (low is not None and value < low)
        or (high is not None and value > high)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    ):
        raise fail(argument, allowed, value)
    return value


def _as_float(value: object) -> float:
    """Return a real number as a float; anything else, and what no float can hold, as NaN."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def check_bool(argument: str, value: object) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, bool):
        raise fail(argument, "true or false", value)
    return value


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number; a truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_dense(argument: str, x: object) -> None:
    """Raise for a ragged or a sparse tensor, of which Keras' own errors do not say what is wrong."""
    kind = type(x).__name__
    if kind == "RaggedTensor" or getattr(x, "ragged", False) is True:
        raise fail(argument, "a dense tensor; pad with x.to_tensor() and give a mask", "a ragged tensor")
    if kind in ("SparseTensor", "BCOO") or getattr(x, "sparse", False) is True:
        raise fail(argument, "a dense tensor", "a sparse tensor")


def check_choice(argument: str, value: object, choices: Iterable[str]) -> str:
    """Return `value` if it is one of `choices`; the error suggests the nearest one."""
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        near, elsewhere = suggestion(value, known), getattr(choices, "elsewhere", "")
        more = f"{near} {elsewhere}" if near else f"; {elsewhere}"
        raise InputError(
            f"{argument} must be one of {', '.join(known)}, received {shown(value)}" + (more if elsewhere else near)
        )
    return value


def check_choices(argument: str, values: object, choices: Iterable[str]) -> tuple[str, ...]:
    """Return a list's `values` as a tuple if they are one or more of `choices`, each once."""
    if not isinstance(values, tuple | list):
        raise fail(f"{argument}s", "a list of names", values)
    names = tuple(check_choice(argument, name, choices) for name in values)
    if not names or len(set(names)) < len(names):
        raise fail(argument, "one or more names, each once", names)
    return names


def check_backend() -> str:
    """Return the backend that Keras uses or would use: `KERAS_BACKEND`, else Keras' own settings file.

    It imports neither Keras nor the backend.

    Raises:
        InputError: for a backend that kerasburst does not run on, or whose package is not installed.
    """
    argument, backend = "KERAS_BACKEND", os.environ.get("KERAS_BACKEND")
    if not backend:
        path = Path(os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser()) / "keras.json"
        argument = f"backend in {path}"
        try:
            backend = json.loads(path.read_text()).get("backend", "tensorflow")
        except (OSError, ValueError, AttributeError):  # Keras itself then uses its default
            backend = "tensorflow"
    return check_installed(argument, backend)


def check_installed(argument: str, backend: object) -> str:
    """Return `backend` if it is one of Keras' that kerasburst runs on and is installed.

    Raises:
        InputError: for another, or with the line that installs it.
    """
    name = check_choice(argument, backend, BACKENDS)
    if importlib.util.find_spec(name) is None:
        raise InputError(f"{argument} is {name}, which is not installed: {BACKENDS[name]}")
    return name


def path_text(argument: str, value: object, allowed: str = "a path") -> str:
    """Return a path as text, as configs keep it; a `pathlib.Path` is one, too.

    Example:
        >>> path_text("run", Path("runs/digits"))
        'runs/digits'
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text:
        raise fail(argument, allowed, value)
    return text


def user_path(argument: str, value: object) -> Path:
    """Return a path as the user meant it, with ~ expanded.

    Raises:
        InputError: where no file can have that path.
    """
    path = Path(os.path.expanduser(path_text(argument, value)))
    problem: object = ""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            problem = "a link to nothing"
        elif path.parts[0].startswith("~"):
            problem = "no user of that name"
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or error  # the path is said already
    if problem:
        raise InputError(f"{argument} must be a usable path, received {shown(str(path))}: {problem}")
    return path


def suggestion(value: object, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for the known word nearest to `value`, or nothing."""
    near = difflib.get_close_matches(str(value), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


@contextlib.contextmanager
def known_keywords(layer: object) -> Iterator[None]:
    """Name the nearest of a layer's own arguments where the body, Keras' constructor, refuses a keyword as unknown.

    Raises:
        InputError: for such a keyword.
    """
    try:
        yield
    except ValueError as error:
        found = re.match(r"Unrecognized keyword arguments passed to \w+: \{'(\w+)'", str(error))
        if found is None:
            raise
        others = ("keras", "abc", "builtins")
        classes = [cls for cls in type(layer).__mro__ if cls.__module__.split(".")[0] not in others]
        names = {name for cls in classes if "__init__" in vars(cls) for name in inspect.signature(cls).parameters}
        near = suggestion(found[1], sorted(names - {"args", "kwargs"}))
        raise InputError(f"{found[1]} is no argument of {type(layer).__name__}{near}") from None


def _bounds(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low:.10g} to {high:.10g}"
    if low is not None:
        return f" of at least {low:g}"
    if high is not None:
        return f" of at most {high:g}"
    return ""


def fits(shape: Any, expected: Any) -> bool:
    """Return whether two shapes may be the same, where None is any size.

    Example:
        >>> fits((2, None), (2, 3)), fits((1, 3), (2, 3))
        (True, False)
    """
    if getattr(shape, "rank", 0) is None:
        return True
    return len(shape) == len(expected) and all(
        a is None or b is None or a == b for a, b in zip(shape, expected, strict=True)
    )
