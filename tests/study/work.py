"""What the tests' tasks do; their workers import this."""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy.random

from kerasburst import files, registry
from kerasburst.validation import InputError


@dataclass(frozen=True)
class Waiting:
    """A part of tasks, a question whether one is done, and what becomes of them."""

    mine: tuple
    is_done: Callable
    finish: Callable

    def tasks(self):
        return self.mine


THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TF_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def worker():
    """Give the process of loky's worker, or of a cluster's: it started the one that this one was forked from."""
    return int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])


def write(path, seconds=0.0, value=0):
    """Save who computed what, and when."""
    begun = time.time()
    with open(path + ".runs", "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    threads = {name: os.environ.get(name) for name in THREADS + TF_THREADS}
    times = {"begun": begun, "ended": time.time()}
    who = {"pid": os.getpid(), "parent": os.getppid(), "worker": worker(), "cwd": os.getcwd()}
    files.write_json(path, {"value": value * value, "threads": threads} | times | who)


def write_after(path, other):
    """Save something once there is another file, which has a minute to come."""
    deadline = time.monotonic() + 60
    while not Path(other).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(other)
        time.sleep(0.05)
    write(path)


def environment(path, variable):
    """Save what a variable of the environment is."""
    files.write_json(path, {"value": os.environ.get(variable)})


def compile_and_sum(path):
    """Save what a function that XLA compiles returns, and what is kept of compiled code before and after."""
    import tensorflow as tf

    (option,) = (o for o in os.environ["TF_XLA_FLAGS"].split() if "cache_directory" in o)
    folder = Path(option.partition("=")[2])
    before = len(list(folder.iterdir()))
    value = tf.function(lambda x: tf.reduce_sum(tf.sin(x) / 3.0), jit_compile=True)(tf.range(1000.0))
    files.write_json(path, {"value": float(value), "before": before, "after": len(list(folder.iterdir()))})


def names(path, kind):
    """Save the names that a registry knows."""
    files.write_json(path, sorted(getattr(registry, kind)))


def layer(path, model):
    """Save the name of the class of a model's first layer."""
    from kerasburst.models.saving import load_model

    files.write_json(path, type(load_model(model).layers[0]).__name__)


def modules(path):
    """Save which modules are loaded."""
    files.write_json(path, sorted(sys.modules))


def fail_first(path, how):
    """Fail the first time only."""
    first = not Path(path + ".runs").exists()
    if first:
        Path(path + ".runs").write_text("1\n")
        print("about to fail", flush=True)
        if how == "raise":
            raise RuntimeError("only once")
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "nothing":
            return
        if how in ("kill-worker", "kill-parent"):
            os.kill(worker() if how == "kill-worker" else os.getppid(), signal.SIGKILL)
            time.sleep(60)
    write(path)


def fail_always(path, how):
    """Fail every time."""
    with open(path + ".runs", "a") as file:
        file.write(f"{os.getpid()}\n")
    print("line before the end")
    if how == "exit":
        sys.exit(7)
    if how == "exit 2":
        sys.exit(2)
    if how == "kill":
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGTERM)
    if how == "kill-worker":
        os.kill(worker(), signal.SIGKILL)
        time.sleep(60)


def refuse(path):
    """Find the user's input bad."""
    with open(path + ".runs", "a") as file:
        file.write(f"{os.getpid()}\n")
    raise InputError("epochs must be\nat least 1, received 0")


def read(path):
    """Give what `write` saved."""
    return json.loads(Path(path).read_text())


_mark = [0]


def announce(seconds, say="begun"):
    """Say something, then wait."""
    if say == "state":
        numbers = {"random": random.random(), "numpy": numpy.random.random()}
        say = json.dumps(
            {"pid": os.getpid(), "session": os.getsid(0), "stdin": sys.stdin.read(), "mark": _mark[0], **numbers}
        )
        _mark[0] += 1
    print(say, flush=True)
    time.sleep(seconds)
