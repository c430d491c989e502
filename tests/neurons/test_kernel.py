"""The compiled scan against the equation written again in NumPy: values and every gradient, in all combinations."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from kerasburst.neurons import surrogate as surrogates
from kerasburst.neurons.functional import lif_sequence
from kerasburst.neurons.kernel import lif_scan
from kerasburst.neurons.lif import LIF

from .reference import DERIVATIVES, RESETS, backward, forward

RNG = np.random.default_rng(0)


def run(current, beta, threshold, reset, surrogate, mem, **options):
    return lif_scan(tf.convert_to_tensor(current), mem, beta, threshold, reset, surrogates.get(surrogate), **options)


def scene(batch, num_steps, *features, per_neuron=True, seed=0, highest=1.2):
    """Give current, beta, threshold, initial membrane, and gradients from above of spk, mem and the last membrane."""
    rng = np.random.default_rng(seed)
    size = (batch, num_steps, *features)
    beta = rng.uniform(0.5, 1.0, features) if per_neuron else np.float64(0.9)
    threshold = rng.uniform(0.6, 1.4, features) if per_neuron else np.float64(0.8)
    mem = rng.uniform(-1, 2, (batch, *features))
    return (
        rng.uniform(-0.3, highest, size),
        beta,
        threshold,
        mem,
        rng.normal(size=size),
        rng.normal(size=size),
        rng.normal(size=mem.shape),
    )


def expected(current, beta, threshold, mem, d_spk, d_mem, d_last, reset, derivative):
    """Give values and gradients; the last membrane is mem's last step, so what comes to it adds there."""
    d_mem = d_mem.copy()
    d_mem[:, -1] += d_last
    spk, mems = forward(current, beta, threshold, reset, mem)
    assert 0.1 < spk.mean() < 0.9
    d_current, d_beta, d_threshold, d_first = backward(current, d_spk, d_mem, derivative, beta, threshold, reset, mem)
    axis = 0 if np.ndim(beta) else None
    return [spk, mems, mems[:, -1], d_current, d_beta.sum(axis), d_threshold.sum(axis), d_first]


