"""What a profiler samples: one metric a file, each a figure or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kerasburst.validation import one_line


@dataclass(frozen=True)
class Unknown:
    """Stands for a figure that this machine cannot give.

    Args:
        reason: why, one line.
    """

    reason: str


class Metric:
    """Something that is watched over a region; every method does nothing unless overridden.

    A profiler calls `rest` several times or never, `start`, `sample` several times, `stop`, one last `sample`, then
    the others.
    """

    def rest(self, seconds: float) -> None:
        """Take a reading before the region, `seconds` after the first such one."""

    def start(self) -> None:
        """The region begins."""

    def sample(self, seconds: float) -> None:
        """Take a reading, `seconds` into the region; called in the profiler's thread, too."""

    def stop(self) -> None:
        """The region has ended."""

    def figures(self, wall_s: float) -> dict[str, float | Unknown]:
        """Give the figures by name, of a region that lasted `wall_s` seconds."""
        return {}

    def methods(self) -> dict[str, str]:
        """Say by name how the figures came about; of those that are known."""
        return {}

    def power_trace(self) -> tuple[tuple[float, float], ...]:
        """Give (seconds into the region, watts) in the order of time; empty for what has no power."""
        return ()


class Reader:
    """Reads a value again and again until it fails: then it remembers why, and asks no more.

    Args:
        read: gives a number, or raises one of `errors`.
        errors: what a failed reading raises.

    Example:
        >>> reader = Reader(iter([1.0]).__next__, (StopIteration,))
        >>> reader(), reader(), reader.failure
        (1.0, None, 'StopIteration after 1 reading')
    """

    def __init__(self, read: Callable[[], float], errors: tuple[type[Exception], ...]):
        self._read, self._errors = read, errors
        self._count = 0
        self.failure: str | None = None

    def __call__(self) -> float | None:
        """Give the value; None where this or an earlier reading failed."""
        if self.failure is not None:
            return None
        try:
            value = self._read()
        except self._errors as error:
            self.failure = one_line(error, None)
            if self._count:
                self.failure += f" after {self._count} reading{'s' if self._count > 1 else ''}"
            return None
        self._count += 1
        return value


def energy_of_samples(trace: list[tuple[float, float]], wall_s: float) -> float | Unknown:
    """Integrate sampled power by trapezoids; before the first sample and after the last it is taken as constant.

    Args:
        trace: (seconds into the region, watts), in the order of time.
        wall_s: the region's length, seconds.

    Returns:
        Joules.

    Example:
        >>> energy_of_samples([(1.0, 10.0), (2.0, 20.0)], wall_s=4.0)  # 10 + 15 + 2 x 20
        65.0
    """
    if not trace:
        return Unknown("no power was sampled")
    edges = [(0.0, trace[0][1]), *trace, (wall_s, trace[-1][1])]
    return sum((t1 - t0) * (p0 + p1) / 2 for (t0, p0), (t1, p1) in zip(edges, edges[1:], strict=False))


def too_short(wall_s: float, minimum_window_s: float) -> Unknown | None:
    """Say why a region gives no energy, or None where it is long enough.

    Counters and power readings move every 20 to 100 ms: over a short region they are noise.

    Example:
        >>> too_short(2.0, 1.0), too_short(0.25, 1.0).reason
        (None, 'the region lasted 0.25 s, less than the minimum window of 1 s')
    """
    if wall_s >= minimum_window_s:
        return None
    return Unknown(f"the region lasted {wall_s:.3g} s, less than the minimum window of {minimum_window_s:g} s")
