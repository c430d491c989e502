"""Against TensorFlow's convolution and the pooling after it: values and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from kerasburst.models.fast.convolution import convolve, convolve_and_pool, is_thin

SIZES = [((3, 6, 8, 1), (3, 3)), ((2, 5, 7, 1), (2, 4)), ((1, 4, 5, 1), (5, 1)), ((2, 5, 6, 2), (3, 3))]


def plain_pool(x, relu):
    y = tf.nn.max_pool2d(x, 2, 2, "VALID")
    return tf.nn.relu(y) if relu else y


def both(ours, theirs, shape, side, dtype, upstream_of):
    rng = np.random.default_rng(0)
    x = tf.cast(rng.normal(size=shape), dtype)
    kernel, bias = (tf.cast(rng.normal(size=size), dtype) for size in ((*side, shape[3], 5), (5,)))
    found, upstream = [], None
    for call in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel, bias])
            y = call(x, kernel, bias)
        if upstream is None:
            upstream = tf.cast(rng.normal(size=upstream_of(y)), dtype)
        found.append((y, *tape.gradient(y, [x, kernel, bias], upstream)))
    for mine, other in zip(*found, strict=True):
        assert mine.dtype == other.dtype and mine.shape == other.shape
        scale = np.abs(tf.cast(other, tf.float64)).max()
        tolerance = scale * (0.02 if dtype == "bfloat16" else 1e-5 if dtype == "float32" else 1e-12)
        np.testing.assert_allclose(tf.cast(mine, tf.float64), tf.cast(other, tf.float64), atol=tolerance)


@pytest.mark.sampled(15)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize(("shape", "side"), SIZES)
def test_value_and_gradients(shape, side, dtype, training):
    both(
        lambda x, kernel, bias: convolve(x, kernel, bias, training),
        lambda x, kernel, bias: tf.nn.conv2d(x, kernel, 1, "SAME") + bias,
        shape,
        side,
        dtype,
        lambda y: y.shape,
    )


@pytest.mark.sampled(32)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "side"), SIZES)
def test_value_and_gradients_after_pooling(shape, side, dtype, relu, training):
    both(
        lambda x, kernel, bias: convolve_and_pool(x, kernel, bias, relu, training),
        lambda x, kernel, bias: plain_pool(tf.nn.conv2d(x, kernel, 1, "SAME") + bias, relu),
        shape,
        side,
        dtype,
        lambda y: y.shape,
    )


def test_which_convolutions_are_thin():
    sizes = ((3, 3, 1), (5, 5, 1), (6, 6, 1), (3, 3, 2))
    assert [is_thin(tf.zeros((*size, 4))) for size in sizes] == [True, True, False, False]


@pytest.mark.parametrize("pooled", [False, True])
def test_outside_training_it_is_the_library_s_to_the_bit(pooled):
    rng = np.random.default_rng(0)
    x, kernel, bias = (tf.constant(rng.normal(size=size), tf.float32) for size in ((3, 6, 8, 1), (3, 3, 1, 5), (5,)))
    want = tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)
    if pooled:
        want = tf.nn.relu(tf.nn.max_pool2d(want, 2, 2, "VALID"))
    got = convolve_and_pool(x, kernel, bias, relu=True) if pooled else convolve(x, kernel, bias)
    np.testing.assert_array_equal(got, want)
