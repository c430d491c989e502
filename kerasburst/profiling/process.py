"""A worker process as its starter sees it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence

TIMEOUT_S = 600.0  # for one answer

KERASBURST = (sys.executable, "-P", "-m", "kerasburst.profiling.worker")


class WorkerFailed(RuntimeError):
    """A worker could not do what it was asked; the message is the reason, one line."""


class Worker:
    """A live process that does one work, and idles until it is asked.

    Args:
        command: how to start it.
        threads: how many threads its libraries may use, by the variables that they read at start.
        environment: further variables.

    Example:
        >>> with Worker((sys.executable, "-c", "print('no JSON')"), threads=1) as worker:
        ...     worker.ask("peak")
        Traceback (most recent call last):
        kerasburst.profiling.process.WorkerFailed: answered 'no JSON'
    """

    def __init__(self, command: Sequence[str], threads: int, environment: Mapping[str, str] | None = None):
        self._errors = tempfile.TemporaryFile()
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                encoding="utf-8",
                env={**os.environ, **quiet, **counts, **(environment or {})},
                start_new_session=True,  # Ctrl-C is for the starter, which then closes its workers
            )
        except OSError as error:
            self._errors.close()
            raise WorkerFailed(f"{command[0]} does not start: {error.strerror}") from None
        self._answers: queue.Queue = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def ask(self, do: str, timeout: float = TIMEOUT_S, **what) -> dict:
        """Send a request and wait for its answer.

        Raises:
            WorkerFailed: where the work failed, the process died, or the time is up; the process is gone then.
        """
        with contextlib.suppress(OSError):  # it has died: the end of its answers tells
            self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
            self._process.stdin.flush()
        try:
            line = self._answers.get(timeout=timeout)
        except queue.Empty:
            raise self._failure(f"no answer within {timeout:g} s") from None
        if line is None:
            raise self._failure(self._how_it_died())
        try:
            answer = json.loads(line)
        except ValueError:
            raise self._failure(f"answered {line.strip()[:80]!r}") from None
        if not answer.pop("ok"):
            raise self._failure(answer["reason"])
        return answer

    def _failure(self, reason: str) -> WorkerFailed:
        self.close()
        return WorkerFailed(reason)

    def _how_it_died(self) -> str:
        code = self._process.wait()
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - 4000))
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        how = f"killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"{how}: {last}"[:300] if last else how

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._listener.join(timeout=5)
        with contextlib.suppress(OSError):  # what it was never sent
            self._process.stdin.close()
        if not self._listener.is_alive():
            self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        self.close()
