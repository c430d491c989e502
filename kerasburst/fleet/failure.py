"""How an attempt at a task ended, and what is said of those that failed twice, were given up or were refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
