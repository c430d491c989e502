"""Run a fleet: the missing tasks side by side, and once more those that fail."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from pathlib import Path

from kerasburst import files
from kerasburst.process import knows_options, thread_counts
from kerasburst.study.attempt import SAFE_PATH, Surroundings, attempt, read_tail
from kerasburst.study.lease import hold_lease
from kerasburst.study.pools import BACKENDS, Pool, import_backend
from kerasburst.study.task import ClusterLost, FleetFailed, FleetObserver, Outcome, Task
from kerasburst.validation import LARGEST, InputError, check_choice, check_int, fail, one_line, user_path

_MOST_LOSSES = 3  # after as many losses of its worker a task is given up; after as many per job, the fleet
_XLA_OPTIONS = "TF_XLA_FLAGS"
_JAX_KEPT_IN = "JAX_COMPILATION_CACHE_DIR"
_JAX_KEPT = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
_KEPT_IN, _KEPT_OF = "--tf_xla_persistent_cache_directory", "--tf_xla_persistent_cache_device_types=CPU"
_HANDED_ON = ("CUDA_", "KERAS", "TF_", "XLA_", SAFE_PATH)  # settings of this process that a cluster's workers lack


def check_fleet(jobs: int | None, backend: str) -> None:
    """Check what `run_fleet` would refuse, for a caller that writes files before it runs.

    Raises:
        InputError: for `jobs` or `backend` out of range, a backend whose package is not installed, or a system that
            cannot fork.
    """
    if not hasattr(os, "fork"):
        raise InputError("a fleet needs a system that can fork processes, such as Linux or macOS; this one cannot")
    check_choice("backend", backend, BACKENDS)
    if jobs is not None:
        check_int("jobs", jobs, low=1, high=LARGEST)
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

    A task that fails is run once more after the others; one whose worker was lost, up to twice more (a Dask cluster
    that is there tries by itself, as often as its own settings say, before that). When this process ends, however it
    ends, its tasks end with it; call this again to continue: what is done stays done. Results do not depend on `jobs`.
    The last bits of sums can depend on `threads`: fix it for equal bits on another machine or with other `jobs`.

    Args:
        tasks: with names that differ.
        is_done: returns whether a task's result is there; called in this process, before a task and after it.
        log_dir: folder of the tasks' output, NAME.log; one fleet at a time. Machines of a cluster must see it.
        jobs: tasks at once, at least 1. Default: the number of cores, or of tasks if that is less.
        backend: "loky" (processes of this machine), "dask" or "ray" (a cluster).
        threads: of TensorFlow and BLAS in each task, at least 1. Default: cores // jobs.
        address: of the Dask scheduler or Ray cluster. Default: DASK_SCHEDULER_ADDRESS or RAY_ADDRESS, else a `Client`
            or `ray.init` of this process, else a temporary cluster of this machine.
        observer: receives the progress.
        refusal_ends_all: whether a task's InputError ends the others; otherwise that task alone has failed.

    Raises:
        InputError: for bad arguments, and the first one that a task raised, if that ends the others.
        FleetFailed: where tasks failed twice, lost their worker three times, or were refused; all others are done.
            Where nothing but workers was lost, three for each job, not all is tried.
        ClusterLost: where a Dask cluster is gone; what is done stays done.

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
            fleet = _Fleet(is_done, observer, refusal_ends_all)
            compiled: contextlib.AbstractContextManager[dict[str, str]] = contextlib.nullcontext({})
            if backend == "loky" and len(left) > 1:
                compiled = _compiled_once(log_dir / ".compiled")
            with (
                BACKENDS[backend](jobs, len(left), address) as pool,
                hold_lease(log_dir) as lease,
                compiled as shared,
            ):
                # By all tasks, not by those left: a resumed fleet computes as one that was never stopped.
                each = threads or max(1, pool.cores // min(jobs or pool.cores, len(tasks)))
                environment = _environment(each) | shared
                fleet.run(left, pool, Surroundings(lease, str(log_dir), os.getcwd(), tuple(sys.path), environment))
            if fleet.failures:
                raise FleetFailed(fleet.failures)
    finally:
        observer.close()


class _Fleet:
    """The state of a fleet's tasks; its arguments are those of `run_fleet`."""

    def __init__(self, is_done: Callable[[Task], bool], observer: FleetObserver, refusal_ends_all: bool):
        self.failures: list[Outcome] = []
        self._is_done, self._observer, self._refusal_ends_all = is_done, observer, refusal_ends_all
        self._failed_once: set[str] = set()
        self._losses: Counter[str] = Counter()
        self._in_vain = 0  # workers lost since a task last returned

    def run(self, tasks: list[Task], pool: Pool, around: Surroundings) -> None:
        """Run tasks in their order, as many at once as the pool allows; then those to retry, and so on."""
        waiting, again = deque(tasks), []
        running: dict[Future, tuple[Task, float]] = {}  # the task, and when it began
        try:
            while waiting or running:
                while waiting and len(running) < pool.jobs:
                    task = waiting.popleft()
                    self._observer.task_started(task.name)
                    tried = task.name in self._failed_once or task.name in self._losses
                    running[pool.submit(attempt, task, around, tried)] = task, time.perf_counter()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    task, begun = running.pop(future)
                    if self._settle(task, self._outcome(future, task, begun, pool, around)):
                        again.append(task)
                if not waiting and not running:
                    waiting.extend(again)
                    again.clear()
        except CancelledError as error:
            raise ClusterLost(one_line(error, None).rstrip(".")) from None

    def _outcome(self, future: Future, task: Task, begun: float, pool: Pool, around: Surroundings) -> Outcome:
        try:
            outcome = future.result()
        except pool.lost as error:
            name = task.name
            self._losses[name] += 1
            self._in_vain += 1
            times = f" {self._losses[name]} times" if self._losses[name] > 1 else ""
            reason = f"its worker was lost{times}: {type(error).__name__}"
            log = around.log(name)
            outcome = Outcome(name, str(log), time.perf_counter() - begun, reason, read_tail(log), lost=True)
            if self._in_vain >= _MOST_LOSSES * pool.jobs:
                raise FleetFailed([*self.failures, outcome]) from error
        else:
            self._in_vain = 0
        return outcome

    def _settle(self, task: Task, outcome: Outcome) -> bool:
        """Record how an attempt ended; return whether to run the task again."""
        if outcome.refusal and self._refusal_ends_all:
            raise InputError(outcome.refusal)
        name = task.name
        if (outcome.lost or not outcome.reason) and self._is_done(task):
            self._observer.task_finished(name, outcome.seconds)
            return False
        if not outcome.reason:
            outcome = dataclasses.replace(
                outcome, reason="it ended, but its result is not there", tail=read_tail(outcome.log)
            )
        if outcome.lost:
            again = self._losses[name] < _MOST_LOSSES
        else:
            again = not outcome.refusal and name not in self._failed_once
            self._failed_once.add(name)
        if again:
            self._observer.task_retried(name, outcome.reason)
        else:
            self.failures.append(outcome)
            self._observer.task_failed(name, outcome.told)
        return again


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


