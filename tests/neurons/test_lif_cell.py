import keras
import numpy as np
import pytest
from keras import ops
from keras.src.testing import TestCase

from kerasburst import backend
from kerasburst.neurons.functional import lif_sequence
from kerasburst.neurons.lif import LIF, LIFCell
from kerasburst.neurons.surrogate import FastSigmoid
from kerasburst.validation import InputError

from .common import array, gradients, kind, tensor
from .reference import DERIVATIVES, RESETS, backward, forward

pytestmark = pytest.mark.usefixtures("eagerly")


def draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.3, 1.2, shape).astype(np.float32)


def test_one_step_by_hand():
    cell = LIFCell(2, beta=0.5)
    spk, state = cell(tensor([[0.25, 1.0]]), [tensor([[1.5, 0.5]])])
    # 0.75 + 0.25 - 1 (1.5 had fired), 0.25 + 1 > 1
    assert array(spk).tolist() == [[0.0, 1.0]]
    assert len(state) == 1 and array(state[0]).tolist() == [[0.0, 1.25]]


def test_state():
    cell = LIFCell(3)
    assert (cell.state_size, cell.output_size) == (3, 3)
    (state,) = cell.get_initial_state(batch_size=2)
    assert kind(state) == "float32" and array(state).tolist() == [[0] * 3] * 2


