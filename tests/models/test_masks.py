"""Padding changes nothing: not the logits, nor the rates, nor the gradients, whichever way the mask comes."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasburst as kb

pytestmark = pytest.mark.usefixtures("eagerly")

SHORT, LONG = 4, 7
NETWORKS = {
    "dense": (lambda **options: kb.SNNFCNet(3, hidden_units=6, seed=0, **options), (5,)),
    "conv": (lambda **options: kb.SNNConvNet(3, filters=(2, 3), hidden_units=6, seed=0, **options), (4, 4, 2)),
    "conv lif": (
        lambda **options: kb.SNNConvNet(3, filters=(2, 3), hidden_units=6, seed=0, conv_activation="lif", **options),
        (4, 4, 2),
    ),
    "recurrent": (lambda **options: kb.SNNFCNet(3, hidden_units=6, seed=0, neuron="recurrent_lif", **options), (5,)),
}


def array(tensor):
    return ops.convert_to_numpy(tensor)


def spikes_of(features):
    return (np.random.default_rng(0).random((3, SHORT, *features)) < 0.6).astype(np.int8)


def lengthened(x):
    padded = np.full((len(x), LONG, *x.shape[2:]), -1, np.int8)
    padded[:, :SHORT] = x
    return padded


@pytest.mark.sampled(6)
@pytest.mark.parametrize("readout", ["last", "mean", "count"])
@pytest.mark.parametrize("name", NETWORKS)
def test_logits_and_rates_are_those_without_padding(name, readout):
    make, features = NETWORKS[name]
    network = make(readout=readout)
    network.build((None, None, *features))
    x = spikes_of(features)
    plain = array(network(x.astype("float32")))
    padded = lengthened(x)
    np.testing.assert_allclose(array(network(padded)), plain, rtol=1e-5, atol=1e-6)
    mask = np.arange(LONG)[None] < np.full((3, 1), SHORT)
    filled = np.where(padded < 0, 1, padded).astype("float32")  # what is masked may be anything
    np.testing.assert_allclose(array(network(filled, mask=mask)), plain, rtol=1e-5, atol=1e-6)
    logits, mem, rates = network.probe_batch(padded, 5)
    np.testing.assert_allclose(array(logits), plain, rtol=1e-5, atol=1e-6)
    trace = network.membrane_trace(x)
    np.testing.assert_allclose(array(mem)[:, :SHORT], trace, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        array(mem)[:, SHORT:], np.repeat(trace[:, -1:], LONG - SHORT, axis=1), rtol=1e-5, atol=1e-6
    )
    for layer, rate in network.firing_rates(x).items():
        assert float(rates[layer]) == pytest.approx(rate, rel=1e-5), layer


def test_examples_of_different_lengths_in_one_batch():
    network = kb.SNNFCNet(3, hidden_units=6, seed=0)
    network.build((None, None, 5))
    x = (np.random.default_rng(1).random((3, LONG, 5)) < 0.6).astype(np.int8)
    alone = [array(network(x[i : i + 1, :length].astype("float32")))[0] for i, length in enumerate((7, 2, 5))]
    x[1, 2:] = x[2, 5:] = -1
    np.testing.assert_allclose(array(network(x)), alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("encoder", [kb.NoEncoder, kb.EventBurstEncoder])
def test_with_an_encoder_inside(encoder):
    options = {"mean_burst_size": 90.0} if encoder is kb.EventBurstEncoder else {}  # a burst then lasts to the end
    short, long = (kb.SNNFCNet(3, hidden_units=6, seed=0, encoder=encoder(T, **options)) for T in (SHORT, LONG))
    x = spikes_of((5,))
    np.testing.assert_allclose(array(long(lengthened(x))), array(short(x)), rtol=1e-5, atol=1e-6)


def test_a_masking_layer_before_the_network():
    network = kb.SNNFCNet(3, hidden_units=6, seed=0)
    x = lengthened(spikes_of((5,))).astype("float32")
    inputs = keras.Input((LONG, 5))
    model = keras.Model(inputs, network(keras.layers.Masking(-1.0)(inputs)))
    np.testing.assert_allclose(array(model(x)), array(network(x.astype(np.int8))), rtol=1e-5, atol=1e-6)


def test_training_is_that_without_padding():
    weights = []
    x, y = spikes_of((4, 4, 2)), np.array([0, 1, 2])
    for inputs in (x.astype(np.uint8), lengthened(x)):
        network = NETWORKS["conv"][0]()
        network.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        network.fit(inputs, y, epochs=2, shuffle=False, verbose=0)
        weights.append(network.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_signals_of_padded_examples():
    network = kb.SNNFCNet(3, hidden_units=6, seed=0)
    network.build((None, None, 5))
    x = spikes_of((5,))
    plain = kb.collect_signals(network, x.astype(np.uint8), encoder=kb.NoEncoder(SHORT))
    padded = kb.collect_signals(network, lengthened(x), encoder=kb.NoEncoder(LONG))
    np.testing.assert_allclose(padded.logits, plain.logits, rtol=1e-5, atol=1e-6)
    from kerasburst.privacy.signals import collect_dropped, fed_probabilities

    fed = fed_probabilities(network, kb.NoEncoder(LONG), lengthened(x))
    np.testing.assert_allclose(fed.logits, plain.logits, rtol=1e-5, atol=1e-6)
    dropped = collect_dropped(network, lengthened(x), encoder=kb.NoEncoder(LONG), rate=1e-9, copies=2)
    np.testing.assert_allclose(dropped, np.repeat(plain.logits, 2, axis=1), rtol=1e-5, atol=1e-6)


def test_operations_of_padded_steps_are_not_counted():
    network = kb.SNNFCNet(3, hidden_units=6, seed=0)
    network.build((None, None, 5))
    x = spikes_of((5,))
    short, long = (
        kb.network_cost(network, inputs, encoder=kb.NoEncoder(steps))
        for inputs, steps in ((x, SHORT), (lengthened(x), LONG))
    )
    assert [each.effective_acs for each in short.layers] == pytest.approx([each.effective_acs for each in long.layers])
