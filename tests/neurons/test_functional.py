import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasburst import backend
from kerasburst.neurons.functional import RESET_MECHANISMS, lif_sequence, lif_step
from kerasburst.neurons.surrogate import ATan, FastSigmoid
from kerasburst.validation import InputError

from .common import array, gradients, kind, tensor
from .reference import DERIVATIVES, RESETS, backward, forward

pytestmark = pytest.mark.usefixtures("eagerly")

graphs = pytest.mark.skipif(backend.name != "tensorflow", reason="graphs of unknown sizes are TensorFlow's")


@pytest.fixture(autouse=True)
def float64():
    """JAX computes in float32 unless it is told otherwise."""
    with backend.float64():
        yield


def one(values):
    """One neuron's current, (batch 1, time)."""
    return tensor([values], "float32")


def draw(*shape, seed=0, scale=1.5, offset=-0.3):
    """Currents for which neurons of threshold 1 fire about one step in three."""
    return np.random.default_rng(seed).uniform(offset, scale + offset, shape)


def test_the_documented_resets():
    assert RESET_MECHANISMS == RESETS


# Traces by hand ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reset", "mem", "spk"),
    [
        # 0.75; 0.5*0.75+0.75 = 1.125 > 1; 0.5625+0.75-1 = 0.3125; 0.15625+2 = 2.15625 > 1;
        # 1.078125+0.5-1 = 0.578125; 0.2890625+0.25 = 0.5390625
        ("subtract", [0.75, 1.125, 0.3125, 2.15625, 0.578125, 0.5390625], [0, 1, 0, 1, 0, 0]),
        # 0.75; 1.125 > 1; 0.5*0+0.75; 0.375+2 = 2.375 > 1; 0+0.5; 0.25+0.25
        ("zero", [0.75, 1.125, 0.75, 2.375, 0.5, 0.5], [0, 1, 0, 1, 0, 0]),
        # 0.75; 1.125; 0.5625+0.75 = 1.3125; 0.65625+2 = 2.65625; 1.328125+0.5 = 1.828125; 0.9140625+0.25 = 1.1640625
        ("none", [0.75, 1.125, 1.3125, 2.65625, 1.828125, 1.1640625], [0, 1, 1, 1, 1, 1]),
    ],
)
def test_trace_by_hand(reset, mem, spk):
    current = one([0.75, 0.75, 0.75, 2.0, 0.5, 0.25])
    got_spk, got_mem = lif_sequence(current, beta=0.5, reset_mechanism=reset)
    assert array(got_mem).tolist() == [mem]  # all powers of two: exact in float32
    assert array(got_spk).tolist() == [spk]


def test_trace_by_hand_with_another_threshold():
    # beta 0.5, threshold 0.25: 0.5 > 0.25; 0.25+0.5-0.25 = 0.5 > 0.25; 0.25-1-0.25 = -1; -0.5+0.75 = 0.25, a tie
    spk, mem = lif_sequence(one([0.5, 0.5, -1.0, 0.75]), beta=0.5, threshold=0.25)
    assert array(mem).tolist() == [[0.5, 0.5, -1.0, 0.25]]
    assert array(spk).tolist() == [[1, 1, 0, 0]]


def test_the_documented_defaults():
    # beta 0.95, threshold 1, subtract: 0.8; 0.76+0.8 = 1.56 > 1; 1.482+0.8-1 = 1.282 > 1; 1.2179+0.8-1 = 1.0179 > 1
    spk, mem = lif_sequence(one([0.8, 0.8, 0.8, 0.8]))
    np.testing.assert_allclose(mem[0], [0.8, 1.56, 1.282, 1.0179], rtol=1e-6)
    assert array(spk).tolist() == [[0, 1, 1, 1]]
    (gradient,) = gradients(lambda current: ops.sum(lif_sequence(current, beta=0.5)[0]), one([0.5, 0.25]))
    # atan, alpha 2, at v = -0.5, -0.5: 1 / (1 + (pi/2)^2) = 0.28840; the first current also by beta 0.5
    np.testing.assert_allclose(gradient[0], [0.28840044 * 1.5, 0.28840044], rtol=1e-6)


@pytest.mark.parametrize("reset", RESETS)
def test_a_tie_does_not_fire(reset):
    # 0.5, then 0.5 + 0.5 = 1 = threshold: silent, and so not reset; then 1 + 0.5 = 1.5 fires.
    spk, mem = lif_sequence(one([0.5, 0.5, 0.5]), beta=1.0, reset_mechanism=reset)
    assert array(mem).tolist() == [[0.5, 1.0, 1.5]]
    assert array(spk).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    ("reset", "mem"),
    # from 3 > 1, beta 0.5, current 0.25: 1.5+0.25-1 = 0.75; 0+0.25; 1.5+0.25
    [("subtract", 0.75), ("zero", 0.25), ("none", 1.75)],
)
def test_an_initial_membrane_above_threshold_resets_at_the_first_step(reset, mem):
    spk, got = lif_sequence(one([0.25]), beta=0.5, reset_mechanism=reset, initial_mem=tensor([3.0]))
    assert array(got).tolist() == [[mem]]
    assert array(spk).tolist() == [[float(mem > 1)]]


