"""Run a fleet: what is missing, side by side, each task at most twice."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from kerasburst import files
from kerasburst.fleet.attempt import Surroundings, attempt, read_tail
from kerasburst.fleet.failure import FleetFailed, Outcome
from kerasburst.fleet.lease import hold_lease
from kerasburst.fleet.observer import FleetObserver
from kerasburst.fleet.pools import BACKENDS, Pool, import_backend, interrupts_wait
from kerasburst.fleet.task import Task
from kerasburst.validation import InputError, check_choice, check_int, fail, user_path

_MOST_BREAKS = 3  # of the whole pool of workers: past these the machine is to blame
_THREADS = (
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
)
_HANDED_ON = ("CUDA_", "KERAS", "TF_", "XLA_")  # settings of this process that a cluster's workers lack


def check_fleet(jobs: int | None, backend: str) -> None:
    """Check what `run_fleet` would refuse, for a caller that writes files before it runs.

    Raises:
        InputError: for `jobs` or `backend` outside their ranges, or a backend whose package is not installed.
    """
    check_choice("backend", backend, BACKENDS)
    if jobs is not None:
        check_int("jobs", jobs, low=1)
    import_backend(backend)


def run_fleet(
    tasks: Iterable[Task],
    *,
    is_done: Callable[[Task], bool],
    log_dir: str | Path,
    jobs: int | None = None,
    backend: str = "loky",
    threads: int | None = None,
    address: str | None = None,
    observer: FleetObserver | None = None,
    refusal_ends_all: bool = True,
) -> None:
    """Run the tasks that are not done, side by side, each in a fresh process of its own.

    A task that fails is run once more after the others. When this process ends, however it ends, its tasks end with
    it; to go on, call this again: what is done stays done. Results do not depend on `jobs`; the last bits of sums can
    depend on `threads`, so fix it where they must be the same on another machine or with other `jobs`.

    Args:
        tasks: what to run; names differ.
        is_done: tells whether a task's result is there; asked in this process, before a task and after it.
        log_dir: where each task's output goes, as NAME.log; one fleet at a time. On a cluster, its machines see it.
        jobs: how many at once, at least 1. Default: as many as there are cores, or tasks.
        backend: "loky" (processes of this machine), "dask" or "ray" (a cluster).
        threads: how many threads TensorFlow and BLAS take in each task, at least 1. Default: cores // jobs.
        address: of the Dask scheduler or Ray cluster. Default: DASK_SCHEDULER_ADDRESS or RAY_ADDRESS; without, a
            `Client` or `ray.init` of this process; without, a cluster of this machine, for the while.
        observer: is told of the progress.
        refusal_ends_all: whether a task's InputError ends the others, too; otherwise that task has failed, at once.

    Raises:
        InputError: for bad arguments, and the first one that a task raised, unless that does not end the others.
        FleetFailed: where tasks failed twice, or were refused; all others are done.

    Example:
        >>> task = Task("shadow-0", "time:sleep", {"secs": 60})
        >>> run_fleet([task], is_done=lambda task: True, log_dir="logs")
    """
    tasks = _checked(tasks)
    check_fleet(jobs, backend)
    jobs = None if jobs is None else int(jobs)
    threads = None if threads is None else check_int("threads", threads, low=1)
    log_dir = user_path("log_dir", log_dir).absolute()
    observer = FleetObserver() if observer is None else observer
    left = [task for task in tasks if not is_done(task)]
    try:
        observer.start(total=len(tasks), done=len(tasks) - len(left))
        if left:
            with files.new_directory("log_dir", log_dir):
                pass
            fleet = _Fleet(left, is_done, observer, refusal_ends_all)
            while fleet.left:
                with BACKENDS[backend](jobs, len(fleet.left), address) as pool, hold_lease(log_dir) as lease:
                    # By all tasks, not by those left: a fleet that goes on computes as one that was never stopped.
                    each = threads or max(1, pool.cores // min(jobs or pool.cores, len(tasks)))
                    fleet.work(
                        pool, Surroundings(lease, str(log_dir), os.getcwd(), tuple(sys.path), _environment(each))
                    )
            if fleet.failures:
                raise FleetFailed(fleet.failures)
    finally:
        observer.close()


class _Fleet:
    """What is left of a fleet's tasks, from one pool of workers to the next.

    Args:
        tasks: those that are not done.
        is_done: tells whether a task's result is there.
        observer: is told of the progress.
        refusal_ends_all: whether a task's InputError ends the others.
    """

    def __init__(
        self, tasks: list[Task], is_done: Callable[[Task], bool], observer: FleetObserver, refusal_ends_all: bool
    ):
        self.left = {task.name: task for task in tasks}
        self.failures: list[Outcome] = []
        self._is_done, self._observer, self._refusal_ends_all = is_done, observer, refusal_ends_all
        self._failed_once: set[str] = set()
        self._breaks = 0

    def work(self, pool: Pool, around: Surroundings) -> None:
        """Run what is left, and once more what fails, until nothing is left or the pool breaks."""
        while self.left:
            running: dict[str, float] = {}  # name: when it began
            try:
                self._round(pool, around, running)
            except pool.broken as error:
                self._breaks += 1
                self._take_back(running, around, f"its worker was lost: {type(error).__name__}")
                return

    def _round(self, pool: Pool, around: Surroundings, running: dict[str, float]) -> None:
        tasks = list(self.left.values())
        waiting = iter(tasks)

        def begin_next() -> None:
            # As many tasks are handed out as can run, in this order: so this is the one that a free worker has now.
            task = next(waiting, None)
            if task is not None:
                running[task.name] = time.perf_counter()
                self._observer.task_started(task.name)

        with _attempts(tasks, pool, around, self._failed_once) as outcomes:
            for _ in range(pool.jobs):
                begin_next()
            for outcome in outcomes:
                if outcome.refusal and self._refusal_ends_all:
                    raise InputError(outcome.refusal)
                running.pop(outcome.name)
                self._settle(outcome)
                begin_next()

    def _settle(self, outcome: Outcome) -> None:
        """Note how an attempt ended."""
        name = outcome.name
        if not outcome.reason and not self._is_done(self.left[name]):
            outcome = dataclasses.replace(
                outcome, reason="it ended, but its result is not there", tail=read_tail(outcome.log)
            )
        if not outcome.reason:
            del self.left[name]
            self._observer.task_finished(name, outcome.seconds)
        elif outcome.refusal or name in self._failed_once:
            del self.left[name]
            self.failures.append(outcome)
            self._observer.task_failed(name, outcome.told)
        else:
            self._failed_once.add(name)
            self._observer.task_retried(name, outcome.reason)

    def _take_back(self, running: dict[str, float], around: Surroundings, reason: str) -> None:
        """Note that a pool broke: what ran in it was not at fault, and starts again."""
        for name, begun in running.items():
            if self._is_done(self.left[name]):
                del self.left[name]
                self._observer.task_finished(name, time.perf_counter() - begun)
            elif self._breaks < _MOST_BREAKS:
                self._observer.task_retried(name, reason)
            else:
                log = around.log(name)
                outcome = Outcome(name, str(log), time.perf_counter() - begun, reason, read_tail(log))
                self.failures.append(outcome)
                self._observer.task_failed(name, outcome.told)
        if self._breaks >= _MOST_BREAKS:
            raise FleetFailed(self.failures)


@contextlib.contextmanager
def _attempts(
    tasks: list[Task], pool: Pool, around: Surroundings, failed_once: set[str]
) -> Iterator[Iterator[Outcome]]:
    """Give the attempts' outcomes as they end; those that have not when the body leaves are ended."""
    import joblib

    calls = (joblib.delayed(attempt)(task, around, task.name in failed_once) for task in tasks)
    with joblib.parallel_config(backend=pool.backend, n_jobs=pool.jobs, **pool.options):
        parallel = joblib.Parallel(return_as="generator_unordered", pre_dispatch=pool.jobs, batch_size=1)
        with interrupts_wait():
            outcomes = parallel(calls)
    try:
        yield outcomes
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib's, that results go unused
            outcomes.close()


def _checked(tasks: Iterable[Task]) -> list[Task]:
    tasks = list(tasks)
    seen = set()
    for task in tasks:
        if not isinstance(task, Task):
            raise fail("tasks", "Task objects", task)
        if task.name in seen:
            raise InputError(f"tasks must have names that differ, received {task.name} twice")
        seen.add(task.name)
    return tasks


def _environment(threads: int) -> dict[str, str]:
    """Give what a task's process has in its environment beside its worker's."""
    handed_on = {name: value for name, value in os.environ.items() if name.startswith(_HANDED_ON)}
    return handed_on | dict.fromkeys(_THREADS, str(threads))
