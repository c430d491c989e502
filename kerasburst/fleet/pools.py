"""Where a fleet's workers are: processes of this machine, or a Dask or Ray cluster."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field

from kerasburst.validation import InputError

_ANSWER_S = 10  # how long a cluster may take to answer


@dataclass(frozen=True)
class Pool:
    """Workers that joblib can use.

    Args:
        backend: joblib's name for them, or its backend object.
        jobs: how many of them work at once.
        cores: how many cores they have together.
        broken: the errors which say that a worker is gone, and the pool with it.
        options: for joblib's backend.
    """

    backend: object
    jobs: int
    cores: int
    broken: tuple[type[Exception], ...]
    options: dict = field(default_factory=dict)


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
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
def open_loky(jobs: int | None, tasks: int, address: str | None) -> Iterator[Pool]:
    """Give processes of this machine."""
    import joblib
    from joblib.externals.loky import get_reusable_executor

    if address is not None:
        raise InputError(f"address must be left out with backend loky, received {address!r}")
    cores = joblib.cpu_count()
    options = {"initializer": _end_with, "initargs": (os.getpid(),)}
    try:
        yield Pool("loky", min(jobs or cores, tasks), cores, (BrokenExecutor,), options)
    finally:
        with interrupts_wait():
            get_reusable_executor().shutdown(wait=True, kill_workers=True)


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
        if address:
            client = stack.enter_context(
                _answering(address, "Dask", lambda: distributed.Client(address, timeout=_ANSWER_S))
            )
        elif client is None:
            workers = min(jobs or joblib.cpu_count(), tasks)
            with interrupts_wait():
                cluster = distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    memory_limit=0,
                    dashboard_address=None,
                    silence_logs=logging.ERROR,
                )
                stack.enter_context(cluster)
                stack.enter_context(distributed.Client(cluster))
            yield Pool("dask", workers, joblib.cpu_count(), (distributed.KilledWorker,))
            return
        cores = sum(client.ncores().values()) or jobs or tasks  # a cluster that grows when asked may have none yet
        yield Pool("dask", min(jobs or cores, cores, tasks), cores, (distributed.KilledWorker,))


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
    from ray.util.joblib.ray_backend import RayBackend

    class Backend(RayBackend):
        supports_return_generator = True  # its results come by callbacks, which is all that joblib needs for it

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
        yield Pool(Backend(), jobs, cores, (ray.exceptions.RayError,))
    finally:
        if mine:
            ray.shutdown()


BACKENDS = {"loky": open_loky, "dask": open_dask, "ray": open_ray}
_MODULES = {"loky": (), "dask": ("dask", "distributed"), "ray": ("ray", "ray.util.joblib.ray_backend")}


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
