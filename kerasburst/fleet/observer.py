"""What a fleet tells while it runs."""

from __future__ import annotations


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
