"""Exports of neurons with more than one state: each state goes in and out of `step` under its own name."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasburst.export import savedmodel
from kerasburst.neurons.functional import lif_step
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.neurons.lif import LIF

from .common import make, spikes
from .test_saved_model import steps


@pytest.fixture
def two_states(monkeypatch):
    """A LIF whose membrane receives a synaptic current: syn[t] = syn[t-1] / 2 + current[t]."""

    def step(self, current, state):
        syn = state["syn"] / 2 + current
        spk, mem = lif_step(syn, state["mem"], **self.neuron_parameters())
        return spk, {"mem": mem, "syn": syn}

    monkeypatch.setattr(LIF, "state_names", ("mem", "syn"))
    monkeypatch.setattr(LIF, "step", step)
    monkeypatch.setattr(LIF, "run", NeuronLayer.run)


def composed():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 5))
    spk = LIF(name="first", threshold=0.5)(keras.layers.Dense(4)(inputs))
    _, mem = LIF(name="last", return_mem=True)(keras.layers.Dense(3)(spk))
    return keras.Model(inputs, mem[:, -1])


@pytest.mark.thorough
def test_a_network_of_ours(two_states, tmp_path):
    manifest = savedmodel(make("fc", readout="mean"), tmp_path / "served")
    check(tmp_path / "served", manifest, ["hidden_lif", "output_lif"], ["readout_sum", "readout_steps"])


@pytest.mark.thorough
def test_a_composed_model(two_states, tmp_path):
    manifest = savedmodel(composed(), tmp_path / "served")
    check(tmp_path / "served", manifest, ["first", "last"])


def check(folder, manifest, layers, besides=()):
    """Step by step and at once, the logits are the same, and the states have the names of layer and state."""
    names = [f"{layer}_{state}" for layer in layers for state in ("mem", "syn")]
    assert list(manifest["signatures"]["step"]["inputs"]) == ["spikes", *names, *besides]
    loaded, x = tf.saved_model.load(str(folder)), spikes()
    logits, states = steps(loaded, x, manifest)
    whole = loaded.signatures["encoded"](spikes=tf.constant(x))["logits"]
    np.testing.assert_allclose(logits, whole, atol=1e-5)
    assert set(states) == {*names, *besides} and (states[names[0]].numpy() != states[names[1]].numpy()).any()


@pytest.mark.thorough
def test_states_at_rest_elsewhere_begin_with_zeros(tmp_path):
    """The states of `step` are distances from rest, so that a stream begins with zeros as for all neurons."""
    network = make("fc", encoder=False, neuron="izhikevich", neuron_options={"input_scale": 40.0}, readout="mean")
    x = spikes()
    assert 0 < network.firing_rates(x)["hidden_lif"] < 1
    manifest = savedmodel(network, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    logits, states = steps(loaded, x, manifest)
    np.testing.assert_allclose(logits, network(x), atol=1e-4)
    rest = network.hidden_lif.rest(tf.zeros((1, 12)))
    _, _, last = network.hidden_lif.run(network.hidden_dense(x), None)
    for name, value in last.items():
        got = states[f"hidden_lif_{name}"]
        np.testing.assert_allclose(got + rest[name], value, rtol=1e-4, atol=1e-3)
