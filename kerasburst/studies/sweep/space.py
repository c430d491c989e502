"""What a sweep varies: parameters with their values, and the points of a grid or a random search."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasburst import files
from kerasburst.seeding import derive_seed
from kerasburst.validation import InputError, fail

SCOPES = ("encoder", "neuron", "model", "train")
TRAIN_NAMES = ("num_steps", "epochs", "batch_size", "learning_rate", "train_limit")
MOST_POINTS = 10_000
_MOST_VALUES = 1000
_DRAWS = 100  # for each point that a random search wants, at most
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER})(?::({_NUMBER}|log))?")
_FORM = "SCOPE.NAME=VALUES, such as encoder.burst_interval=2,5,10 or encoder.mean_burst_size=1:6"


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of a sweep.

    Args:
        scope: "encoder", "neuron", "model" or "train".
        name: of the parameter there.
        values: it takes; empty for any number from `low` to `high`.
        low: lower end of a range without steps; else None.
        high: its upper end; else None.
        log: whether a search draws on a logarithmic scale, from numbers above 0.

    Raises:
        InputError: for an unknown scope, a `train` name that a sweep does not vary, or no values.
    """

    scope: str
    name: str
    values: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False

    def __post_init__(self):
        """Check everything that needs no network."""
        if self.scope not in SCOPES or not isinstance(self.name, str) or not self.name:
            raise fail("--param", _FORM + f", SCOPE one of {', '.join(SCOPES)}", self.label)
        if self.scope == "train" and self.name not in TRAIN_NAMES:
            raise fail("--param train", f"one of {', '.join(TRAIN_NAMES)}", self.name)
        # What came out of JSON is a list; what is compared is a tuple.
        object.__setattr__(self, "values", tuple(self.values))
        if bool(self.values) == (self.low is not None):
            raise InputError(f"--param {self.label} must have values, or a range; received {list(self.values)}")
        if len(self.values) > _MOST_VALUES:
            raise fail(f"--param {self.label}", f"at most {_MOST_VALUES} values", len(self.values))
        if any(value in self.values[:i] for i, value in enumerate(self.values)):
            raise fail(f"--param {self.label}", "values that differ", list(self.values))
        if self.low is not None and not self.low < self.high:
            raise InputError(f"--param {self.label} must run upwards, received {self.low:g}:{self.high:g}")
        if self.log and not min(self.values or (self.low,)) > 0:
            raise fail(f"--param {self.label}", "above 0 on a logarithmic scale", min(self.values or (self.low,)))

    @property
    def label(self) -> str:
        """Scope and name."""
        return f"{self.scope}.{self.name}"


def parse_parameter(text: str) -> Parameter:
    """Read SCOPE.NAME=VALUES: a list with commas, `low:high`, `low:high:step` or `low:high:log`, both ends included.

    `low:high` runs over the whole numbers where both ends are whole, and means any number between them otherwise, which
    is for a search. With `log` a search draws on a logarithmic scale.

    Raises:
        InputError: for anything else.

    Example:
        >>> parse_parameter("encoder.burst_interval=2,5,10").values, parse_parameter("encoder.margin=1:4").values
        ((2, 5, 10), (1, 2, 3, 4))
        >>> parse_parameter("neuron.beta=0.8:0.95:0.05").values, parse_parameter("train.learning_rate=1e-4:1e-2").high
        ((0.8, 0.85, 0.9, 0.95), 0.01)
        >>> parse_parameter("encoder.mean_burst_size=1.0:20:log").log
        True
    """
    target, equals, value = text.partition("=")
    scope, dot, name = target.strip().partition(".")
    value = value.strip()
    if not (equals and dot and name and value):
        raise fail("--param", _FORM, text)
    match = _RANGE.fullmatch(value)
    if match is None:
        return Parameter(scope, name, _listed(value))
    log = match[3] == "log"
    parts = match.groups()[: 2 if log else 3]
    low, high, step = (*(None if part is None else _number(part) for part in parts), *([None] if log else []))
    if not all(math.isfinite(float(part)) for part in parts if part is not None):
        raise fail(f"--param {scope}.{name}", "a range of finite numbers", value)
    if step is None and not (isinstance(low, int) and isinstance(high, int)):
        return Parameter(scope, name, low=float(low), high=float(high), log=log)
    step = 1 if step is None else step
    if step <= 0 or high < low:
        raise InputError(f"--param {scope}.{name} must run upwards, received {value}")
    count = math.floor((high - low) / step + 1e-9) + 1
    if count > _MOST_VALUES:
        raise fail(f"--param {scope}.{name}", f"at most {_MOST_VALUES} values", count)
    whole = isinstance(low, int) and isinstance(step, int)
    values = tuple(low + i * step if whole else float(f"{low + i * step:.12g}") for i in range(count))
    return Parameter(scope, name, values, log=log)


def grid(parameters: Sequence[Parameter]) -> list[tuple]:
    """Return every combination of values; the last parameter's change fastest.

    Raises:
        InputError: for a range without steps, or too many points.

    Example:
        >>> grid([Parameter("encoder", "margin", (1, 2)), Parameter("neuron", "beta", (0.9,))])
        [(1, 0.9), (2, 0.9)]
    """
    for parameter in parameters:
        if parameter.log:
            raise fail(f"--param {parameter.label}", "without log in a grid", "log")
        if not parameter.values:
            raise InputError(
                f"--param {parameter.label} must have steps in a grid, received {parameter.low:g}:{parameter.high:g}; "
                f"{parameter.low:g}:{parameter.high:g}:STEP, or --search random"
            )
    count = math.prod(len(parameter.values) for parameter in parameters)
    if count > MOST_POINTS:
        raise fail("--param", f"a grid of at most {MOST_POINTS:,} points, or --search random", f"{count:,} points")
    return list(itertools.product(*(parameter.values for parameter in parameters)))


def sample(parameters: Sequence[Parameter], samples: int, seed: int) -> list[tuple]:
    """Draw points at random: each value as likely as another, no point twice.

    Args:
        parameters: at least one.
        samples: how many; fewer where there are not more, or a range is so narrow that they are hardly to be found.
        seed: of the draws.

    Example:
        >>> points = sample([Parameter("encoder", "margin", (1, 2, 3))], 2, seed=0)
        >>> len(set(points)), len(sample([Parameter("encoder", "margin", (1, 2, 3))], 9, seed=0))
        (2, 3)
    """
    rng = np.random.default_rng(derive_seed(seed, "sweep"))
    sizes = [len(parameter.values) for parameter in parameters]
    points: dict[str, tuple] = {}
    most = samples if 0 in sizes else min(samples, math.prod(sizes))
    for _ in range(_DRAWS * most):
        if len(points) == most:
            break
        point = tuple(_draw(parameter, rng) for parameter in parameters)
        points.setdefault(json.dumps(point), point)
    return list(points.values())


def _draw(parameter: Parameter, rng: np.random.Generator) -> Any:
    if parameter.log:
        low, high = (parameter.values[0], parameter.values[-1]) if parameter.values else (parameter.low, parameter.high)
        value = low * (high / low) ** rng.random()
        return round(value) if parameter.values else float(f"{value:.6g}")
    if parameter.values:
        return parameter.values[rng.integers(len(parameter.values))]
    return float(f"{rng.uniform(parameter.low, parameter.high):.6g}")


def _listed(text: str) -> tuple:
    try:
        return tuple(files.parse_json(f"[{text}]", "--param"))
    except InputError:
        return tuple(_word(part.strip()) for part in text.split(","))


def _word(text: str) -> Any:
    return _number(text) if re.fullmatch(_NUMBER, text) else files.parse_word(text)


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
