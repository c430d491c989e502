"""`Work`: a command's tasks and what becomes of them, so that several commands' can share one fleet."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kerasburst.fleet.observer import FleetObserver
from kerasburst.fleet.run import run_fleet
from kerasburst.fleet.task import Task


@dataclasses.dataclass(frozen=True)
class Work:
    """What a command has planned: its directory is written, its tasks wait for a fleet.

    Args:
        tasks: to run, in any order.
        is_done: tells whether a task's result is there.
        finish: reads what the tasks have written, writes the command's result, and gives it; called when all is done.

    Example:
        >>> Work((), is_done=lambda task: True, finish=lambda: "nothing").finish()
        'nothing'
    """

    tasks: tuple[Task, ...]
    is_done: Callable[[Task], bool]
    finish: Callable[[], Any]


def run_works(
    works: Mapping[str, Work],
    *,
    log_dir: str | Path,
    jobs: int | None = None,
    backend: str = "loky",
    observer: FleetObserver | None = None,
) -> dict[str, Any]:
    """Run several works' tasks as one fleet, then finish them one by one. What one refuses does not end the others.

    Args:
        works: by name; a task is called NAME/TASK in the progress and in its log's path.
        log_dir: as for `run_fleet`; so are jobs, backend and observer.
        jobs: likewise.
        backend: likewise.
        observer: likewise.

    Returns:
        What each work's `finish` gave, by name.

    Raises:
        InputError: for bad arguments.
        FleetFailed: where tasks failed or were refused; no work is finished then, and all that was done stays done.
        ClusterLost: likewise, where a Dask cluster is there no more.

    Example:
        >>> run_works({"a": Work((), lambda task: True, lambda: 1)}, log_dir="logs")
        {'a': 1}
    """
    owner = {f"{name}/{task.name}": (work, task) for name, work in works.items() for task in work.tasks}

    def is_done(task: Task) -> bool:
        work, own = owner[task.name]
        return work.is_done(own)

    tasks = [Task(name, task.function, task.arguments) for name, (_, task) in owner.items()]
    around = {"log_dir": log_dir, "jobs": jobs, "backend": backend, "observer": observer}
    run_fleet(tasks, is_done=is_done, refusal_ends_all=False, **around)
    return {name: work.finish() for name, work in works.items()}
