"""LIF neurons that see each other's spikes, as a layer over sequences and as a cell."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerasburst.neurons.cell import NeuronCell
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.neurons.surrogate import Surrogate, spike
from kerasburst.neurons.thresholded import Thresholded, after_reset
from kerasburst.validation import check_bool, fail


class _RecurrentLIF(Thresholded):
    """The weights and the step of both."""

    def _set_recurrence(self, initializer, regularizer, constraint, use_bias):
        self.recurrent_initializer = keras.initializers.get(initializer)
        self.recurrent_regularizer = keras.regularizers.get(regularizer)
        self.recurrent_constraint = keras.constraints.get(constraint)
        self.use_bias = check_bool("use_bias", use_bias)

    def build_parameters(self, features):
        """Create the weights: the recurrent kernel comes after the neurons' own."""
        super().build_parameters(features)
        if not features or features[-1] is None:
            raise fail("inputs", "of shape (batch, time, ..., units) with a known number of units", features)
        units = features[-1]
        self._kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(units, units),
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
            autocast=False,
        )
        self._bias = None
        if self.use_bias:
            self._bias = self.add_weight(name="recurrent_bias", shape=(units,), initializer="zeros", autocast=False)

    def step(self, current, state):
        """Advance one step."""
        p, dtype = self.neuron_parameters(current.dtype), current.dtype
        before = spike(state["mem"] - p["threshold"], self.surrogate)
        current = current + ops.matmul(before, ops.cast(ops.convert_to_tensor(self._kernel), dtype))
        if self._bias is not None:
            current = current + ops.cast(ops.convert_to_tensor(self._bias), dtype)
        mem = after_reset(p["beta"] * state["mem"] + current, state["mem"], p["threshold"], self.reset_mechanism)
        return spike(mem - p["threshold"], self.surrogate), {"mem": mem}


@keras.saving.register_keras_serializable("kerasburst")
class RecurrentLIF(_RecurrentLIF, NeuronLayer):
    """Leaky integrate-and-fire neurons whose current gains a product of their own spikes, over sequences.

        mem[t] = beta mem[t-1] + current[t] + spk[t-1] W (+ bias) - threshold spk[t-1],   spk[t] = mem[t] > threshold

    with reset_mechanism "subtract". With "zero" the whole new membrane is 0 after a spike; "none" does not reset. The
    gradient passes through `spk[t-1] W`, and not through the reset.

    Args:
        beta: decay of the membrane per step, in [0, 1]: a number, an array, or a Keras initializer.
        threshold: firing threshold, above 0: a number, an array or a Keras initializer.
        reset_mechanism: "subtract", "zero" or "none".
        surrogate: a name or a configured `Surrogate`.
        recurrent_initializer: initializer of W `(units, units)`, the weights from all neurons (rows) to all (columns).
        recurrent_regularizer: regularizer of W.
        recurrent_constraint: constraint of W.
        use_bias: whether a trained bias is added to spk W, as in snnTorch.
        trainable_beta: whether beta is trained (clipped to [0, 1] in the forward pass).
        trainable_threshold: whether the threshold is trained (kept above 0).
        per_neuron: whether trained numbers become a value for each neuron.
        **kwargs: as for `NeuronLayer`: return_sequences, return_mem, return_state, stateful, go_backwards, ...

    Call arguments:
        inputs: current `(batch, time, ..., units)`.
        initial_state: the membrane before the first step; zeros by default. Where it is above the threshold, the neuron
            fired at the step before.
        mask: bool `(batch, time)`, as for `NeuronLayer`.

    Returns:
        `spk`, or the tuple of `spk`, `mem` with return_mem, and the final membrane with return_state.

    Raises:
        InputError: for a parameter outside its range, or an unknown number of units.

    Example:
        >>> layer = RecurrentLIF(0.5, recurrent_initializer="ones", return_mem=True)
        >>> spk, mem = layer(keras.ops.array([[[1.5, 0.0], [0.0, 0.0]]]))
        >>> keras.ops.convert_to_numpy(mem)[0].tolist()  # the first fires: both gain 1, and it loses its threshold
        [[1.5, 0.0], [0.75, 1.0]]

    References:
        snnTorch 1.0 `RLeaky(all_to_all=True)`, which has the same values at every step.
    """

    def __init__(
        self,
        beta: Any = 0.95,
        *,
        threshold: Any = 1.0,
        reset_mechanism: str = "subtract",
        surrogate: str | Surrogate = "atan",
        recurrent_initializer: Any = "orthogonal",
        recurrent_regularizer: Any = None,
        recurrent_constraint: Any = None,
        use_bias: bool = False,
        trainable_beta: bool = False,
        trainable_threshold: bool = False,
        per_neuron: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._set_threshold(
            beta, threshold, reset_mechanism, surrogate, trainable_beta, trainable_threshold, per_neuron
        )
        self._set_recurrence(recurrent_initializer, recurrent_regularizer, recurrent_constraint, use_bias)


@keras.saving.register_keras_serializable("kerasburst")
class RecurrentLIFCell(_RecurrentLIF, NeuronCell):
    """`RecurrentLIF` as a cell for `keras.layers.RNN`.

    Args:
        units: number of neurons, equal to the input's last axis.
        beta, threshold, reset_mechanism, surrogate, recurrent_initializer, recurrent_regularizer, recurrent_constraint,
            use_bias, trainable_beta, trainable_threshold, per_neuron: as for `RecurrentLIF`.
        **kwargs: as for `NeuronCell`.

    Example:
        >>> layer = keras.layers.RNN(RecurrentLIFCell(2, 0.5, recurrent_initializer="ones"), return_state=True)
        >>> spk, mem = layer(keras.ops.array([[[1.5, 0.0], [0.0, 0.0]]]))
        >>> keras.ops.convert_to_numpy(mem).tolist()
        [[0.75, 1.0]]
    """

    def __init__(
        self,
        units: int,
        beta: Any = 0.95,
        *,
        threshold: Any = 1.0,
        reset_mechanism: str = "subtract",
        surrogate: str | Surrogate = "atan",
        recurrent_initializer: Any = "orthogonal",
        recurrent_regularizer: Any = None,
        recurrent_constraint: Any = None,
        use_bias: bool = False,
        trainable_beta: bool = False,
        trainable_threshold: bool = False,
        per_neuron: bool = False,
        **kwargs,
    ):
        super().__init__(units, **kwargs)
        self._set_threshold(
            beta, threshold, reset_mechanism, surrogate, trainable_beta, trainable_threshold, per_neuron
        )
        self._set_recurrence(recurrent_initializer, recurrent_regularizer, recurrent_constraint, use_bias)
