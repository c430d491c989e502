import sys
from types import SimpleNamespace

import pytest

from kerasburst.profiling.gpu import AllocatorPeak
from kerasburst.profiling.metrics import Unknown


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


def measure():
    metric = AllocatorPeak()
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


@pytest.mark.parametrize("fails", ["reset", "get"])
def test_an_allocator_without_statistics(tensorflow, fails):
    tensorflow(fails=(fails,))
    assert measure().reason.startswith("TensorFlow's allocator tells nothing of GPU:0: No stats")
