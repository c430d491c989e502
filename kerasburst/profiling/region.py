"""`RegionProfile`: what was measured over one region."""

from __future__ import annotations

import dataclasses

from kerasburst.profiling.metric import Metric, Unknown


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegionProfile:
    """The figures of one region; what this machine cannot measure is None, and `reasons` says why by field.

    Args:
        wall_s: seconds by the clock.
        cpu_time_s: processor time of the process tree, all cores together, seconds.
        peak_rss_mb: peak resident memory of the process tree, MB (10^6 bytes).
        rss_before_mb: what of it there was when the region began.
        gpu_power_w: mean power of the GPU, watts.
        gpu_energy_j: its energy, joules.
        gpu_idle_power_w: its mean power before the region.
        gpu_energy_above_idle_j: its energy beyond that of resting as long.
        gpu_peak_mb: peak of TensorFlow's GPU allocator.
        gpu_nvml_peak_mb: peak of the GPU memory in use as NVML sees it, TensorFlow's whole pool included.
        gpu_utilisation_percent: mean share of the time in which a kernel ran.
        cpu_package_power_w: mean power of the processor packages by RAPL, whatever runs on them.
        cpu_package_energy_j: their energy.
        cpu_package_idle_power_w: their mean power before the region.
        reasons: by field, why it is None.
        method: by field, how it was measured.
        gpu: name, uuid and driver of the GPU; None where there is none.
        power_trace: by "gpu" and "cpu_package", (seconds into the region, watts) in the order of time.
        interval_s: seconds between two samples, as asked for.
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
        cls,
        metrics: dict[str, Metric],
        missing: dict[str, Unknown],
        wall_s: float,
        **known,
    ) -> RegionProfile:
        """Put together what the metrics give.

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
