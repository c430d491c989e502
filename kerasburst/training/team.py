"""The devices and machines that train one network together through tf.distribute, and what they agree on.

Keras' own `fit` cannot reduce its metrics over several machines (keras issue 20585), hence
`kerasburst.training.distributed`; the variables, the collectives and the failures are TensorFlow's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from kerasburst import backend
from kerasburst.config import STRATEGIES
from kerasburst.validation import InputError, check_choice, fail

_EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)
_GO, _NOTHING_LEFT, _REFUSED = range(3)


class WorkerLost(RuntimeError):
    """Another worker of the team has gone: what is left cannot go on without it."""


class Agreement:
    """What a worker brings to the start: up to four texts that must be the same on all, and whether work is left."""

    def __init__(self):
        self.same: dict[str, str] = {}
        self.nothing_left = False


class Team:
    """The replicas that share each batch, and this process's place among them.

    Args:
        strategy: TensorFlow's, or None for a process that trains alone.
        addresses: of the workers, the chief first; empty for a single process.
        rank: this worker's number.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None, addresses: Sequence[str] = (), rank: int = 0):
        self.strategy, self.addresses, self.rank = strategy, tuple(addresses), rank
        self.workers = max(1, len(self.addresses))
        self.replicas = 1 if strategy is None else strategy.num_replicas_in_sync
        self._local = self.replicas // self.workers
        self.parts = range(rank * self._local, (rank + 1) * self._local)

    @property
    def alone(self) -> bool:
        """Whether no strategy is used."""
        return self.strategy is None

    @property
    def chief(self) -> bool:
        """Whether this is the worker that writes."""
        return self.rank == 0

    def scope(self) -> contextlib.AbstractContextManager:
        """Return the scope in which variables are made that all replicas share."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def __str__(self) -> str:
        if self.workers == 1:
            return f"{self.replicas} device{'s' * (self.replicas > 1)}"
        return f"worker {self.rank} of {self.workers}, {self.replicas} devices in all"

    # What is sent between workers ------------------------------------------------------------------

    def total(self, value: np.ndarray) -> np.ndarray:
        """Sum an array over the workers; each must bring one of the same shape and dtype."""
        if self.workers == 1:
            return np.asarray(value)
        value = tf.convert_to_tensor(value)

        def mine(context):  # one replica of each worker brings it
            first = context.replica_id_in_sync_group % self._local == 0
            return value if first else tf.zeros_like(value)

        values = self.strategy.experimental_distribute_values_from_function(mine)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None).numpy()

    def from_chief(self, value: np.ndarray) -> np.ndarray:
        """Return the chief's value of an array to every worker."""
        value = np.asarray(value)
        return self.total(value if self.chief else np.zeros_like(value))

    @contextlib.contextmanager
    def agreement(self) -> Iterator[Agreement]:
        """Run each worker's checks before anything is written, and make sure that all workers may start.

        Raises:
            InputError: what the body raises; or, where another worker refused or differs, which one.
        """
        mine = Agreement()
        try:
            yield mine
        except Exception:
            if self.workers > 1:
                with contextlib.suppress(WorkerLost):  # this worker's own refusal says more
                    self._exchange(_REFUSED, mine)
            raise
        if self.workers == 1:
            return
        states, digests = self._exchange(_NOTHING_LEFT if mine.nothing_left else _GO, mine)
        for rank in np.flatnonzero(states == _REFUSED):
            raise InputError(f"worker {rank} ({self.addresses[rank]}) has refused its input: see what it says")
        if states[0] == _NOTHING_LEFT:
            mine.nothing_left = True
            return
        for number, name in enumerate(mine.same):
            for rank in np.flatnonzero(digests[:, number] != digests[0, number]):
                raise InputError(
                    f"{name} must be the same on every worker, worker {rank} ({self.addresses[rank]}) "
                    "has another than the chief"
                )

    def _exchange(self, state: int, mine: Agreement) -> tuple[np.ndarray, np.ndarray]:
        table = np.zeros((self.workers, 5), "int64")  # one size, also of the worker that has refused before it knew all
        table[self.rank, 0] = state
        for i, text in enumerate(mine.same.values()):
            digest = hashlib.sha256(text.encode()).digest()
            table[self.rank, 1 + i] = int.from_bytes(digest[:6], "little")
        with self.reporting_loss("before the first epoch"):
            table = self.total(table)
        return table[:, 0], table[:, 1:]

    @contextlib.contextmanager
    def reporting_loss(self, when: str) -> Iterator[None]:
        """Turn TensorFlow's error about another worker into one line.

        Raises:
            WorkerLost: where another worker has gone.
        """
        try:
            yield
        except _LOST as error:
            if self.workers == 1:
                raise
            named = re.findall(r"job:(chief|worker)/replica:\d+/task:(\d+)", str(error))
            others = {self._rank_of(job, int(index)) for job, index in named} - {self.rank}
            rank = min(others) if others else None
            who = "another worker" if rank is None else f"worker {rank} ({self.addresses[rank]})"
            raise WorkerLost(f"{who} has gone {when}; start every worker's command again, with --resume") from None

    def _rank_of(self, job: str, index: int) -> int:
        chiefs = "chief" in self.strategy.cluster_resolver.cluster_spec().jobs
        return 0 if job == "chief" else index + chiefs


