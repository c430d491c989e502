"""Power and energy against a stand-in for NVML; expected values by hand."""

import sys
from types import SimpleNamespace

import pytest

from kerasburst.profiling.gpu import AllocatorPeak, Gpu, GpuPower, GpuReadsZero, GpuUse, find_gpu, load_nvml
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


def run(metric, times=(0.0, 1.0, 2.0), rests=2):
    for i in range(rests):
        metric.rest(float(i))
    metric.start()
    for seconds in times[:-1]:
        metric.sample(seconds)
    metric.stop()
    metric.sample(times[-1])
    return metric


def power(minimum=1.0, **device):
    device = Device(**device)
    return GpuPower(Gpu(Library(device), device), minimum)


def test_by_the_counter_where_it_advances():
    # At rest 40 W and 60 W; the counter goes from 5 J to 305 J in 2 s.
    metric = run(power(energy_mj=[5_000, 305_000], power_mw=[40_000, 60_000, 100_000, 200_000, 300_000]))
    figures = metric.figures(2.0)
    assert figures == {
        "gpu_power_w": 150.0,
        "gpu_energy_j": 300.0,
        "gpu_idle_power_w": 50.0,
        "gpu_energy_above_idle_j": 200.0,
    }
    assert metric.methods()["gpu_energy_j"].startswith("difference of the GPU's energy counter")
    assert metric.power_trace() == ((0.0, 100.0), (1.0, 200.0), (2.0, 300.0))


@pytest.mark.parametrize(
    "energy_mj, why",
    [
        (0, "the GPU gives 0 for its energy counter"),
        (NOT_SUPPORTED, "Not Supported"),
        (8_000, "the GPU's energy counter did not advance"),
        ([8_000, NVMLError("Unknown Error")], "Unknown Error after 1 reading"),
        ([8_000, 7_000], "the GPU's energy counter did not advance"),
    ],
    ids=["stays at 0", "not supported", "stands still", "fails midway", "runs backwards"],
)
def test_without_a_counter_sampled_power_is_integrated(energy_mj, why):
    metric = run(power(energy_mj=energy_mj, power_mw=[50_000, 50_000, 100_000, 200_000, 300_000]))
    figures = metric.figures(2.0)
    assert figures["gpu_energy_j"] == pytest.approx(150.0 + 250.0)  # trapezoids
    assert figures["gpu_power_w"] == pytest.approx(200.0)
    assert figures["gpu_energy_above_idle_j"] == pytest.approx(300.0)
    assert f"no energy counter: {why}" in metric.methods()["gpu_energy_j"]
    assert "integral of 3 samples" in metric.methods()["gpu_energy_j"]


@pytest.mark.parametrize("power_mw", [0, NOT_SUPPORTED])
def test_neither_counter_nor_power(power_mw):
    metric = run(power(energy_mj=NOT_SUPPORTED, power_mw=power_mw))
    figures = metric.figures(2.0)
    assert all(isinstance(value, Unknown) for value in figures.values())
    assert figures["gpu_energy_j"].reason.startswith("no energy counter: Not Supported; no power: ")
    assert metric.power_trace() == ()


def test_power_that_fails_midway_leaves_the_counter():
    lost = NVMLError("GPU is lost")
    metric = run(power(energy_mj=[1_000, 201_000], power_mw=[50_000, 50_000, 100_000, lost]))
    figures = metric.figures(2.0)
    assert (figures["gpu_energy_j"], figures["gpu_idle_power_w"]) == (200.0, 50.0)
    assert metric.power_trace() == ()


def test_power_that_fails_midway_is_not_integrated():
    metric = run(power(energy_mj=0, power_mw=[50_000, 50_000, 100_000, NVMLError("GPU is lost")]))
    figures = metric.figures(2.0)
    assert "no power: GPU is lost after 3 readings" in figures["gpu_energy_j"].reason
    assert figures["gpu_power_w"] == figures["gpu_energy_j"] and figures["gpu_idle_power_w"] == 50.0


def test_too_short_a_region():
    figures = run(power(energy_mj=[1_000, 2_000]), times=(0.0, 0.5)).figures(0.5)
    reason = "the region lasted 0.5 s, less than the minimum window of 1 s"
    assert figures["gpu_energy_j"] == figures["gpu_power_w"] == Unknown(reason)
    assert figures["gpu_energy_above_idle_j"] == Unknown(reason) and figures["gpu_idle_power_w"] == 100.0


