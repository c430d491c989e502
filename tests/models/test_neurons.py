"""Networks of other neurons than LIF: `neuron=NAME`, and `--set model.neuron=NAME` in a training's config."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from kerasburst.config import TrainConfig, set_parameters
from kerasburst.models.recording import record
from kerasburst.models.saving import load_model
from kerasburst.models.snn_conv_net import SNNConvNet
from kerasburst.models.snn_fc_net import SNNFCNet
from kerasburst.neurons.lif import LIF
from kerasburst.parameters import parameters
from kerasburst.registry import NEURONS
from kerasburst.validation import InputError

from .common import draw_spikes

pytestmark = pytest.mark.usefixtures("eagerly")

OPTIONS = {
    "synaptic": {"alpha": 0.5},
    "adaptive_lif": {"kappa": 0.5},
    "izhikevich": {"input_scale": 40.0, "a": 0.1},
    "adex": {"input_scale": 2000.0},
}
FIRING = [name for name in NEURONS if name != "leaky_integrator"]
SPIKES = draw_spikes(6, 8, 12)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", FIRING)
def test_is_the_same_layers_composed_by_keras(name, tmp_path):
    options, shared = OPTIONS.get(name, {}), {"threshold": 0.8, "surrogate": "triangular"}
    network = SNNFCNet(3, hidden_units=7, neuron=name, neuron_options=options, seed=0, **shared)
    network.build((None, 8, 12))
    network.hidden_dense.set_weights([network.hidden_dense.get_weights()[0] * 4, np.full(7, 0.5)])
    assert type(network.hidden_lif) is NEURONS[name] and type(network.output_lif) is LIF
    known = parameters("neuron", name)
    neurons = NEURONS[name](**{key: value for key, value in shared.items() if key in known}, **options)
    neurons.build((None, 8, 7))
    neurons.set_weights(network.hidden_lif.get_weights())
    spk = neurons(network.hidden_dense(SPIKES.astype("float32")))
    want = network.output_lif(network.output_dense(spk))[1][:, -1]
    np.testing.assert_allclose(ops.convert_to_numpy(network(SPIKES)), ops.convert_to_numpy(want), rtol=1e-5, atol=1e-5)
    found = record(network, SPIKES)
    np.testing.assert_array_equal(found["hidden_lif"]["spk"], ops.convert_to_numpy(spk))
    assert found["hidden_lif"]["spk"].any()
    network.save(tmp_path / "net.keras")
    copy = load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(copy(SPIKES)), ops.convert_to_numpy(network(SPIKES)))
    assert type(keras.models.clone_model(network).hidden_lif) is NEURONS[name]


def test_convolutional_networks_have_them_in_every_hidden_layer():
    network = SNNConvNet(3, filters=(2, 2), hidden_units=5, conv_activation="lif", neuron="synaptic", seed=0)
    assert network(draw_spikes(2, 4, 8, 8, 1)).shape == (2, 3)
    assert [type(part).__name__ for part in network.course() if "lif" in getattr(part, "name", "")] == [
        "Synaptic",
        "Synaptic",
        "Synaptic",
        "LIF",
    ]


def test_the_seed_fixes_recurrent_weights_too():
    config = TrainConfig(model="SNNFCNet", network={"neuron": "recurrent_lif", "hidden_units": 4})
    kernels = [dataclasses.replace(config, seed=seed).resolved("tabular", 1).make_network(2) for seed in (0, 0, 1)]
    for network in kernels:
        network.build((None, 3, 5))
    one, same, other = (network.hidden_lif.get_weights()[-1] for network in kernels)
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.parametrize("name", FIRING)
def test_a_config_sets_the_neuron_and_its_parameters(name):
    options = OPTIONS.get(name, {})
    assignments = [("model", "neuron", name), *(("neuron", key, value) for key, value in options.items())]
    config = set_parameters(TrainConfig(model="SNNFCNet"), assignments).resolved("tabular", 2)
    assert set(config.neuron) == set(parameters("neuron", name))
    network = config.make_network(3)
    assert type(network.hidden_lif) is NEURONS[name]
    for key, value in options.items():
        assert getattr(network.hidden_lif, key) == value


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SNNFCNet(2, neuron="sinaptic"), "neuron must be one of .* did you mean synaptic"),
        (lambda: SNNFCNet(2, neuron="leaky_integrator"), "neuron must be one that fires, received 'leaky_integrator'"),
        (lambda: SNNFCNet(2, neuron="synaptic", neuron_options={"alfa": 1}), "neuron_options must be of .*alpha"),
        (lambda: TrainConfig(network={"neuron": 3}).resolved("image", 1), "model.neuron must be one of"),
        (
            lambda: TrainConfig(network={"neuron": "izhikevich"}, neuron={"beta": 0.5}).resolved("image", 1),
            "neuron.beta is unknown: neuron has a, b, c",
        ),
    ],
)
def test_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
