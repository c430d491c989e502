"""Measure works side by side: live, warm processes that take turns, A B C A B C, and statistics of their blocks."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from kerasburst.process import DEFER, SHARED_GPU, Worker, WorkerFailed, thread_counts
from kerasburst.validation import InputError, check_int

KERASBURST = (sys.executable, "-P", "-m", "kerasburst.profiling.worker")
BLOCK_S = 1.0  # least length of a block
SETTLE_S = 0.25  # rest before a turn: thread pools spin for about 0.2 s after their last work
_MOST_STEPS = 2000  # of a block, for each second that it lasts


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the first quartile, the median and the third quartile, interpolated linearly.

    Raises:
        InputError: without a value, or with one that is not finite.

    Example:
        >>> quartiles([4.0, 1.0, 3.0, 2.0, 10.0])
        (2.0, 3.0, 4.0)
    """
    if not len(values) or not all(math.isfinite(value) for value in values):
        raise InputError(f"values must be one or more finite numbers, received {list(values)}")
    low, median, high = np.percentile(np.asarray(values, dtype="float64"), [25, 50, 75])
    return float(low), float(median), float(high)


def paired_ratios(slower: Sequence[float], faster: Sequence[float]) -> tuple[float, float, float]:
    """Return the quartiles of slower[i] / faster[i], block against neighbouring block.

    A change in the machine's speed that lasts longer than a pair of blocks cancels in such a ratio.

    Example:
        >>> paired_ratios([2.0, 4.0, 6.0], [1.0, 2.0, 2.0])  # 2, 2, 3
        (2.0, 2.0, 2.5)
    """
    if len(slower) != len(faster):
        raise InputError(f"slower and faster must be of one length, received {len(slower)} and {len(faster)}")
    return quartiles([a / b for a, b in zip(slower, faster, strict=True)])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """The figures of one work in one process; unknown ones are None, with the reason in `reason`.

    Args:
        label: the library, such as "kerasburst".
        work: its name.
        num_steps: T.
        batch_size: examples of a step.
        threads: its limit of threads.
        steps_per_block: steps per block.
        block_step_ms: milliseconds of a step, by block.
        step_ms_median: median over the blocks.
        step_ms_q1: first quartile.
        step_ms_q3: third quartile.
        spread_percent: the distance between the quartiles in percent of the median.
        samples_per_s_median: examples per second at the median.
        first_step_s: seconds of the first step, tracing and compiling included; of `fit`, of its first execution.
        peak_rss_mb: the process's peak memory, libraries included, MB (10^6 bytes).
        device_peak_mb: peak of the GPU memory in use by the backend's own count, MB; None without a GPU.
        limit_ms: least time of a step at the machine's best rate; None where no limit is known.
        share_of_limit_percent: `limit_ms` in percent of the median.
        more: medians of the work's other figures, by name with unit.
        versions: of the libraries.
        reason: why there are no figures.
    """

    label: str
    work: str
    num_steps: int
    batch_size: int
    threads: int
    steps_per_block: int | None = None
    block_step_ms: tuple[float, ...] = ()
    step_ms_median: float | None = None
    step_ms_q1: float | None = None
    step_ms_q3: float | None = None
    spread_percent: float | None = None
    samples_per_s_median: float | None = None
    first_step_s: float | None = None
    peak_rss_mb: float | None = None
    device_peak_mb: float | None = None
    limit_ms: float | None = None
    share_of_limit_percent: float | None = None
    more: dict[str, float] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    reason: str | None = None

    @classmethod
    def of_blocks(cls, blocks: Sequence[dict], *, steps_per_block: int, batch_size: int, **known) -> Measurement:
        """Summarise a worker's answers, one per block.

        Args:
            blocks: `{"seconds": ...}`, with "steps" where they were not `steps_per_block`, and further figures.
            steps_per_block: steps requested of each block.
            batch_size: examples of a step.
            **known: the remaining fields.

        Example:
            >>> blocks = [{"seconds": 0.2}, {"seconds": 0.4}, {"seconds": 0.3}]
            >>> known = {"label": "kerasburst", "work": "lif", "num_steps": 10, "threads": 2}
            >>> m = Measurement.of_blocks(blocks, steps_per_block=2, batch_size=8, **known)
            >>> m.step_ms_median, m.samples_per_s_median
            (150.0, 53.3)
        """
        step_ms = [1000.0 * block["seconds"] / block.get("steps", steps_per_block) for block in blocks]
        low, median, high = quartiles(step_ms)
        names = [name for name in blocks[0] if name not in ("seconds", "steps")]
        return cls(
            steps_per_block=int(blocks[0].get("steps", steps_per_block)),
            batch_size=batch_size,
            block_step_ms=tuple(round(value, 4) for value in step_ms),
            step_ms_median=round(median, 4),
            step_ms_q1=round(low, 4),
            step_ms_q3=round(high, 4),
            spread_percent=round(100.0 * (high - low) / median, 2),
            samples_per_s_median=round(1000.0 * batch_size / median, 1),
            more={name: round(statistics.median(block[name] for block in blocks), 4) for name in names},
            **known,
        )

    def against(self, limit_ms: float | None) -> Measurement:
        """Return a copy with the limit.

        Example:
            >>> m = Measurement(label="a", work="lif", num_steps=1, batch_size=1, threads=1, step_ms_median=4.0)
            >>> m.against(3.0).share_of_limit_percent, m.against(None).share_of_limit_percent
            (75.0, None)
        """
        if limit_ms is None or self.step_ms_median is None:
            return dataclasses.replace(self, limit_ms=limit_ms)
        return dataclasses.replace(
            self, limit_ms=limit_ms, share_of_limit_percent=round(100.0 * limit_ms / self.step_ms_median, 1)
        )


