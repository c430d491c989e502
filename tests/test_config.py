"""Parameters of encoders, neurons and networks: a bad value is refused by the parameter's name."""

import pytest

from kerasburst.config import TrainConfig, parameters
from kerasburst.registry import ENCODERS, NETWORKS
from kerasburst.validation import InputError

BAD = {"word": "x", "nothing a number can be": "", "list": [1, [2]], "object": {"a": 1}, "nan": float("nan")}
OURS = [
    *(("encoder", name, each) for name in ENCODERS for each in parameters("encoder", name)),
    *(("neuron", "", each) for each in parameters("neuron", "")),
    *(("network", name, each) for name in NETWORKS for each in parameters("model", name)),
]


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("scope, name, parameter", OURS, ids=[".".join(filter(None, each)) for each in OURS])
def test_a_parameter_that_is_not_one_is_refused_by_name(scope, name, parameter, bad):
    kinds = {"encoder": {"encoding": name}, "neuron": {"model": "SNNFCNet"}, "network": {"model": name}}[scope]
    with pytest.raises(InputError, match=f"(^|[ .]){parameter} must "):
        config = TrainConfig(**kinds, **{scope: {parameter: bad}})
        config.make_encoder()
        config.make_network(3)
