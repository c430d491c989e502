"""A neuron of two states, as a stranger would add one: outputs, initial states, kept states, cells."""

import keras
import numpy as np
import pytest
from keras import ops

from kerasburst.neurons.cell import NeuronCell
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.validation import InputError

from .common import array

X = np.random.default_rng(0).uniform(0, 1, (2, 5, 3)).astype("float32")


class _Adaptive:
    """mem[t] = mem[t-1] / 2 + current[t], spk[t] = mem[t] > 0.8 + slow[t-1], slow[t] = slow[t-1] / 2 + spk[t]."""

    state_names = ("mem", "slow")

    def step(self, current, state):
        mem = state["mem"] / 2 + current
        spk = ops.cast(mem > 0.8 + state["slow"], mem.dtype)
        return spk, {"mem": mem, "slow": state["slow"] / 2 + spk}


class Adaptive(_Adaptive, NeuronLayer):
    pass


class AdaptiveCell(_Adaptive, NeuronCell):
    pass


def by_hand(x, mem=0.0, slow=0.0):
    spks = []
    for now in np.moveaxis(x.astype(np.float64), 1, 0):
        mem = mem / 2 + now
        spk = (mem > 0.8 + slow) * 1.0
        slow = slow / 2 + spk
        spks.append(spk)
    return np.stack(spks, 1), mem, slow


def test_the_states_are_outputs_in_order_and_inputs_of_three_forms():
    layer = Adaptive(return_state=True)
    spk, mem, slow = layer(X)
    for got, want in zip((spk, mem, slow), by_hand(X), strict=True):
        np.testing.assert_allclose(array(got), want, rtol=1e-5)
    assert [tuple(s.shape) for s in layer.compute_output_spec(keras.KerasTensor(X.shape))] == [X.shape, (2, 3), (2, 3)]
    want = by_hand(np.concatenate([X, X], axis=1))
    for state in ([mem, slow], (mem, slow), {"slow": slow, "mem": mem}):
        for got, expected in zip(layer(X, initial_state=state)[1:], want[1:], strict=True):
            np.testing.assert_allclose(array(got), expected, rtol=1e-5)


@pytest.mark.parametrize("state", [X[:, 0], [X[:, 0]], {"mem": X[:, 0], "fast": X[:, 0]}], ids=["one", "list", "dict"])
def test_another_number_of_states_is_an_error(state):
    with pytest.raises(InputError, match="initial_state must hold mem, slow, received"):
        Adaptive()(X, initial_state=state)


def test_stateful_keeps_both_until_they_are_reset():
    layer = Adaptive(stateful=True)
    whole, _, _ = by_hand(np.concatenate([X, X], axis=1))
    np.testing.assert_array_equal(np.concatenate([array(layer(X)), array(layer(X))], axis=1), whole)
    layer.reset_state()
    np.testing.assert_array_equal(array(layer(X)), whole[:, :5])
    assert layer.weights == []


def test_a_cell_carries_both():
    cell = AdaptiveCell(3)
    assert cell.state_size == [3, 3]
    for got, want in zip(keras.layers.RNN(cell, return_sequences=True, return_state=True)(X), by_hand(X), strict=True):
        np.testing.assert_allclose(array(got), want, rtol=1e-5)