@pytest.mark.sampled(6)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("unroll", [False, True])
def test_cell_layer_function_and_numpy_agree_with_gradients(reset, unroll):
    current, weight = draw(3, 12, 4), draw(3, 12, 4, seed=1)
    settings = {"beta": 0.8, "threshold": 0.9, "reset_mechanism": reset, "surrogate": FastSigmoid(3.0)}
    rnn = keras.layers.RNN(LIFCell(4, **settings), return_sequences=True, unroll=unroll)
    results = []
    for run in (rnn, LIF(**settings), lambda x: lif_sequence(x, **settings)[0]):
        (d_current,) = gradients(lambda x, run=run: ops.sum(run(x) * tensor(weight)), current)
        results.append((array(run(tensor(current))), d_current))
    want, _ = forward(current, 0.8, 0.9, reset)
    gradient, *_ = backward(
        current, weight, np.zeros_like(current), lambda v: DERIVATIVES["fast_sigmoid"](v, 3.0), 0.8, 0.9, reset
    )
    assert 0.1 < want.mean() < 0.9
    for spk, d_current in results:
        np.testing.assert_array_equal(spk, want)
        np.testing.assert_allclose(d_current, gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reset", RESETS)
def test_membranes_agree_with_the_layer(reset):
    current, start = draw(3, 12, 4), draw(3, 4, seed=1) * 3
    rnn = keras.layers.RNN(LIFCell(4, reset_mechanism=reset), return_state=True)
    layer = LIF(reset_mechanism=reset, return_sequences=False, return_state=True)
    want_spk, want_mem = forward(current, reset=reset, mem=start)
    assert (start > 1).any()
    for spk, mem in (rnn(current, initial_state=tensor(start)), layer(current, initial_state=tensor(start))):
        np.testing.assert_array_equal(array(spk), want_spk[:, -1])
        np.testing.assert_allclose(array(mem), want_mem[:, -1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reset", RESETS)
def test_stateful_rnn_goes_on_where_it_stopped(reset):
    current = draw(2, 10, 3)
    rnn = keras.layers.RNN(LIFCell(3, reset_mechanism=reset), return_sequences=True, stateful=True)
    layer = LIF(reset_mechanism=reset, stateful=True)
    want, _ = forward(current, reset=reset)
    fresh = np.concatenate([forward(current[:, :5], reset=reset)[0], forward(current[:, 5:], reset=reset)[0]], 1)
    assert (want != fresh).any()
    for both in (rnn, layer):
        got = np.concatenate([array(both(current[:, :5])), array(both(current[:, 5:]))], 1)
        np.testing.assert_array_equal(got, want)
        both.reset_state()
        np.testing.assert_array_equal(array(both(current[:, :5])), want[:, :5])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_membrane_is_float32_under_a_global_mixed_policy(policy):
    # 1, then steps of 2^-12 that 16 bits lose: 1 + 2^-12 is 1 in both. Threshold 1.06 = 1 + 245.76 / 4096.
    current = np.full((1, 256, 1), 2.0**-12, np.float32)
    current[0, 0] = 1.0
    keras.config.set_dtype_policy(policy)
    try:
        cell = LIFCell(1, beta=1.0, threshold=1.06)
        rnn = keras.layers.RNN(cell, return_sequences=True)
        spk = rnn(current)
    finally:
        keras.config.set_dtype_policy("float32")
    assert cell.compute_dtype == "float32"
    assert keras.backend.standardize_dtype(spk.dtype) == rnn.compute_dtype == policy.removeprefix("mixed_")
    # The membrane first exceeds 1.06 after 246 of them; reset, it is near 0.
    assert np.flatnonzero(array(ops.cast(spk, "float32"))).tolist() == [246]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16", "bfloat16"])
def test_16_bits_are_refused(policy):
    with pytest.raises(InputError) as error:
        LIFCell(3, dtype=policy)
    message = str(error.value)
    assert message.startswith("dtype must be float32 or float64") and message.endswith(f"received '{policy}'")
    with pytest.raises(InputError, match="dtype must be float32"):
        LIFCell(3, dtype=keras.DTypePolicy(policy))


def test_float64():
    current = draw(2, 8, 3).astype(np.float64)
    with backend.float64():
        rnn = keras.layers.RNN(LIFCell(3, beta=0.8, dtype="float64"), return_state=True, dtype="float64")
        spk, mem = rnn(tensor(current))
        assert kind(spk) == kind(mem) == "float64"
    np.testing.assert_allclose(array(mem), forward(current, 0.8)[1][:, -1], rtol=1e-12)


@pytest.mark.parametrize("units", [0, -1, 2.5, "3", None, True])
def test_bad_units(units):
    with pytest.raises(InputError) as error:
        LIFCell(units)
    assert str(error.value) == f"units must be an integer of at least 1, received {units!r}"


def test_input_of_another_size():
    with pytest.raises(InputError, match=r"inputs must be of shape \(batch, 4\), the cell's units, received \(2, 3\)"):
        keras.layers.RNN(LIFCell(4))(ops.zeros((2, 5, 3)))


def test_saved_and_reloaded_in_a_model(tmp_path):
    cell = LIFCell(
        3,
        beta=0.4,
        threshold=0.6,
        reset_mechanism="zero",
        surrogate=FastSigmoid(5.0),
        trainable_beta=True,
        trainable_threshold=True,
        per_neuron=True,
    )
    model = keras.Sequential([keras.Input((6, 3)), keras.layers.RNN(cell, return_sequences=True)])
    model.layers[0].set_weights([np.float32([0.1, 0.5, 0.9]), np.float32([0.4, 0.6, 0.8])])
    model.save(tmp_path / "net.keras")
    copy = keras.saving.load_model(tmp_path / "net.keras")
    current = draw(2, 6, 3)
    want, _ = forward(current, [0.1, 0.5, 0.9], [0.4, 0.6, 0.8], "zero")
    np.testing.assert_array_equal(array(copy(current)), want)
    assert copy.layers[0].cell.get_config() == cell.get_config()
    assert copy.layers[0].cell.surrogate == FastSigmoid(5.0)


def test_masked_steps_repeat_the_last_spikes_and_are_refused_where_they_would_not():
    """Keras' loop on JAX takes the membrane for the output of masked steps."""
    current, mask = draw(2, 6, 3), np.array([[True] * 6, [True] * 3 + [False] * 3])
    want, _ = forward(current)
    want[1, 3:] = want[1, 2]
    rnn = keras.layers.RNN(LIFCell(3), return_sequences=True)
    if backend.name == "jax":
        with pytest.raises(InputError, match="mask must come with zero_output_for_mask=True or unroll"):
            rnn(current, mask=mask)
        rnn = keras.layers.RNN(LIFCell(3), return_sequences=True, unroll=True)
    np.testing.assert_array_equal(array(rnn(current, mask=mask)), want)
    zero = keras.layers.RNN(LIFCell(3), return_sequences=True, zero_output_for_mask=True)
    want[1, 3:] = 0
    np.testing.assert_array_equal(array(zero(current, mask=mask)), want)


def test_stacked_cells():
    current = draw(2, 8, 3)
    rnn = keras.layers.RNN([LIFCell(3, beta=0.5), LIFCell(3, beta=0.9, threshold=0.5)], return_sequences=True)
    first, _ = forward(current, 0.5)
    want, _ = forward(first, 0.9, 0.5)
    np.testing.assert_array_equal(array(rnn(current)), want)


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
class LIFCellLayerTest(TestCase):
    def test_basics(self):
        for settings, kwargs, shape, weights in [
            ({}, {}, (2, 4), 0),
            ({"reset_mechanism": "zero"}, {"return_sequences": True}, (2, 5, 4), 0),
            ({"trainable_beta": True}, {"go_backwards": True}, (2, 4), 1),
            (
                {"trainable_beta": True, "trainable_threshold": True, "per_neuron": True, "surrogate": "sigmoid"},
                {"return_sequences": True, "unroll": True},
                (2, 5, 4),
                2,
            ),
        ]:
            self.run_layer_test(
                keras.layers.RNN,
                init_kwargs={"cell": LIFCell(4, **settings), **kwargs},
                input_shape=(2, 5, 4),
                expected_output_shape=shape,
                expected_output_dtype="float32",
                expected_num_trainable_weights=weights,
                expected_num_non_trainable_weights=0,
                supports_masking=True,
            )
