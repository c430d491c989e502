"""How a command runs: TensorFlow without its start-up lines, and Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever it stands; in a finaliser or a callback out of C the exception is printed and
forgotten, and the command would continue. So it is noted too, and raised again after the epoch.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kerasburst.process import knows_options
from kerasburst.profiling.gpu import gpu_facts
from kerasburst.quiet import quiet_start
from kerasburst.validation import InputError, check_backend, visible

if TYPE_CHECKING:
    from kerasburst.study import FleetObserver
    from kerasburst.training.callbacks import TrainingObserver

_lost = threading.Event()


def say(text: str, err: bool = False) -> None:
    """Print lines; what a terminal would not print, or obey, is escaped."""
    click.echo("\n".join(map(visible, text.split("\n"))), err=err)


@contextlib.contextmanager
def noted_interrupts() -> Iterator[None]:
    """Note each Ctrl-C while the body runs, besides raising it; only the main thread receives any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(signum, frame):
        _lost.set()
        raise KeyboardInterrupt

    _lost.clear()
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # the caller's own, or none: a shell's background job ignores Ctrl-C
        yield
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def raise_lost() -> None:
    """Raise a Ctrl-C that came and was lost.

    Raises:
        KeyboardInterrupt: where one did.
    """
    if _lost.is_set():
        _lost.clear()
        raise KeyboardInterrupt


@contextlib.contextmanager
def interruptible(observer: FleetObserver | TrainingObserver, out: Path, again: str) -> Iterator[None]:
    """Close the observer after the body; on Ctrl-C say how to resume what has begun in `out`.

    Args:
        observer: of the progress.
        out: the directory, with a config.json once something has begun.
        again: the command that resumes it.
    """
    try:
        yield
    except KeyboardInterrupt:
        observer.close()
        if (out / "config.json").exists():
            say(f"stopped; go on with: {again}", err=True)
        raise
    finally:
        observer.close()


def choose_jax() -> None:
    """Let Keras run on JAX, which private training needs, unless the environment says otherwise.

    Raises:
        InputError: where jax-privacy is not installed.
    """
    if importlib.util.find_spec("jax_privacy") is None:
        raise InputError("private training needs jax-privacy: pip install 'kerasburst[dp]'")
    os.environ.setdefault("KERAS_BACKEND", "jax")


def choose_tensorflow() -> None:
    """Let Keras run on TensorFlow, whatever the environment says: a run's files are the same on every backend."""
    os.environ["KERAS_BACKEND"] = "tensorflow"


# XLA otherwise compiles kernels by dozens to compare them, which takes half of its time and gains nothing here.
_LEFT_OUT = ("--xla_gpu_experimental_enable_fusion_autotuner=false", "--xla_gpu_enable_triton_gemm=false")


def compile_faster() -> None:
    """Leave out half of what TensorFlow's XLA compiles for a GPU, unless XLA_FLAGS says otherwise."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow" or not knows_options() or gpu_facts() is None:
        return
    given = os.environ.get("XLA_FLAGS", "")
    missing = [flag for flag in _LEFT_OUT if flag.split("=")[0] not in given]
    os.environ["XLA_FLAGS"] = " ".join([given, *missing]).strip()


def load_tensorflow(any_backend: bool = False) -> None:
    """Import TensorFlow and Keras without TensorFlow's log lines.

    Args:
        any_backend: whether Keras may run on another backend; tf.data and exports are TensorFlow's on each.

    Raises:
        InputError: where it may not, or the backend is not installed.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    compile_faster()
    with quiet_start():
        backend = check_backend()
        if backend != "tensorflow" and not any_backend:
            raise InputError(f"KERAS_BACKEND must be tensorflow or unset for this command, received {backend}")
        import keras  # noqa: F401
        import tensorflow as tf

        tf.config.list_physical_devices()
    tf.get_logger().setLevel("ERROR")
