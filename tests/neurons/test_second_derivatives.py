"""Second derivatives, as a penalty on gradients needs them, on every backend."""

import math

import numpy as np
import pytest
from keras import ops

import kerasburst as kb
import kerasburst.backend
from tests.models.common import enliven

from .common import BACKEND, NEURONS, array, draw


def penalised(outputs, x, weights=()):
    """Return the gradient, for `x` and weights, of the squared norm of the gradient of `outputs(x)` for `x`."""
    if BACKEND == "jax":
        import jax

        return [array(jax.grad(lambda x: ops.sum(jax.grad(outputs)(x) ** 2))(x))]
    if BACKEND == "torch":
        import torch

        x = torch.tensor(x, requires_grad=True)
        (first,) = torch.autograd.grad(outputs(x), x, create_graph=True)
        return [array(torch.autograd.grad((first**2).sum(), x)[0])]
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = outputs(x)
        norm = tf.reduce_sum(inner.gradient(y, x) ** 2)
    return [array(g) for g in outer.gradient(norm, [x, *weights], unconnected_gradients="zero")]


def test_one_step_by_hand():
    """The spike's derivative is s(v) = 1 / (1 + (pi v)^2), so that of s(v)^2 is 2 s s', s' = -2 pi^2 v s^2."""
    current = np.array([[[0.7]], [[1.3]]], "float32")
    s = 1 / (1 + (math.pi * (current - 1)) ** 2)
    neurons = kb.LIF(beta=0.9, threshold=1.0, surrogate=kb.ATan(alpha=2.0))
    (found,) = penalised(lambda x: ops.sum(neurons(x)), current)
    np.testing.assert_allclose(found, 2 * s * (-2 * math.pi**2 * (current - 1) * s**2), rtol=1e-5)


def test_two_steps_by_hand():
    """y = spk[1], whose derivatives for both currents are beta s(v) and s(v): mem[1] = beta mem[0] + current[1]."""
    current = np.array([[[0.5], [0.3]]], "float32")
    v = 0.8 * 0.5 + 0.3 - 1
    s = 1 / (1 + (math.pi * v) ** 2)
    neurons = kb.LIF(beta=0.8, threshold=1.0, surrogate=kb.ATan(alpha=2.0))
    (found,) = penalised(lambda x: ops.sum(neurons(x)[:, 1]), current)
    slope = 2 * s * (-2 * math.pi**2 * v * s**2) * (0.8**2 + 1)  # of (beta^2 + 1) s(v)^2 for v
    np.testing.assert_allclose(found.ravel(), [0.8 * slope, slope], rtol=1e-5)


def both_ways(model, x, monkeypatch, outputs):
    """Return what the compiled passes compute, and what TensorFlow does by plain operations."""
    compiled = penalised(outputs, x, model.trainable_weights)
    monkeypatch.setattr(kerasburst.backend, "runs_cpu_passes", lambda: False)
    monkeypatch.setattr(kerasburst.backend, "runs_cpu_paths", lambda: False)
    return compiled, penalised(outputs, x, model.trainable_weights)


def check(compiled, plain):
    assert np.abs(plain[0]).max() > 0
    for mine, want in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(mine, want, rtol=1e-3, atol=1e-4 * np.abs(want).max())


@pytest.mark.skipif(BACKEND != "tensorflow", reason="compiled passes are TensorFlow's")
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("name", NEURONS)
def test_compiled_passes_have_them(name, masked, monkeypatch):
    layer, _, settings, _ = NEURONS[name]
    neurons, x = layer(**{**settings, "return_mem": layer.fires}), draw(2, 5, 3)
    mask = np.array([[1] * 5, [1] * 3 + [0] * 2], bool) if masked else None

    def outputs(x):
        found = neurons(x, mask=mask)
        return sum(ops.sum(y * y + y) for y in (found if layer.fires else [found]))

    outputs(x)
    check(*both_ways(neurons, x, monkeypatch, outputs))


NETWORKS = {
    "relu": lambda: kb.SNNConvNet(3, filters=(3, 4), hidden_units=6, seed=0),
    "lif": lambda: kb.SNNConvNet(3, filters=(3, 4), hidden_units=6, conv_activation="lif", seed=0),
}


@pytest.mark.thorough
@pytest.mark.skipif(BACKEND != "tensorflow", reason="fast passes are TensorFlow's")
@pytest.mark.parametrize("name", NETWORKS)
def test_fast_passes_have_them(name, monkeypatch):
    network = NETWORKS[name]()
    x = (np.random.default_rng(0).random((2, 3, 8, 8, 1)) < 0.5).astype("float32")
    network.build(x.shape)
    enliven(network)
    check(*both_ways(network, x, monkeypatch, lambda x: ops.sum(network(x) ** 2)))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="compiled passes are TensorFlow's")
def test_steps_that_a_graph_does_not_know_are_refused():
    import tensorflow as tf

    neurons = kb.LIF()

    @tf.function(input_signature=[tf.TensorSpec((1, None, 2))], autograph=False)
    def ask(x):
        return tf.hessians(tf.reduce_sum(neurons(x)), x)[0]

    with pytest.raises(kb.InputError, match="known number of steps for second derivatives"):
        ask(tf.ones((1, 2, 2)))
