"""`Profiler`: time, memory, power and energy of a region of a program."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from kerasburst.profiling.allocator import AllocatorPeak
from kerasburst.profiling.gpu import Gpu, find_gpu
from kerasburst.profiling.gpu_power import GpuPower
from kerasburst.profiling.gpu_use import GpuUse
from kerasburst.profiling.host import HostMemory, HostTime
from kerasburst.profiling.metric import Metric, Unknown
from kerasburst.profiling.rapl import PackageEnergy
from kerasburst.profiling.region import RegionProfile
from kerasburst.validation import InputError, check_float, check_int

if TYPE_CHECKING:
    from kerasburst.profiling.callback import ProfilerCallback


class Profiler:
    """Watches a region from a thread of its own: wall and processor time, memory, power and energy.

    Host figures are of this process and those that it started. GPU figures are of the first GPU that CUDA shows to
    this process. What cannot be measured is None, with the reason. Run once before the region what compiles or
    allocates for good, and let work on a GPU end before the region does. Starting sets the peaks that Linux and
    TensorFlow keep of this process' memory back to what it has then.

    Entering first samples power at rest for `idle_s` seconds, where power can be read. Energy and power of a region
    shorter than `minimum_window_s` are None: repeat the work to fill it.

    Args:
        interval_s: seconds between two samples, above 0.
        idle_s: seconds of rest to sample before the region, at least 0.
        minimum_window_s: seconds that a region must last to have an energy, at least 0.

    Raises:
        InputError: for a number outside its range, or a `result` asked for before the region's end.

    Example:
        >>> with Profiler(idle_s=0.0) as profiler:
        ...     total = sum(range(100_000))
        >>> profiler.result.peak_rss_mb > 1, profiler.result.gpu_power_w or "no GPU, or too short a region"
        (True, 'no GPU, or too short a region')
    """

    def __init__(self, *, interval_s: float = 0.05, idle_s: float = 1.0, minimum_window_s: float = 1.0):
        self._interval_s = check_float("interval_s", interval_s, above=0.0)
        self._idle_s = check_float("idle_s", idle_s, low=0.0)
        self._minimum_window_s = check_float("minimum_window_s", minimum_window_s, low=0.0)
        self._result: RegionProfile | None = None
        self._thread: threading.Thread | None = None
        self._metrics: dict[str, Metric] | None = None

    @property
    def result(self) -> RegionProfile:
        """What was measured over the last region."""
        if self._result is None:
            raise InputError("result must be asked for after a region has ended, received none")
        return self._result

    @property
    def running(self) -> bool:
        """Whether a region is being watched."""
        return self._thread is not None

    def callback(self, warm_up_epochs: int = 1) -> ProfilerCallback:
        """Give a Keras callback whose region is a training's epochs after the first `warm_up_epochs`.

        Example:
            >>> import keras, numpy as np
            >>> model = keras.Sequential([keras.layers.Dense(1)])
            >>> model.compile("sgd", "mse")
            >>> profiler = Profiler(idle_s=0.0)
            >>> watch = profiler.callback()
            >>> _ = model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=3, verbose=0, callbacks=[watch])
            >>> watch.epochs, profiler.result.wall_s > 0
            (2, True)
        """
        from kerasburst.profiling.callback import ProfilerCallback  # it needs Keras, this file does not

        return ProfilerCallback(self, warm_up_epochs=check_int("warm_up_epochs", warm_up_epochs, low=0))

    def rest(self) -> None:
        """Sample power at rest, where there is a counter or sensor of it; nothing else should run meanwhile.

        Raises:
            InputError: where a region is running.
        """
        if self.running:
            raise InputError("rest must come before start, a region is running")
        self._close()
        self._open()
        begun = time.perf_counter()
        while self._has_power:
            now = time.perf_counter() - begun
            for metric in self._metrics.values():
                metric.rest(now)
            if now >= self._idle_s:
                return
            time.sleep(min(self._interval_s, self._idle_s - now))

    def start(self) -> None:
        """Begin the region.

        Raises:
            InputError: where one is running.
        """
        if self.running:
            raise InputError("start must come after stop, a region is running")
        self._open()
        self._samples, self._sampler_s = 0, 0.0
        self._failure: Exception | None = None
        self._end = threading.Event()
        for metric in self._metrics.values():
            metric.start()
        self._thread = threading.Thread(target=self._watch, name="profiler", daemon=True)
        self._sample(0.0)
        self._begun = time.perf_counter()
        self._thread.start()

    def stop(self) -> RegionProfile:
        """End the region and give what was measured.

        Raises:
            InputError: where none is running.
        """
        if not self.running:
            raise InputError("stop must come after start, no region is running")
        wall_s = time.perf_counter() - self._begun
        self._end.set()
        self._thread.join()
        self._thread = None
        if self._failure is not None:
            self._close()
            raise self._failure
        for metric in self._metrics.values():
            metric.stop()
        self._sample(wall_s)
        self._metrics["host_time"].own_s = self._sampler_s
        self._result = RegionProfile.of_metrics(
            self._metrics,
            self._missing,
            wall_s,
            gpu=None if self._gpu is None else self._gpu.facts(),
            interval_s=self._interval_s,
            samples=self._samples,
        )
        self._close()
        return self._result

    def seconds(self) -> float:
        """Give how long the running region has lasted."""
        return time.perf_counter() - self._begun

    def __enter__(self) -> Profiler:
        self.rest()
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.running:
            self.stop()
        if kind is not None:
            self._result = None  # of half a region

    def _open(self) -> None:
        """Find out what can be measured here, once a region."""
        if self._metrics is not None:
            return
        found = find_gpu()
        self._gpu = found if isinstance(found, Gpu) else None
        self._metrics = {"host_memory": HostMemory(), "host_time": HostTime(), "allocator": AllocatorPeak()}
        self._missing: dict[str, Unknown] = {}
        if self._gpu is None:
            self._missing = dict.fromkeys((*GpuPower.FIELDS, *GpuUse.FIELDS), found)
        else:
            self._metrics["gpu_power"] = GpuPower(self._gpu, self._minimum_window_s)
            self._metrics["gpu_use"] = GpuUse(self._gpu)
        self._metrics["cpu_package"] = PackageEnergy(self._minimum_window_s)
        self._has_power = self._gpu is not None or self._metrics["cpu_package"].readable

    def _close(self) -> None:
        if self._metrics is not None and self._gpu is not None:
            self._gpu.close()
        self._metrics = None

    def _watch(self) -> None:
        try:
            while not self._end.wait(self._interval_s):
                self._sample(self.seconds())
        except Exception as error:  # told by `stop`, where somebody hears it
            self._failure = error
        self._sampler_s = time.thread_time()

    def _sample(self, seconds: float) -> None:
        self._samples += 1
        for metric in self._metrics.values():
            metric.sample(seconds)
