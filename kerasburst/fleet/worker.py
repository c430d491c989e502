"""The process of one task: `python -m kerasburst.fleet.worker NAME`.

Its standard input brings one line of JSON, then stays open as a lifeline: when the other end closes, the process that
started this one is gone, and so is this one. Exit codes: 0 done, 2 an InputError, whose line is the last one printed.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
import threading

from kerasburst.fleet.failure import REFUSAL
from kerasburst.validation import InputError

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Do the task that standard input names."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # those who start workers have it blocked
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if sys.platform == "linux":  # at once, even while some library keeps Python's threads from running
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    with open(os.dup(lifeline), "rb", buffering=0) as file:
        line = file.readline()
    if not line.endswith(b"\n"):
        os._exit(1)
    threading.Thread(target=_end_with, args=(lifeline,), name="lifeline", daemon=True).start()
    task = json.loads(line)
    module, _, name = task["function"].partition(":")
    try:
        getattr(importlib.import_module(module), name)(**task["arguments"])
    except InputError as error:
        sys.stdout.flush()
        print(REFUSAL + " ".join(str(error).split()), file=sys.stderr, flush=True)
        sys.exit(2)


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is ever sent: this returns when the other end is closed
    os._exit(1)


if __name__ == "__main__":
    main()
