"""What a profiler samples, each metric a figure or the reason why there is none, and what comes of it for a region."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

from kerasburst.validation import one_line


@dataclasses.dataclass(frozen=True)
class Unknown:
    """A figure that this machine cannot provide.

    Args:
        reason: why, one line.
    """

    reason: str


class Metric:
    """Something measured over a region; every method does nothing unless overridden.

    A profiler calls `rest` several times or never, `start`, `sample` several times, `stop`, one last `sample`, then
    the others.
    """

    def rest(self, seconds: float) -> None:
        """Take a reading before the region, `seconds` after the first such one."""

    def start(self) -> None:
        """The region begins."""

    def sample(self, seconds: float) -> None:
        """Take a reading, `seconds` into the region; also called in the profiler's thread."""

    def stop(self) -> None:
        """The region has ended."""

    def figures(self, wall_s: float) -> dict[str, float | Unknown]:
        """Return the figures by name, of a region that lasted `wall_s` seconds."""
        return {}

    def methods(self) -> dict[str, str]:
        """Return by name how the known figures were measured."""
        return {}

    def power_trace(self) -> tuple[tuple[float, float], ...]:
        """Return (seconds into the region, watts) in the order of time; empty for what has no power."""
        return ()


class Reader:
    """Read a value repeatedly until a reading fails; then remember why and stop asking.

    Args:
        read: returns a number, or raises one of `errors`.
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
        """Return the value; None where this or an earlier reading failed."""
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

    def note(self, readings: list[tuple[float, float]], seconds: float) -> None:
        """Append `seconds` and the value to the readings, unless this or an earlier one failed."""
        value = self()
        if value is not None:
            readings.append((seconds, value))


def energy_of_samples(trace: list[tuple[float, float]], wall_s: float) -> float | Unknown:
    """Integrate sampled power by trapezoids, constant before the first sample and after the last.

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
    return sum((t1 - t0) * (p0 + p1) / 2 for (t0, p0), (t1, p1) in itertools.pairwise(edges))


def too_short(wall_s: float, minimum_window_s: float) -> Unknown | None:
    """Return why a region is too short to have an energy, or None where it is long enough.

    Counters and power readings move every 20 to 100 ms: over a short region they are noise.

    Example:
        >>> too_short(2.0, 1.0), too_short(0.25, 1.0).reason
        (None, 'the region lasted 0.25 s, less than the minimum window of 1 s')
    """
    if wall_s >= minimum_window_s:
        return None
    return Unknown(f"the region lasted {wall_s:.3g} s, less than the minimum window of {minimum_window_s:g} s")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegionProfile:
    """The figures of one region; what this machine cannot measure is None, with the reason in `reasons`.

    Args:
        wall_s: elapsed time, seconds.
        cpu_time_s: processor time of the process tree, summed over all cores, seconds.
        peak_rss_mb: peak resident memory of the process tree, MB (10^6 bytes).
        rss_before_mb: resident memory when the region began.
        gpu_power_w: mean power of the GPU, watts.
        gpu_energy_j: its energy, joules.
        gpu_idle_power_w: its mean power before the region.
        gpu_energy_above_idle_j: its energy less that of the same time at rest.
        gpu_peak_mb: peak of the GPU allocator of Keras' backend.
        gpu_nvml_peak_mb: peak of the GPU memory in use by NVML, a library's whole pool included.
        gpu_utilisation_percent: mean share of the time in which a kernel ran.
        cpu_package_power_w: mean power of the processor packages by RAPL, all processes included.
        cpu_package_energy_j: their energy.
        cpu_package_idle_power_w: their mean power before the region.
        reasons: by field, why it is None.
        method: by field, how it was measured.
        gpu: name, uuid and driver of the GPU; None where there is none.
        power_trace: by "gpu" and "cpu_package", (seconds into the region, watts) in the order of time.
        interval_s: seconds between two samples, as requested.
        samples: how many were taken.
    """

    wall_s: float
    cpu_time_s: float | None
    peak_rss_mb: float | None
    rss_before_mb: float | None
    gpu_power_w: float | None
    gpu_energy_j: float | None
    gpu_idle_power_w: float | None
    gpu_energy_above_idle_j: float | None
    gpu_peak_mb: float | None
    gpu_nvml_peak_mb: float | None
    gpu_utilisation_percent: float | None
    cpu_package_power_w: float | None
    cpu_package_energy_j: float | None
    cpu_package_idle_power_w: float | None
    reasons: dict[str, str]
    method: dict[str, str]
    gpu: dict[str, str | None] | None
    power_trace: dict[str, tuple[tuple[float, float], ...]]
    interval_s: float
    samples: int

    @classmethod
    def of_metrics(
        cls, metrics: dict[str, Metric], missing: dict[str, Unknown], wall_s: float, **known
    ) -> RegionProfile:
        """Combine the figures of all metrics.

        Args:
            metrics: by name; "gpu_power" and "cpu_package" may have a power trace.
            missing: fields without a metric, and why.
            wall_s: the region's length, seconds.
            **known: the remaining fields.
        """
        figures: dict[str, float | Unknown] = dict(missing)
        methods: dict[str, str] = {}
        for metric in metrics.values():
            figures |= metric.figures(wall_s)
            methods |= metric.methods()
        reasons = {name: value.reason for name, value in figures.items() if isinstance(value, Unknown)}
        powers = {"gpu": metrics.get("gpu_power"), "cpu_package": metrics.get("cpu_package")}
        traces = {name: metric.power_trace() for name, metric in powers.items() if metric is not None}
        return cls(
            wall_s=wall_s,
            **{name: None if name in reasons else value for name, value in figures.items()},
            reasons=reasons,
            method={name: text for name, text in methods.items() if name not in reasons},
            power_trace={name: trace for name, trace in traces.items() if trace},
            **known,
        )