def test_without_rest_before():
    figures = run(power(energy_mj=[1_000, 2_000]), rests=0).figures(2.0)
    assert figures["gpu_energy_j"] == 1.0
    nothing = Unknown("no power was sampled before the region")
    assert figures["gpu_idle_power_w"] == figures["gpu_energy_above_idle_j"] == nothing


def use(**device):
    device = Device(**device)
    return GpuUse(Gpu(Library(device), device))


def test_memory_and_utilisation():
    metric = run(use(used=[1_000_000_000, 3_000_000_000, 2_000_000_000], gpu=[0, 100, 50]))
    assert metric.figures(2.0) == {"gpu_nvml_peak_mb": 3000.0, "gpu_utilisation_percent": 50.0}


def test_an_idle_gpu_is_measured():
    assert run(use(gpu=0)).figures(2.0)["gpu_utilisation_percent"] == 0.0


def test_a_slice_of_a_gpu_knows_its_memory_alone():
    figures = run(use(used=500_000_000, gpu=NOT_SUPPORTED)).figures(2.0)
    assert figures == {"gpu_nvml_peak_mb": 500.0, "gpu_utilisation_percent": Unknown("Not Supported")}


def test_a_reading_that_fails_midway_leaves_no_figure():
    lost = NVMLError("GPU is lost")
    figures = run(use(used=[1_000_000_000, lost], gpu=[10, 20, lost])).figures(2.0)
    assert figures["gpu_nvml_peak_mb"] == Unknown("GPU is lost after 1 reading")
    assert figures["gpu_utilisation_percent"] == Unknown("GPU is lost after 2 readings")


@pytest.fixture
def tensorflow(monkeypatch):
    """Put a stand-in for TensorFlow in its place, or none."""

    def use(gpus=("GPU:0",), peak=0, fails=()):
        calls = []

        def reset_memory_stats(device):
            calls.append(device)
            if "reset" in fails:
                raise ValueError("No stats\nfor the device")

        def get_memory_info(device):
            if "get" in fails:
                raise ValueError("No stats")
            return {"current": 1, "peak": peak}

        experimental = SimpleNamespace(reset_memory_stats=reset_memory_stats, get_memory_info=get_memory_info)
        config = SimpleNamespace(list_logical_devices=lambda kind: list(gpus), experimental=experimental)
        monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(config=config))
        return calls

    return use


def measure(metric=None):
    metric = metric or AllocatorPeak()
    metric.start()
    metric.stop()
    return metric.figures(1.0)["gpu_peak_mb"]


def test_peak_since_the_start(tensorflow):
    calls = tensorflow(peak=123_400_000)
    assert measure() == 123.4 and calls == ["GPU:0"]


def test_tensorflow_without_a_gpu(tensorflow):
    tensorflow(gpus=())
    assert measure() == Unknown("TensorFlow uses no GPU")


def test_without_tensorflow(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    assert measure() == Unknown("TensorFlow is not loaded")


def test_peak_of_jax(monkeypatch):
    stats = {"bytes_in_use": 5, "peak_bytes_in_use": 2_500_000}
    device = SimpleNamespace(platform="gpu", memory_stats=lambda: stats)
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(devices=lambda: [device]))
    metric = AllocatorPeak("jax")
    assert measure(metric) == 2.5 and "since the process began" in metric.methods()["gpu_peak_mb"]
    device.memory_stats = lambda: None  # as some platforms do
    assert measure(AllocatorPeak("jax")).reason.startswith("JAX's allocator tells nothing of GPU:0: ")
    device.platform = "cpu"
    assert measure(AllocatorPeak("jax")) == Unknown("JAX uses no GPU")


def test_peak_of_torch(monkeypatch):
    calls = []
    cuda = SimpleNamespace(
        is_available=lambda: True,
        reset_peak_memory_stats=lambda: calls.append("reset"),
        max_memory_allocated=lambda: 3_000_000,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert measure(AllocatorPeak("torch")) == 3.0 and calls == ["reset"]
    cuda.is_available = lambda: False
    assert measure(AllocatorPeak("torch")) == Unknown("torch uses no GPU")


@pytest.mark.parametrize("fails", ["reset", "get"])
def test_an_allocator_without_statistics(tensorflow, fails):
    tensorflow(fails=(fails,))
    assert measure().reason.startswith("TensorFlow's allocator tells nothing of GPU:0: No stats")
