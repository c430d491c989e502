"""Power and energy of the GPU."""

from __future__ import annotations

from kerasburst.profiling.gpu import Gpu
from kerasburst.profiling.metric import Metric, Reader, Unknown, energy_of_samples, too_short

_WHOSE = "of the whole board, whoever uses it"


class GpuPower(Metric):
    """Energy by the device's counter where it advances, else by the integral of sampled power.

    Power is energy over wall time. At rest it is the mean of what was sampled before the region.

    Args:
        gpu: the device.
        minimum_window_s: seconds that a region must last to have an energy.
    """

    FIELDS = ("gpu_power_w", "gpu_energy_j", "gpu_idle_power_w", "gpu_energy_above_idle_j")

    def __init__(self, gpu: Gpu, minimum_window_s: float):
        self._minimum_window_s = minimum_window_s
        self._power, self._counter = Reader(gpu.power_w, gpu.errors), Reader(gpu.energy_j, gpu.errors)
        self._idle: list[float] = []
        self._trace: list[tuple[float, float]] = []
        self._begun = self._ended = None
        self._by = ""

    def rest(self, seconds: float) -> None:
        """Sample the power at rest."""
        power = self._power()
        if power is not None:
            self._idle.append(power)

    def start(self) -> None:
        """Read the counter."""
        self._begun = self._counter()

    def sample(self, seconds: float) -> None:
        """Sample the power."""
        power = self._power()
        if power is not None:
            self._trace.append((seconds, power))

    def stop(self) -> None:
        """Read the counter."""
        self._ended = self._counter()

    def figures(self, wall_s: float) -> dict[str, float | Unknown]:
        """Give power, energy, power at rest, and energy beyond that of resting as long."""
        idle = self._idle_power()
        energy = too_short(wall_s, self._minimum_window_s) or self._energy(wall_s)
        if isinstance(energy, Unknown):
            return {**dict.fromkeys(self.FIELDS, energy), "gpu_idle_power_w": idle}
        above = idle if isinstance(idle, Unknown) else energy - idle * wall_s
        return dict(zip(self.FIELDS, (energy / wall_s, energy, idle, above), strict=True))

    def _idle_power(self) -> float | Unknown:
        if self._idle:
            return sum(self._idle) / len(self._idle)
        return Unknown(self._power.failure or "no power was sampled before the region")

    def _energy(self, wall_s: float) -> float | Unknown:
        no_counter = self._counter.failure
        if no_counter is None:
            energy = self._ended - self._begun
            if energy > 0:
                self._by = "difference of the GPU's energy counter"
                return energy
            no_counter = "the GPU's energy counter did not advance"
        if self._power.failure is not None:
            return Unknown(f"no energy counter: {no_counter}; no power: {self._power.failure}")
        self._by = f"integral of {len(self._trace)} samples of power; no energy counter: {no_counter}"
        return energy_of_samples(self._trace, wall_s)

    def methods(self) -> dict[str, str]:
        """Say where the energy is from."""
        return {
            "gpu_energy_j": f"{self._by}, {_WHOSE}",
            "gpu_power_w": "gpu_energy_j over wall time",
            "gpu_idle_power_w": f"mean of {len(self._idle)} samples before the region, {_WHOSE}",
            "gpu_energy_above_idle_j": "gpu_energy_j less gpu_idle_power_w times wall time",
        }

    def power_trace(self) -> tuple[tuple[float, float], ...]:
        """Give the samples, unless a reading failed."""
        return () if self._power.failure is not None else tuple(self._trace)
