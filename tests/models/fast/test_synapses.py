"""The synapses against Keras' own layers: values and gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasburst.models.fast.synapses import column_sums, project

RNG = np.random.default_rng(0)
TOLERANCE = {"float32": 1e-5, "float64": 1e-12, "mixed_bfloat16": 5e-2}


def gradients(call, layer, x, upstream):
    variables = [v.value for v in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch([x, *variables])
        y = call(x)
        loss = tf.reduce_sum(tf.cast(y, upstream.dtype) * upstream)
    return [y, *tape.gradient(loss, [x, *variables])]


def agree(call, layer, x, policy):
    dtype = keras.dtype_policies.get(policy).compute_dtype
    x = tf.cast(x, dtype)
    upstream = tf.constant(RNG.normal(size=layer(x).shape), "float64" if policy == "float64" else "float32")
    for mine, theirs in zip(gradients(call, layer, x, upstream), gradients(layer, layer, x, upstream), strict=True):
        assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
        scale = float(tf.reduce_max(tf.abs(tf.cast(theirs, tf.float64))))
        np.testing.assert_allclose(
            tf.cast(mine, tf.float64), tf.cast(theirs, tf.float64), atol=scale * TOLERANCE[policy]
        )


@pytest.mark.sampled(4)
@pytest.mark.parametrize("policy", TOLERANCE)
@pytest.mark.parametrize("units", [2, 16, 17])
@pytest.mark.parametrize("shape", [(5, 6), (3, 4, 6)])
def test_a_projection(policy, units, shape):
    layer = keras.layers.Dense(units, dtype=policy, bias_initializer="normal")
    layer.build(shape)
    agree(lambda x: project(layer, x), layer, RNG.normal(size=shape), policy)


def test_a_projection_of_unknown_batch_and_time_keeps_its_rank():
    layer = keras.layers.Dense(3)
    layer.build((None, None, 6))
    spec = tf.TensorSpec((None, None, 6), tf.float32)
    call = tf.function(lambda x: project(layer, x), input_signature=[spec])
    assert call.get_concrete_function().output_shapes.as_list() == [None, None, 3]
    assert call(tf.zeros((2, 5, 6))).shape == (2, 5, 3)


def test_column_sums_of_any_rank():
    x = RNG.integers(-5, 5, (3, 4, 2)).astype("float32")
    assert column_sums(tf.constant(x)).numpy().tolist() == x.sum((0, 1)).tolist()
