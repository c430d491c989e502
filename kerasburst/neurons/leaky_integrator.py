"""Membranes that never fire, as a layer over sequences and as a cell: a readout."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerasburst.neurons.base import Neuron
from kerasburst.neurons.cell import NeuronCell
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.validation import InputError, check_bool


class _LeakyIntegrator(Neuron):
    """The parameter and the step of both."""

    fires = False

    def _set_beta(self, beta, trainable_beta, per_neuron):
        self.trainable_beta = check_bool("trainable_beta", trainable_beta)
        self.per_neuron = check_bool("per_neuron", per_neuron)
        if per_neuron and not trainable_beta:
            raise InputError("per_neuron must be false unless trainable_beta is set")
        self.add_parameter("beta", beta, trainable=trainable_beta, per_neuron=per_neuron, low=0.0, high=1.0)

    def step(self, current, state):
        """Advance one step."""
        mem = self.parameter("beta", current.dtype) * state["mem"] + current
        return ops.zeros_like(mem), {"mem": mem}


@keras.saving.register_keras_serializable("kerasburst")
class LeakyIntegrator(_LeakyIntegrator, NeuronLayer):
    """Membranes that integrate their current and never fire, over sequences, elementwise.

        mem[t] = beta mem[t-1] + current[t]

    The output is the membrane: a readout of spikes as numbers.

    Args:
        beta: decay of the membrane per step, in [0, 1]: a number, an array, or a Keras initializer.
        trainable_beta: whether beta is trained (clipped to [0, 1] in the forward pass).
        per_neuron: whether a trained number becomes a value for each neuron.
        **kwargs: as for `NeuronLayer`: return_sequences, return_mem, return_state, stateful, go_backwards, ...

    Call arguments:
        inputs: current `(batch, time, *features)`.
        initial_state: the membrane before the first step, `(batch, *features)`; zeros by default.
        mask: bool `(batch, time)`, as for `NeuronLayer`.

    Returns:
        `mem`, float32 or wider; with return_mem, as other neurons, the tuple of spikes, which are all 0, and `mem`;
        with return_state the final membrane besides.

    Raises:
        InputError: for a parameter outside its range.

    Example:
        >>> mem = LeakyIntegrator(0.5)(keras.ops.array([[[1.0], [1.0], [1.0]]]))
        >>> keras.ops.convert_to_numpy(mem).ravel().tolist()
        [1.0, 1.5, 1.75]
    """

    def __init__(self, beta: Any = 0.95, *, trainable_beta: bool = False, per_neuron: bool = False, **kwargs):
        super().__init__(**kwargs)
        self._set_beta(beta, trainable_beta, per_neuron)


@keras.saving.register_keras_serializable("kerasburst")
class LeakyIntegratorCell(_LeakyIntegrator, NeuronCell):
    """`LeakyIntegrator` as a cell for `keras.layers.RNN`; its output is the membrane.

    Args:
        units: number of neurons, equal to the input's last axis.
        beta, trainable_beta, per_neuron: as for `LeakyIntegrator`.
        **kwargs: as for `NeuronCell`.

    Example:
        >>> layer = keras.layers.RNN(LeakyIntegratorCell(1, 0.5))
        >>> float(layer(keras.ops.array([[[1.0], [1.0], [1.0]]]))[0, 0])
        1.75
    """

    def __init__(
        self, units: int, beta: Any = 0.95, *, trainable_beta: bool = False, per_neuron: bool = False, **kwargs
    ):
        super().__init__(units, **kwargs)
        self._set_beta(beta, trainable_beta, per_neuron)
