"""What was measured of one work."""

from __future__ import annotations

import dataclasses
import statistics as means
from collections.abc import Sequence

from kerasburst.profiling.statistics import quartiles, spread_percent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """The figures of one work in one process; what is not known is None, and `reason` says why.

    Args:
        label: who did the work, such as "kerasburst".
        work: its name.
        num_steps: T.
        batch_size: examples of a step.
        threads: threads that it was allowed.
        steps_per_block: steps between two looks at the clock.
        block_step_ms: milliseconds of a step, by block.
        step_ms_median: median over the blocks.
        step_ms_q1: first quartile.
        step_ms_q3: third quartile.
        spread_percent: the distance between the quartiles in percent of the median.
        samples_per_s_median: examples per second at the median.
        peak_rss_mb: the process's largest memory, the libraries included.
        limit_ms: the least that a step can take at the machine's best rate; None where no such limit is known.
        share_of_limit_percent: that in percent of the median.
        more: medians of what else the work tells, by name with unit.
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
    peak_rss_mb: float | None = None
    limit_ms: float | None = None
    share_of_limit_percent: float | None = None
    more: dict[str, float] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    reason: str | None = None

    @classmethod
    def of_blocks(
        cls,
        blocks: Sequence[dict],
        *,
        steps_per_block: int,
        batch_size: int,
        **known,
    ) -> Measurement:
        """Summarise what a worker answered, block by block.

        Args:
            blocks: `{"seconds": ...}`, with "steps" where they were not `steps_per_block`, and further figures.
            steps_per_block: steps that each block was asked for.
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
            spread_percent=round(spread_percent(step_ms), 2),
            samples_per_s_median=round(1000.0 * batch_size / median, 1),
            more={name: round(means.median(block[name] for block in blocks), 4) for name in names},
            **known,
        )

    def against(self, limit_ms: float | None) -> Measurement:
        """Give the same with the limit beside it.

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
