"""One attempt at a task, which a pool's workers run in a fork of its own (`kerasburst.study.worker`).

Each task has its own process: models that are fitted one after the other in one process leak memory, and a training
that the kernel kills takes nothing else with it.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kerasburst.process import DEFER, SHARED_GPU, Worker, describe_exit, kill_group
from kerasburst.study.lease import Lease
from kerasburst.study.task import REFUSAL, Outcome, Task

SAFE_PATH = "PYTHONSAFEPATH"  # set while workers of this machine start: no module of the working directory is theirs
_LOOK_S = 0.2  # how often to ask whether the fleet still runs
_TAIL_LINES, _TAIL_BYTES = 12, 8000


@dataclass(frozen=True)
class Surroundings:
    """What all attempts of a fleet share.

    Args:
        lease: shows whether the fleet still runs.
        log_dir: the folder of the logs, absolute.
        directory: the working directory of the fleet's process.
        path: where that process imports from.
        environment: variables to set.
    """

    lease: Lease
    log_dir: str
    directory: str
    path: tuple[str, ...]
    environment: dict[str, str]

    def log(self, name: str) -> Path:
        """Return the path of a task's log."""
        return Path(self.log_dir, name + ".log")


def attempt(task: Task, around: Surroundings, again: bool) -> Outcome:
    """Run a task in a fork of its own and wait for it; end it when the fleet ends.

    Args:
        task: the task.
        around: what all attempts of the fleet share.
        again: whether it was tried before; then the log is continued.
    """
    log = around.log(task.name)
    if around.lease.lost():  # it waited in a cluster; the log may be another fleet's by now
        return Outcome(task.name, str(log), 0.0, "the fleet has ended")
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    with open(log, "ab", buffering=0) as file:  # others append to it
        if again:
            file.write(b"--- another attempt ---\n")
        else:
            file.truncate(0)
        begins_at = file.seek(0, os.SEEK_END)
        nursery = _nursery(around, file)
    code = nursery.run(task, log, around.lease)
    seconds = time.perf_counter() - begun
    if code == 0:
        return Outcome(task.name, str(log), seconds)
    tail = read_tail(log, begins_at)
    last = tail.rpartition("\n")[2]
    refusal = last.removeprefix(REFUSAL) if code == 2 and last.startswith(REFUSAL) else ""
    return Outcome(task.name, str(log), seconds, describe_exit(code), tail, refusal)


class _Nursery:
    """A process that forks for each task; see `kerasburst.study.worker`."""

    def __init__(self, around: Surroundings, log: IO[bytes]):
        self.around = around
        inherited = {name: value for name, value in os.environ.items() if name != SAFE_PATH}
        path = dict.fromkeys(os.path.join(around.directory, folder) for folder in (*around.path, *sys.path))
        here = around.environment | {"PYTHONPATH": os.pathsep.join(path)}
        self.worker = Worker(
            # -P: the working directory is no place to import from, unless it is one for the fleet's process
            (sys.executable, "-P", "-m", "kerasburst.study.worker", *dataclasses.astuple(around.lease)),
            environment={**SHARED_GPU, DEFER: "1"} | inherited | here,
            directory=around.directory,
            errors=log,
        )

    def run(self, task: Task, log: Path, lease: Lease) -> int:
        """Run a task and return its exit code, as `subprocess.Popen.returncode`; then others may use this."""
        self.worker.send({"name": task.name, "function": task.function, "arguments": task.arguments, "log": str(log)})
        fork, done = None, False
        try:
            while True:
                answer = self.worker.receive(_LOOK_S)
                if answer:
                    if fork is not None:
                        done = True
                        return int(answer)
                    fork = int(answer)
                elif answer is not None:
                    return self.worker.wait() or 1
                elif lease.lost():
                    return -signal.SIGKILL
        finally:
            if done:
                _idle.append(self)
            else:
                if fork is not None:
                    kill_group(fork)
                self.worker.end()


_idle: list[_Nursery] = []  # of this process; a cluster's worker may have several threads, each with its own attempt


def _nursery(around: Surroundings, log) -> _Nursery:
    """Return a process for a fleet's task: one that has done another of its tasks, or a new one."""
    while _idle:
        try:
            nursery = _idle.pop()
        except IndexError:
            break
        if nursery.worker.alive and nursery.around == around:
            return nursery
        nursery.worker.end()
    return _Nursery(around, log)


def read_tail(log: str | Path, begins_at: int = 0) -> str:
    """Return the last lines of a log from `begins_at` on; nothing where there is no log."""
    if not os.path.exists(log):
        return ""
    with open(log, "rb") as file:
        file.seek(max(begins_at, os.path.getsize(log) - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").rstrip().splitlines()
    return "\n".join(lines[-_TAIL_LINES:])
