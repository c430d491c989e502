"""Against tf.nn.max_pool2d and tf.nn.relu, which it replaces, values and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from kerasburst.models.fast.pooling import max_pool


def ours(x, relu, upstream, training=True):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = max_pool(x, relu, training=training)
    return y, tape.gradient(y, x, upstream)


def theirs(x, relu, upstream):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.nn.max_pool2d(x, 2, 2, "VALID")
        y = tf.nn.relu(y) if relu else y
    return y, tape.gradient(y, x, upstream)


@pytest.mark.sampled(17)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(3, 4, 6, 2), (2, 5, 7, 3), (1, 4, 5, 1)])
@pytest.mark.parametrize("ties", [False, True])
def test_value_and_gradient_of_tensorflow_s(shape, relu, dtype, ties):
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, shape) if ties else rng.normal(size=shape)
    x = tf.cast(x, dtype)
    upstream = tf.cast(rng.normal(size=(shape[0], shape[1] // 2, shape[2] // 2, shape[3])), dtype)
    for training in (True, False):
        for a, b in zip(ours(x, relu, upstream, training), theirs(x, relu, upstream), strict=True):
            assert a.dtype == b.dtype == dtype
            np.testing.assert_array_equal(tf.cast(a, tf.float64), tf.cast(b, tf.float64))


def test_by_hand():
    # Windows, in reading order: 1 5 / 2 5 (a tie: the first 5), -1 -2 / -3 -4, 0 0 / 0 0; the last column is odd.
    x = tf.constant([[[1, 5, -1, -2, 0, 0, 9], [2, 5, -3, -4, 0, 0, 9]]], tf.float32)[..., None]
    upstream = tf.constant([10.0, 20.0, 30.0])[None, None, :, None]
    y, gradient = ours(x, False, upstream)
    assert y.numpy().ravel().tolist() == [5, -1, 0]
    assert gradient[0, :, :, 0].numpy().tolist() == [[0, 10, 20, 0, 30, 0, 0], [0] * 7]
    y, gradient = ours(x, True, upstream)
    assert y.numpy().ravel().tolist() == [5, 0, 0]
    assert gradient[0, :, :, 0].numpy().tolist() == [[0, 10, 0, 0, 0, 0, 0], [0] * 7]


@pytest.mark.parametrize("relu", [False, True])
def test_in_a_graph_of_unknown_batch(relu):
    spec = tf.TensorSpec((None, 5, 4, 2), tf.float32)
    rng = np.random.default_rng(0)
    run = tf.function(lambda x: ours(x, relu, tf.ones_like(max_pool(x, relu))), input_signature=[spec])
    for batch in (1, 3):
        x = tf.constant(rng.normal(size=(batch, 5, 4, 2)), tf.float32)
        for a, b in zip(run(x), theirs(x, relu, tf.ones((batch, 2, 2, 2))), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("relu", [False, True])
def test_a_bias_before_the_maximum(relu, dtype):
    rng = np.random.default_rng(1)
    # Quarters: exact in 16 bits, so that the order of the sums does not matter.
    x, bias = (tf.cast(rng.integers(-6, 7, shape) / 4, dtype) for shape in ((3, 5, 6, 2), (2,)))
    upstream = tf.cast(rng.integers(-3, 4, (3, 2, 3, 2)), dtype)
    found = []
    for call in (
        lambda: _pooled(x + bias, relu),
        lambda: max_pool(x, relu, bias),
        lambda: max_pool(x, relu, bias, training=False),
    ):
        with tf.GradientTape() as tape:
            tape.watch([x, bias])
            y = call()
        found.append((y, *tape.gradient(y, [x, bias], upstream)))
    for want, *got in zip(*found, strict=True):
        for each in got:
            np.testing.assert_array_equal(tf.cast(each, tf.float64), tf.cast(want, tf.float64))


def _pooled(x, relu):
    y = tf.nn.max_pool2d(x, 2, 2, "VALID")
    return tf.nn.relu(y) if relu else y
