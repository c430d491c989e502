"""A child process that is asked over pipes: a line of JSON in, lines of JSON out.

Whatever kerasburst starts and talks to goes through here: the processes that `bench` measures, and those that fork for
a fleet's tasks.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import IO

DEFER = "KERASBURST_DEFER_LAYERS"  # set, `import kerasburst` does not load TensorFlow; see kerasburst/__init__.py
TIMEOUT_S = 600.0  # for one answer
_THREADS = (
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC"),  # the last is JAX's
)

# Take a GPU's memory as it is needed: processes share the GPU. TensorFlow and JAX otherwise take nearly all at once.
SHARED_GPU = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def knows_options() -> bool:
    """Return whether this release of TensorFlow is known to have the XLA options that kerasburst sets.

    XLA ends a process that sets an option it does not know.
    """
    try:
        return importlib.metadata.version("tensorflow").startswith("2.21.")
    except importlib.metadata.PackageNotFoundError:  # it is there under another name
        return False


class WorkerFailed(RuntimeError):
    """A worker could not do what it was asked; the message is the reason, one line."""


class Worker:
    """A child process, in a session of its own: Ctrl-C is for its starter, which then ends it.

    Args:
        command: the program and its arguments.
        environment: all its variables; None for those of this process.
        directory: its working directory; None for that of this process.
        errors: file for its standard error; None for a temporary one, whose last line `ask` reports.

    Raises:
        WorkerFailed: where the program does not start.

    Example:
        >>> import sys
        >>> with Worker((sys.executable, "-c", "print('no JSON')")) as worker:
        ...     worker.ask("peak")
        Traceback (most recent call last):
        kerasburst.process.WorkerFailed: answered 'no JSON'
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        directory: str | None = None,
        errors: IO[bytes] | None = None,
    ):
        self._own_errors = tempfile.TemporaryFile() if errors is None else None
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._own_errors or errors,
                bufsize=0,
                cwd=directory,
                env=None if environment is None else dict(environment),
                start_new_session=True,
            )
        except OSError as error:
            if self._own_errors:
                self._own_errors.close()
            raise WorkerFailed(f"{command[0]} does not start: {error.strerror}") from None
        self._lines: queue.SimpleQueue = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        with open(self._process.stdout.fileno(), "rb", closefd=False) as answers:
            for line in answers:
                self._lines.put(line)
        self._lines.put(b"")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def send(self, request: Mapping) -> None:
        """Send a request; to a process that has died, nothing, as the end of its answers tells."""
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")

    def receive(self, timeout_s: float) -> bytes | None:
        """Return the next line that the process writes; an empty one when it has ended, None when the time is up."""
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if not line:
            self._lines.put(b"")
        return line

    def wait(self) -> int:
        """Return the exit code of a process that has ended, as `subprocess.Popen.returncode`."""
        return self._process.wait()

    def ask(self, do: str, timeout_s: float = TIMEOUT_S, **what) -> dict:
        """Send a request and return the answer, a JSON object with "ok"; if that is false, with "reason".

        Raises:
            WorkerFailed: where the request failed, the process died, or the time is up; the process is gone then.
        """
        self.send({"do": do, **what})
        line = self.receive(timeout_s)
        if line is None:
            raise self._failure(f"no answer within {timeout_s:g} s")
        if not line:
            raise self._failure(self._how_it_died())
        try:
            answer = json.loads(line)
        except ValueError:
            raise self._failure(f"answered {line.decode(errors='replace').strip()[:80]!r}") from None
        if not answer.pop("ok"):
            raise self._failure(answer["reason"])
        return answer

    def _failure(self, reason: str) -> WorkerFailed:
        self.end()
        return WorkerFailed(reason)

    def _how_it_died(self) -> str:
        how, lines = describe_exit(self.wait()), []
        if self._own_errors:
            size = self._own_errors.seek(0, os.SEEK_END)
            self._own_errors.seek(max(0, size - 4000))
            lines = self._own_errors.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"{how}: {last}"[:300] if last else how

    def end(self) -> None:
        """End the process and what it started, unless that has a session of its own; again, do nothing."""
        if self.alive:
            kill_group(self.pid)
        self._process.wait()
        self._listener.join(timeout=5)
        with contextlib.suppress(OSError):  # what it was never sent
            self._process.stdin.close()
        if not self._listener.is_alive():
            self._process.stdout.close()
        if self._own_errors:
            self._own_errors.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        self.end()


def kill_group(pid: int) -> None:
    """Kill a process that leads a group, and the group."""
    with contextlib.suppress(ProcessLookupError):
        if os.name == "posix":
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGTERM)


def describe_exit(code: int) -> str:
    """Return how a process ended.

    Args:
        code: as `subprocess.Popen.returncode`.

    Example:
        >>> describe_exit(3), describe_exit(-9)
        ('exit status 3', 'killed by SIGKILL')
    """
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def thread_counts(threads: int) -> dict[str, str]:
    """Return the variables that limit the threads of TensorFlow and BLAS, which read them when they start.

    Example:
        >>> thread_counts(2)["OMP_NUM_THREADS"]
        '2'
    """
    return dict.fromkeys(_THREADS, str(threads))
