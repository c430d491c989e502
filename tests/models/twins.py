"""Networks of ours and the same layers composed by Keras, which are the oracle of what changes a network."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasburst.models.saving import load_model
from kerasburst.models.snn_fc_net import SNNFCNet
from kerasburst.neurons.lif import LIF
from kerasburst.profiling.cost import network_cost

from .common import draw_spikes, enliven

SPIKES = draw_spikes(16, 6, 12)
IMAGES = draw_spikes(6, 4, 8, 8, 1)
LABELS = np.arange(16) % 3
DENSE = ("hidden_dense", "output_dense")


@keras.saving.register_keras_serializable("kerasburst_tests")
class Doubled(keras.layers.Dense):
    """A user's own layer."""

    def call(self, inputs, training=None):
        return 2 * super().call(inputs)


@keras.saving.register_keras_serializable("kerasburst_tests")
class Silenced(LIF):
    """A user's own neuron: every second one is silent."""

    def call(self, inputs, initial_state=None):
        spk = super().call(inputs, initial_state)
        return spk * ops.cast(ops.arange(spk.shape[-1]) % 2, spk.dtype)


def fc(**options):
    return SNNFCNet(3, hidden_units=9, seed=0, **options)


def composed(**layers):
    """Return the layers of `fc` as a functional model from spikes to logits."""
    parts = {
        "hidden_dense": keras.layers.Dense(9, name="hidden_dense"),
        "hidden_lif": LIF(name="hidden_lif"),
        "output_dense": keras.layers.Dense(3, name="output_dense"),
        "output_lif": LIF(return_mem=True, name="output_lif"),
    } | layers
    x = inputs = keras.Input((6, 12))
    for part in parts.values():
        x = part(x)
    return keras.Model(inputs, x[1][:, -1])


def pair(**options):
    """Return an `fc` that fires, asked for its trace before anything is changed, and its twin."""
    network, twin = fc(**options), composed()
    network.build((None, 6, 12))
    enliven(network)
    for name in DENSE:
        twin.get_layer(name).set_weights(getattr(network, name).get_weights())
    network.membrane_trace(SPIKES)
    return network, twin


def check_same(got, want):
    """Check for the same bits; on JAX and a GPU, where one of the two is compiled by XLA, for rounding."""
    compiled = keras.backend.backend() == "jax" or tf.config.list_physical_devices("GPU")
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 if compiled else 0)


def check_all_agree(network, twin, x=SPIKES):
    """Check the call against the twin, and everything else that is asked of a network against the call."""
    want = ops.convert_to_numpy(twin(x.astype("float32")))
    assert np.abs(want).max() > 0.1
    logits = ops.convert_to_numpy(network(x))
    np.testing.assert_allclose(logits, want, rtol=1e-5, atol=1e-5)
    check_same(network.membrane_trace(x)[:, -1], logits)
    np.testing.assert_allclose(network.predict(x, verbose=0), logits, atol=1e-6)
    bare = network.with_encoder(None)
    np.testing.assert_array_equal(ops.convert_to_numpy(bare(x)), logits)
    rates, cost = network.firing_rates(x), network_cost(network, x)
    assert cost.firing_rates == pytest.approx(rates, rel=1e-5)
    hidden = [layer for layer in cost.layers if layer.name == network.course()[2].name]
    assert hidden[0].effective_acs == round(rates["hidden_lif"] * 16 * 6 * 9) * 3  # each spike reaches three outputs


def saved_and_loaded(network, tmp_path):
    network.save(tmp_path / "net.keras")
    return load_model(tmp_path / "net.keras")
