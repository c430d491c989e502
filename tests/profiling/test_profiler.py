import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import psutil
import pytest

from kerasburst import records
from kerasburst.profiling import Profiler, ProfilerCallback, rapl
from kerasburst.profiling import profiler as profiler_module
from kerasburst.profiling.gpu import Gpu, find_gpu
from kerasburst.profiling.metrics import Unknown
from kerasburst.validation import InputError

from .nvml import NOT_SUPPORTED, Device, Library

ROOT = Path(__file__).parents[2]
QUICK = {"interval_s": 0.01, "idle_s": 0.03, "minimum_window_s": 0.0}


@pytest.fixture(autouse=True)
def no_counters(monkeypatch, tmp_path):
    monkeypatch.setattr(rapl, "FOLDER", tmp_path)


@pytest.fixture(scope="module")
def watched():
    done = subprocess.run(
        [sys.executable, "-m", "tests.profiling.load"],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.thorough
def test_a_known_load(watched):
    """500 MB for 2 s: the peak within 2 % of the 500 MB alone, the duration that of the region."""
    result = watched["here"]
    assert result["peak_rss_mb"] - result["before"] / 1e6 == pytest.approx(500.0, rel=0.02)
    assert result["rss_before_mb"] == pytest.approx(result["before"] / 1e6, abs=2.0)
    assert 2.0 <= result["lasted"] <= result["wall_s"] <= result["around"]


@pytest.mark.thorough
def test_a_known_load_in_a_child(watched):
    result = watched["child"]
    assert result["peak_rss_mb"] == pytest.approx((result["before"] + result["held"]) / 1e6, rel=0.02)
    assert result["held"] > 500_000_000 and "its children (at most" in result["method"]["peak_rss_mb"]


def test_a_peak_between_two_samples_is_not_missed():
    profiler = Profiler(interval_s=60.0, idle_s=0.0)
    with profiler:
        before = psutil.Process().memory_info().rss / 1e6
        block = b"\x01" * 200_000_000
        del block
    assert profiler.result.peak_rss_mb == pytest.approx(before + 200.0, rel=0.02)
    assert profiler.result.method["peak_rss_mb"] == "the kernel's peak of the process over the region"


def test_a_peak_before_the_region_is_not_counted():
    block = b"\x01" * 300_000_000
    del block
    with Profiler(idle_s=0.0) as profiler:
        now = psutil.Process().memory_info().rss / 1e6
    assert profiler.result.peak_rss_mb < now + 100.0


def test_processor_time_is_the_trees():
    """What the kernel says of this process and its waited-for children: 0.3 s here, 0.5 s and more in a child."""
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    around = sum(os.times()[:4])
    with Profiler(idle_s=0.0) as profiler:
        before = sum(os.times()[:4])
        begun = time.process_time()
        while time.process_time() - begun < 0.3:
            pass
        subprocess.run([sys.executable, "-c", burn], check=True)
        taken = sum(os.times()[:4]) - before
    around = sum(os.times()[:4]) - around
    assert taken > 0.75  # of which the profiler's own part is left out
    assert 0.9 * taken - 0.03 < profiler.result.cpu_time_s < around + 0.03  # of ticks


def test_every_figure_is_there_or_has_a_reason(nvml):
    nvml(Library(Device(energy_mj=[1_000, 4_000], power_mw=[20_000, 50_000], used=2_000_000_000, gpu=75)))
    with Profiler(**QUICK) as profiler:
        time.sleep(0.05)
    result = profiler.result
    assert result.gpu_energy_j == 3.0
    assert result.gpu_power_w == pytest.approx(3.0 / result.wall_s)
    assert result.gpu_nvml_peak_mb == 2000.0 and result.gpu_utilisation_percent == 75.0
    assert result.gpu == {"name": "Stand-In 100", "uuid": "GPU-aaaa-1111", "driver": "580.1"}
    assert result.power_trace["gpu"][0] == (0.0, 50.0) and len(result.power_trace["gpu"]) == result.samples >= 2
    values = records.to_json(result)
    for name in [name for name, value in values.items() if value is None]:
        assert result.reasons[name], name
    assert not set(result.reasons) & set(result.method)
    assert {name for name in result.reasons} == {
        "gpu_peak_mb",
        "cpu_package_power_w",
        "cpu_package_energy_j",
        "cpu_package_idle_power_w",
    }


def test_without_a_gpu(nvml):
    nvml(Unknown("pynvml is not installed: pip install nvidia-ml-py"))
    with Profiler(**QUICK) as profiler:
        pass
    result = profiler.result
    assert result.gpu_power_w is result.gpu_energy_j is result.gpu is None and result.power_trace == {}
    assert result.reasons["gpu_power_w"] == "pynvml is not installed: pip install nvidia-ml-py"
    assert result.reasons["gpu_peak_mb"] == "TensorFlow uses no GPU"


def test_nvml_is_given_back_whatever_happens(nvml):
    library = nvml(Library(Device(power_mw=NOT_SUPPORTED)))
    profiler = Profiler(**QUICK)
    with pytest.raises(ZeroDivisionError), profiler:
        assert library.open == 1
        raise ZeroDivisionError
    assert library.open == 0 and not profiler.running
    assert "profiler" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(InputError, match="result must be asked for after"):
        _ = profiler.result  # half a region is none


def test_rest_comes_before_and_is_sampled(nvml):
    device = Device(power_mw=[10_000] * 2 + [90_000], energy_mj=NOT_SUPPORTED)
    nvml(Library(device))
    with Profiler(interval_s=10.0, idle_s=0.01, minimum_window_s=0.0) as profiler:
        pass
    result = profiler.result
    assert (result.gpu_idle_power_w, result.gpu_power_w) == (10.0, pytest.approx(90.0))


def test_a_gpu_rests_for_longer_and_not_from_the_first_moment(nvml, monkeypatch):
    device = Device(energy_mj=[1_000, 2_000], power_mw=[30_000, 90_000])
    nvml(Library(device))
    monkeypatch.setattr(profiler_module, "_GPU_SETTLE_S", 0.1)
    monkeypatch.setattr(profiler_module, "_GPU_IDLE_S", 0.0)
    profiler = Profiler(interval_s=10.0, minimum_window_s=0.0)
    begun = time.perf_counter()
    profiler.rest()
    assert time.perf_counter() - begun >= 0.1 and device.calls["power_mw"] == 1
    profiler.start()
    assert profiler.stop().gpu_idle_power_w == 30.0


def test_again(nvml):
    library = nvml(Library(Device(energy_mj=[1_000, 2_000, 2_000, 7_000])))
    profiler = Profiler(**QUICK)
    energies = []
    for _ in range(2):
        with profiler:
            pass
        energies.append(profiler.result.gpu_energy_j)
    assert energies == [1.0, 5.0] and library.open == 0


@pytest.mark.parametrize("bad", [{"interval_s": 0.0}, {"idle_s": -1.0}, {"minimum_window_s": float("nan")}], ids=str)
def test_numbers_out_of_range(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        Profiler(**bad)


def test_out_of_order():
    profiler = Profiler(**QUICK)
    with pytest.raises(InputError, match="no region is running"):
        profiler.stop()
    profiler.start()
    for method in (profiler.start, profiler.rest):
        with pytest.raises(InputError, match="a region is running"):
            method()
    profiler.stop()


def model():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


class Begins(keras.callbacks.Callback):
    """Notes whether a profiler runs at the begin of each epoch."""

    def __init__(self, profiler):
        super().__init__()
        self.profiler, self.running = profiler, []

    def on_epoch_begin(self, epoch, logs=None):
        self.running.append(self.profiler.running)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "warm_up, running", [(0, [True] * 3), (1, [False, True, True]), (3, [False] * 3)], ids=["none", "one", "all"]
)
def test_a_callback_leaves_out_the_warm_up(warm_up, running):
    profiler = Profiler(**QUICK)
    watch, begins = profiler.callback(warm_up), Begins(profiler)
    model().fit(np.ones((4, 2)), np.ones((4, 1)), epochs=3, verbose=0, callbacks=[watch, begins])
    assert begins.running == running and watch.epochs == 3 - warm_up
    assert not profiler.running and profiler.result.wall_s >= 0


def test_a_callback_fills_its_window():
    class Slow(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            time.sleep(0.05)

    watch = ProfilerCallback(Profiler(**QUICK), window_s=0.12)
    model().fit(np.ones((4, 2)), np.ones((4, 1)), epochs=1000, verbose=0, callbacks=[watch, Slow()])
    assert 1 <= watch.epochs <= 3 and watch.profiler.result.wall_s >= 0.12
    with pytest.raises(InputError, match="warm_up_epochs"):
        Profiler().callback(-1)


@pytest.mark.gpu
@pytest.mark.skipif(not isinstance(find_gpu(), Gpu), reason="no GPU that NVML finds")
def test_a_real_gpu():
    import tensorflow as tf

    if not tf.config.list_logical_devices("GPU"):
        pytest.skip("TensorFlow uses no GPU")
    with tf.device("GPU:0"):
        a = tf.random.normal((4096, 4096))
        (a @ a).numpy()
        with Profiler() as profiler:
            while profiler.seconds() < 2.0:
                (a @ a).numpy()
    result = profiler.result
    assert result.gpu_peak_mb > 2 * 4 * 4096**2 / 1e6  # two matrices at once
    assert result.gpu_nvml_peak_mb > result.gpu_peak_mb
    for name in ("gpu_power_w", "gpu_energy_j", "gpu_idle_power_w", "gpu_utilisation_percent"):
        value = getattr(result, name)
        assert (value is None and result.reasons[name]) or value > 0, name
    if result.gpu_energy_j is not None:
        assert result.gpu_energy_j == pytest.approx(result.gpu_power_w * result.wall_s)
