"""A fleet's task, the outcome of an attempt at it, and what an observer receives."""

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
    """A function to call in a process of its own; it saves its result itself, atomically.

    Args:
        name: of the task in progress, errors and the path of its log: letters, digits, `_.+-`, and / between folders.
        function: "package.module:function", importable where this process can import it.
        arguments: its keyword arguments, as JSON values.

    Raises:
        InputError: for another name or function, or arguments that JSON changes.

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


REFUSAL = "InputError: "  # start of the last line of a task that refused its input


@dataclass(frozen=True)
class Outcome:
    """The outcome of one attempt at a task.

    Args:
        name: of the task.
        log: path of its output.
        seconds: its duration.
        reason: why it failed: exit status or signal; empty where it did not.
        tail: the last lines of the log of a failed attempt.
        refusal: the line of an `InputError`, which no retry cures; empty otherwise.
        lost: whether it was lost with its worker, perhaps by no fault of its own.
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
        """The final outcome, as the end of a sentence."""
        if self.refusal:
            return f"was refused: {self.refusal}"
        return f"{'was given up' if self.lost else 'failed twice'}: {self.reason}"


class FleetFailed(RuntimeError):
    """Tasks failed twice, lost their worker three times, or were refused without ending the others.

    All others are done, unless so many workers were lost in a row that the rest was not tried.

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
    """A cluster is gone, with the unfinished work of its workers.

    Args:
        reason: the message of the cluster's package.

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
        """The fleet begins; `done` of its `total` tasks were done before."""

    def task_started(self, name: str) -> None:
        """A task was handed to a free worker; called again for a retry."""

    def task_finished(self, name: str, seconds: float) -> None:
        """A task is done, `seconds` after it began."""

    def task_retried(self, name: str, reason: str) -> None:
        """A running task failed, or was lost with its worker, and will start again."""

    def task_failed(self, name: str, reason: str) -> None:
        """A task failed for good; `reason` is "failed twice: killed by SIGKILL", "was refused: ..." or the like."""

    def close(self) -> None:
        """The fleet has ended, or was interrupted."""
