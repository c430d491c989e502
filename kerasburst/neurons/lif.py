"""The LIF neuron as a layer over whole sequences."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasburst.neurons.base import LIFBase
from kerasburst.neurons.functional import run
from kerasburst.validation import InputError, check_bool, fail


@keras.saving.register_keras_serializable("kerasburst")
class LIF(LIFBase):
    """Leaky integrate-and-fire neurons over sequences of any feature rank, elementwise.

        mem[t] = beta mem[t-1] + current[t] - threshold spk[t-1],   spk[t] = mem[t] > threshold

    with reset_mechanism "subtract"; "zero" and "none" as in `kerasburst.neurons.functional`. Membranes
    are float32 under mixed precision; spikes come in the layer's compute dtype.

    Args:
        beta: membrane decay per step, in [0, 1].
        threshold: firing threshold, above 0.
        reset_mechanism: "subtract", "zero" or "none".
        surrogate: a name ("atan", "fast_sigmoid", "sigmoid", "triangular", "straight_through") or a
            configured `kerasburst.neurons.surrogate.Surrogate`.
        trainable_beta: whether beta is trained (clipped to [0, 1] in the forward pass).
        trainable_threshold: whether the threshold is trained (kept above 0).
        per_neuron: whether what is trained has a value for each neuron instead of a shared one.
        return_sequences: spikes of all steps (default) or of the last alone.
        return_mem: return the membrane too, of all steps or the last, as the spikes.
        return_state: return the final membrane as the last output, to hand on as `initial_state`.
        stateful: keep the final membrane for the next call; needs a static batch size. `reset_state()`
            sets it to zero. The state is not a weight and is not saved.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: current `(batch, time, *features)`.
        initial_state: membrane before the first step, `(batch, *features)`; default zeros, or the kept
            state of a stateful layer.

    Returns:
        `spk`, or the tuple of `spk`, then `mem` with return_mem, then the final membrane with return_state.

    Raises:
        InputError: for a parameter outside its range, or a stateful layer without a static batch size
            or called with another one than it was built with.

    Example:
        >>> spk, mem = LIF(beta=0.5, return_mem=True)(tf.constant([[[0.8], [0.8], [0.8]]]))
        >>> mem.numpy().round(2).ravel().tolist()  # 0.8, 0.4 + 0.8, 0.6 + 0.8 - 1
        [0.8..., 1.2..., 0.4...]
        >>> spk.numpy().ravel().tolist()
        [0.0, 1.0, 0.0]

    References:
        snnTorch 1.0 `Leaky`, of which this is the equal step for step.
    """

    def __init__(
        self,
        *,
        return_sequences: bool = True,
        return_mem: bool = False,
        return_state: bool = False,
        stateful: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.return_sequences = check_bool("return_sequences", return_sequences)
        self.return_mem = check_bool("return_mem", return_mem)
        self.return_state = check_bool("return_state", return_state)
        self.stateful = check_bool("stateful", stateful)
        self._state = None

    def build(self, input_shape):
        """Create the trained parameters, and the state of a stateful layer."""
        if len(input_shape) < 2:
            raise fail("inputs", "of shape (batch, time, *features)", tuple(input_shape))
        self._build_parameters(tuple(input_shape[2:]))
        if self.stateful:
            shape = (input_shape[0], *input_shape[2:])
            if None in shape:
                raise InputError(f"inputs must have a static batch and feature shape where stateful, received {shape}")
            self._state = _State(keras.Variable(tf.zeros(shape), trainable=False, dtype="float32", name="mem"))
        self.built = True

    def call(self, inputs, initial_state=None):
        """Run over `inputs` from `initial_state`."""
        if isinstance(initial_state, (list, tuple)):
            (initial_state,) = initial_state
        if self._state is not None:
            inputs = self._check_batch(inputs)
            if initial_state is None:
                initial_state = self._state.variable.value
        if initial_state is not None:
            initial_state = tf.convert_to_tensor(initial_state)
            expected = inputs.shape[:1].concatenate(inputs.shape[2:])
            if not initial_state.shape.is_compatible_with(expected):
                raise fail(
                    "initial_state", f"of shape {tuple(expected)}, (batch, *features)", tuple(initial_state.shape)
                )
        spk, mem, last = run(
            inputs,
            **self.neuron_parameters(),
            initial_mem=initial_state,
            return_mem=self.return_mem and self.return_sequences,
            spike_dtype=self.compute_dtype,
        )
        if self._state is not None:
            self._state.variable.assign(last)
        if not self.return_sequences:
            spk, mem = spk[:, -1], last
        extra = (mem,) * self.return_mem + (last,) * self.return_state
        return (spk, *extra) if extra else spk

    def _check_batch(self, inputs):
        expected = self._state.variable.shape[0]
        if inputs.shape[0] not in (None, expected):
            raise InputError(
                f"inputs must have the batch size {expected} that this stateful layer was built with, "
                f"received {inputs.shape[0]}"
            )
        return tf.ensure_shape(inputs, (expected, *inputs.shape[1:]))

    def reset_state(self) -> None:
        """Set the kept state of a stateful layer to zero."""
        if self._state is not None:
            self._state.variable.assign(tf.zeros(self._state.variable.shape))

    reset_states = reset_state  # the name Keras' containers call

    def compute_output_spec(self, inputs, initial_state=None):
        """Give the shapes and dtypes of the outputs."""
        shape = tuple(inputs.shape)
        last = (shape[0], *shape[2:])
        sequence = shape if self.return_sequences else last
        membrane = "float64" if keras.backend.standardize_dtype(inputs.dtype) == "float64" else "float32"
        spk = keras.KerasTensor(sequence, dtype=self.compute_dtype)
        extra = [keras.KerasTensor(sequence, dtype=membrane)] * self.return_mem
        extra += [keras.KerasTensor(last, dtype=membrane)] * self.return_state
        return (spk, *extra) if extra else spk

    def compute_output_shape(self, input_shape):
        """Give the shapes of the outputs."""
        spec = self.compute_output_spec(keras.KerasTensor(tuple(input_shape)))
        return tuple(s.shape for s in spec) if isinstance(spec, tuple) else spec.shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "return_sequences": self.return_sequences,
            "return_mem": self.return_mem,
            "return_state": self.return_state,
            "stateful": self.stateful,
        }


class _State:
    """Hold the state out of Keras' sight: weights then pass between stateful and stateless networks."""

    def __init__(self, variable: keras.Variable):
        self.variable = variable