@dataclasses.dataclass(frozen=True)
class Participant:
    """A work and the library that does it.

    Args:
        label: its name in tables, unique among those measured together.
        work: the work's name.
        options: of its builder: "num_steps", "batch_size", "threads", "inputs" and more; "backend" of Keras, if it
            is not TensorFlow.
        command: how to start its worker.
    """

    label: str
    work: str
    options: dict
    command: tuple[str, ...] = KERASBURST

    def start(self) -> Worker:
        """Start the process."""
        return start_worker(self.command, self.options["threads"], self.options.get("backend", "tensorflow"))


def start_worker(command: Sequence[str], threads: int, backend: str = "tensorflow") -> Worker:
    """Start a process that does works.

    Args:
        command: how to start it.
        threads: how many threads its libraries may use.
        backend: of Keras.

    Raises:
        WorkerFailed: where it does not start.
    """
    environment = {
        **SHARED_GPU,
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": backend,
        **thread_counts(threads),
    }
    if tuple(command) == KERASBURST:
        environment |= {DEFER: "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return Worker(command, environment=environment)


def measure_together(
    participants: Sequence[Participant],
    *,
    repeats: int,
    block_s: float = BLOCK_S,
    settle_s: float = SETTLE_S,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Measurement]:
    """Start all, warm all up, then let each run a block in turn, `repeats` times.

    A process whose turn it is not waits on its pipe. One that fails is left out from then on; its measurement has the
    reason instead of figures.

    Args:
        participants: in the order of their turns.
        repeats: blocks of each, at least 1.
        block_s: least length of a block, seconds; a block has at least one step.
        settle_s: seconds of rest before each turn.
        tell: receives lines of progress.

    Returns:
        One measurement each, in their order.
    """
    check_int("repeats", repeats, low=1)
    reasons: dict[str, str] = {}
    blocks: dict[str, list[dict]] = {p.label: [] for p in participants}
    steps, versions = {}, {}
    known: dict[str, dict] = {p.label: {} for p in participants}
    workers: dict[str, Worker] = {}

    def attempt(label: str, what: Callable[[], None]) -> None:
        try:
            what()
        except WorkerFailed as error:
            reasons[label] = str(error)
            tell(f"{label}: {error}")

    with contextlib.ExitStack() as stack:

        def begin(p: Participant) -> None:
            worker = workers[p.label] = stack.enter_context(p.start())
            versions[p.label] = worker.ask("build", work=p.work, options=p.options)["versions"]
            known[p.label]["first_step_s"], steps[p.label] = _warm_up(worker, block_s)

        def turn(p: Participant) -> None:
            time.sleep(settle_s)
            blocks[p.label].append(workers[p.label].ask("run", steps=steps[p.label]))

        def finish(p: Participant) -> None:
            peaks = workers[p.label].ask("peak")
            known[p.label] |= {name: peaks.get(name) for name in ("peak_rss_mb", "device_peak_mb")}

        rounds = [begin, *[turn] * repeats, finish]
        for number, action in enumerate(rounds):
            for p in participants:
                if p.label not in reasons:
                    if action is begin:
                        tell(f"{p.label}: starting {p.work}")
                    attempt(p.label, lambda action=action, p=p: action(p))
            if action is turn:
                tell(f"block {number} of {repeats}")
    return [
        _measurement(p, blocks[p.label], steps.get(p.label), known[p.label], versions, reasons) for p in participants
    ]


def _warm_up(worker: Worker, block_s: float) -> tuple[float, int]:
    """Run until everything is compiled and allocated; return the first step's seconds, and how many fill a block."""
    first_s = worker.ask("run", steps=1)["seconds"]
    steps, most = 1, math.ceil(_MOST_STEPS * max(1.0, block_s))
    while True:
        answer = worker.ask("run", steps=steps)
        seconds = max(answer["seconds"], 1e-9)
        if seconds >= block_s / 4 or steps >= most:
            break
        steps = min(most, 4 * steps)
    each = seconds / answer.get("steps", steps)
    return round(first_s, 3), min(most, max(1, math.ceil(block_s / each)))


def _measurement(p: Participant, blocks, steps, found, versions, reasons) -> Measurement:
    known = {name: p.options[name] for name in ("num_steps", "batch_size", "threads")}
    known |= {"label": p.label, "work": p.work, "versions": versions.get(p.label, {})}
    if p.label in reasons:
        return Measurement(**known, reason=reasons[p.label])
    return Measurement.of_blocks(blocks, steps_per_block=steps, **found, **known)
