import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

from kerasburst.config import TrainConfig
from kerasburst.training.fit import _build_for
from kerasburst.training.setup import check_fits
from kerasburst.validation import InputError

HUGE = [
    {"kernel_size": 2_000_000_000},
    pytest.param({"filters": (2**20, 2**20)}, marks=pytest.mark.thorough),  # TensorFlow waits 10 s for memory
]


@pytest.mark.parametrize("network", HUGE)
def test_a_network_of_more_weights_than_fit(network):
    (name,) = network
    with pytest.raises(InputError, match=f"model must fit this machine's memory, received SNNConvNet with {name} = "):
        check_fits(TrainConfig(model="SNNConvNet", network=network), 10, (8, 8, 1))


def test_what_does_not_go_with_chunks_of_time_is_refused_before_the_run_begins():
    config = TrainConfig(model="SNNFCNet", network={"hidden_units": 4, "recompute_steps": 2}, firing_penalty=0.1)
    with pytest.raises(InputError, match=r"model.recompute_steps must be null with firing_penalty"):
        check_fits(config, 3, (4,))


def test_several_devices_take_no_statistics_of_a_batch():
    """Each device has a part of the batch; the sums over a whole batch are promised to be those of one process."""
    team = SimpleNamespace(alone=False, scope=contextlib.nullcontext)
    data = SimpleNamespace(num_classes=3, sample_shape=(4, 4, 1), x_train=np.zeros((2, 4, 4, 1)))
    network = {"filters": ((2,),), "hidden_units": ()}
    config = TrainConfig(model="SpikingVGG", num_steps=2, network=network).resolved("image", 1)
    with pytest.raises(InputError, match="strategy must be left out with block1_1_bn, whose statistics are those of"):
        _build_for(team, config, data)
    network["normalization"] = "none"
    config = TrainConfig(model="SpikingVGG", num_steps=2, network=network).resolved("image", 1)
    assert _build_for(team, config, data)[0].built
