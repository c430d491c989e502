"""LIF neurons behind synapses whose current decays, as a layer over sequences and as a cell."""

from __future__ import annotations

from typing import Any

import keras

from kerasburst.neurons.cell import NeuronCell
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.neurons.surrogate import Surrogate, spike
from kerasburst.neurons.thresholded import Thresholded, after_reset


class _Synaptic(Thresholded):
    """The step of both."""

    state_names = ("mem", "syn")

    def step(self, current, state):
        """Advance one step."""
        p = self.neuron_parameters(current.dtype)
        syn = p["alpha"] * state["syn"] + current
        mem = after_reset(p["beta"] * state["mem"] + syn, state["mem"], p["threshold"], self.reset_mechanism)
        return spike(mem - p["threshold"], self.surrogate), {"mem": mem, "syn": syn}


@keras.saving.register_keras_serializable("kerasburst")
class Synaptic(_Synaptic, NeuronLayer):
    """Leaky integrate-and-fire neurons with a synaptic current, over sequences, elementwise.

        syn[t] = alpha syn[t-1] + current[t]
        mem[t] = beta mem[t-1] + syn[t] - threshold spk[t-1],   spk[t] = mem[t] > threshold

    with reset_mechanism "subtract". With "zero" the whole new membrane is 0 after a spike; "none" does not reset.

    Args:
        alpha: decay of the synaptic current per step, in [0, 1]: a number, an array, or a Keras initializer.
        beta: decay of the membrane per step, in [0, 1]: a number, an array or a Keras initializer.
        threshold: firing threshold, above 0: a number, an array or a Keras initializer.
        reset_mechanism: "subtract", "zero" or "none".
        surrogate: a name or a configured `Surrogate`.
        trainable_alpha: whether alpha is trained (clipped to [0, 1] in the forward pass).
        trainable_beta: whether beta is trained (clipped to [0, 1] in the forward pass).
        trainable_threshold: whether the threshold is trained (kept above 0).
        per_neuron: whether trained numbers become a value for each neuron.
        **kwargs: as for `NeuronLayer`: return_sequences, return_mem, return_state, stateful, go_backwards, ...

    Call arguments:
        inputs: current `(batch, time, *features)`.
        initial_state: `mem` and `syn` before the first step, each `(batch, *features)`; zeros by default.
        mask: bool `(batch, time)`, as for `NeuronLayer`.

    Returns:
        `spk`, or the tuple of `spk`, `mem` with return_mem, and the final `mem` and `syn` with return_state.

    Raises:
        InputError: for a parameter outside its range.

    Example:
        >>> spk, mem = Synaptic(0.5, 0.5, return_mem=True)(keras.ops.array([[[1.0], [0.0], [0.0]]]))
        >>> keras.ops.convert_to_numpy(mem).ravel().tolist()  # 1; 0.5 + 0.5; 0.5 + 0.25
        [1.0, 1.0, 0.75]

    References:
        snnTorch 1.0 `Synaptic`, which has the same values at every step.
    """

    def __init__(
        self,
        alpha: Any = 0.9,
        beta: Any = 0.95,
        *,
        threshold: Any = 1.0,
        reset_mechanism: str = "subtract",
        surrogate: str | Surrogate = "atan",
        trainable_alpha: bool = False,
        trainable_beta: bool = False,
        trainable_threshold: bool = False,
        per_neuron: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        shared = (beta, threshold, reset_mechanism, surrogate, trainable_beta, trainable_threshold, per_neuron)
        self._set_threshold(*shared, alpha=(alpha, trainable_alpha))


@keras.saving.register_keras_serializable("kerasburst")
class SynapticCell(_Synaptic, NeuronCell):
    """`Synaptic` as a cell for `keras.layers.RNN`.

    Args:
        units: number of neurons, equal to the input's last axis.
        alpha, beta, threshold, reset_mechanism, surrogate, trainable_alpha, trainable_beta, trainable_threshold,
            per_neuron: as for `Synaptic`.
        **kwargs: as for `NeuronCell`.

    Example:
        >>> layer = keras.layers.RNN(SynapticCell(1, 0.5, 0.5), return_state=True)
        >>> [float(x[0, 0]) for x in layer(keras.ops.array([[[1.0], [0.0]]]))]  # spk, mem, syn
        [0.0, 1.0, 0.5]
    """

    def __init__(
        self,
        units: int,
        alpha: Any = 0.9,
        beta: Any = 0.95,
        *,
        threshold: Any = 1.0,
        reset_mechanism: str = "subtract",
        surrogate: str | Surrogate = "atan",
        trainable_alpha: bool = False,
        trainable_beta: bool = False,
        trainable_threshold: bool = False,
        per_neuron: bool = False,
        **kwargs,
    ):
        super().__init__(units, **kwargs)
        shared = (beta, threshold, reset_mechanism, surrogate, trainable_beta, trainable_threshold, per_neuron)
        self._set_threshold(*shared, alpha=(alpha, trainable_alpha))
