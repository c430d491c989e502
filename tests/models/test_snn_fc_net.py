import keras
import numpy as np
import pytest

from kerasburst.models.snn_fc_net import SNNFCNet
from kerasburst.validation import InputError

from ..neurons.common import weighted
from ..neurons.reference import RESETS, forward
from .common import ENCODERS, VARIED, dense, draw_spikes, enliven, weight_gradients

pytestmark = pytest.mark.usefixtures("eagerly")


def test_the_paper_s_sizes_by_default():
    network = SNNFCNet(2)
    network.build((None, 10, 30))
    layers = network.hidden_dense, network.output_dense
    assert [tuple(w.shape) for layer in layers for w in layer.weights] == [(30, 1000), (1000,), (1000, 2), (2,)]
    assert len(network.weights) == 4
    assert network.hidden_lif.beta == network.output_lif.beta == 0.95
    assert network.output_lif.threshold == 1.0 and network.readout == "last"


@pytest.mark.sampled(3)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("features", [(5,), (2, 3)])
def test_forward_pass_by_hand(reset, features):
    spikes = draw_spikes(6, 8, *features)
    network = SNNFCNet(3, hidden_units=12, beta=0.8, threshold=0.7, reset_mechanism=reset)
    network.build((None, 8, *features))
    enliven(network)
    hidden, _ = forward(dense(spikes.reshape(6, 8, -1).astype(float), network.hidden_dense), 0.8, 0.7, reset)
    output, mem = forward(dense(hidden, network.output_dense), 0.8, 0.7, reset)
    assert 0.1 < hidden.mean() < 0.9 and 0.1 < output.mean() < 0.9
    np.testing.assert_allclose(network.membrane_trace(spikes), mem, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(network(spikes), mem[:, -1], rtol=1e-4, atol=1e-5)


def test_trained_parameters_reach_both_layers():
    network = SNNFCNet(3, hidden_units=12, trainable_beta=True, trainable_threshold=True, per_neuron=True)
    spikes = draw_spikes(6, 8, 5)
    network.build(spikes.shape)
    enliven(network)
    hidden_lif, output_lif = (lif.get_weights() for lif in (network.hidden_lif, network.output_lif))
    assert [w.shape for w in hidden_lif] == [(12,), (12,)] and [w.shape for w in output_lif] == [(3,), (3,)]
    hidden, _ = forward(dense(spikes.astype(float), network.hidden_dense), *hidden_lif)
    _, mem = forward(dense(hidden, network.output_dense), *output_lif)
    np.testing.assert_allclose(network.membrane_trace(spikes), mem, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_config_round_trip(encoder):
    network = SNNFCNet(**VARIED, hidden_units=9, encoder=ENCODERS[encoder](), dtype="mixed_bfloat16")
    config = network.get_config()
    surrogate = keras.saving.deserialize_keras_object(config["surrogate"])
    assert VARIED.items() <= {**config, "surrogate": surrogate}.items()
    copy = SNNFCNet.from_config(config)
    assert copy.get_config() == config
    assert copy.dtype_policy.name == "mixed_bfloat16" and copy.hidden_units == 9 and copy.num_classes == 3
    assert copy.hidden_lif.surrogate == copy.output_lif.surrogate == VARIED["surrogate"]
    if encoder != "none":
        assert copy.encoder.get_config() == network.encoder.get_config() and copy.encoder is not network.encoder


@pytest.mark.sampled(3)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_saved_and_reloaded(tmp_path, encoder, dtype):
    network = SNNFCNet(**VARIED, hidden_units=9, encoder=ENCODERS[encoder](), dtype=dtype)
    shape = (4, 6, 5) if encoder == "none" else (4, 5)
    network.build((None, *shape[1:]))
    enliven(network)
    network.save(tmp_path / "net.keras")
    copy = keras.saving.load_model(tmp_path / "net.keras")
    assert copy.get_config() == network.get_config()
    spikes = draw_spikes(4, 6, 5)
    np.testing.assert_array_equal(copy.with_encoder(None)(spikes), network.with_encoder(None)(spikes))
    # With a random encoder, both begin its draws from its seed.
    x = spikes if encoder == "none" else np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    np.testing.assert_array_equal(copy(x), network(x))


@pytest.mark.compiled
@pytest.mark.thorough
@pytest.mark.parametrize("jit", [False, True])
def test_fit_learns_a_separable_problem(jit):
    """Class 0 spikes in the first features, class 1 in the others."""
    label = np.arange(128) % 2
    p = np.where((np.arange(6) < 3)[None] == (label == 0)[:, None], 0.7, 0.05)
    spikes = (np.random.default_rng(0).uniform(size=(128, 8, 6)) < p[:, None]).astype(np.uint8)
    network = SNNFCNet(2, hidden_units=32, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(5e-3), loss, jit_compile=jit)
    losses = network.fit(spikes, label, epochs=8, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
    unseen = (np.random.default_rng(1).uniform(size=(128, 8, 6)) < p[:, None]).astype(np.uint8)
    assert (np.argmax(np.asarray(network(unseen)), -1) == label).mean() > 0.9


@pytest.mark.thorough
def test_fit_with_an_encoder_inside():
    label = np.arange(64) % 2
    x = np.where((np.arange(6) < 3)[None] == (label == 0)[:, None], 0.8, 0.05).astype(np.float32)
    network = SNNFCNet(2, hidden_units=32, encoder=ENCODERS["poisson"](), seed=0)
    network.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = network.fit(x, label, epochs=12, batch_size=64, verbose=0).history["loss"]
    assert np.mean(losses[-3:]) < np.mean(losses[:2]) / 2


@pytest.mark.parametrize("bad", [0, -3, 1.5, "x"])
def test_bad_hidden_units(bad):
    with pytest.raises(InputError) as error:
        SNNFCNet(3, hidden_units=bad)
    assert str(error.value) == f"hidden_units must be an integer from 1 to 2147483647, received {bad!r}"


def test_gradient_reaches_every_weight():
    network = SNNFCNet(3, hidden_units=12, trainable_beta=True, trainable_threshold=True)
    spikes = draw_spikes(6, 8, 5)
    network.build(spikes.shape)
    enliven(network)
    loss, weights = weighted(network, spikes, [np.float32([1, 0, 0])])
    gradients = weight_gradients(loss, spikes, weights)
    assert len(gradients) == 8
    # The readout is the membrane, which the output's threshold reaches by way of the subtraction.
    assert all(np.abs(g).max() > 0 for g in gradients)
