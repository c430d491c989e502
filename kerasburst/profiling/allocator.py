"""The peak of TensorFlow's GPU allocator."""

from __future__ import annotations

import sys

from kerasburst.profiling.metric import Metric, Unknown
from kerasburst.validation import one_line

_DEVICE = "GPU:0"


class AllocatorPeak(Metric):
    """The largest number of bytes that TensorFlow had allocated on its first GPU, its own count.

    It does not load TensorFlow: where that has not happened before the region, there is nothing to ask.
    """

    def __init__(self):
        self._peak: float | Unknown = Unknown("the region has not ended")
        self._experimental = None

    def start(self) -> None:
        """Set the allocator's peak back to what is allocated now."""
        tf = sys.modules.get("tensorflow")
        if tf is None:
            self._peak = Unknown("TensorFlow is not loaded")
        elif not tf.config.list_logical_devices("GPU"):
            self._peak = Unknown("TensorFlow uses no GPU")
        else:
            try:
                tf.config.experimental.reset_memory_stats(_DEVICE)
                self._experimental = tf.config.experimental
            except ValueError as error:
                self._peak = _without_statistics(error)

    def stop(self) -> None:
        """Read the peak."""
        if self._experimental is not None:
            try:
                self._peak = self._experimental.get_memory_info(_DEVICE)["peak"] / 1e6
            except ValueError as error:
                self._peak = _without_statistics(error)

    def figures(self, wall_s: float) -> dict[str, float | Unknown]:
        """Give the peak in MB (10^6 bytes)."""
        return {"gpu_peak_mb": self._peak}

    def methods(self) -> dict[str, str]:
        """Say whose count it is."""
        return {"gpu_peak_mb": f"peak of TensorFlow's allocator on {_DEVICE}, reset at the region's start"}


def _without_statistics(error: Exception) -> Unknown:
    return Unknown(f"TensorFlow's allocator tells nothing of {_DEVICE}: {one_line(error)}")
