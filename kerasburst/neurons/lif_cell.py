"""The LIF neuron as a cell of `keras.layers.RNN`."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasburst.neurons.base import LIFBase
from kerasburst.neurons.functional import lif_step
from kerasburst.validation import check_int, fail


@keras.saving.register_keras_serializable("kerasburst")
class LIFCell(LIFBase):
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
        per_neuron: whether what is trained has a value for each neuron instead of a shared one.
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
        >>> layer(tf.constant([[[0.6], [0.6], [0.6]]])).numpy().ravel().tolist()
        [0.0, 1.0, 0.0]

    References:
        snnTorch 1.0 `Leaky`, of which this is the equal step for step.
    """

    def __init__(self, units: int, **kwargs):
        kwargs["dtype"] = policy = keras.dtype_policies.get(kwargs.get("dtype") or "float32")
        if policy.compute_dtype not in ("float32", "float64"):
            raise fail("dtype", "float32 or float64, since a membrane loses spikes in 16 bits", policy.name)
        super().__init__(**kwargs)
        self.units = check_int("units", units, low=1)

    @property
    def state_size(self) -> int:
        """Size of the state, the membrane."""
        return self.units

    @property
    def output_size(self) -> int:
        """Size of the output, the spikes."""
        return self.units

    def build(self, input_shape):
        """Create the trained parameters."""
        if input_shape[-1] != self.units:
            raise fail("inputs", f"of shape (batch, {self.units}), the cell's units", tuple(input_shape))
        self._build_parameters((self.units,))
        self.built = True

    def call(self, inputs, states, training=None):
        """Advance one step."""
        mem = states[0] if isinstance(states, (list, tuple)) else states
        spk, mem = lif_step(tf.cast(inputs, self.compute_dtype), mem, **self.neuron_parameters())
        return spk, [mem]

    def get_initial_state(self, batch_size=None):
        """Give the membrane at rest."""
        return [keras.ops.zeros((batch_size, self.units), dtype=self.compute_dtype)]

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "units": self.units}
