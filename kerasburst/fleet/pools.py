"""Where a fleet's workers are: processes of this machine, or a Dask or Ray cluster."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass

from kerasburst.fleet.attempt import SAFE_PATH
from kerasburst.validation import InputError

_ANSWER_S = 10  # how long a cluster may take to answer


@dataclass(frozen=True)
class Pool:
    """Workers of one kind; they do nothing in this process, however few they are.

    Args:
        submit: hands a function and its arguments to a free worker; gives the future of what it returns. A future
            that is cancelled says that the workers are gone, all of them.
        jobs: how many of them work at once.
        cores: how many cores they have together.
        lost: the errors of a future which say that its worker is gone; the next call of `submit` finds another.
    """

    submit: Callable[..., Future]
    jobs: int
    cores: int
    lost: tuple[type[Exception], ...]


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back while the body runs; processes and threads started in it never see one.

    A terminal sends Ctrl-C to all processes. It is for the fleet's alone, which ends the others: theirs would only add
    tracebacks. And what is half started could not be ended.
    """
    held, handler = [], signal.getsignal(signal.SIGINT)
    # Blocking is for this thread: the kernel finds another, for which Python lets the main one answer.
    answers = threading.current_thread() is threading.main_thread() and handler is not None
    if answers:
        signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if answers:
            signal.signal(signal.SIGINT, handler)
        if held:
            signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def open_loky(jobs: int | None, tasks: int, address: str | None) -> Iterator[Pool]:
    """Give processes of this machine."""
    import joblib

    if address is not None:
        raise InputError(f"address must be left out with backend loky, received {address!r}")
    cores = joblib.cpu_count()
    processes = _Loky()
    try:
        yield Pool(processes.submit, min(jobs or cores, tasks), cores, (BrokenExecutor,))
    finally:
        processes.end()


class _Loky:
    """loky's processes, each a pool of its own: in a pool of several, one that dies takes the others with it."""

    def __init__(self):
        self._executors = []
        self._idle = []

    def submit(self, function, *arguments) -> Future:
        while self._idle:
            executor = self._idle.pop()
            try:
                return self._hand(executor, function, *arguments)
            except BrokenExecutor:
                self._executors.remove(executor)
        with interrupts_wait(), _safe_path():
            from joblib.externals.loky import ProcessPoolExecutor

            executor = ProcessPoolExecutor(1, initializer=_end_with, initargs=(os.getpid(),))
            self._executors.append(executor)
            return self._hand(executor, function, *arguments)

    def _hand(self, executor, function, *arguments) -> Future:
        future = executor.submit(function, *arguments)
        future.add_done_callback(lambda _: self._idle.append(executor))
        return future

    def end(self) -> None:
        with interrupts_wait():
            for executor in self._executors:
                executor.shutdown(wait=True, kill_workers=True)


@contextlib.contextmanager
def _safe_path() -> Iterator[None]:
    """Let processes that start in the body import nothing from the working directory; it may hold a random.py."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(SAFE_PATH, None)
        else:
            os.environ[SAFE_PATH] = before


def _end_with(parent: int) -> None:
    """End this process soon after its parent; a loky worker without work would stay."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=look, name="end-with-parent", daemon=True).start()


@contextlib.contextmanager
def open_dask(jobs: int | None, tasks: int, address: str | None) -> Iterator[Pool]:
    """Give the workers of a Dask cluster: the one at `address`, the one in use, or a new one of this machine."""
    import dask
    import distributed
    import joblib

    with contextlib.ExitStack() as stack:
        address = address or dask.config.get("scheduler-address", None)
        client = None if address else _dask_client(distributed)
        if address or client:
            if address:
                stack.enter_context(_quiet("distributed.client"))
                client = stack.enter_context(
                    _answering(address, "Dask", lambda: distributed.Client(address, timeout=_ANSWER_S))
                )
            cores = sum(client.ncores().values()) or jobs or tasks  # one that grows when asked may have none yet
            jobs = min(jobs or cores, cores, tasks)
        else:
            cores = joblib.cpu_count()
            jobs = min(jobs or cores, tasks)
            # One worker lost is one attempt lost, not the first of four that Dask makes of it.
            settings = dask.config.set({"distributed.scheduler.allowed-failures": 0})
            with interrupts_wait(), _safe_path(), settings:
                cluster = distributed.LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    memory_limit=0,
                    dashboard_address=None,
                    silence_logs=logging.ERROR,
                )
                stack.enter_context(cluster)
                client = stack.enter_context(distributed.Client(cluster))

        def submit(function, *arguments) -> Future:
            ours = Future()
            client.submit(function, *arguments, pure=False).add_done_callback(lambda future: _hand_over(future, ours))
            return ours

        yield Pool(submit, jobs, cores, (distributed.KilledWorker,))


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Let a logger say nothing of what an exception tells in one line."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _hand_over(future, ours: Future) -> None:
    """Let what a Dask future has come to be known, if only that it will never be known."""
    try:
        ours.set_result(future.result())
    except BaseException as error:
        ours.set_exception(error)


def _dask_client(distributed):
    try:
        return distributed.default_client()
    except ValueError:
        return None


@contextlib.contextmanager
def open_ray(jobs: int | None, tasks: int, address: str | None) -> Iterator[Pool]:
    """Give the workers of a Ray cluster: the one in use, the one at `address`, or a new one of this machine."""
    # Without this, Ray hides the GPUs from a task that asks for none of them.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import joblib
    import ray
    from ray import exceptions

    remote = functools.cache(ray.remote(num_cpus=1, max_retries=0))

    def submit(function, *arguments) -> Future:
        return remote(function).remote(*arguments).future()

    lost = (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError)
    lost += (exceptions.RaySystemError,)  # among others: a worker cannot start
    address = address or os.environ.get("RAY_ADDRESS")
    mine = not ray.is_initialized()
    local = min(jobs or joblib.cpu_count(), tasks)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with interrupts_wait():
            if mine and address:
                _answering(address, "Ray", lambda: ray.init(address, **quiet))
            elif mine:
                ray.init("local", num_cpus=local, include_dashboard=False, **quiet)
        if mine and not address:
            jobs, cores = local, joblib.cpu_count()
        else:
            cores = int(ray.cluster_resources().get("CPU", 1))
            jobs = min(jobs or cores, cores, tasks)
        yield Pool(submit, jobs, cores, lost)
    finally:
        if mine:
            ray.shutdown()


BACKENDS = {"loky": open_loky, "dask": open_dask, "ray": open_ray}
_MODULES = {"loky": (), "dask": ("dask", "distributed"), "ray": ("ray",)}


def import_backend(name: str) -> None:
    """Import a backend's package.

    Raises:
        InputError: where it is not installed, with the pip line that mends it.
    """
    try:
        for module in _MODULES[name]:
            importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"backend {name} needs: pip install 'kerasburst[{name}]' ({error})") from None


def _answering(address: str, what: str, connect):
    try:
        return connect()
    except (OSError, ValueError) as error:
        told = " ".join(str(error).split())
        raise InputError(
            f"address must be that of a {what} cluster that answers, received {address!r}: {told}"
        ) from None