@pytest.mark.parametrize("reset", RESETS)
def test_an_initial_membrane_at_threshold_does_not_reset(reset):
    _, mem = lif_sequence(one([0.25]), beta=0.5, reset_mechanism=reset, initial_mem=tensor([1.0]))
    assert array(mem).tolist() == [[0.75]]  # 0.5 * 1 + 0.25


def test_the_threshold_is_subtracted_not_one():
    # 3 > 2; 3 + 0.5 - 2 = 1.5; 1.5 + 1 = 2.5 > 2
    spk, mem = lif_sequence(one([3.0, 0.5, 1.0]), beta=1.0, threshold=2.0)
    assert array(mem).tolist() == [[3.0, 1.5, 2.5]] and array(spk).tolist() == [[1, 0, 1]]


def test_a_strong_current_keeps_firing_one_spike_a_step():
    # 5; 5-1 = 4; 3; 2; 1 (tie): four spikes drain a charge of 5
    spk, mem = lif_sequence(one([5.0, 0.0, 0.0, 0.0, 0.0, 0.0]), beta=1.0)
    assert array(mem).tolist() == [[5, 4, 3, 2, 1, 1]] and array(spk).tolist() == [[1, 1, 1, 1, 0, 0]]


def test_step_by_hand_for_a_batch():
    current, mem = tensor([[0.25, 0.25], [1.5, -2.0]]), tensor([[1.5, 0.5], [1.0, -1.0]])
    # 0.75+0.25-1; 0.25+0.25 / 0.5+1.5 > 1; -0.5-2
    spk, new = lif_step(current, mem, 0.5, 1.0, "subtract", ATan())
    assert array(new).tolist() == [[0.0, 0.5], [2.0, -2.5]] and array(spk).tolist() == [[0, 0], [1, 0]]
    _, new = lif_step(current, mem, 0.5, 1.0, "zero", ATan())
    assert array(new).tolist() == [[0.25, 0.5], [2.0, -2.5]]


# Parameters -------------------------------------------------------------------------------------------


@pytest.mark.sampled(4)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("shape", [(3, 12), (3, 12, 4), (2, 12, 3, 4), (2, 12, 3, 2, 2)])
def test_any_feature_rank_against_numpy(shape, reset):
    current = draw(*shape)
    spk, mem = lif_sequence(tensor(current), 0.8, 0.9, reset)
    want_spk, want_mem = forward(current, 0.8, 0.9, reset)
    assert 0.1 < want_spk.mean() < 0.9
    np.testing.assert_array_equal(spk, want_spk)
    np.testing.assert_allclose(mem, want_mem, rtol=1e-12, atol=1e-12)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("reset", RESETS)
def test_parameters_as_numbers_tensors_and_per_neuron(reset):
    current = draw(3, 12, 4)
    beta, threshold = np.array([0.0, 0.3, 0.9, 1.0]), np.array([0.3, 0.7, 1.0, 1.5])
    for b, th in [(0.9, 0.7), (beta, threshold)]:
        want_spk, want_mem = forward(current, b, th, reset)
        for make in (lambda v: v, tensor, lambda v: keras.Variable(v).value):
            spk, mem = lif_sequence(tensor(current), make(b), make(th), reset)
            np.testing.assert_array_equal(spk, want_spk)
            np.testing.assert_allclose(mem, want_mem, rtol=2e-6, atol=2e-6)  # a tensor of 0.9 is float32


def test_per_neuron_parameters_of_feature_maps():
    current = draw(2, 9, 3, 2, 2)
    beta, threshold = draw(3, 2, 2, seed=1, scale=1, offset=0), draw(3, 2, 2, seed=2, scale=1, offset=0.4)
    spk, mem = lif_sequence(tensor(current), beta, threshold)
    want_spk, want_mem = forward(current, beta, threshold)
    np.testing.assert_array_equal(spk, want_spk)
    np.testing.assert_allclose(mem, want_mem, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("given", "computed"),
    [("float64", "float64"), ("float32", "float32"), ("float16", "float32"), ("bfloat16", "float32")],
)
def test_computed_in_float32_or_wider(given, computed):
    spk, mem = lif_sequence(ops.zeros((2, 3, 4), given))
    assert kind(spk) == kind(mem) == computed
    spk, mem = lif_sequence(ops.zeros((2, 3, 4), given), initial_mem=ops.zeros((2, 4), "bfloat16"))
    assert kind(spk) == kind(mem) == computed


