"""The compiled scan of any step against the plain one, whose gradients TensorFlow finds by itself."""

import gc
import pickle
import weakref

import numpy as np
import pytest
import tensorflow as tf

import kerasburst as kb
from kerasburst import backend
from kerasburst.neurons.compiled import compiled_scan
from kerasburst.neurons.scan import scan

from .common import NEURONS, draw

MASK = np.array([[1] * 6, [1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 0]], bool)


def both(layer, x, mask=None):
    """Return spikes, membranes, last states and all gradients, compiled and plain."""
    layer.build(x.shape)
    weights = [w.value for w in layer.trainable_weights]
    rng = np.random.default_rng(1)
    start = {name: value + tf.constant(rng.uniform(0, 0.5, value.shape)) for name, value in layer.rest(x[:, 0]).items()}
    of_spk, of_mem, of_last = (tf.constant(rng.normal(size=s)) for s in (x.shape, x.shape, start["mem"].shape))

    def compiled(x, start):
        return compiled_scan(layer, x, start, mask, return_mem=True)

    def plain(x, start):
        spk, states = scan(layer, x, start, mask)
        return spk, states["mem"], {name: value[:, -1] for name, value in states.items()}

    for run in (compiled, plain):
        with tf.GradientTape() as tape:
            tape.watch([x, start])
            spk, mem, last = run(x, start)
            loss = tf.reduce_sum(of_spk * spk) + tf.reduce_sum(of_mem * mem)
            loss += sum(tf.reduce_sum(of_last * value) for value in last.values())
        yield [spk, mem, *last.values(), *tape.gradient(loss, [x, *start.values(), *weights])]


def agree(results):
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(want).max()))


TRAINED = {
    "LIF": {"trainable_beta": True, "trainable_threshold": True, "per_neuron": True},
    "Synaptic": {"trainable_alpha": True, "trainable_beta": True, "trainable_threshold": True, "per_neuron": True},
    "AdaptiveLIF": {"trainable_rho": True, "trainable_kappa": True, "trainable_beta": True},
    "LeakyIntegrator": {"trainable_beta": True},
    "RecurrentLIF": {"trainable_beta": True},
    "Izhikevich": {"trainable_input": True},
    "AdEx": {"trainable_input": True},
}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
def test_values_and_gradients(name, mask):
    layer, _, settings, _ = NEURONS[name]
    agree(list(both(layer(**settings, **TRAINED[name], dtype="float64"), tf.constant(draw(3, 6, 4), tf.float64), mask)))


@pytest.mark.thorough
@pytest.mark.parametrize("steps", [40, 1, 70])
@pytest.mark.parametrize("name", ["Synaptic", "RecurrentLIF"])
def test_loops_over_feature_maps(name, steps):
    layer, _, settings, _ = NEURONS[name]
    x = tf.constant(draw(2, steps, 3, 2), tf.float64)
    agree(list(both(layer(**settings, **TRAINED[name], dtype="float64"), x)))


def test_a_batch_of_unknown_size_in_a_graph():
    layer = kb.AdaptiveLIF(return_mem=True, return_state=True)
    x = draw(5, 6, 3)
    want = layer(x)
    graph = tf.function(lambda x: layer(x), input_signature=[tf.TensorSpec((None, None, 3))])
    for got, expected in zip(graph(x), want, strict=True):
        np.testing.assert_array_equal(got, expected)
        assert got.shape.rank == expected.shape.rank


@pytest.mark.parametrize("passes", [True, False], ids=["as on a CPU", "as on a GPU"])
def test_inside_a_function_that_xla_compiles_whole(monkeypatch, passes):
    layer = kb.Synaptic(0.5, 0.9)
    x = tf.constant(draw(2, 6, 3))

    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            spk = layer(x)
        return spk, tape.gradient(spk, x)

    want_spk, want_gradient = both(x)
    monkeypatch.setattr(backend, "runs_cpu_passes", lambda: passes)
    whole = tf.function(both, jit_compile=True)
    spk, gradient = whole(x)
    np.testing.assert_array_equal(spk, want_spk)
    np.testing.assert_allclose(gradient, want_gradient, rtol=1e-5, atol=1e-7)
    types = {op.type for op in whole.get_concrete_function(x).graph.get_operations()}
    assert any("Call" in each for each in types) is passes  # not the equation written out


def test_a_saved_model_runs_and_its_gradients_flow(tmp_path):
    layer = kb.Synaptic(0.5, 0.9)
    layer.build((None, 6, 3))

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 6, 3))])
        def __call__(self, x):
            return layer(x)

    tf.saved_model.save(Module(), str(tmp_path / "model"))
    loaded, x = tf.saved_model.load(str(tmp_path / "model")), tf.constant(draw(2, 6, 3))
    found = []
    for run in (loaded, layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            spk = run(x)
            loss = tf.reduce_sum(spk * tf.cos(x))
        found.append((spk, tape.gradient(loss, x)))
    for got, want in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_many_layers_are_no_retracing_and_leave_nothing(caplog):
    x, alive = tf.constant(draw(2, 3, 2)), []
    for _ in range(7):
        layer = kb.Synaptic(0.5, 0.9)
        layer(x)
        alive.append(weakref.ref(layer))
    assert "retracing" not in caplog.text
    copy = pickle.loads(pickle.dumps(layer))
    np.testing.assert_array_equal(copy(x), layer(x))
    del layer
    gc.collect()
    assert not any(each() for each in alive)


# Finite differences --------------------------------------------------------------------------------


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", ["LIF", "Synaptic", "LeakyIntegrator", "Izhikevich", "AdEx"])
def test_membranes_gradients_are_finite_differences_where_no_spike_changes(name):
    """Resets are detached, so that between two patterns of spikes the membrane is a smooth function of the current."""
    layer, _, settings, _ = NEURONS[name]
    layer = layer(**settings, return_mem=True, dtype="float64")
    x = tf.constant(draw(2, 6, 3, seed=2), tf.float64)
    weights = np.random.default_rng(3).normal(size=x.shape)
    weights *= np.asarray(layer(x)[0]) == 0  # a peak is cut, which is no smooth function
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(weights * layer(x)[1])
    got = tape.gradient(loss, x).numpy()
    h = 1e-6
    for index in [(0, 0, 0), (0, 2, 1), (1, 3, 2), (1, 5, 0)]:
        moved = []
        for sign in (1, -1):
            shifted = x.numpy()
            shifted[index] += sign * h
            spk, mem = layer(tf.constant(shifted))
            np.testing.assert_array_equal(spk, layer(x)[0])
            moved.append(float(tf.reduce_sum(weights * mem)))
        want = (moved[0] - moved[1]) / (2 * h)
        np.testing.assert_allclose(got[index], want, rtol=1e-4, atol=1e-6)
