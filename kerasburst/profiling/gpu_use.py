"""How much of the GPU is in use: its memory by NVML, and its time."""

from __future__ import annotations

from kerasburst.profiling.gpu import Gpu
from kerasburst.profiling.metric import Metric, Reader, Unknown


class GpuUse(Metric):
    """Peak of the memory in use on the device, and mean utilisation.

    Args:
        gpu: the device.
    """

    FIELDS = ("gpu_nvml_peak_mb", "gpu_utilisation_percent")

    def __init__(self, gpu: Gpu):
        self._memory, self._busy = Reader(gpu.memory_mb, gpu.errors), Reader(gpu.utilisation_percent, gpu.errors)
        self._memory_mb: list[float] = []
        self._percent: list[float] = []

    def sample(self, seconds: float) -> None:
        """Read both."""
        for reader, values in ((self._memory, self._memory_mb), (self._busy, self._percent)):
            value = reader()
            if value is not None:
                values.append(value)

    def figures(self, wall_s: float) -> dict[str, float | Unknown]:
        """Give the largest memory and the mean utilisation; unknown where any reading failed."""
        memory = (self._memory, lambda: max(self._memory_mb))
        busy = (self._busy, lambda: sum(self._percent) / len(self._percent))
        return {
            name: Unknown(reader.failure) if reader.failure is not None else of()
            for name, (reader, of) in zip(self.FIELDS, (memory, busy), strict=True)
        }

    def methods(self) -> dict[str, str]:
        """Say what is counted."""
        return {
            "gpu_nvml_peak_mb": f"largest of {len(self._memory_mb)} samples of NVML's memory in use, of all processes; "
            "TensorFlow's pool counts whole",
            "gpu_utilisation_percent": f"mean of {len(self._percent)} samples of NVML's utilisation",
        }
