"""The energy that a worker adds to its blocks, against a stand-in for NVML."""

import pytest

from kerasburst.profiling.worker import _Energy

from .nvml import NOT_SUPPORTED, Device, Library

COUNTER = [1_000, 51_000]  # mJ before and after: 50 J


@pytest.mark.parametrize(
    "energy_mj, seconds, found",
    [
        (COUNTER, 10.0, {"gpu_w": 5.0, "gpu_mj_per_example": 500.0}),  # 50 J over 25 steps of 4
        (COUNTER, 1.0, {}),  # the counter moves ten times a second
        (NOT_SUPPORTED, 10.0, {}),
    ],
)
def test_energy_of_a_block(nvml, energy_mj, seconds, found):
    nvml(Library(Device(energy_mj=energy_mj)))
    answer = _Energy(batch_size=4).during(lambda steps: {"seconds": seconds, "asked": steps}, 25)
    assert answer == {"seconds": seconds, "asked": 25, **found}


def test_no_gpu_no_energy(nvml):
    nvml(Library())
    assert _Energy(batch_size=4).during(lambda steps: {"seconds": 9.0}, 1) == {"seconds": 9.0}
