"""The leaky integrate-and-fire neuron as a layer over whole sequences, and as a cell of `keras.layers.RNN`."""

from __future__ import annotations

import keras

from kerasburst import backend
from kerasburst.neurons.cell import NeuronCell
from kerasburst.neurons.functional import lif_step
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.neurons.scan import wide
from kerasburst.neurons.surrogate import Surrogate
from kerasburst.neurons.thresholded import Thresholded


class _LIF(Thresholded):
    """The step of both."""

    def step(self, current, state):
        """Advance one step; see `kerasburst.neurons.functional.lif_step`."""
        spk, mem = lif_step(current, state["mem"], **self.neuron_parameters(current.dtype))
        return spk, {"mem": mem}


@keras.saving.register_keras_serializable("kerasburst")
class LIF(_LIF, NeuronLayer):
    """Leaky integrate-and-fire neurons over sequences of any feature rank, elementwise.

        mem[t] = beta mem[t-1] + current[t] - threshold spk[t-1],   spk[t] = mem[t] > threshold

    with reset_mechanism "subtract"; "zero" and "none" as in `kerasburst.neurons.functional`. Membranes
    are float32 under mixed precision; spikes have the layer's compute dtype.

    Args:
        beta: membrane decay per step, in [0, 1].
        threshold: firing threshold, above 0.
        reset_mechanism: "subtract", "zero" or "none".
        surrogate: a name ("atan", "fast_sigmoid", "sigmoid", "triangular", "straight_through") or a
            configured `kerasburst.neurons.surrogate.Surrogate`.
        trainable_beta: whether beta is trained (clipped to [0, 1] in the forward pass).
        trainable_threshold: whether the threshold is trained (kept above 0).
        per_neuron: whether trained parameters have a value for each neuron instead of a shared one.
        return_sequences: return the spikes of all steps (default) or of the last one only.
        return_mem: also return the membrane, of all steps or the last, like the spikes.
        return_state: also return the final membrane, as the last output, to pass as `initial_state`.
        stateful: keep the final membrane for the next call; needs a static batch size. `reset_state()`
            sets it to zero. The state is not a weight and is not saved.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: current `(batch, time, *features)`.
        initial_state: membrane before the first step, `(batch, *features)`: a tensor, a list of one, or
            `{"mem": tensor}`; default zeros, or the kept state of a stateful layer.

    Returns:
        `spk`, or the tuple of `spk`, then `mem` with return_mem, then the final membrane with return_state.

    Raises:
        InputError: for a parameter outside its range, or a stateful layer without a static batch size
            or called with another one than it was built with.

    Example:
        >>> spk, mem = LIF(beta=0.5, return_mem=True)(keras.ops.array([[[0.8], [0.8], [0.8]]]))
        >>> keras.ops.convert_to_numpy(mem).round(2).ravel().tolist()  # 0.8, 0.4 + 0.8, 0.6 + 0.8 - 1
        [0.8..., 1.2..., 0.4...]
        >>> keras.ops.convert_to_numpy(spk).ravel().tolist()
        [0.0, 1.0, 0.0]

    References:
        snnTorch 1.0 `Leaky`, which gives the same values at every step.
    """

    def __init__(
        self,
        *,
        beta: float = 0.95,
        threshold: float = 1.0,
        reset_mechanism: str = "subtract",
        surrogate: str | Surrogate = "atan",
        trainable_beta: bool = False,
        trainable_threshold: bool = False,
        per_neuron: bool = False,
        return_sequences: bool = True,
        return_mem: bool = False,
        return_state: bool = False,
        stateful: bool = False,
        **kwargs,
    ):
        super().__init__(
            return_sequences=return_sequences,
            return_mem=return_mem,
            return_state=return_state,
            stateful=stateful,
            **kwargs,
        )
        self._set_threshold(
            beta, threshold, reset_mechanism, surrogate, trainable_beta, trainable_threshold, per_neuron
        )

    @property
    def is_plain(self) -> bool:
        """Whether a call is the equation and nothing else, so that other code may compute it in its own way."""
        own = type(self) is LIF and not {"call", "run", "step"} & set(vars(self))
        return own and not self.stateful and not self.go_backwards and self.spike_regularizer is None

    def run(self, current, state, mask=None):
        """Run over a sequence; on TensorFlow's CPU by a kernel, if this is LIF and nothing derived from it."""
        if type(self) is not LIF or mask is not None or not backend.runs_cpu_passes():
            return super().run(current, state, mask)
        from kerasburst.neurons.kernel import lif_scan

        spk, mem, last = lif_scan(
            current,
            None if state is None else state["mem"],
            **self.neuron_parameters(wide(current.dtype)),
            return_mem=self.return_mem and self.return_sequences,
            spike_dtype=self.compute_dtype,
        )
        return spk, mem, {"mem": last}


@keras.saving.register_keras_serializable("kerasburst")
class LIFCell(_LIF, NeuronCell):
    """Leaky integrate-and-fire cell for `keras.layers.RNN`, elementwise.

        mem[t] = beta mem[t-1] + current[t] - threshold spk[t-1],   spk[t] = mem[t] > threshold

    with reset_mechanism "subtract"; "zero" and "none" as in `kerasburst.neurons.functional`. The state
    is the membrane. It is computed in float32 under every global policy.

    Args:
        units: number of neurons, equal to the input's last axis.
        beta: membrane decay per step, in [0, 1].
        threshold: firing threshold, above 0.
        reset_mechanism: "subtract", "zero" or "none".
        surrogate: a name ("atan", "fast_sigmoid", "sigmoid", "triangular", "straight_through") or a
            configured `kerasburst.neurons.surrogate.Surrogate`.
        trainable_beta: whether beta is trained (clipped to [0, 1] in the forward pass).
        trainable_threshold: whether the threshold is trained (kept above 0).
        per_neuron: whether trained parameters have a value for each neuron instead of a shared one.
        **kwargs: as for `keras.layers.Layer`; a 16-bit dtype is refused.

    Call arguments:
        inputs: current `(batch, units)`.
        states: list of the membrane `(batch, units)`.

    Returns:
        `(spk, [mem])`, each `(batch, units)`.

    Raises:
        InputError: for a parameter outside its range, or an input of another size than `units`.

    Example:
        >>> layer = keras.layers.RNN(LIFCell(1, beta=1.0), return_sequences=True)
        >>> keras.ops.convert_to_numpy(layer(keras.ops.array([[[0.6], [0.6], [0.6]]]))).ravel().tolist()
        [0.0, 1.0, 0.0]

    References:
        snnTorch 1.0 `Leaky`, which gives the same values at every step.
    """

    def __init__(
        self,
        units: int,
        *,
        beta: float = 0.95,
        threshold: float = 1.0,
        reset_mechanism: str = "subtract",
        surrogate: str | Surrogate = "atan",
        trainable_beta: bool = False,
        trainable_threshold: bool = False,
        per_neuron: bool = False,
        **kwargs,
    ):
        super().__init__(units, **kwargs)
        self._set_threshold(
            beta, threshold, reset_mechanism, surrogate, trainable_beta, trainable_threshold, per_neuron
        )