def open_team(strategy: object, tell: Callable[[str], None]) -> Team:
    """Make a strategy and meet the other workers; to be called before TensorFlow's devices are used.

    Args:
        strategy: "mirrored" for this machine's GPUs, "multi_worker" for the machines of TF_CONFIG, a
            `tf.distribute.Strategy`, or None to train alone.
        tell: is given lines to show.

    Raises:
        InputError: for another strategy, or a TF_CONFIG that names no team with this worker in it.
    """
    if strategy is None:
        return Team()
    if backend.name != "tensorflow":
        raise InputError(f"strategy must be left out while Keras runs on {backend.name}: tf.distribute is TensorFlow's")
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        team = Team(strategy, *_members(strategy.cluster_resolver))
    elif isinstance(strategy, tf.distribute.Strategy):
        team = Team(strategy)
    elif check_choice("strategy", strategy, STRATEGIES) == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        team = Team(tf.distribute.MirroredStrategy([device.name for device in devices]))
    else:
        addresses, rank = read_tf_config(os.environ.get("TF_CONFIG"))
        others = [address for i, address in enumerate(addresses) if i != rank]
        tell(f"worker {rank} of {len(addresses)} waits for {', '.join(others) or 'nobody'}")
        with _deaf_to_python():
            team = Team(tf.distribute.MultiWorkerMirroredStrategy(), addresses, rank)
    tell(f"training on {team}")
    return team


def _members(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> tuple[list[str], int]:
    """Return addresses and rank, as `read_tf_config`, from a strategy that knows its cluster; none if it is alone."""
    jobs = resolver.cluster_spec().as_dict()
    addresses = [*jobs.get("chief", []), *jobs.get("worker", [])]
    if len(addresses) < 2:
        return [], 0
    return addresses, resolver.task_id + (resolver.task_type != "chief") * len(jobs.get("chief", []))


def read_tf_config(text: str | None) -> tuple[list[str], int]:
    """Return the workers' addresses, the chief's first, and this worker's number, from TF_CONFIG.

    Raises:
        InputError: where it is not set, or does not say so.

    Example:
        >>> read_tf_config('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}')
        (['a:1', 'b:1'], 1)
    """
    if not text:
        raise InputError(f"strategy multi_worker needs TF_CONFIG in each worker's environment, such as {_EXAMPLE}")
    try:
        value = json.loads(text)
        cluster, task = value["cluster"], value["task"]
        jobs = {name: list(cluster[name]) for name in cluster}
        job, index = task["type"], task["index"]
    except (ValueError, KeyError, TypeError):
        raise fail("TF_CONFIG", f"JSON like {_EXAMPLE}", text) from None
    if set(jobs) - {"chief", "worker"} or len(jobs.get("chief", [])) > 1:
        raise fail("the cluster of TF_CONFIG", "of workers, and at most one chief", cluster)
    addresses = [*jobs.get("chief", []), *jobs.get("worker", [])]
    if any(not isinstance(address, str) or not re.fullmatch(r"\S+:\d+", address) for address in addresses):
        raise fail("the cluster of TF_CONFIG", "addresses of the form host:port", addresses)
    if len(set(addresses)) < len(addresses):
        raise fail("the cluster of TF_CONFIG", "each address once", addresses)
    known = isinstance(job, str) and job in jobs
    if not known or isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(jobs[job]):
        raise fail("the task of TF_CONFIG", "one of the cluster's", task)
    return addresses, index if job == "chief" else index + len(jobs.get("chief", []))


@contextlib.contextmanager
def _deaf_to_python() -> Iterator[None]:
    """Let Ctrl-C end the process at once: TensorFlow waits for the others in C++, where Python does not hear it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