def test_arrays_and_lists_are_taken():
    spk, mem = lif_sequence(np.array([[0.75, 0.75]], np.float32), beta=0.5)
    assert array(mem).tolist() == [[0.75, 1.125]] and array(spk).tolist() == [[0, 1]]


@pytest.mark.parametrize("shape", [(), (3,)])
def test_current_without_time_is_an_error(shape):
    with pytest.raises(InputError) as error:
        lif_sequence(ops.zeros(shape))
    assert str(error.value) == f"current must be of shape (batch, time, *features), received {shape}"


@pytest.mark.parametrize("shape", [(1, 3), (4, 1), (3,), (), (4, 3, 1)])
def test_an_initial_membrane_that_would_broadcast_is_an_error(shape):
    with pytest.raises(InputError) as error:
        lif_sequence(ops.zeros((4, 5, 3)), initial_mem=ops.zeros(shape))
    assert str(error.value) == f"initial_mem must be of shape (4, 3), (batch, *features), received {shape}"


def test_unknown_names_are_errors():
    with pytest.raises(InputError) as error:
        lif_sequence(ops.zeros((1, 2)), reset_mechanism="substract")
    assert (
        str(error.value)
        == "reset_mechanism must be one of subtract, zero, none, received 'substract'; did you mean subtract?"
    )
    with pytest.raises(InputError, match="^surrogate must be .*'arctan'; did you mean atan"):
        lif_sequence(ops.zeros((1, 2)), surrogate="arctan")


# Known and unknown sizes ------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.compiled
@graphs
@pytest.mark.parametrize("num_steps", [1, 65, None])
def test_shapes_stay_known_in_a_graph(num_steps):
    spec = tf.TensorSpec((2, num_steps, 3), tf.float32)
    concrete = tf.function(lif_sequence, input_signature=[spec]).get_concrete_function()
    for output in concrete.structured_outputs:
        assert output.shape.as_list() == [2, num_steps, 3]


def value_and_gradients(current, beta, threshold, mem, reset):
    """The outputs, and the gradients of a sum of them weighted unevenly over time."""
    outputs = []

    def loss(current, beta, threshold, mem):
        spk, mems = lif_sequence(current, beta, threshold, reset, FastSigmoid(3.0), mem)
        outputs[:] = spk, mems
        if backend.name == "tensorflow":  # of sizes that a graph does not know
            weight = tf.cos(tf.range(tf.size(mems), dtype=mems.dtype))
        else:  # Keras computes cosines in float32 on JAX
            weight = tensor(np.cos(np.arange(np.prod(mems.shape), dtype="float64")))
        return ops.sum(weight * (ops.reshape(spk, [-1]) - 0.3 * ops.reshape(mems, [-1])))

    inputs = [ops.convert_to_tensor(v) for v in (current, beta, threshold, mem)]
    if backend.name == "tensorflow":  # in a graph, too
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = loss(*inputs)
        return [*outputs, *tape.gradient(value, inputs)]
    found = gradients(loss, *inputs)
    loss(*inputs)
    return [*map(array, outputs), *found]


