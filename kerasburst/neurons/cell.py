"""Neurons as a cell of keras.layers.RNN, by their step."""

from __future__ import annotations

import keras
from keras import ops

from kerasburst import backend
from kerasburst.neurons.base import Neuron
from kerasburst.neurons.scan import advanced
from kerasburst.validation import InputError, check_int, fail


class NeuronCell(Neuron):
    """Neurons as a cell of `keras.layers.RNN`.

    Args:
        units: number of neurons, equal to the input's last axis.
        dtype: float32 (default) or float64.
        **kwargs: as for `Neuron`.

    Raises:
        InputError: on JAX, for a mask in an RNN without `zero_output_for_mask` or `unroll`: Keras' loop there takes a
            cell's first state, the membrane, for the spikes of masked steps.
    """

    def __init__(self, units: int, *, dtype=None, **kwargs):
        policy = keras.dtype_policies.get(dtype or "float32")
        if policy.compute_dtype not in ("float32", "float64"):
            raise fail("dtype", "float32 or float64, since a membrane loses spikes in 16 bits", policy.name)
        super().__init__(**kwargs, dtype=policy)
        self.units = check_int("units", units, low=1)

    @property
    def state_size(self) -> int | list[int]:
        """Size of the state, or of each of several."""
        sizes = [self.units for _ in self.state_names]
        return sizes if len(sizes) > 1 else self.units

    @property
    def output_size(self) -> int:
        """Size of the output, the spikes."""
        return self.units

    def build(self, input_shape):
        """Create the weights."""
        if input_shape[-1] != self.units:
            raise fail("inputs", f"of shape (batch, {self.units}), the cell's units", tuple(input_shape))
        self.build_parameters((self.units,))
        self.built = True

    def call(self, inputs, states, training=None):
        """Advance one step."""
        if self.fires and backend.name == "jax" and backend.repeats_first_state():
            raise InputError(
                "mask must come with zero_output_for_mask=True or unroll=True in an RNN on JAX, where Keras otherwise "
                "returns the membrane for the spikes of masked steps"
            )
        states = states if isinstance(states, (list, tuple)) else [states]
        state = dict(zip(self.state_names, states, strict=True))
        spk, state = advanced(self.step, ops.cast(inputs, self.compute_dtype), state)
        return spk if self.fires else state[self.state_names[0]], [state[name] for name in self.state_names]

    def get_initial_state(self, batch_size=None):
        """Return the state at rest."""
        return list(self.rest(ops.zeros((batch_size, self.units), dtype=self.compute_dtype)).values())