@contextlib.contextmanager
def _compiled_once(folder: Path) -> Iterator[dict[str, str]]:
    """Yield environment variables that let a fleet's tasks share what XLA compiles; on TensorFlow, for a CPU only.

    Models of one kind need the same code, and compiling it can take longer than training a small model. The code suits
    this machine's processor, so it is deleted when the fleet ends.
    """
    shutil.rmtree(folder, ignore_errors=True)  # a killed fleet's
    try:
        folder.mkdir()
    except OSError:  # as on a full disk
        yield {}
        return
    shared = {} if _JAX_KEPT_IN in os.environ else {_JAX_KEPT_IN: str(folder), **_JAX_KEPT}
    given = os.environ.get(_XLA_OPTIONS, "")
    # TensorFlow's options are separated by spaces, and an unknown one ends the process.
    if not any(map(str.isspace, str(folder))) and _KEPT_IN not in given and knows_options():
        shared[_XLA_OPTIONS] = f"{given} {_KEPT_IN}={folder} {_KEPT_OF}".strip()
    try:
        yield shared
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment(threads: int) -> dict[str, str]:
    """Return the variables that a task's process has beside its worker's."""
    handed_on = {name: value for name, value in os.environ.items() if name.startswith(_HANDED_ON)}
    return handed_on | thread_counts(threads)