@pytest.mark.compiled
@pytest.mark.sampled(9)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("num_steps", [1, 7, 70])
def test_eager_and_a_graph_of_unknown_sizes_agree_with_numpy(num_steps, reset):
    current, mem = draw(2, num_steps, 3), np.array([[0.0, 2.0, 0.4], [1.3, -1.0, 0.9]])
    beta, threshold = np.array([0.5, 0.9, 1.0]), np.array([0.8, 1.0, 0.6])
    eager = value_and_gradients(current, beta, threshold, mem, reset)
    in_graph = eager
    if backend.name == "tensorflow":
        spec = tf.TensorSpec((None, None, 3), tf.float64)
        graph = tf.function(lambda c: value_and_gradients(c, beta, threshold, mem, reset), input_signature=[spec])
        in_graph = graph(current)
    weight = np.cos(np.arange(current.size)).reshape(current.shape)
    d_current, d_beta, d_threshold, d_mem = backward(
        current, weight, -0.3 * weight, lambda v: 1 / (1 + 3 * np.abs(v)) ** 2, beta, threshold, reset, mem
    )
    want = [*forward(current, beta, threshold, reset, mem), d_current, d_beta.sum(0), d_threshold.sum(0), d_mem]
    for a, b, c in zip(eager, in_graph, want, strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(b, c, rtol=1e-9, atol=1e-9)


@pytest.mark.compiled
@graphs
@pytest.mark.thorough
@pytest.mark.parametrize(("static", "num_steps"), [(5, 5), (70, 70), (None, 12)])
def test_graph_and_xla_agree_with_eager(static, num_steps):
    """Keras compiles with XLA by itself on a GPU, where a while loop's gradient wants its length bounded."""
    current, mem = draw(2, num_steps, 3), draw(2, 3, seed=1)
    eager = value_and_gradients(current, np.float64(0.9), np.float64(1.0), mem, "subtract")
    specs = [tf.TensorSpec(shape, tf.float64) for shape in ((2, static, 3), (), (), (2, 3))]
    for jit in (False, True):
        function = tf.function(lambda *a: value_and_gradients(*a, "subtract"), input_signature=specs, jit_compile=jit)
        for a, b in zip(function(current, 0.9, 1.0, mem), eager, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.compiled
@graphs
def test_a_dynamic_batch_in_a_graph():
    spec = tf.TensorSpec((None, 6, 2), tf.float32)
    function = tf.function(lif_sequence, input_signature=[spec])
    for batch in (1, 3):
        current = draw(batch, 6, 2).astype(np.float32)
        spk, mem = function(current)
        want_spk, want_mem = forward(current)
        np.testing.assert_array_equal(spk, want_spk)
        np.testing.assert_allclose(mem, want_mem, rtol=1e-5, atol=1e-6)


# Gradients --------------------------------------------------------------------------------------------


@pytest.mark.sampled(16)
@pytest.mark.parametrize("name", DERIVATIVES)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("per_neuron", [False, True], ids=["shared", "per_neuron"])
def test_gradients_against_a_backward_pass_by_hand(reset, name, per_neuron):
    current, mem = draw(4, 15, 3, seed=3), draw(4, 3, seed=4, scale=3, offset=-1)
    beta = np.array([0.6, 0.9, 1.0]) if per_neuron else np.float64(0.85)
    threshold = np.array([0.5, 1.0, 1.3]) if per_neuron else np.float64(0.9)
    rng = np.random.default_rng(5)
    d_spk, d_mem = rng.normal(size=current.shape), rng.normal(size=current.shape)
    assert 0.1 < forward(current, beta, threshold, reset, mem)[0].mean() < 0.9

    def loss(current, beta, threshold, mem):
        spk, mems = lif_sequence(current, beta, threshold, reset, name, mem)
        return ops.sum(tensor(d_spk) * spk + tensor(d_mem) * mems)

    got = gradients(loss, current, beta, threshold, mem)

    want = list(backward(current, d_spk, d_mem, DERIVATIVES[name], beta, threshold, reset, mem))
    axis = 0 if per_neuron else None
    want[1], want[2] = want[1].sum(axis), want[2].sum(axis)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_gradients_by_hand():
    """beta 1/2, threshold 1, subtract, straight-through; currents 2, 1: mem 2, then 1 + 1 - 1 = 1."""

    def of(read):
        def loss(*inputs):
            return read(*lif_sequence(*inputs, "subtract", "straight_through"))

        return [g.ravel().tolist() for g in gradients(loss, one([2.0, 1.0]), tensor(0.5), tensor(1.0))]

    # mem[1] = beta I0 + I1 - threshold: d/dI0 = beta (nothing by way of the reset's spike), d/dbeta = I0 = 2
    assert of(lambda spk, mem: mem[0, 1]) == [[0.5, 1.0], [2.0], [-1.0]]
    # spk[1] is of v = mem[1] - threshold: once more -1
    assert of(lambda spk, mem: spk[0, 1]) == [[0.5, 1.0], [2.0], [-2.0]]
    # spk[0] is of v = I0 - threshold
    assert of(lambda spk, mem: spk[0, 0]) == [[1.0, 0.0], [0.0], [-1.0]]


def test_no_gradient_crosses_a_reset_to_zero():
    def last(current):
        return lif_sequence(current, 0.5, reset_mechanism="zero")[1][0, 1]

    assert gradients(last, one([2.0, 1.0]))[0].tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta": 1.5}, "beta must be a finite number from 0 to 1, received 1.5"),
        ({"beta": -0.1}, "beta must be"),
        ({"beta": float("nan")}, "beta must be"),
        ({"threshold": 0.0}, "threshold must be a finite number above 0, received 0.0"),
        ({"threshold": np.float32(-1)}, "threshold must be"),
    ],
)
def test_numbers_outside_their_range(arguments, message):
    with pytest.raises(InputError, match=message):
        lif_sequence(one([0.5]), **arguments)


def test_no_step_at_all():
    with pytest.raises(InputError, match="at least one step"):
        lif_sequence(ops.zeros((2, 0, 3)))
