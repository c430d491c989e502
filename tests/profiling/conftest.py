import sys

import pytest

from kerasburst.profiling import gpu


@pytest.fixture
def nvml(monkeypatch):
    """Let the profiler find this library, or this reason, in place of NVML's bindings, and no GPU of the machine's."""
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    if "tensorflow" in sys.modules:
        monkeypatch.setattr(sys.modules["tensorflow"].config, "list_logical_devices", lambda kind: [])

    def use(library):
        monkeypatch.setattr(gpu, "load_nvml", lambda: library)
        return library

    return use
