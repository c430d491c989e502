"""A fleet's task, how an attempt at it ended, and what an observer is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
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


REFUSAL = "InputError: "  # how the last line of a task starts that found its input bad


@dataclass(frozen=True)
class Outcome:
    """How one attempt at a task ended.

    Args:
        name: the task's.
        log: path of what it printed.
        seconds: how long it took.
        reason: why it failed: exit status or signal; empty where it did not.
        tail: the last lines of its log, where it failed.
        refusal: the line of an `InputError`, which no retry mends; empty otherwise.
        lost: whether it was lost with its worker, which may be no fault of its own.
    """

    name: str
    log: str
    seconds: float
    reason: str = ""
    tail: str = ""
    refusal: str = ""
    lost: bool = False

    @property
    def told(self) -> str:
        """How it ended for good, as a sentence's end."""
        if self.refusal:
            return f"was refused: {self.refusal}"
        return f"{'was given up' if self.lost else 'failed twice'}: {self.reason}"


class FleetFailed(RuntimeError):
    """Tasks failed twice, lost their worker three times, or were refused where that does not end the others.

    All others are done, unless nothing but workers was lost for so long that the rest was not tried.

    Args:
        failures: the last failure of each.

    Example:
        >>> print(FleetFailed([Outcome("shadow-2", "logs/shadow-2.log", 3.1, "killed by SIGKILL", "epoch 4")]))
        shadow-2 failed twice: killed by SIGKILL; its log logs/shadow-2.log ends with
            epoch 4
    """

    def __init__(self, failures: Iterable[Outcome]):
        self.failures = list(failures)
        super().__init__("\n".join(_told(outcome) for outcome in self.failures))

    def __reduce__(self):
        return type(self), (self.failures,)


class ClusterLost(RuntimeError):
    """A cluster is there no more, and with it what its workers did.

    Args:
        reason: what the cluster's package says of it.

    Example:
        >>> print(ClusterLost("Scheduler closed"))
        the cluster was lost: Scheduler closed; what was done before stays done, --resume goes on from there
    """

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(
            f"the cluster was lost: {reason}; what was done before stays done, --resume goes on from there"
        )

    def __reduce__(self):
        return type(self), (self.reason,)


def _told(outcome: Outcome) -> str:
    if outcome.refusal:
        return f"{outcome.name} {outcome.told}"
    text = f"{outcome.name} {outcome.told}; its log {outcome.log} "
    if not outcome.tail:
        return text + "is empty"
    return text + "ends with\n" + "\n".join(f"    {line}" for line in outcome.tail.splitlines())


class FleetObserver:
    """Receives a fleet's progress, in the calling thread; every method does nothing unless overridden.

    Example:
        >>> class Names(FleetObserver):
        ...     def task_finished(self, name, seconds):
        ...         print(name)
        >>> Names().task_finished("shadow-0", 1.5)
        shadow-0
    """

    def start(self, total: int, done: int) -> None:
        """The fleet begins: `done` of its `total` tasks were done before."""

    def task_started(self, name: str) -> None:
        """A task was given to a free worker; once more if it is retried."""

    def task_finished(self, name: str, seconds: float) -> None:
        """A task is done, `seconds` after it began."""

    def task_retried(self, name: str, reason: str) -> None:
        """A running task failed, or was lost with its worker, and will start again."""

    def task_failed(self, name: str, reason: str) -> None:
        """A task failed for good; `reason` says how: "failed twice: killed by SIGKILL", "was refused: ..."."""

    def close(self) -> None:
        """The fleet has ended, or was interrupted."""
