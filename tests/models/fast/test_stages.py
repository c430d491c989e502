"""The fast way through a network's first stages, against its parts one by one: values and every gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasburst import backend
from kerasburst.models.fast import stages as fast
from kerasburst.models.fast.pooling import SpikePool
from kerasburst.models.fast.stages import Stage, apply, begin, run_stages, split_stages
from kerasburst.models.forward import Pool, walk
from kerasburst.models.snn_conv_net import SNNConvNet
from kerasburst.models.snn_fc_net import SNNFCNet
from kerasburst.neurons.kernel import lif_scan
from kerasburst.neurons.lif import LIF
from kerasburst.neurons.scan import scan
from kerasburst.neurons.surrogate import ATan
from tests.models.common import draw_spikes, enliven
from tests.neurons.reference import RESETS


def plain_pool(x, relu=False):
    x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    return tf.nn.relu(x) if relu else x


def gradients(call, network, spikes):
    weights = [v.value for v in network.trainable_variables]
    with tf.GradientTape() as tape:
        logits = call(spikes)
        loss = tf.reduce_sum(logits * np.linspace(-1, 2, logits.shape[1]))
    return [logits, *tape.gradient(loss, weights)]


def one_by_one(network):
    def call(spikes):
        spk, states = walk(network.course(), spikes, scan)
        return network.read_out(spk, states["mem"])

    return call


@pytest.mark.sampled(6)
@pytest.mark.parametrize(  # every two of them together
    ("parts", "channels", "activation", "recompute"),
    [
        *[("whole", 1, "relu", False), ("whole", 2, "lif", True), ("whole", 1, "lif", False)],
        *[("parts", 2, "relu", False), ("parts", 1, "lif", False), ("parts", 1, "relu", True)],
    ],
)
def test_the_network_s_gradients(monkeypatch, activation, channels, recompute, parts):
    if parts == "parts":  # of two examples; the last is filled up
        monkeypatch.setattr(fast, "_FIRING", 2 * 6 * 9 * 8 * 3 * 4)
        monkeypatch.setattr(fast, "_PASSING", 2 * 6 * 9 * 8 * 3 * 4)
    trained = {"trainable_beta": True, "trainable_threshold": True, "per_neuron": True}
    network = SNNConvNet(
        3, filters=(3, 4), hidden_units=7, conv_activation=activation, recompute=recompute, readout="mean", **trained
    )
    spikes = tf.constant(draw_spikes(5, 6, 9, 8, channels), tf.float32)
    network.build(spikes.shape)
    enliven(network)
    want = gradients(one_by_one(network), network, spikes)
    assert all(float(tf.reduce_max(tf.abs(g))) > 1e-3 for g in want[1:])

    def train(spikes):
        return network(spikes, training=True)

    unknown = tf.function(
        lambda spikes: gradients(train, network, spikes),
        input_signature=[tf.TensorSpec((None, *spikes.shape[1:]))],
        autograph=False,
    )
    for got in (gradients(network, network, spikes), gradients(train, network, spikes), unknown(spikes)):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("shape", [(2, 7, 4, 6, 3), (3, 2, 5, 7, 2)])
def test_spikes_pooled_at_once(reset, shape):
    """The same as firing and then pooling, of every reset; equal spikes give the gradient to the first."""
    rng = np.random.default_rng(0)
    current = tf.constant(rng.uniform(-0.8, 0.7, shape))
    beta, threshold = tf.constant(0.9, tf.float64), tf.constant(0.8, tf.float64)
    first = tf.constant(rng.uniform(-1, 1.1, (shape[0], *shape[2:])))
    upstream = tf.constant(rng.normal(size=(*shape[:2], shape[2] // 2, shape[3] // 2, shape[4])))

    def together(use):
        spk, _, last = lif_scan(current, first, beta, threshold, reset, ATan(), return_mem=False, use=use)
        if use is None:
            pooled = plain_pool(tf.reshape(spk, [-1, *shape[2:]]))
            spk = tf.reshape(pooled, upstream.shape)
        return spk, last

    found = []
    for use in (SpikePool("float64"), None):
        with tf.GradientTape() as tape:
            tape.watch([current, beta, threshold, first])
            spk, last = together(use)
            loss = tf.reduce_sum(spk * upstream) + tf.reduce_sum(last)
        found.append((spk, last, *tape.gradient(loss, [current, beta, threshold, first])))
    assert 0.1 < found[0][0].numpy().mean() < 0.9
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pooled_spikes_have_the_dtype_asked_for(dtype):
    current = tf.cast(np.random.default_rng(0).uniform(0, 1, (2, 3, 4, 4, 1)), dtype)
    spk, _, _ = lif_scan(current, None, 0.9, 1.0, "zero", ATan(), return_mem=False, use=SpikePool(dtype))
    assert spk.dtype == dtype and set(np.unique(tf.cast(spk, tf.float32))) == {0.0, 1.0}


def test_what_is_a_stage():
    conv, lif, pool, dense = keras.layers.Conv2D(2, 3), LIF(), Pool(), keras.layers.Dense(2)
    assert split_stages([conv, pool, conv, lif, pool, dense], True) == (
        [Stage(conv, None, pool), Stage(conv, lif, pool)],
        [dense],
    )
    for course, firing in [
        ([conv, lif, pool, dense], False),
        ([conv, dense], True),
        ([conv, lif, Pool(relu=True), dense], True),
        ([conv, lif, lif, pool], True),
        ([conv, conv, pool], True),
        ([conv], True),
        ([conv, lif], True),
        ([dense], True),
    ]:
        assert split_stages(course, firing) == ([], course)


@pytest.mark.thorough
@pytest.mark.parametrize("activation", ["relu", "lif"])
def test_a_long_sequence_in_parts_of_one(monkeypatch, activation):
    monkeypatch.setattr(fast, "_FIRING", 1)
    monkeypatch.setattr(fast, "_PASSING", 1)
    network = SNNConvNet(3, filters=(2, 3), hidden_units=5, conv_activation=activation, seed=0)
    spikes = tf.constant(draw_spikes(3, 25, 6, 6, 1), tf.float32)
    network.build(spikes.shape)
    stages, _ = split_stages(network.course(), True)
    assert run_stages(stages, spikes, recompute=False).shape == (3, 25, 1, 1, 3)
    for training in (False, True):
        np.testing.assert_allclose(
            network(spikes, training=training), one_by_one(network)(spikes), rtol=1e-5, atol=1e-6
        )


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("activation", "name"), [("lif", "convolve"), ("relu", "convolve_and_pool")])
def test_only_a_training_may_round_otherwise(monkeypatch, activation, name):
    told, function = [], getattr(fast, name)

    def note(*arguments):
        told.append(arguments[-1])
        return function(*arguments)

    monkeypatch.setattr(fast, name, note)
    network = SNNConvNet(3, filters=(3, 4), hidden_units=7, conv_activation=activation)
    spikes = tf.constant(draw_spikes(2, 3, 8, 8, 1))
    for options in ({}, {"training": False}, {"training": True}):
        network(spikes, **options)
    assert told == [False, False, False, False, True, True]  # two convolutions
    np.testing.assert_array_equal(network(spikes), network.membrane_trace(spikes)[:, -1])
    assert not any(told[6:])


# Where the fast pass applies, and where it does not ----------------------------------------------------


@pytest.mark.sampled(4)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("activation", ["relu", "lif"])
@pytest.mark.parametrize("channels", [1, 2])
def test_inference_has_the_bits_of_the_plain_pass(activation, channels, dtype):
    network = SNNConvNet(3, filters=(3, 4), hidden_units=7, conv_activation=activation, dtype=dtype)
    spikes = tf.cast(draw_spikes(5, 6, 9, 8, channels), network.compute_dtype)
    network.build(spikes.shape)
    enliven(network)
    course = network.course()
    spk, states = walk(course, spikes, lambda lif, x: (lif(x), {}) if not lif.return_mem else both(lif(x)))
    activity, mem = network.simulate(spikes)
    assert 0 < np.mean(spk) < 1
    np.testing.assert_array_equal(activity["output_lif"], spk)
    np.testing.assert_array_equal(mem, states["mem"])
    np.testing.assert_array_equal(network(spikes), mem[:, -1])


def both(outputs):
    return outputs[0], {"mem": outputs[1]}


class Doubled(keras.layers.Dense):
    def call(self, inputs, training=None):
        return 2 * super().call(inputs)


class Other(LIF):
    pass


def applies(*course):
    spikes = tf.zeros((1, 2, 4, 4, 1))
    for part in course:
        if isinstance(part, keras.layers.Layer) and not part.built:
            part.build((1, 2, 16) if isinstance(part, keras.layers.Dense) else (1, 4, 4, 1))
    options = {"firing": False, "recompute": False, "training": False}
    return begin(course, spikes, **options) is not None


def test_the_fast_pass_leaves_other_layers_and_gpus_to_the_plain_one(monkeypatch):
    conv, dense = keras.layers.Conv2D, keras.layers.Dense
    assert applies(conv(2, 3, padding="same"), LIF()) and applies(dense(2), LIF())
    assert not applies(Doubled(2)) and not applies(dense(2), Other()) and not applies(dense(2, activation="relu"))
    assert not applies(conv(2, 3, padding="same", strides=2)) and not applies(conv(2, 3))
    assert not applies(conv(2, 3, padding="same", use_bias=False))
    quantised, adapted = dense(2), dense(2)
    quantised.build((1, 2, 16))
    quantised.quantize("int8")
    adapted.build((1, 2, 16))
    adapted.enable_lora(1)
    assert not applies(quantised) and not applies(adapted)
    for own in ({"stateful": True}, {"go_backwards": True}, {"activity_regularizer": "l2"}):
        assert not applies(dense(2), LIF(**own))
    monkeypatch.setattr(backend, "runs_cpu_paths", lambda: False)
    assert not applies(dense(2))


def test_each_neuron_s_own_parameters_count():
    parts = [keras.layers.Conv2D(3, 3, padding="same"), LIF(beta=[0.3, 0.6, 0.9], threshold="ones"), Pool()]
    spikes = tf.constant(draw_spikes(4, 6, 8, 8, 1), tf.float32)
    parts[0].build((24, 8, 8, 1))
    parts[1].build((4, 6, 8, 8, 3))
    parts[0].set_weights([w * 4 for w in parts[0].get_weights()])
    want, _ = walk(parts, spikes, scan)
    begun = begin(parts, spikes, firing=True, recompute=False, training=False)
    fast, _ = walk(*begun, scan, apply)
    assert 0.05 < np.mean(want) < 0.95
    np.testing.assert_array_equal(fast, want)


def test_a_layer_of_another_kind_counts():
    network = SNNFCNet(3, hidden_units=5, seed=0)
    network.hidden_dense = Doubled(5, name="hidden_dense")
    spikes = tf.constant(draw_spikes(4, 6, 12), tf.float32)
    network.build(spikes.shape)
    enliven(network)
    twin = SNNFCNet(3, hidden_units=5)
    twin.build(spikes.shape)
    kernel, bias, *others = network.get_weights()  # the output's layers come first
    twin.set_weights([kernel, bias, *(2 * w for w in others)])
    np.testing.assert_allclose(network(spikes), twin(spikes), rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("activation", ["lif", "relu"])
def test_recomputing_in_the_plain_pass(monkeypatch, activation):
    monkeypatch.setattr(backend, "runs_cpu_paths", lambda: False)
    monkeypatch.setattr(backend, "runs_cpu_passes", lambda: False)
    spikes = tf.constant(draw_spikes(5, 6, 9, 8, 1), tf.float32)
    found = []
    for recompute in (False, True):
        network = SNNConvNet(
            3, filters=(3, 4), hidden_units=7, conv_activation=activation, recompute=recompute, trainable_beta=True
        )
        network.build(spikes.shape)
        enliven(network)
        found.append(gradients(network, network, spikes))
        compiled = tf.function(lambda x, network=network: gradients(network, network, x), autograph=False)
        found.append(compiled(spikes))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