def found(current, beta, threshold, mem, d_spk, d_mem, d_last, reset, surrogate, return_mem, dtype="float64"):
    inputs = [tf.constant(value, dtype) for value in (current, beta, threshold, mem)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        spk, mems, last = run(*inputs[:3], reset, surrogate, inputs[3], return_mem=return_mem)
        loss = tf.reduce_sum(tf.constant(d_spk, dtype) * spk) + tf.reduce_sum(tf.constant(d_last, dtype) * last)
        if return_mem:
            loss += tf.reduce_sum(tf.constant(d_mem, dtype) * mems)
    assert (mems is None) != return_mem
    return [spk, mems, last, *tape.gradient(loss, inputs)]


def agree(got, want, **tolerance):
    names = ("spk", "mem", "last", "current", "beta", "threshold", "initial")[: len(got)]
    for name, a, b in zip(names, got, want, strict=True):
        if name == "mem" and a is None:  # it was not asked for; whatever else is missing is wrong
            continue
        assert a is not None, name
        np.testing.assert_allclose(a, b, err_msg=name, **tolerance)


@pytest.mark.sampled(32)
@pytest.mark.parametrize("return_mem", [True, False], ids=["mem", "recomputed"])
@pytest.mark.parametrize("name", DERIVATIVES)
@pytest.mark.parametrize("reset", RESETS)
def test_every_reset_and_surrogate(reset, name, return_mem):
    given = list(scene(5, 11, 3, 2))
    if not return_mem:
        given[5] = np.zeros_like(given[5])
    got = found(*given, reset, name, return_mem)
    agree(got, expected(*given, reset, DERIVATIVES[name]), rtol=1e-9, atol=1e-9)


@pytest.mark.sampled(6)
@pytest.mark.parametrize("return_mem", [True, False], ids=["mem", "recomputed"])
@pytest.mark.parametrize("reset", RESETS)
def test_two_hundred_steps(reset, return_mem):
    # Without a reset the membrane settles at ten times the mean current.
    given = list(scene(3, 200, 7, per_neuron=False, seed=1, highest=0.46 if reset == "none" else 1.2))
    if not return_mem:
        given[5] = np.zeros_like(given[5])
    got = found(*given, reset, "atan", return_mem)
    agree(got, expected(*given, reset, DERIVATIVES["atan"]), rtol=1e-9, atol=1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize("reset", RESETS)
def test_float32_feature_maps_of_a_real_size(reset):
    # Powers of two, and currents of few bits: exact in float32 too, so that no spike can differ by rounding.
    rng = np.random.default_rng(2)
    current = rng.integers(-4, 24, (16, 10, 28, 28, 8)) / 16
    d_spk = rng.normal(size=current.shape)
    zeros = np.zeros((16, 28, 28, 8))
    given = (current, np.float64(0.5), np.float64(1.0), zeros, d_spk, np.zeros_like(d_spk), zeros)
    got = found(*given, reset, "triangular", False, dtype="float32")
    want = expected(*given, reset, DERIVATIVES["triangular"])
    agree(got[:4], want[:4], rtol=1e-5, atol=1e-5)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("reset", RESETS)
def test_numbers_as_parameters_get_no_gradient_and_change_none(reset):
    given = scene(4, 9, 5, per_neuron=False, seed=3)
    given = (*given[:5], np.zeros_like(given[5]), given[6])
    current, mem = tf.constant(given[0]), tf.constant(given[3])
    with tf.GradientTape() as tape:
        tape.watch([current, mem])
        spk, _, last = run(current, 0.9, 0.8, reset, "sigmoid", mem, return_mem=False)
        loss = tf.reduce_sum(given[4] * spk) + tf.reduce_sum(given[6] * last)
    want = expected(*given, reset, DERIVATIVES["sigmoid"])
    for got, i in zip(tape.gradient(loss, [current, mem]), (3, 6), strict=True):
        np.testing.assert_allclose(got, want[i], rtol=1e-9, atol=1e-9)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("beta", "threshold"), [((3, 1), ()), ((), (1, 2)), ((2,), (3, 2)), ((1, 1), (1,))])
def test_parameters_that_broadcast_get_gradients_of_their_shape(beta, threshold):
    rng = np.random.default_rng(4)
    current, d_spk = rng.uniform(-0.3, 1.2, (4, 8, 3, 2)), rng.normal(size=(4, 8, 3, 2))
    b, th = rng.uniform(0.5, 1.0, beta), rng.uniform(0.6, 1.4, threshold)
    full_b, full_th = np.broadcast_to(b, (3, 2)), np.broadcast_to(th, (3, 2))
    zeros = np.zeros((4, 3, 2))
    want = expected(current, full_b, full_th, zeros, d_spk, 0 * d_spk, zeros, "subtract", DERIVATIVES["atan"])
    got = found(current, b, th, zeros, d_spk, 0 * d_spk, zeros, "subtract", "atan", False)
    for gradient, parameter, whole in ((got[4], b, want[4]), (got[5], th, want[5])):
        # Sum the gradient of the broadcast parameter back: numpy's own rule, by a one-hot of where each value went.
        index = np.broadcast_to(np.arange(parameter.size).reshape(parameter.shape), (3, 2))
        summed = np.array([whole[index == i].sum() for i in range(parameter.size)]).reshape(parameter.shape)
        assert gradient.shape == parameter.shape
        np.testing.assert_allclose(gradient, summed, rtol=1e-9, atol=1e-9)


def test_spikes_leave_in_the_compute_dtype_and_their_gradients_come_in_it():
    layer = LIF(dtype="mixed_bfloat16", return_state=True)
    current = tf.constant(RNG.integers(-4, 24, (3, 6, 5)) / 16, tf.bfloat16)
    with tf.GradientTape() as tape:
        tape.watch(current)
        spk, last = layer(current)
        loss = tf.reduce_sum(spk)
    want, mems = forward(np.asarray(tf.cast(current, tf.float64)))
    assert (spk.dtype, last.dtype) == ("bfloat16", "float32") and np.array_equal(tf.cast(spk, tf.float64), want)
    np.testing.assert_allclose(last, mems[:, -1], rtol=1e-5, atol=1e-6)
    gradient = tape.gradient(loss, current)
    zeros = np.zeros_like(want)
    whole = backward(np.asarray(tf.cast(current, tf.float64)), zeros + 1, zeros, DERIVATIVES["atan"])[0]
    assert gradient.dtype == "bfloat16"
    np.testing.assert_allclose(tf.cast(gradient, tf.float64), whole, rtol=1e-2)


def test_the_membrane_is_kept_for_the_way_back_only_where_it_is_an_output():
    current = tf.constant(scene(4, 6, 5)[0])

    def kept(return_mem):
        @tf.function
        def forward_pass(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                spk, mem, _ = run(x, 0.9, 1.0, "subtract", "atan", None, return_mem=return_mem)
            return tape.gradient(spk if mem is None else spk + mem, x)

        calls = [op for op in forward_pass.get_concrete_function(current).graph.get_operations() if "Call" in op.type]
        return [len(op.outputs) for op in calls]

    assert kept(True)[0] == 3 and kept(False)[0] == 2  # spikes, last membrane, and the membrane where it is wanted


def test_a_saved_model_runs_and_its_gradients_flow(tmp_path):
    given = scene(3, 7, 4, per_neuron=False, seed=6)

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, 4), tf.float64)])
        def __call__(self, current):
            return run(current, 0.9, 0.8, "subtract", "atan", None)[0]

    tf.saved_model.save(Module(), str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    current = tf.constant(given[0])
    with tf.GradientTape() as tape:
        tape.watch(current)
        spk = loaded(current)
        loss = tf.reduce_sum(given[4] * spk)
    zeros = np.zeros((3, 4))
    want = expected(*given[:1], 0.9, 0.8, zeros, given[4], 0 * given[5], zeros, "subtract", DERIVATIVES["atan"])
    np.testing.assert_array_equal(spk, want[0])
    np.testing.assert_allclose(tape.gradient(loss, current), want[3], rtol=1e-9, atol=1e-9)


def test_operations_run_one_by_one_give_the_same(request):
    current = np.random.default_rng(3).normal(0.4, 1.0, (2, 37, 3)).astype("float32")  # so many steps run in a loop

    def run():
        x = tf.constant(current)
        with tf.GradientTape() as tape:
            tape.watch(x)
            spk, mem = lif_sequence(x, beta=0.9)
        return spk.numpy(), mem.numpy(), tape.gradient(spk, x).numpy()

    expected = run()
    request.addfinalizer(functools.partial(tf.config.run_functions_eagerly, tf.config.functions_run_eagerly()))
    tf.config.run_functions_eagerly(True)
    for ours, theirs in zip(run(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)  # compiled, products are fused with sums
