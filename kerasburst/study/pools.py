"""Where a fleet's workers run: in processes of this machine, or on a Dask or Ray cluster."""

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
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass
from multiprocessing import resource_tracker

from kerasburst.process import DEFER
from kerasburst.study.attempt import SAFE_PATH
from kerasburst.validation import InputError, one_line

try:
    import resource
except ImportError:  # not POSIX
    resource = None

_ANSWER_S = 10  # how long a cluster may take to answer
_FILES_OF_PROCESS, _FILES_BESIDE = 8, 512  # open in the fleet's process: for each of loky's, and for the rest


@dataclass(frozen=True)
class Pool:
    """Workers of one kind; nothing runs in this process, even with one worker.

    Args:
        submit: hands a function and its arguments to a free worker and returns the future of its result. A
            CancelledError of either means that all workers are gone.
        jobs: how many work at once.
        cores: the number of cores of all workers.
        lost: the errors of a future whose worker is gone; the next call of `submit` finds another.
    """

    submit: Callable[..., Future]
    jobs: int
    cores: int
    lost: tuple[type[Exception], ...]


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """Delay Ctrl-C until the body ends: a half-started process could not be ended.

    Processes and threads that start in the body have it blocked. A terminal sends Ctrl-C to all processes, but only the
    fleet's process should react: it ends the others, whose tracebacks would only disturb.
    """
    held, handler = [], signal.getsignal(signal.SIGINT)
    # Blocking is per thread: the kernel picks another thread, and Python runs the handler in the main one.
    answers = threading.current_thread() is threading.main_thread() and handler not in (None, signal.SIG_IGN)
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
def _starting() -> Iterator[None]:
    """Let processes that start in the body ignore Ctrl-C, and import neither layers nor from the working directory.

    That may contain a random.py which is not Python's. One of them, loky's tracker, warns of locks of a killed process,
    though it has just removed them; it is not heard.
    """
    before = {name: os.environ.get(name) for name in (SAFE_PATH, DEFER, "PYTHONWARNINGS")}
    warnings = ",".join(filter(None, [before["PYTHONWARNINGS"], "ignore:resource_tracker"]))
    os.environ.update({SAFE_PATH: "1", DEFER: "1", "PYTHONWARNINGS": warnings})
    try:
        resource_tracker.ensure_running()  # of multiprocessing, which unblocks Ctrl-C when it starts one
        with interrupts_wait():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def open_loky(jobs: int | None, tasks: int, address: str | None) -> Iterator[Pool]:
    """Open processes of this machine."""
    import loky

    if address is not None:
        raise InputError(f"address must be left out with backend loky, received {address!r}")
    cores = loky.cpu_count()
    jobs = min(jobs or cores, tasks)
    _allow_files(_FILES_OF_PROCESS * jobs + _FILES_BESIDE)
    processes = _Loky()
    try:
        yield Pool(processes.submit, jobs, cores, (BrokenExecutor,))
    finally:
        processes.end()


class _Loky:
    """loky's processes, each a pool of its own: in a larger pool, one that dies takes the others with it."""

    def __init__(self):
        self._last: dict[Executor, Future] = {}

    def submit(self, function, *arguments) -> Future:
        for executor, last in list(self._last.items()):
            if last.done():
                try:
                    self._last[executor] = executor.submit(function, *arguments)
                    return self._last[executor]
                except BrokenExecutor:
                    del self._last[executor]
        with _starting():
            from loky import ProcessPoolExecutor

            executor = ProcessPoolExecutor(1, initializer=_end_with, initargs=(os.getpid(),))
            self._last[executor] = executor.submit(function, *arguments)
            return self._last[executor]

    def end(self) -> None:
        with interrupts_wait():
            for executor in self._last:
                executor.shutdown(wait=True, kill_workers=True)


def _allow_files(most: int) -> None:
    """Raise this process's limit of open files to `most`, as far as allowed."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft not in (resource.RLIM_INFINITY, hard) and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _end_with(parent: int) -> None:
    """End this process soon after its parent; an idle loky worker would stay."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=look, name="end-with-parent", daemon=True).start()


@contextlib.contextmanager
def open_dask(jobs: int | None, tasks: int, address: str | None) -> Iterator[Pool]:
    """Open the workers of a Dask cluster: the one at `address`, the one in use, or a new one of this machine."""
    import dask
    import distributed
    import loky

    with contextlib.ExitStack() as stack:
        address = address or dask.config.get("scheduler-address", None)
        client = None
        if not address:
            with contextlib.suppress(ValueError):  # there is none
                client = distributed.default_client()
        if address or client:
            if address:
                log = logging.getLogger("distributed.client")
                stack.callback(log.setLevel, log.level)
                log.setLevel(logging.CRITICAL)  # an exception repeats its message in one line
                client = stack.enter_context(
                    _answering(address, "Dask", lambda: distributed.Client(address, timeout=_ANSWER_S))
                )
            cores = sum(client.ncores().values()) or jobs or tasks  # an adaptive cluster may have none yet
            jobs = min(jobs or cores, cores, tasks)
        else:
            cores = loky.cpu_count()
            jobs = min(jobs or cores, tasks)
            # A lost worker costs one attempt; Dask would make four.
            settings = dask.config.set({"distributed.scheduler.allowed-failures": 0})
            with _starting(), settings:
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
            if client.status not in ("running", "connecting"):
                raise CancelledError(f"its client is {client.status}")
            ours = Future()
            client.submit(function, *arguments, pure=False).add_done_callback(lambda future: _hand_over(future, ours))
            return ours

        yield Pool(submit, jobs, cores, (distributed.KilledWorker,))


def _hand_over(future, ours: Future) -> None:
    """Copy the result or error of a Dask future, or that it was cancelled."""
    if future.cancelled():  # its result could block for ever while the client closes
        ours.set_exception(CancelledError("Dask gave up what ran there, its scheduler does not answer"))
        return
    try:
        ours.set_result(future.result())
    except BaseException as error:
        ours.set_exception(error)


@contextlib.contextmanager
def open_ray(jobs: int | None, tasks: int, address: str | None) -> Iterator[Pool]:
    """Open the workers of a Ray cluster: the one in use, the one at `address`, or a new one of this machine."""
    # Without this, Ray hides the GPUs from a task that requests none.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import loky
    import ray
    from ray import exceptions

    remote = functools.cache(ray.remote(num_cpus=1, max_retries=0))

    def submit(function, *arguments) -> Future:
        return remote(function).remote(*arguments).future()

    lost = (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError)
    lost += (exceptions.LocalRayletDiedError, exceptions.RaySystemError)  # the latter: a worker cannot start
    address = address or os.environ.get("RAY_ADDRESS")
    mine = not ray.is_initialized()
    local = min(jobs or loky.cpu_count(), tasks)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with interrupts_wait():
            if mine and address:
                _answering(address, "Ray", lambda: ray.init(address, **quiet))
            elif mine:
                ray.init("local", num_cpus=local, include_dashboard=False, **quiet)
        if mine and not address:
            jobs, cores = local, loky.cpu_count()
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
        InputError: where it is not installed, with the pip line that installs it.
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
        told = one_line(error, None)
        raise InputError(
            f"address must be that of a {what} cluster that answers, received {address!r}: {told}"
        ) from None
