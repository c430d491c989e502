"""A sequence in stretches of time gives what it gives whole, gradients too."""

import numpy as np
import pytest
import tensorflow as tf

from kerasburst.models.chunks import over_time
from kerasburst.models.snn_conv_net import SNNConvNet

RNG = np.random.default_rng(0)


def value_and_gradients(x, w, **options):
    with tf.GradientTape() as tape:
        tape.watch([x, w])
        y = over_time(lambda x, w: tf.tanh(x @ w) ** 2, x, (w,), **options)
        loss = tf.reduce_sum(y * tf.reshape(tf.range(tf.size(y), dtype=y.dtype), tf.shape(y)))
    return [y, *tape.gradient(loss, [x, w])]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("time", "steps"), [(4, 4), (5, 4), (11, 4), (12, 4), (7, 1), (3, 10)])
def test_in_stretches_as_whole(time, steps, recompute):
    x, w = tf.constant(RNG.normal(size=(3, time, 4))), tf.constant(RNG.normal(size=(4, 2)))
    y = tf.tanh(x @ w) ** 2
    weight = tf.reshape(tf.range(tf.size(y), dtype=y.dtype), tf.shape(y))
    with tf.GradientTape() as tape:
        tape.watch([x, w])
        loss = tf.reduce_sum(tf.tanh(x @ w) ** 2 * weight)
    want = [y, *tape.gradient(loss, [x, w])]
    call = tf.function(lambda x, w: value_and_gradients(x, w, steps=steps, recompute=recompute))
    for got in (value_and_gradients(x, w, steps=steps, recompute=recompute), call(x, w)):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_a_stretch_is_never_longer_than_asked_for():
    seen = set()

    def note(x):
        noted = tf.py_function(lambda y: (seen.add(len(y)), y)[1], [x], x.dtype)
        return tf.ensure_shape(noted, x.shape)

    run = tf.function(lambda x: over_time(note, x, (), steps=4))
    y = run(tf.constant(np.arange(26.0).reshape(2, 13)))
    # 13 steps: four stretches of 4, filled up, of two examples
    assert max(seen) == 2 * 4 and y.numpy().ravel().tolist() == list(range(26))


def test_an_unknown_time_is_worked_on_whole():
    graph = tf.function(
        lambda x: over_time(lambda x: x + 1, x, (), steps=2), input_signature=[tf.TensorSpec((None, None, 3))]
    )
    assert graph(tf.zeros((2, 5, 3))).shape == (2, 5, 3)


def one_by_one(network, spikes):
    x = tf.nn.relu(tf.nn.max_pool2d(network.conv1(tf.reshape(spikes, [-1, 6, 6, 1])), 2, 2, "VALID"))
    x = tf.nn.relu(tf.nn.max_pool2d(network.conv2(x), 2, 2, "VALID"))
    hidden = network.hidden_lif(network.hidden_dense(tf.reshape(x, [2, 25, 3])))
    _, mem = network.output_lif(network.output_dense(hidden))
    return tf.reduce_mean(mem, axis=1)


@pytest.mark.thorough
@pytest.mark.parametrize("recompute", [False, True])
def test_a_long_sequence_through_the_network(recompute):
    """25 steps, worked on in stretches, against the same images one by one."""
    network = SNNConvNet(3, filters=(2, 3), hidden_units=5, readout="mean", seed=0, recompute=recompute)
    spikes = tf.constant(RNG.random((2, 25, 6, 6, 1)) < 0.4, tf.float32)
    network.build(spikes.shape)
    weights = [v.value for v in network.trainable_variables]
    found = []
    for call in (network, lambda spikes: one_by_one(network, spikes)):
        with tf.GradientTape() as tape:
            logits = call(spikes)
            loss = tf.reduce_sum(logits * [[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]])
        found.append([logits, *tape.gradient(loss, weights)])
    assert sum(float(tf.reduce_max(tf.abs(g))) > 1e-4 for g in found[1][1:]) >= 6
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
