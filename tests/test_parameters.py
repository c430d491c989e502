"""Parameters of encoders, neurons and networks: known by their signatures, a bad value refused by its name."""

import json

import keras
import numpy as np
import pytest

from kerasburst.config import TrainConfig
from kerasburst.neurons.surrogate import ATan
from kerasburst.parameters import as_json, filled, parameters, refusing, with_trainable
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


def test_they_are_those_of_the_signatures_without_what_is_given_elsewhere():
    assert parameters("encoder", "latency") == {"mode": "linear", "tau": 2.0, "silence": 0.0}
    assert set(parameters("neuron")) == {
        *("beta", "threshold", "reset_mechanism", "surrogate", "trainable_beta", "trainable_threshold", "per_neuron")
    }
    network = parameters("model", "SNNFCNet")
    assert network["hidden_units"] == 1000 and not {"beta", "num_classes", "seed", "neuron_options"} & set(network)


def test_what_is_not_given_is_filled_in_and_what_is_unknown_is_refused():
    assert filled("encoder", "rate", {"gain": 2.0}) == {"mode": "bernoulli", "gain": 2.0}
    with pytest.raises(InputError, match=r"encoder.gian is unknown: encoder has mode, gain; did you mean gain\?"):
        filled("encoder", "rate", {"gian": 2.0})


def test_none_is_a_word_where_the_default_is_one():
    assert filled("neuron", "lif", {"reset_mechanism": None})["reset_mechanism"] == "none"
    assert filled("model", "SEWResNet", {"normalization": None})["normalization"] == "none"
    assert filled("encoder", "delayed_burst", {"silence": None})["silence"] is None


def test_a_value_becomes_what_json_holds():
    values = as_json("p", (np.float64(0.5), [np.int32(3), ATan(alpha=3.0)], None, "a"))
    number, (whole, surrogate), *others = json.loads(json.dumps(values))
    assert (number, whole, others) == (0.5, 3, [None, "a"])
    assert keras.saving.deserialize_keras_object(surrogate).get_config() == {"alpha": 3.0}
    with pytest.raises(InputError, match="^encoder.gain must be a value that JSON can hold"):
        as_json("encoder.gain", {1, 2})


def test_trainable_stands_for_all_that_can_be_trained():
    assert with_trainable({"gamma": 2.0}) == {"gamma": 2.0}
    assert with_trainable({"trainable": False}) == {"trainable_burst_size": False, "trainable_intensity_map": False}
    with pytest.raises(InputError, match="^encoder.trainable must be true or false, received 'yes'"):
        with_trainable({"trainable": "yes"})


@pytest.mark.parametrize("error", [TypeError("a\nb"), ValueError("a b"), OverflowError("a b"), AttributeError("a b")])
def test_a_class_that_does_not_check_its_parameters_is_given_a_line(error):
    with pytest.raises(InputError, match=r"^the parameters of encoder must be right, received gain=-1: a b$"):
        with refusing("encoder", {"gain": -1}):
            raise error
    with pytest.raises(InputError, match="^its own$"), refusing("encoder", {}):
        raise InputError("its own")
    with pytest.raises(KeyError), refusing("encoder", {}):  # a defect, not bad input
        raise KeyError("gain")
