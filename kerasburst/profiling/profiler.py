"""`Profiler`: time, memory, power and energy of a region of a program, or of a training's epochs."""

from __future__ import annotations

import threading
import time
from types import TracebackType

import keras

from kerasburst.profiling.gpu import AllocatorPeak, Gpu, GpuPower, GpuUse, find_gpu
from kerasburst.profiling.host import HostMemory, HostTime
from kerasburst.profiling.metrics import Metric, RegionProfile, Unknown
from kerasburst.profiling.rapl import PackageEnergy
from kerasburst.validation import InputError, check_float, check_int

_IDLE_S = 1.0
_GPU_SETTLE_S, _GPU_IDLE_S = 1.0, 4.0  # a GPU's sensor may be the mean of the last second


class Profiler:
    """Measure a region from a thread of its own: wall and processor time, memory, power and energy.

    Host figures are of this process and those that it started; GPU figures of the first GPU that CUDA shows to this
    process. What cannot be measured is None, with the reason. Compile and allocate before the region, and wait for
    work on a GPU before it ends. Starting resets the memory peaks that Linux and the backend keep of this process.

    Entering first samples power at rest for `idle_s` seconds, where power can be read. By default that is one second;
    where there is a GPU it is four, after one that is not sampled. Energy and power of a region
    shorter than `minimum_window_s` are None; repeat the work to fill it.

    Args:
        interval_s: seconds between two samples, above 0.
        idle_s: seconds of rest to sample before the region, at least 0; None for the default.
        minimum_window_s: seconds that a region must last to have an energy, at least 0.

    Raises:
        InputError: for a number outside its range, or a `result` asked for before the region's end.

    Example:
        >>> with Profiler(idle_s=0.0) as profiler:
        ...     total = sum(range(100_000))
        >>> profiler.result.peak_rss_mb > 1, profiler.result.gpu_power_w or "no GPU, or too short a region"
        (True, 'no GPU, or too short a region')
    """

    def __init__(self, *, interval_s: float = 0.05, idle_s: float | None = None, minimum_window_s: float = 1.0):
        self._interval_s = check_float("interval_s", interval_s, above=0.0)
        self._idle_s = None if idle_s is None else check_float("idle_s", idle_s, low=0.0)
        self._minimum_window_s = check_float("minimum_window_s", minimum_window_s, low=0.0)
        self._result: RegionProfile | None = None
        self._thread: threading.Thread | None = None
        self._metrics: dict[str, Metric] | None = None

    @property
    def result(self) -> RegionProfile:
        """The figures of the last region."""
        if self._result is None:
            raise InputError("result must be asked for after a region has ended, received none")
        return self._result

    @property
    def running(self) -> bool:
        """Whether a region is running."""
        return self._thread is not None

    def callback(self, warm_up_epochs: int = 1) -> ProfilerCallback:
        """Return a Keras callback whose region is a training's epochs after the first `warm_up_epochs`.

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
        return ProfilerCallback(self, warm_up_epochs=check_int("warm_up_epochs", warm_up_epochs, low=0))

    def rest(self) -> None:
        """Sample power at rest, where it can be read; nothing else should run meanwhile.

        Raises:
            InputError: where a region is running.
        """
        if self.running:
            raise InputError("rest must come before start, a region is running")
        self._close()
        self._open()
        idle_s = self._idle_s
        if idle_s is None:
            idle_s = _IDLE_S if self._gpu is None else _GPU_IDLE_S
            time.sleep(0.0 if self._gpu is None else _GPU_SETTLE_S)
        begun = time.perf_counter()
        while self._has_power:
            now = time.perf_counter() - begun
            for metric in self._metrics.values():
                metric.rest(now)
            if now >= idle_s:
                return
            time.sleep(min(self._interval_s, idle_s - now))

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
        """End the region and return its figures.

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
        """Return how long the running region has lasted."""
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
        """Find what can be measured here, once per region."""
        if self._metrics is not None:
            return
        found = find_gpu()
        self._gpu = found if isinstance(found, Gpu) else None
        self._metrics = {
            "host_memory": HostMemory(),
            "host_time": HostTime(),
            "allocator": AllocatorPeak(keras.backend.backend()),
        }
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
        except Exception as error:  # `stop` raises it in the caller's thread
            self._failure = error
        self._sampler_s = time.thread_time()

    def _sample(self, seconds: float) -> None:
        self._samples += 1
        for metric in self._metrics.values():
            metric.sample(seconds)


class ProfilerCallback(keras.callbacks.Callback):
    """Profile a training from the end of its warm-up epochs to its end.

    Power at rest is sampled before the first epoch, which compiles and allocates. At the end `profiler.result` has the
    figures of `epochs` epochs.

    Args:
        profiler: measures the region.
        warm_up_epochs: epochs before the region, at least 0.
        window_s: end the training after the epoch in which the region reaches this length; None for never.

    Raises:
        InputError: for a number outside its range.

    Example:
        See `Profiler.callback`.
    """

    def __init__(self, profiler: Profiler, *, warm_up_epochs: int = 1, window_s: float | None = None):
        super().__init__()
        self.profiler = profiler
        self.epochs = 0
        self._warm_up_epochs = check_int("warm_up_epochs", warm_up_epochs, low=0)
        self._window_s = None if window_s is None else check_float("window_s", window_s, low=0.0)
        self._seen = 0

    def on_train_begin(self, logs=None):
        """Sample power at rest; without warm-up, begin the region."""
        self._seen = self.epochs = 0
        self.profiler.rest()
        if self._warm_up_epochs == 0:
            self.profiler.start()

    def on_epoch_end(self, epoch, logs=None):
        """Count an epoch; after the last of the warm-up, begin the region."""
        self._seen += 1
        if self._seen == self._warm_up_epochs:
            self.profiler.start()
        elif self._seen > self._warm_up_epochs:
            self.epochs += 1
            if self._window_s is not None and self.profiler.seconds() >= self._window_s:
                self.model.stop_training = True

    def on_train_end(self, logs=None):
        """End the region."""
        if self.profiler.running:
            self.profiler.stop()
