"""What the backward pass computes again has the same gradients, and takes less memory."""

import keras
import numpy as np
import pytest

import kerasburst as kb
from kerasburst.validation import InputError

from ..neurons.common import weighted
from .common import draw_spikes, weight_gradients

pytestmark = pytest.mark.usefixtures("eagerly")

IMAGES, TRAINS = draw_spikes(3, 2, 4, 4, 1), draw_spikes(3, 7, 5, p=0.6)
PADDED = TRAINS.astype("int8")
PADDED[1, 4:] = PADDED[2, 2:] = -1


def recurrent(**options):
    return kb.RecurrentSNN(3, hidden_units=6, seed=0, threshold=0.3, trainable_beta=True, **options)


def conv(**options):
    return kb.SNNConvNet(3, filters=(4, 4), hidden_units=12, seed=0, threshold=0.1, **options)


def residual(**options):
    return kb.SEWResNet(3, depth=8, width=2, seed=0, threshold=0.3, **options)


def gradients_of(network, x):
    """Return the gradients of the sum of weighted logits; on TensorFlow and PyTorch with the variables themselves."""
    want = np.float32([1.0, -0.7, 0.4])
    if keras.backend.backend() == "jax":
        loss, weights = weighted(network, x, [want], training=True)
        return weight_gradients(loss, x, weights)
    if keras.backend.backend() == "torch":
        (network(x, training=True) * keras.ops.convert_to_tensor(want)).sum().backward()
        return [v.value.grad.numpy() for v in network.trainable_variables]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        total = tf.reduce_sum(network(x, training=True) * want)
    return [g.numpy() for g in tape.gradient(total, [v.value for v in network.trainable_variables])]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("make", "x", "options"),
    [
        (recurrent, PADDED, {"recompute_steps": 2}),
        (residual, IMAGES, {"recompute": True}),
        pytest.param(recurrent, TRAINS, {"recompute_steps": 3}, marks=pytest.mark.thorough),
        pytest.param(conv, IMAGES, {"recompute_steps": 1}, marks=pytest.mark.thorough),
    ],
    ids=["padding in chunks", "residual blocks", "recurrent in chunks", "conv in chunks"],
)
def test_gradients_and_moving_averages_are_the_same(make, x, options):
    found = []
    for given in ({}, options):
        network = make(**given)
        network.build((None, *x.shape[1:]))
        before = network.get_weights()
        gradients = gradients_of(network, x)
        if keras.backend.backend() == "jax":  # where a gradient's call keeps nothing
            network(x, training=True)
        moved = [a - b for a, b in zip(network.get_weights(), before, strict=True)]
        found.append([*gradients, *moved])
    assert all(np.abs(gradient).max() > 0 for gradient in found[0][: len(gradients)])
    assert any(each.any() for each in found[0][len(gradients) :]) == (make is residual)
    for want, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-6)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX says how much memory a compiled step takes")
@pytest.mark.thorough
def test_memory_follows_the_steps_of_a_chunk():
    import jax

    def temporary_bytes(num_steps, **options):
        network = kb.RecurrentSNN(3, hidden_units=32, seed=0, **options)
        network.build((8, num_steps, 4))
        variables = [[v.value for v in each] for each in (network.trainable_variables, network.non_trainable_variables)]

        def loss(trained):
            return network.stateless_call(trained, variables[1], x, training=True)[0].sum()

        x = np.zeros((8, num_steps, 4), "float32")
        return jax.jit(jax.grad(loss)).lower(variables[0]).compile().memory_analysis().temp_size_in_bytes

    short, long = (temporary_bytes(n, recompute_steps=4) for n in (16, 48))
    whole_short, whole_long = (temporary_bytes(n) for n in (16, 48))
    assert whole_long - whole_short > 32 * 8 * 32 * 4  # 32 more steps keep at least a membrane each
    assert long - short < (whole_long - whole_short) / 2
    assert long < whole_long / 2


def test_what_chunks_cannot_hold_is_refused():
    network = recurrent(recompute_steps=3)
    network.build((None, None, 5))
    network.hidden1_lif.spike_regularizer = kb.FiringRate(0.1)
    with pytest.raises(InputError, match="recompute_steps must be None where hidden1_lif has a regulariser"):
        network(TRAINS, training=True)
    with pytest.raises(InputError, match="recompute_steps must be an integer from 1"):
        recurrent(recompute_steps=0)
