"""Power and energy against a stand-in for NVML; expected values by hand."""

import pytest

from kerasburst.profiling.gpu import Gpu, GpuPower, GpuUse
from kerasburst.profiling.metrics import Unknown

from .nvml import NOT_SUPPORTED, Device, Library, NVMLError


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
