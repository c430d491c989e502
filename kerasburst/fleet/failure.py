"""How an attempt at a task ended, and what is said of those that failed twice or were refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

REFUSAL = "InputError: "  # how the last line of a task starts that found its input bad
MOST_LOSSES = 3  # of a task with its worker, which may be no fault of its own


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
        lost: whether it ended with its worker, which nobody had asked to end.
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
        return f"failed {f'{MOST_LOSSES} times' if self.lost else 'twice'}: {self.reason}"


class FleetFailed(RuntimeError):
    """Tasks failed twice, or were refused where that does not end the others; all others are done.

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


def _told(outcome: Outcome) -> str:
    if outcome.refusal:
        return f"{outcome.name} {outcome.told}"
    text = f"{outcome.name} {outcome.told}; its log {outcome.log} "
    if not outcome.tail:
        return text + "is empty"
    return text + "ends with\n" + "\n".join(f"    {line}" for line in outcome.tail.splitlines())
