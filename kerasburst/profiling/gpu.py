"""The GPU in use: power, energy, memory and utilisation by NVML, and the memory that Keras' backend counts itself."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from kerasburst.profiling.metrics import Metric, Reader, Unknown, energy_of_samples, too_short
from kerasburst.validation import one_line

_HIDDEN = ("", "-1", "NoDevFiles")
_WHOSE = "of the whole board, whoever uses it"
_DEVICE = "GPU:0"


class Gpu:
    """One device. Each reading raises an error of `errors` where the device lacks it.

    Args:
        library: `pynvml`, initialised.
        handle: NVML's, of the device.
    """

    def __init__(self, library: ModuleType, handle: object):
        self._library, self._handle = library, handle
        self.errors: tuple[type[Exception], ...] = (library.NVMLError, GpuReadsZero)
        self._open = True

    def power_w(self) -> float:
        """Return the power of the whole board, watts."""
        return _above_zero(self._library.nvmlDeviceGetPowerUsage(self._handle) / 1e3, "its power")

    def energy_j(self) -> float:
        """Return the energy since the driver was loaded, joules."""
        return _above_zero(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1e3, "its energy counter")

    def memory_mb(self) -> float:
        """Return the memory in use, whoever uses it, MB (10^6 bytes)."""
        return _above_zero(self._library.nvmlDeviceGetMemoryInfo(self._handle).used / 1e6, "its memory in use")

    def utilisation_percent(self) -> float:
        """Return the share of the last sampling period in which a kernel ran; 0 is a measurement."""
        return float(self._library.nvmlDeviceGetUtilizationRates(self._handle).gpu)

    def facts(self) -> dict[str, str | None]:
        """Return what identifies the device; None for what it does not tell."""
        read = {
            "name": lambda: self._library.nvmlDeviceGetName(self._handle),
            "uuid": lambda: self._library.nvmlDeviceGetUUID(self._handle),
            "driver": self._library.nvmlSystemGetDriverVersion,
        }
        return {name: _text(call, self._library.NVMLError) for name, call in read.items()}

    def close(self) -> None:
        """Release NVML."""
        if self._open:
            self._open = False
            _shut_down(self._library)


class GpuReadsZero(RuntimeError):
    """The device reports 0 for what cannot be 0: it does not measure it."""


def find_gpu(environment: Mapping[str, str] | None = None) -> Gpu | Unknown:
    """Find the first GPU that CUDA shows to this process, which is Keras' first GPU.

    CUDA_VISIBLE_DEVICES may name it by index, by UUID or the beginning of one, or as a MIG slice. CUDA counts the
    fastest GPU first, NVML by the bus: among GPUs of several kinds an index is ambiguous unless
    CUDA_DEVICE_ORDER=PCI_BUS_ID makes CUDA count by the bus too.

    Args:
        environment: has the two variables; None for this process's.

    Returns:
        The device, which the caller closes, or why there is none.

    Example:
        >>> find_gpu({"CUDA_VISIBLE_DEVICES": "-1"})
        Unknown(reason='CUDA_VISIBLE_DEVICES hides every GPU')
    """
    environment = os.environ if environment is None else environment
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    first = "0" if visible is None else visible.split(",")[0].strip()
    if first in _HIDDEN:
        return Unknown("CUDA_VISIBLE_DEVICES hides every GPU")
    library = load_nvml()
    if isinstance(library, Unknown):
        return library
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        return Unknown(f"NVML does not start: {error}")
    try:
        by_bus = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
        found = _by_index(library, int(first), by_bus) if first.isdigit() else _by_uuid(library, first)
    except library.NVMLError as error:
        found = Unknown(f"NVML does not find the GPU {first}: {error}")
    if isinstance(found, Unknown):
        _shut_down(library)
        return found
    return Gpu(library, found)


def gpu_facts() -> dict[str, str | None] | None:
    """Return what identifies the GPU; None where `find_gpu` finds none."""
    gpu = find_gpu()
    if isinstance(gpu, Unknown):
        return None
    facts = gpu.facts()
    gpu.close()
    return facts


def load_nvml() -> ModuleType | Unknown:
    """Return NVML's bindings, or what is missing."""
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return Unknown("pynvml is not installed: pip install nvidia-ml-py")


