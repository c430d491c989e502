"""The plain scan against the compiled layer, which is tested against values by hand."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasburst import backend
from kerasburst.neurons.functional import RESET_MECHANISMS
from kerasburst.neurons.lif import LIF
from kerasburst.neurons.scan import scan

from .common import array, kind, tensor


def plain(layer, current, mem=None):
    spk, states = scan(layer, current, None if mem is None else {"mem": mem})
    return spk, states["mem"]


@pytest.mark.sampled(7)
@pytest.mark.parametrize("reset", RESET_MECHANISMS)
@pytest.mark.parametrize("features", [(5,), (3, 4, 2)])
@pytest.mark.parametrize("steps", [1, 7, 70])
def test_lif(reset, features, steps):
    layer = LIF(
        beta=0.8, reset_mechanism=reset, trainable_beta=True, trainable_threshold=True, per_neuron=True, return_mem=True
    )
    rng = np.random.default_rng(0)
    current = tensor(rng.uniform(-0.3, 1.2, (2, steps, *features)), "float32")
    layer.build(current.shape)
    layer.set_weights([rng.uniform(0.2, 1, features), rng.uniform(0.5, 1.5, features)])
    start = tensor(rng.uniform(-1, 2, (2, *features)), "float32")
    for mem in (None, start):
        for got, want in zip(plain(layer, current, mem), layer(current, initial_state=mem), strict=True):
            np.testing.assert_allclose(array(got), array(want), rtol=1e-6, atol=1e-6)
    if backend.name != "tensorflow":
        return
    run = tf.function(lambda x: plain(layer, x), input_signature=[tf.TensorSpec((None, None, *features))])
    for got, want in zip(run(current), layer(current), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float64"])
def test_lif_keeps_the_layers_types(dtype):
    layer = LIF(return_mem=True, dtype=dtype)
    with backend.float64():
        current = ops.cast(np.random.default_rng(0).uniform(0, 1, (2, 5, 3)), layer.compute_dtype)
        layer.build(current.shape)
        for got, want in zip(plain(layer, current), layer(current), strict=True):
            assert kind(got) == kind(want)
            np.testing.assert_allclose(*(array(ops.cast(x, "float64")) for x in (got, want)), rtol=1e-6)


@pytest.mark.skipif(backend.name != "jax", reason="of JAX")
def test_a_loop_on_jaxs_cpu():
    """Written out, XLA's backward pass there computes early steps again for each later one."""
    import jax

    neurons = LIF()
    neurons.build((2, 4, 3))
    found = str(jax.make_jaxpr(neurons)(jax.numpy.zeros((2, 4, 3))))
    assert ("scan[" in found) is (jax.default_backend() == "cpu")
