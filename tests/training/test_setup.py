import pytest

from kerasburst.config import TrainConfig
from kerasburst.training.setup import check_fits
from kerasburst.validation import InputError

HUGE = [{"kernel_size": 2_000_000_000}, {"filters": (2**20, 2**20)}]


@pytest.mark.parametrize("network", HUGE)
def test_a_network_of_more_weights_than_fit(network):
    (name,) = network
    with pytest.raises(InputError, match=f"model must fit this machine's memory, received SNNConvNet with {name} = "):
        check_fits(TrainConfig(model="SNNConvNet", network=network), 10, (8, 8, 1))
