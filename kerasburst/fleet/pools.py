"""Where a fleet's workers are: processes of this machine, or a Dask or Ray cluster."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass

from kerasburst.validation import InputError

_ANSWER_S = 10  # how long a cluster may take to answer
_SAFE_PATH = "PYTHONSAFEPATH"


@dataclass(frozen=True)
class Pool:
    """Workers of one kind; they do nothing in this process, however few they are.

    Args:
        submit: hands a function and its arguments to a free worker; gives the future of what it returns.
        jobs: how many of them work at once.
        cores: how many cores they have together.
        lost: the errors of a future which say that its worker is gone; the next call of `submit` finds another.
    """

    submit: Callable[..., Future]
    jobs: int
    cores: int
    lost: tuple[type[Exception], ...]


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back while the body runs; processes started in it never see one.

    A terminal sends Ctrl-C to all of them. It is for the fleet's process alone, which ends the others: theirs would
    only add tracebacks.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _starting_processes() -> Iterator[None]:
    """Let processes that start in the body see no Ctrl-C, and import nothing from the working directory.

    There may be a random.py in it, which has nothing to do with Python's.
    """
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        with _interrupts_wait():
            yield
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before


@contextlib.contextmanager
def open_loky(jobs: int | None, tasks: int, address: str | None) -> Iterator[Pool]:
    """Give processes of this machine."""
    import joblib

    if address is not None:
        raise InputError(f"address must be left out with backend loky, received {address!r}")
    cores = joblib.cpu_count()
    jobs = min(jobs or cores, tasks)
    processes = _Loky(jobs)
    try:
        yield Pool(processes.submit, jobs, cores, (BrokenExecutor,))
    finally:
        processes.end()


class _Loky:
    """loky's processes. When one of them dies it ends the others, and takes nothing more: then new ones are started."""

    def __init__(self, jobs: int):
        self._jobs = jobs
        self._executor = None

    def submit(self, function, *arguments) -> Future:
        from joblib.externals.loky import ProcessPoolExecutor

        with _starting_processes():
            if self._executor is not None:
                try:
                    return self._executor.submit(function, *arguments)
                except BrokenExecutor:
                    self.end()
            self._executor = ProcessPoolExecutor(self._jobs, initializer=_end_with, initargs=(os.getpid(),))
            return self._executor.submit(function, *arguments)

    def end(self) -> None:
        if self._executor is not None:
            with _interrupts_wait():
                self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = None


def _end_with(parent: int) -> None:
    """End this process soon after its parent; a loky worker without work would stay for minutes."""

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
                client = stack.enter_context(
                    _answering(address, "Dask", lambda: distributed.Client(address, timeout=_ANSWER_S))
                )
            cores = sum(client.ncores().values()) or jobs or tasks  # one that grows when asked may have none yet
            jobs = min(jobs or cores, cores, tasks)
        else:
            cores = joblib.cpu_count()
            jobs = min(jobs or cores, tasks)
            with _starting_processes():
                cluster = distributed.LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    memory_limit=0,
                    dashboard_address=None,
                    silence_logs=logging.ERROR,
                )
                stack.enter_context(cluster)
                client = stack.enter_context(distributed.Client(cluster))
        executor = client.get_executor(pure=False)
        stack.callback(executor.shutdown, wait=False)
        yield Pool(executor.submit, jobs, cores, (distributed.KilledWorker,))


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

    def submit(function, *arguments) -> Future:
        return ray.remote(num_cpus=1, max_retries=0)(function).remote(*arguments).future()

    lost = (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError)
    address = address or os.environ.get("RAY_ADDRESS")
    mine = not ray.is_initialized()
    local = min(jobs or joblib.cpu_count(), tasks)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with _starting_processes():
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
