"""Run several studies and trainings as one fleet, and finish each as soon as its last task is done."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from kerasburst.study.fleet import check_fleet, run_fleet
from kerasburst.study.study import Study
from kerasburst.study.task import FleetFailed, FleetObserver, Outcome, Task
from kerasburst.validation import InputError


class Part(Protocol):
    """Something that has begun and waits for a fleet: a `Study`, a training, or a finished result."""

    def tasks(self) -> Sequence[Task]:
        """Return its tasks."""

    def is_done(self, task: Task) -> bool:
        """Return whether a task's result is there."""

    def finish(self) -> Any:
        """Read what the tasks wrote, write the result, and return it."""


@dataclasses.dataclass(frozen=True)
class Done:
    """A part whose result is there.

    Args:
        result: what `finish` returns.
    """

    result: Any

    def tasks(self) -> Sequence[Task]:
        """Return no tasks."""
        return ()

    def is_done(self, task: Task) -> bool:
        """Return True."""
        return True

    def finish(self) -> Any:
        """Return the result."""
        return self.result


@dataclasses.dataclass(frozen=True)
class Ended:
    """How parts ended.

    Args:
        results: what `finish` returned, by name.
        failed: why a part could not be finished, by name: a task failed for good, or its result was refused.
        error: of the tasks that failed without being refused, with the ends of their logs.
    """

    results: dict[str, Any]
    failed: dict[str, str]
    error: FleetFailed | None = None


def run_parts(
    parts: Mapping[str, Part],
    *,
    log_dir: str | Path,
    jobs: int | None = None,
    backend: str = "loky",
    observer: FleetObserver | None = None,
    finished: Callable[[str], None] = lambda name: None,
) -> Ended:
    """Run the tasks of all parts as one fleet; finish each part when its last task is done.

    Finished parts keep their results when the fleet is stopped later. A task is called PART/TASK in the progress and in
    the path of its log.

    Args:
        parts: by name.
        log_dir: as for `run_fleet`.
        jobs: as for `run_fleet`.
        backend: as for `run_fleet`.
        observer: as for `run_fleet`.
        finished: receives the name of each part that has ended, well or not.

    Returns:
        The results, and the parts that have none: tasks that fail twice take nothing else with them.

    Raises:
        InputError: for bad arguments.
        ClusterLost: where a Dask cluster is gone.

    Example:
        >>> run_parts({"a": Done(1)}, log_dir="logs").results
        {'a': 1}
    """
    ending = _Ending(parts, FleetObserver() if observer is None else observer, finished)
    error = None
    try:
        run_fleet(
            ending.tasks,
            is_done=ending.is_done,
            log_dir=log_dir,
            jobs=jobs,
            backend=backend,
            observer=ending,
            refusal_ends_all=False,
        )
    except FleetFailed as caught:
        for failure in caught.failures:
            ending.failed.setdefault(ending.owner[failure.name][0], f"{failure.name} {failure.told}")
        broken = [failure for failure in caught.failures if not failure.refusal]
        error = FleetFailed(broken) if broken else None
    return Ended(ending.results, ending.failed, error)


class Collection(Study):
    """A study made of parts, which are studies and trainings with directories of their own and share one fleet.

    A part that cannot be begun or finished ends no other: `failed` has the reason, `results` what the others returned.
    """

    def __init__(self, config: Any, out: str | Path):
        super().__init__(config, out)
        self.results: dict[str, Any] = {}
        self.failed: dict[str, str] = {}

    @abstractmethod
    def parts(self) -> Iterator[tuple[str, Callable[[], Part]]]:
        """Yield each part's name, which is the path of its directory in `out`, and a function that begins it."""

    def rounds(self) -> Iterator[Iterable[tuple[str, Callable[[], Part]]]]:
        """Yield the parts that share a fleet; a round is asked for when the one before has ended."""
        yield self.parts()

    def part_finished(self, name: str) -> None:  # noqa: B027
        """Note that a part has ended, well or not."""

    def run_others(self) -> None:  # noqa: B027
        """Run what cannot share the fleet."""

    def tasks(self) -> Sequence[Task]:
        """Return no tasks of its own."""
        return ()

    def is_done(self, task: Task) -> bool:
        """Return True, as there are no tasks of its own."""
        return True

    def run(
        self,
        *,
        resume: bool = False,
        force: bool = False,
        jobs: int | None = None,
        backend: str = "loky",
        observer: FleetObserver | None = None,
    ) -> tuple[Any, FleetFailed | None]:
        """Begin, run the parts' tasks on one fleet, and finish; see `Study.run`.

        Returns:
            The result, and the fleet's error where tasks failed.
        """
        check_fleet(jobs, backend)
        self.begin(resume=resume, force=force)
        around: dict[str, Any] = {"log_dir": self.out / "logs", "jobs": jobs, "backend": backend, "observer": observer}
        failures: list[Outcome] = []
        for parts in self.rounds():
            begun: dict[str, Part] = {}
            for name, begin in parts:
                try:
                    begun[name] = begin()
                except InputError as error:  # what only the data can tell
                    self.failed[name] = str(error)
            ended = run_parts(begun, finished=self.part_finished, **around)
            self.results |= ended.results
            self.failed |= ended.failed
            failures += [] if ended.error is None else ended.error.failures
        self.run_others()
        return self.finish(), FleetFailed(failures) if failures else None


class _Ending(FleetObserver):
    """Count each part's tasks, finish the part after the last one, and pass the progress on."""

    def __init__(self, parts: Mapping[str, Part], observer: FleetObserver, finished: Callable[[str], None]):
        self.results: dict[str, Any] = {}
        self.failed: dict[str, str] = {}
        self.owner = {f"{name}/{task.name}": (name, task) for name, part in parts.items() for task in part.tasks()}
        self.tasks = [Task(full, task.function, task.arguments) for full, (_, task) in self.owner.items()]
        self._parts, self._observer, self._finished = parts, observer, finished
        self._done: set[str] = set()  # full names of tasks
        self._left = dict.fromkeys(parts, 0)
        for name, _ in self.owner.values():
            self._left[name] += 1

    def is_done(self, task: Task) -> bool:
        name, own = self.owner[task.name]
        if task.name not in self._done and self._parts[name].is_done(own):
            self._done.add(task.name)
            self._left[name] -= 1
        return task.name in self._done

    def _finish_those_done(self) -> None:
        for name in [name for name, left in self._left.items() if left == 0]:
            del self._left[name]
            try:
                self.results[name] = self._parts[name].finish()
            except InputError as error:
                self.failed[name] = str(error)
            self._finished(name)

    def start(self, total, done):
        self._observer.start(total, done)
        self._finish_those_done()

    def task_finished(self, name, seconds):
        self._observer.task_finished(name, seconds)
        self._finish_those_done()

    def task_started(self, name):
        self._observer.task_started(name)

    def task_retried(self, name, reason):
        self._observer.task_retried(name, reason)

    def task_failed(self, name, reason):
        self._observer.task_failed(name, reason)

    def close(self):
        self._observer.close()
