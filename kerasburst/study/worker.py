"""The process that runs tasks, each in a fork of its own: `python -m kerasburst.study.worker PATH TOKEN HOST`.

Importing TensorFlow takes seconds, as long as a small training. So this process imports what a task's function needs,
and nothing else; for each task it forks, and the fork does the task and ends. A fork is as good as a fresh process: no
device is in use here, and the only threads are those of BLAS, which restarts them after a fork.

Standard input brings one line of JSON per task (function, arguments, name, log). Standard output answers with two: the
fork's process id, and its exit code as in `subprocess.Popen.returncode`: 0 for done, 2 for an InputError, whose line is
the last one in the log. Standard input is also a lifeline: when the other end closes it, this process and its fork end.
The arguments are the fleet's lease: when that is lost and no task runs, this process ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import sys
import threading
import traceback

from kerasburst.registry import load_plugins
from kerasburst.study.lease import Lease
from kerasburst.study.task import REFUSAL
from kerasburst.validation import InputError, one_line

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_LOOK_S = 1.0  # how often to look, without a task, whether the fleet still runs


def main() -> None:
    """Run the tasks that standard input names, one after the other."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # those who start workers have it blocked
    lifeline, answers = os.dup(0), os.dup(1)
    _redirect(os.open(os.devnull, os.O_RDWR), 0, 1)
    lease = Lease(*sys.argv[1:])
    with open(lifeline, "rb", buffering=0, closefd=False) as file:
        while not lease.lost():
            if not select.select([file], [], [], _LOOK_S)[0]:
                continue
            line = file.readline()
            if not line.endswith(b"\n"):
                break
            try:
                _do(json.loads(line), lifeline, answers)
            except BrokenPipeError:  # nobody waits for the answer
                break


def _do(task: dict, lifeline: int, answers: int) -> None:
    kept = os.dup(2)
    _redirect(os.open(task["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666), 1, 2)
    with contextlib.suppress(Exception):  # the fork fails alike, and reports it
        importlib.import_module(task["function"].partition(":")[0])
        if "keras" in sys.modules:  # a task may load our files
            importlib.import_module("kerasburst.layers")
        load_plugins()
    gc.freeze()  # what is shared with the forks stays shared
    pid = os.fork()
    if pid == 0:
        os._exit(_run(task, lifeline, os.getppid()))
    _redirect(kept, 2)
    _redirect(os.open(os.devnull, os.O_WRONLY), 1)
    os.write(answers, b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))


def _redirect(source: int, *targets: int) -> None:
    for target in targets:
        os.dup2(source, target)
    os.close(source)


def _run(task: dict, lifeline: int, parent: int) -> int:
    """Run a task in the fork; return its exit code, with which it ends at once: an orderly end takes a second."""
    os.setsid()
    if sys.platform == "linux":  # works even while a library keeps Python's threads from running
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NAME, task["name"].rpartition("/")[2].encode()[:15], 0, 0, 0)
    if os.getppid() != parent:
        return 1
    threading.Thread(target=_end_with, args=(lifeline,), name="lifeline", daemon=True).start()
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()  # all forks inherited the same state; Python reseeds its own
    try:
        load_plugins()
        module, _, name = task["function"].partition(":")
        getattr(importlib.import_module(module), name)(**task["arguments"])
        code = 0
    except InputError as error:
        sys.stdout.flush()
        print(REFUSAL + one_line(error, None), file=sys.stderr, flush=True)
        code = 2
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is sent while a task runs: this returns when the other end closes
    os._exit(1)


if __name__ == "__main__":
    main()
