"""LIF neurons whose threshold rises with their spikes, as a layer over sequences and as a cell."""

from __future__ import annotations

from typing import Any

import keras

from kerasburst.neurons.cell import NeuronCell
from kerasburst.neurons.functional import advance
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.neurons.surrogate import Surrogate, spike
from kerasburst.neurons.thresholded import Thresholded


class _AdaptiveLIF(Thresholded):
    """The step of both."""

    state_names = ("mem", "adaptation")

    def _set_adaptation(self, rho, kappa, trainable_rho, trainable_kappa, *shared):
        self._set_threshold(*shared, rho=(rho, trainable_rho))
        self.trainable_kappa = trainable_kappa
        self.add_parameter("kappa", kappa, trainable=trainable_kappa, per_neuron=self.per_neuron, low=0.0)

    def step(self, current, state):
        """Advance one step."""
        p = self.neuron_parameters(current.dtype)
        raised = p["threshold"] + state["adaptation"]
        before = spike(state["mem"] - raised, self.surrogate)
        adaptation = p["rho"] * state["adaptation"] + (1.0 - p["rho"]) * p["kappa"] * before
        mem = advance(current, state["mem"], p["beta"], raised, self.reset_mechanism)
        spk = spike(mem - (p["threshold"] + adaptation), self.surrogate)
        return spk, {"mem": mem, "adaptation": adaptation}


@keras.saving.register_keras_serializable("kerasburst")
class AdaptiveLIF(_AdaptiveLIF, NeuronLayer):
    """Leaky integrate-and-fire neurons with an adaptive threshold, over sequences, elementwise.

        a[t] = rho a[t-1] + (1 - rho) kappa spk[t-1]
        mem[t] = beta mem[t-1] + current[t] - (threshold + a[t-1]) spk[t-1],   spk[t] = mem[t] > threshold + a[t]

    with reset_mechanism "subtract", which takes away the threshold that was crossed; "zero" and "none" as for `LIF`. A
    neuron that fires at every step settles at the threshold `threshold + kappa`. The gradient passes from the
    adaptation to the spikes that caused it, and not through the reset.

    Args:
        rho: decay of the adaptation per step, in [0, 1]: a number, an array, or a Keras initializer.
        kappa: how far lasting activity raises the threshold, in the membrane's unit, at least 0: a number, an array or
            a Keras initializer.
        beta: decay of the membrane per step, in [0, 1]: a number, an array or a Keras initializer.
        threshold: firing threshold of a neuron at rest, above 0: a number, an array or a Keras initializer.
        reset_mechanism: "subtract", "zero" or "none".
        surrogate: a name or a configured `Surrogate`.
        trainable_rho: whether rho is trained (clipped to [0, 1] in the forward pass).
        trainable_kappa: whether kappa is trained (clipped to 0 or more).
        trainable_beta: whether beta is trained (clipped to [0, 1]).
        trainable_threshold: whether the threshold is trained (kept above 0).
        per_neuron: whether trained numbers become a value for each neuron.
        **kwargs: as for `NeuronLayer`: return_sequences, return_mem, return_state, stateful, go_backwards, ...

    Call arguments:
        inputs: current `(batch, time, *features)`.
        initial_state: `mem` and `adaptation` before the first step, each `(batch, *features)`; zeros by default.
        mask: bool `(batch, time)`, as for `NeuronLayer`.

    Returns:
        `spk`, or the tuple of `spk`, `mem` with return_mem, and the final `mem` and `adaptation` with return_state.

    Raises:
        InputError: for a parameter outside its range.

    Example:
        >>> layer = AdaptiveLIF(rho=0.5, kappa=1.0, beta=1.0, return_state=True)
        >>> spk, mem, adaptation = layer(keras.ops.array([[[1.25], [1.0], [1.0]]]))
        >>> keras.ops.convert_to_numpy(spk).ravel().tolist(), float(mem[0, 0]), float(adaptation[0, 0])
        ([1.0, 0.0, 1.0], 2.25, 0.25)

    References:
        Bellec et al. 2018, "Long short-term memory and learning-to-learn in networks of spiking neurons".
    """

    def __init__(
        self,
        rho: Any = 0.9,
        kappa: Any = 1.8,
        beta: Any = 0.95,
        *,
        threshold: Any = 1.0,
        reset_mechanism: str = "subtract",
        surrogate: str | Surrogate = "atan",
        trainable_rho: bool = False,
        trainable_kappa: bool = False,
        trainable_beta: bool = False,
        trainable_threshold: bool = False,
        per_neuron: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        shared = (beta, threshold, reset_mechanism, surrogate, trainable_beta, trainable_threshold, per_neuron)
        self._set_adaptation(rho, kappa, trainable_rho, trainable_kappa, *shared)


@keras.saving.register_keras_serializable("kerasburst")
class AdaptiveLIFCell(_AdaptiveLIF, NeuronCell):
    """`AdaptiveLIF` as a cell for `keras.layers.RNN`.

    Args:
        units: number of neurons, equal to the input's last axis.
        rho, kappa, beta, threshold, reset_mechanism, surrogate, trainable_rho, trainable_kappa, trainable_beta,
            trainable_threshold, per_neuron: as for `AdaptiveLIF`.
        **kwargs: as for `NeuronCell`.

    Example:
        >>> layer = keras.layers.RNN(AdaptiveLIFCell(1, rho=0.5, kappa=1.0, beta=1.0), return_sequences=True)
        >>> keras.ops.convert_to_numpy(layer(keras.ops.array([[[1.25], [1.0], [1.0]]]))).ravel().tolist()
        [1.0, 0.0, 1.0]
    """

    def __init__(
        self,
        units: int,
        rho: Any = 0.9,
        kappa: Any = 1.8,
        beta: Any = 0.95,
        *,
        threshold: Any = 1.0,
        reset_mechanism: str = "subtract",
        surrogate: str | Surrogate = "atan",
        trainable_rho: bool = False,
        trainable_kappa: bool = False,
        trainable_beta: bool = False,
        trainable_threshold: bool = False,
        per_neuron: bool = False,
        **kwargs,
    ):
        super().__init__(units, **kwargs)
        shared = (beta, threshold, reset_mechanism, surrogate, trainable_beta, trainable_threshold, per_neuron)
        self._set_adaptation(rho, kappa, trainable_rho, trainable_kappa, *shared)