def _by_index(library: ModuleType, index: int, by_bus: bool) -> object | Unknown:
    count = library.nvmlDeviceGetCount()
    if index >= count:
        return Unknown(f"there is no GPU {index}: NVML knows {count}")
    handles = [library.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
    if not by_bus and len({_text(lambda h=h: library.nvmlDeviceGetName(h), library.NVMLError) for h in handles}) > 1:
        return Unknown(f"which GPU is number {index} is unknown among several kinds: set CUDA_DEVICE_ORDER=PCI_BUS_ID")
    return handles[index]


def _by_uuid(library: ModuleType, uuid: str) -> object | Unknown:
    handles = [library.nvmlDeviceGetHandleByIndex(i) for i in range(library.nvmlDeviceGetCount())]
    matching = [h for h in handles if str(_decoded(library.nvmlDeviceGetUUID(h))).startswith(uuid)]
    if len(matching) > 1:
        return Unknown(f"CUDA_VISIBLE_DEVICES names {len(matching)} GPUs by {uuid}")
    return matching[0] if matching else library.nvmlDeviceGetHandleByUUID(uuid)


def _above_zero(value: float, what: str) -> float:
    if value <= 0:
        raise GpuReadsZero(f"the GPU gives 0 for {what}")
    return value


def _text(call, error: type[Exception]) -> str | None:
    try:
        return _decoded(call())
    except error:
        return None


def _decoded(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value  # of older bindings


def _shut_down(library: ModuleType) -> None:
    with contextlib.suppress(library.NVMLError):  # it is gone already
        library.nvmlShutdown()


class GpuPower(Metric):
    """Energy by the device's counter where it advances, else by the integral of sampled power.

    Power is energy over wall time. Power at rest is the mean of the samples before the region.

    Args:
        gpu: the device.
        minimum_window_s: seconds that a region must last to have an energy.
    """

    FIELDS = ("gpu_power_w", "gpu_energy_j", "gpu_idle_power_w", "gpu_energy_above_idle_j")

    def __init__(self, gpu: Gpu, minimum_window_s: float):
        self._minimum_window_s = minimum_window_s
        self._power, self._counter = Reader(gpu.power_w, gpu.errors), Reader(gpu.energy_j, gpu.errors)
        self._idle: list[tuple[float, float]] = []
        self._trace: list[tuple[float, float]] = []
        self._begun = self._ended = None
        self._by = ""

    def rest(self, seconds: float) -> None:
        """Sample the power at rest."""
        self._power.note(self._idle, seconds)

    def start(self) -> None:
        """Read the counter."""
        self._begun = self._counter()

    def sample(self, seconds: float) -> None:
        """Sample the power."""
        self._power.note(self._trace, seconds)

    def stop(self) -> None:
        """Read the counter."""
        self._ended = self._counter()

    def figures(self, wall_s: float) -> dict[str, float | Unknown]:
        """Return power, energy, power at rest, and energy less that of the same time at rest."""
        idle = self._idle_power()
        energy = too_short(wall_s, self._minimum_window_s) or self._energy(wall_s)
        if isinstance(energy, Unknown):
            return {**dict.fromkeys(self.FIELDS, energy), "gpu_idle_power_w": idle}
        above = idle if isinstance(idle, Unknown) else energy - idle * wall_s
        return dict(zip(self.FIELDS, (energy / wall_s, energy, idle, above), strict=True))

    def _idle_power(self) -> float | Unknown:
        if self._idle:
            return sum(power for _, power in self._idle) / len(self._idle)
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
        """Return where the energy is from."""
        return {
            "gpu_energy_j": f"{self._by}, {_WHOSE}",
            "gpu_power_w": "gpu_energy_j over wall time",
            "gpu_idle_power_w": f"mean of {len(self._idle)} samples before the region, {_WHOSE}",
            "gpu_energy_above_idle_j": "gpu_energy_j less gpu_idle_power_w times wall time",
        }

    def power_trace(self) -> tuple[tuple[float, float], ...]:
        """Return the samples, unless a reading failed."""
        return () if self._power.failure is not None else tuple(self._trace)


class GpuUse(Metric):
    """Peak of the memory in use on the device, and mean utilisation.

    Args:
        gpu: the device.
    """

    FIELDS = ("gpu_nvml_peak_mb", "gpu_utilisation_percent")

    def __init__(self, gpu: Gpu):
        self._memory, self._busy = Reader(gpu.memory_mb, gpu.errors), Reader(gpu.utilisation_percent, gpu.errors)
        self._memory_mb: list[tuple[float, float]] = []
        self._percent: list[tuple[float, float]] = []

    def sample(self, seconds: float) -> None:
        """Read both."""
        self._memory.note(self._memory_mb, seconds)
        self._busy.note(self._percent, seconds)

    def figures(self, wall_s: float) -> dict[str, float | Unknown]:
        """Return the largest memory and the mean utilisation; unknown where any reading failed."""
        memory, busy = self._memory.failure, self._busy.failure
        used, percent = ([value for _, value in readings] for readings in (self._memory_mb, self._percent))
        return {
            "gpu_nvml_peak_mb": max(used) if memory is None else Unknown(memory),
            "gpu_utilisation_percent": sum(percent) / len(percent) if busy is None else Unknown(busy),
        }

    def methods(self) -> dict[str, str]:
        """Return what is counted."""
        return {
            "gpu_nvml_peak_mb": f"largest of {len(self._memory_mb)} samples of NVML's memory in use, of all processes; "
            "a library's pool counts whole",
            "gpu_utilisation_percent": f"mean of {len(self._percent)} samples of NVML's utilisation",
        }


class AllocatorPeak(Metric):
    """The peak of the backend's allocator on its first GPU, by its own count.

    This loads no library: unless the backend's was loaded before the region, the peak is unknown.

    Args:
        backend: of Keras.
    """

    def __init__(self, backend: str = "tensorflow"):
        self._module, self._allocator = backend, _ALLOCATORS[backend]

    def start(self) -> None:
        """Reset the allocator's peak to what is allocated now, where the library can."""
        self._begun = self._attempt(self._allocator.reset)

    def stop(self) -> None:
        """Read the peak, unless it could not be reset."""
        self._peak = self._begun if isinstance(self._begun, Unknown) else self._attempt(self._allocator.read)

    def _attempt(self, call: Callable[[ModuleType], float | None]) -> float | None | Unknown:
        library, name = sys.modules.get(self._module), self._allocator.name
        if library is None:
            return Unknown(f"{name} is not loaded")
        try:
            return call(library) if self._allocator.uses_gpu(library) else Unknown(f"{name} uses no GPU")
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            return Unknown(f"{name}'s allocator tells nothing of {_DEVICE}: {one_line(error)}")

    def figures(self, wall_s: float) -> dict[str, float | Unknown]:
        """Return the peak in MB (10^6 bytes)."""
        return {"gpu_peak_mb": self._peak if isinstance(self._peak, Unknown) else self._peak / 1e6}

    def methods(self) -> dict[str, str]:
        """Return whose count it is."""
        return {"gpu_peak_mb": f"peak of {self._allocator.name}'s allocator on {_DEVICE}, {self._allocator.since}"}


class _Allocator(NamedTuple):
    """What a backend's module tells of its allocator; `read` returns the peak in bytes."""

    name: str
    uses_gpu: Callable[[Any], bool]
    reset: Callable[[Any], None]
    read: Callable[[Any], float]
    since: str = "reset at the region's start"


_ALLOCATORS = {  # by the name of the backend, which is its module's
    "tensorflow": _Allocator(
        name="TensorFlow",
        uses_gpu=lambda tf: bool(tf.config.list_logical_devices("GPU")),
        reset=lambda tf: tf.config.experimental.reset_memory_stats(_DEVICE),
        read=lambda tf: tf.config.experimental.get_memory_info(_DEVICE)["peak"],
    ),
    "jax": _Allocator(
        name="JAX",
        uses_gpu=lambda jax: jax.devices()[0].platform == "gpu",
        reset=lambda jax: None,
        read=lambda jax: jax.devices()[0].memory_stats()["peak_bytes_in_use"],
        since="since the process began: JAX cannot reset it",
    ),
    "torch": _Allocator(
        name="torch",
        uses_gpu=lambda torch: torch.cuda.is_available(),
        reset=lambda torch: torch.cuda.reset_peak_memory_stats(),
        read=lambda torch: torch.cuda.max_memory_allocated(),
    ),
}
