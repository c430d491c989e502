import sys

import pytest

from kerasburst.profiling.gpu import Gpu, GpuReadsZero, find_gpu, load_nvml
from kerasburst.profiling.metrics import Unknown

from .nvml import NOT_SUPPORTED, Device, Library, NVMLError

FIRST, SECOND = Device(uuid="GPU-aaaa-1111"), Device(uuid="GPU-aabb-2222")
OTHER = Device(name="Stand-In 9", uuid="GPU-cccc-3333")
SLICE = Device(power_mw=NOT_SUPPORTED)


def handle(found):
    assert isinstance(found, Gpu), found
    return found._handle


@pytest.mark.parametrize(
    "environment, device",
    [
        ({}, FIRST),
        ({"CUDA_VISIBLE_DEVICES": "0"}, FIRST),
        ({"CUDA_VISIBLE_DEVICES": "1"}, SECOND),
        ({"CUDA_VISIBLE_DEVICES": " 1,0"}, SECOND),  # the first one named is GPU:0
        ({"CUDA_VISIBLE_DEVICES": "GPU-aabb-2222"}, SECOND),
        ({"CUDA_VISIBLE_DEVICES": "GPU-aab"}, SECOND),  # CUDA takes the beginning of a UUID
        ({"CUDA_VISIBLE_DEVICES": "MIG-7777"}, SLICE),
    ],
)
def test_which_gpu_is_ours(nvml, environment, device):
    library = nvml(Library(FIRST, SECOND, slices={"MIG-7777": SLICE}))
    found = find_gpu(environment)
    assert handle(found) is device
    assert library.open == 1
    found.close()
    found.close()
    assert library.open == 0


@pytest.mark.parametrize(
    "environment, reason",
    [
        ({"CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES hides every GPU"),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, "CUDA_VISIBLE_DEVICES hides every GPU"),
        ({"CUDA_VISIBLE_DEVICES": "2"}, "there is no GPU 2: NVML knows 2"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-aa"}, "CUDA_VISIBLE_DEVICES names 2 GPUs by GPU-aa"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-dd"}, "NVML does not find the GPU GPU-dd: Not Found"),
    ],
)
def test_no_gpu_is_ours(nvml, environment, reason):
    library = nvml(Library(FIRST, SECOND))
    assert find_gpu(environment) == Unknown(reason)
    assert library.open == 0


def test_an_index_among_several_kinds_needs_the_order(nvml):
    nvml(Library(FIRST, OTHER))
    assert find_gpu({}) == Unknown(
        "which GPU is number 0 is unknown among several kinds: set CUDA_DEVICE_ORDER=PCI_BUS_ID"
    )
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert handle(find_gpu({**order, "CUDA_VISIBLE_DEVICES": "1"})) is OTHER
    assert handle(find_gpu({"CUDA_VISIBLE_DEVICES": "GPU-cc"})) is OTHER


def test_settings_of_this_process_are_the_default(nvml, monkeypatch):
    nvml(Library(FIRST, SECOND))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert handle(find_gpu()) is SECOND


def test_no_driver(nvml):
    nvml(Library(starts=False))
    assert find_gpu({}) == Unknown("NVML does not start: Driver Not Loaded")


def test_no_device(nvml):
    nvml(Library())
    assert find_gpu({}) == Unknown("there is no GPU 0: NVML knows 0")


def test_no_bindings(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert load_nvml() == Unknown("pynvml is not installed: pip install nvidia-ml-py")


def test_readings_in_our_units():
    device = Device(power_mw=250_500, energy_mj=7_000, used=2_500_000_000, gpu=0)
    one = Gpu(Library(device), device)
    assert (one.power_w(), one.energy_j(), one.memory_mb(), one.utilisation_percent()) == (250.5, 7.0, 2500.0, 0.0)
    assert one.facts() == {"name": "Stand-In 100", "uuid": "GPU-aaaa-1111", "driver": "580.1"}


def test_zero_is_no_measurement():
    device = Device(power_mw=0, energy_mj=0, used=0)
    one = Gpu(Library(device), device)
    for read in (one.power_w, one.energy_j, one.memory_mb):
        with pytest.raises(GpuReadsZero):
            read()


def test_facts_that_are_not_told():
    device = Device(name=NVMLError("GPU is lost"))
    assert Gpu(Library(device), device).facts()["name"] is None
