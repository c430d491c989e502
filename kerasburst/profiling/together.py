"""Measure several works side by side: live, warm processes that take turns, A B C A B C."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import sys
import time
from collections.abc import Callable, Sequence

from kerasburst.profiling.measurement import Measurement
from kerasburst.profiling.process import KERASBURST, Worker, WorkerFailed
from kerasburst.validation import check_int

BLOCK_S = 1.0  # how long a block lasts at least
SETTLE_S = 0.25  # rest before a turn: thread pools spin for some 0.2 s after their last work
_MOST_STEPS = 2000


@dataclasses.dataclass(frozen=True)
class Participant:
    """A work and who does it.

    Args:
        label: its name in tables, unique among those it is measured with.
        work: the work's name.
        options: what its builder is given: "num_steps", "batch_size", "threads", "inputs" and more.
        command: how to start its worker.
    """

    label: str
    work: str
    options: dict
    command: tuple[str, ...] = KERASBURST

    def start(self) -> Worker:
        """Start the process."""
        ours = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        return Worker(self.command, self.options["threads"], ours if self.command == KERASBURST else None)


def measure_together(
    participants: Sequence[Participant],
    *,
    repeats: int,
    block_s: float = BLOCK_S,
    settle_s: float = SETTLE_S,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Measurement]:
    """Start all, warm all up, then let each run a block in turn, `repeats` times over.

    A process that is not running waits on its pipe. One that fails is left out from then on; its measurement has
    the reason instead of figures.

    Args:
        participants: who takes part, in the order of their turns.
        repeats: blocks of each, at least 1.
        block_s: seconds that a block lasts at least; a block is one step or more.
        settle_s: seconds of rest before each turn.
        tell: is given lines of progress.

    Returns:
        A measurement of each, in their order.
    """
    check_int("repeats", repeats, low=1)
    reasons: dict[str, str] = {}
    blocks: dict[str, list[dict]] = {p.label: [] for p in participants}
    steps, versions, peaks = {}, {}, {}
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
            steps[p.label] = _warm_up(worker, block_s)

        def turn(p: Participant) -> None:
            time.sleep(settle_s)
            blocks[p.label].append(workers[p.label].ask("run", steps=steps[p.label]))

        def finish(p: Participant) -> None:
            peaks[p.label] = workers[p.label].ask("peak")["peak_rss_mb"]

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
        _measurement(p, blocks[p.label], steps.get(p.label), peaks.get(p.label), versions, reasons)
        for p in participants
    ]


def _warm_up(worker: Worker, block_s: float) -> int:
    """Run until everything is compiled and allocated; give how many steps fill a block."""
    worker.ask("run", steps=1)
    steps = 1
    while True:
        answer = worker.ask("run", steps=steps)
        seconds = max(answer["seconds"], 1e-9)
        if seconds >= block_s / 4 or steps >= _MOST_STEPS:
            break
        steps = min(_MOST_STEPS, 4 * steps)
    each = seconds / answer.get("steps", steps)
    return min(_MOST_STEPS, max(1, math.ceil(block_s / each)))


def _measurement(p: Participant, blocks, steps, peak, versions, reasons) -> Measurement:
    known = {
        "label": p.label,
        "work": p.work,
        "num_steps": p.options["num_steps"],
        "threads": p.options["threads"],
        "versions": versions.get(p.label, {}),
    }
    if p.label in reasons:
        return Measurement(**known, batch_size=p.options["batch_size"], reason=reasons[p.label])
    return Measurement.of_blocks(
        blocks, steps_per_block=steps, batch_size=p.options["batch_size"], peak_rss_mb=peak, **known
    )
