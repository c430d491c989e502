"""Run many works as one fleet, and finish each as soon as its last task is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kerasburst.fleet import FleetFailed, FleetObserver, Task, Work, run_works
from kerasburst.validation import InputError


@dataclasses.dataclass(frozen=True)
class Ended:
    """What became of works.

    Args:
        results: what `finish` gave, by name.
        failed: why a work could not be finished, by name: a task failed for good, or what it wrote was refused.
        error: of the tasks that failed and were not refused: of them their logs tell more.
    """

    results: dict[str, Any]
    failed: dict[str, str]
    error: FleetFailed | None = None


def run_and_finish(
    works: Mapping[str, Work],
    *,
    log_dir: str | Path,
    jobs: int | None = None,
    backend: str = "loky",
    observer: FleetObserver | None = None,
    finished: Callable[[str], None] = lambda name: None,
) -> Ended:
    """Run works as `run_works` does, but finish each when it is done: what is stopped later has its result.

    Args:
        works: by name.
        log_dir: as for `run_works`; so are jobs, backend and observer.
        jobs: likewise.
        backend: likewise.
        observer: likewise.
        finished: is told the name of each work that has ended, well or not.

    Returns:
        The results, and the works that have none: tasks that fail twice take nothing else with them.

    Raises:
        InputError: as `run_works`.
        ClusterLost: likewise.

    Example:
        >>> run_and_finish({"a": Work((), lambda task: True, lambda: 1)}, log_dir="logs").results
        {'a': 1}
    """
    ending = _Finishing(works, FleetObserver() if observer is None else observer, finished)
    error = None
    try:
        run_works(ending.watched, log_dir=log_dir, jobs=jobs, backend=backend, observer=ending)
    except FleetFailed as caught:
        for failure in caught.failures:
            ending.failed.setdefault(ending.owner[failure.name], f"{failure.name} {failure.told}")
        broken = [failure for failure in caught.failures if not failure.refusal]
        error = FleetFailed(broken) if broken else None
    return Ended(ending.results, ending.failed, error)


class _Finishing(FleetObserver):
    """Counts each work's tasks, and finishes it after the last."""

    def __init__(self, works: Mapping[str, Work], observer: FleetObserver, finished: Callable[[str], None]):
        self.results: dict[str, Any] = {}
        self.failed: dict[str, str] = {}
        self.owner = {f"{name}/{task.name}": name for name, work in works.items() for task in work.tasks}
        self._done: set[str] = set()  # names of tasks
        self._works, self._observer, self._finished = works, observer, finished
        self._left = {name: len(work.tasks) for name, work in works.items()}
        # The results are collected here, as they come.
        self.watched = {name: dataclasses.replace(work, is_done=self._asker(name, work), finish=lambda: None)
                        for name, work in works.items()}  # fmt: skip

    def _asker(self, name: str, work: Work) -> Callable[[Task], bool]:
        def is_done(task: Task) -> bool:
            full = f"{name}/{task.name}"
            if full not in self._done and work.is_done(task):
                self._done.add(full)
                self._left[name] -= 1
            return full in self._done

        return is_done

    def _finish_those_done(self) -> None:
        for name in [name for name, left in self._left.items() if left == 0]:
            del self._left[name]
            try:
                self.results[name] = self._works[name].finish()
            except InputError as error:
                self.failed[name] = str(error)
            self._finished(name)

    def start(self, total, done):
        """Finish what was done before."""
        self._observer.start(total, done)
        self._finish_those_done()

    def task_started(self, name):
        """Hand on."""
        self._observer.task_started(name)

    def task_finished(self, name, seconds):
        """Hand on, and finish a work whose last task it was."""
        self._observer.task_finished(name, seconds)
        self._finish_those_done()

    def task_retried(self, name, reason):
        """Hand on."""
        self._observer.task_retried(name, reason)

    def task_failed(self, name, reason):
        """Hand on."""
        self._observer.task_failed(name, reason)

    def close(self):
        """Hand on."""
        self._observer.close()
