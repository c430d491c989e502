"""A stand-in for NVML's bindings: devices that give what they are told to, and fail where they are told to."""

import dataclasses
import types


class NVMLError(Exception):
    pass


NOT_SUPPORTED = NVMLError("Not Supported")


@dataclasses.dataclass
class Device:
    """Each reading is a number, an error to raise, or a list of these, one a call; the last goes on."""

    name: object = "Stand-In 100"
    uuid: object = "GPU-aaaa-1111"
    power_mw: object = 100_000
    energy_mj: object = 0
    used: object = 1_000_000_000
    gpu: object = 50
    calls: dict = dataclasses.field(default_factory=dict)

    def read(self, what):
        number = self.calls[what] = self.calls.get(what, 0) + 1
        value = getattr(self, what)
        if isinstance(value, list):
            value = value[min(number, len(value)) - 1]
        if isinstance(value, Exception):
            raise value
        return value


class Library:
    """What `import pynvml` gives, for these devices; `slices` are MIG slices by UUID."""

    NVMLError = NVMLError

    def __init__(self, *devices, slices=None, starts=True):
        self.devices, self.slices, self.starts = devices, slices or {}, starts
        self.open = 0

    def nvmlInit(self):
        if not self.starts:
            raise NVMLError("Driver Not Loaded")
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlSystemGetDriverVersion(self):
        return b"580.1"  # older bindings give bytes

    def nvmlDeviceGetCount(self):
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self.devices[index]

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if uuid not in self.slices:
            raise NVMLError("Not Found")
        return self.slices[uuid]

    def nvmlDeviceGetName(self, handle):
        return handle.read("name")

    def nvmlDeviceGetUUID(self, handle):
        return handle.read("uuid")

    def nvmlDeviceGetPowerUsage(self, handle):
        return handle.read("power_mw")

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return handle.read("energy_mj")

    def nvmlDeviceGetMemoryInfo(self, handle):
        return types.SimpleNamespace(used=handle.read("used"))

    def nvmlDeviceGetUtilizationRates(self, handle):
        return types.SimpleNamespace(gpu=handle.read("gpu"))
