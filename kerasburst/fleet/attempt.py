"""One attempt at a task; joblib's workers run this, each starting a fresh process for the task.

A process for each: models that are fitted one after the other in one process leak memory, and a training that the
kernel kills takes nothing else with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from kerasburst.fleet.failure import REFUSAL, Outcome
from kerasburst.fleet.lease import Lease
from kerasburst.fleet.task import Task

_LOOK_S = 0.2  # how often to ask whether the fleet still runs
_TAIL_LINES, _TAIL_BYTES = 12, 8000


@dataclass(frozen=True)
class Surroundings:
    """What every attempt of a fleet shares.

    Args:
        lease: tells whether the fleet still runs.
        log_dir: where the logs go, absolute.
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
        """Give the path of a task's log."""
        return Path(self.log_dir, name + ".log")


def attempt(task: Task, around: Surroundings, again: bool) -> Outcome:
    """Run a task in a process of its own and wait for it, or end it when the fleet ends.

    Args:
        task: what to run.
        around: what it shares with the others.
        again: whether this is a second attempt, whose lines follow the first one's in the log.
    """
    log = around.log(task.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    with open(log, "ab" if again else "wb", buffering=0) as file:
        if again:
            file.write(b"--- second attempt ---\n")
        begins_at = file.tell()
        code = _run(task, around, file)
    seconds = time.perf_counter() - begun
    if code == 0:
        return Outcome(task.name, str(log), seconds)
    tail = read_tail(log, begins_at)
    last = tail.rpartition("\n")[2]
    refusal = last.removeprefix(REFUSAL) if code == 2 and last.startswith(REFUSAL) else ""
    return Outcome(task.name, str(log), seconds, _reason(code), tail, refusal)


def _run(task: Task, around: Surroundings, log) -> int:
    process = subprocess.Popen(
        # -P: the working directory is no place to import from, unless it is one for the fleet's process
        [sys.executable, "-P", "-m", "kerasburst.fleet.worker", task.name],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=around.directory,
        env={"TF_FORCE_GPU_ALLOW_GROWTH": "true"} | os.environ | around.environment | _import_path(around),
        start_new_session=True,  # Ctrl-C goes to the fleet's process, which ends this one
    )
    with process:
        try:
            with contextlib.suppress(BrokenPipeError):  # it died at its start: the exit status tells
                line = json.dumps({"function": task.function, "arguments": task.arguments})
                process.stdin.write(line.encode() + b"\n")
                process.stdin.flush()
            while True:
                try:
                    return process.wait(_LOOK_S)
                except subprocess.TimeoutExpired:
                    if around.lease.lost():
                        return -signal.SIGKILL
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _import_path(around: Surroundings) -> dict[str, str]:
    folders = dict.fromkeys(os.path.join(around.directory, folder) for folder in (*around.path, *sys.path))
    return {"PYTHONPATH": os.pathsep.join(folders)}


def read_tail(log: str | Path, begins_at: int = 0) -> str:
    """Give the last lines of a log, or of its part from `begins_at` on; nothing where there is no log."""
    if not os.path.exists(log):
        return ""
    with open(log, "rb") as file:
        file.seek(max(begins_at, os.path.getsize(log) - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").rstrip().splitlines()
    return "\n".join(lines[-_TAIL_LINES:])


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
