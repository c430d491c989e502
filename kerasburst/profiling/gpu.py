"""The GPU that TensorFlow uses, as NVML knows it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from types import ModuleType

from kerasburst.profiling.metric import Unknown

_HIDDEN = ("", "-1", "NoDevFiles")


class Gpu:
    """One device. Each reading raises an error of `errors` where the device does not give it.

    Args:
        library: `pynvml`, initialised.
        handle: NVML's, of the device.
    """

    def __init__(self, library: ModuleType, handle: object):
        self._library, self._handle = library, handle
        self.errors: tuple[type[Exception], ...] = (library.NVMLError, GpuReadsZero)
        self._open = True

    def power_w(self) -> float:
        """Give the power of the whole board, watts."""
        return _above_zero(self._library.nvmlDeviceGetPowerUsage(self._handle) / 1e3, "its power")

    def energy_j(self) -> float:
        """Give the energy since the driver was loaded, joules."""
        return _above_zero(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1e3, "its energy counter")

    def memory_mb(self) -> float:
        """Give the memory in use, whoever uses it, MB (10^6 bytes)."""
        return _above_zero(self._library.nvmlDeviceGetMemoryInfo(self._handle).used / 1e6, "its memory in use")

    def utilisation_percent(self) -> float:
        """Give the share of the last sampling period in which a kernel ran; 0 is a measurement."""
        return float(self._library.nvmlDeviceGetUtilizationRates(self._handle).gpu)

    def facts(self) -> dict[str, str | None]:
        """Give what identifies the device; None for what it does not tell."""
        read = {
            "name": lambda: self._library.nvmlDeviceGetName(self._handle),
            "uuid": lambda: self._library.nvmlDeviceGetUUID(self._handle),
            "driver": self._library.nvmlSystemGetDriverVersion,
        }
        return {name: _text(call, self._library.NVMLError) for name, call in read.items()}

    def close(self) -> None:
        """Give NVML back."""
        if self._open:
            self._open = False
            _shut_down(self._library)


class GpuReadsZero(RuntimeError):
    """The device gives 0 for what cannot be 0: it does not measure it."""


def find_gpu(environment: Mapping[str, str] | None = None) -> Gpu | Unknown:
    """Find the first GPU that CUDA shows to this process, which is TensorFlow's GPU:0.

    CUDA_VISIBLE_DEVICES may name it by index, by UUID or the beginning of one, or as a MIG slice. CUDA counts the
    fastest GPU first, NVML by the bus: an index among GPUs of several kinds says nothing unless
    CUDA_DEVICE_ORDER=PCI_BUS_ID makes CUDA count by the bus, too.

    Args:
        environment: where the two variables are; None for this process's.

    Returns:
        The device, to be closed after use, or why there is none.

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


def load_nvml() -> ModuleType | Unknown:
    """Import NVML's bindings, or say what is missing."""
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
    try:
        library.nvmlShutdown()
    except library.NVMLError:
        pass  # it is gone already
