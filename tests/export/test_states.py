"""Exports of neurons with more than one state: each state goes in and out of `step` under its own name."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasburst.export import plain, savedmodel
from kerasburst.neurons.functional import lif_step
from kerasburst.neurons.lif import LIF

from .common import make, spikes
from .test_saved_model import steps


@pytest.fixture
def two_states(monkeypatch):
    """Give LIF a synapse: syn[t] = syn[t-1] / 2 + current[t] is what its membrane receives."""

    def scan(layer, current, state=None):
        rest = tf.zeros_like(current[:, 0])
        state = {"mem": rest, "syn": rest} if state is None else state
        mem, syn, found = state["mem"], state["syn"], []
        for now in tf.unstack(current, axis=1):
            syn = syn / 2 + now
            spk, mem = lif_step(syn, mem, **layer.neuron_parameters())
            found.append((spk, mem, syn))
        spk, mem, syn = (tf.stack(values, axis=1) for values in zip(*found, strict=True))
        return spk, {"mem": mem, "syn": syn}

    monkeypatch.setattr(plain, "scan", scan)
    monkeypatch.setattr(plain, "state_names", lambda layer: ("mem", "syn"))


def composed():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 5))
    spk = LIF(name="first", threshold=0.5)(keras.layers.Dense(4)(inputs))
    _, mem = LIF(name="last", return_mem=True)(keras.layers.Dense(3)(spk))
    return keras.Model(inputs, mem[:, -1])


def test_a_network_of_ours(two_states, tmp_path):
    manifest = savedmodel(make("fc", readout="mean"), tmp_path / "served")
    check(tmp_path / "served", manifest, ["hidden_lif", "output_lif"], ["readout_sum", "readout_steps"])


def test_a_composed_model(two_states, monkeypatch, tmp_path):
    # Its parts are compared with the model itself, which has no synapse here: their tolerance is of no use.
    monkeypatch.setattr("kerasburst.export.composed._TOLERANCE", np.inf)
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
