"""The machine's best rates, and what they allow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from kerasburst.profiling.process import WorkerFailed
from kerasburst.profiling.together import Participant
from kerasburst.profiling.works import WORKS


@dataclasses.dataclass(frozen=True)
class LimitRates:
    """The best rates that were seen in a run; None where a rate is not known.

    Args:
        matmul_float32_gflop_per_s: matrix multiplication, the best of several shapes.
        matmul_bfloat16_gflop_per_s: the same in bfloat16, where the processor has instructions for it.
        copy_gb_per_s: memory copy, bytes read and bytes written.
        samples: how many times each was measured.
        lowest_share_percent: the slowest of these times in percent of the best, of the float32 multiplication: below
            some 90 the machine had other work to do, or changed its clock.
        reason: why a rate is not known.
    """

    matmul_float32_gflop_per_s: float | None = None
    matmul_bfloat16_gflop_per_s: float | None = None
    copy_gb_per_s: float | None = None
    samples: int = 0
    lowest_share_percent: float | None = None
    reason: str | None = None

    @classmethod
    def best_of(cls, answers: Sequence[dict], reason: str | None = None) -> LimitRates:
        """Take the best of what the limits' worker has answered over a run.

        Example:
            >>> rates = LimitRates.best_of([{"copy_gb_per_s": 20.0}, {"copy_gb_per_s": 25.0}])
            >>> rates.copy_gb_per_s, rates.matmul_float32_gflop_per_s
            (25.0, None)
        """

        def all_of(name: str) -> list[float]:
            return [answer[name] for answer in answers if name in answer]

        names = ("matmul_float32_gflop_per_s", "matmul_bfloat16_gflop_per_s", "copy_gb_per_s")
        best = {name: round(max(all_of(name)), 2) for name in names if all_of(name)}
        products = all_of(names[0])
        share = round(100.0 * min(products) / max(products), 1) if products else None
        return cls(**best, samples=len(answers), lowest_share_percent=share, reason=reason)

    def limit_ms(self, work: str, batch_size: int, num_steps: int) -> float | None:
        """Give the least time that a step of a work can take at these rates; None where none is known.

        Example:
            >>> LimitRates(copy_gb_per_s=25.0).limit_ms("lif", 128, 10)  # 5 x 128,450,560 bytes
            25.6901
        """
        info = WORKS[work]
        if info.limit is None:
            return None
        rate = {
            "matmul_float32": self.matmul_float32_gflop_per_s,
            "matmul_bfloat16": self.matmul_bfloat16_gflop_per_s,
            "copy": self.copy_gb_per_s,
        }[info.limit]
        return None if rate is None else round(info.amount(batch_size, num_steps) / rate / 1e6, 4)


class LimitMeter:
    """A live process that measures the machine's rates now and then during a run.

    Args:
        options: "threads"; "bfloat16", whether that is measured too; "scale", the size of the matrices' sides.
    """

    def __init__(self, options: dict):
        self._answers: list[dict] = []
        self._reason: str | None = None
        self._worker = None
        try:
            self._worker = Participant("limits", "limits", options).start()
            self._worker.ask("build", work="limits", options=options)
            self._worker.ask("run", steps=1)
        except WorkerFailed as error:
            self._reason = str(error)

    def measure(self) -> LimitRates:
        """Measure once more; give the best so far."""
        if self._reason is None:
            try:
                self._answers.append(self._worker.ask("run", steps=1))
            except WorkerFailed as error:
                self._reason = str(error)
        return self.rates

    @property
    def rates(self) -> LimitRates:
        """The best so far."""
        return LimitRates.best_of(self._answers, self._reason)

    def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.close()
