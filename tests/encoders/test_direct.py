"""Direct coding: the intensity at every step, on every backend; a network computes with it as with any current."""

import keras
import numpy as np
import pytest
from keras import ops

from kerasburst import backend
from kerasburst.encoders.direct import DirectEncoder

X = np.float32([[0.0, 0.25, 1.0, 0.1], [0.7, 0.5, 1 / 3, 1e-7]])


def test_every_step_is_the_intensity():
    encoder = DirectEncoder(5)
    expected = np.stack([X] * 5, axis=1)
    for got in (encoder(X), encoder.encode(ops.convert_to_tensor(X), 3), encoder.spike_probability(X)):
        np.testing.assert_array_equal(ops.convert_to_numpy(got), expected)
    assert keras.backend.standardize_dtype(DirectEncoder(2, dtype="mixed_bfloat16")(X).dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(DirectEncoder(2).encode(ops.convert_to_tensor(X), 0).dtype) == "float32"


@pytest.mark.skipif(backend.name != "tensorflow", reason="TensorFlow only, so far")
def test_a_network_multiplies_by_it():
    from kerasburst.encoders.rate import RateEncoder
    from kerasburst.models.snn_fc_net import SNNFCNet
    from kerasburst.profiling.cost import network_cost

    network = SNNFCNet(3, hidden_units=5, seed=0, encoder=DirectEncoder(4), beta=0.5, readout="mean")
    network.build((None, 4))
    # The hidden neurons by hand: beta mem + x W + b, minus 1 after a spike.
    w, b = network.hidden_dense.get_weights()
    mem, spk, fired = np.zeros((2, 5)), np.zeros((2, 5)), []
    for _ in range(4):
        mem = 0.5 * mem + X.astype("float64") @ w + b - spk
        spk = (mem > 1).astype(float)
        fired.append(spk)
    on_spikes = network.with_encoder(None)
    hidden = on_spikes.simulate(DirectEncoder(4).encode(ops.convert_to_tensor(X), 0))[0]["hidden_lif"]
    np.testing.assert_array_equal(hidden, np.stack(fired, axis=1))
    np.testing.assert_array_equal(network(X), on_spikes(np.stack([X] * 4, axis=1)))

    cost = network_cost(network, X)
    first, second = cost.layers
    assert not first.input_is_spikes and first.effective_acs == 0 and first.effective_macs_per_sample == 4 * 4 * 5
    assert second.input_is_spikes and second.effective_acs == np.sum(fired) * 3
    assert "input" not in cost.firing_rates
    assert "input" in network_cost(network.with_encoder(RateEncoder(4)), X).firing_rates
