"""No coding: the data holds spikes."""

from __future__ import annotations

import keras

from kerasburst import backend
from kerasburst.encoders.base import Encoder
from kerasburst.encoders.draws import as_tensor, ops_of
from kerasburst.validation import InputError, fail


@keras.saving.register_keras_serializable("kerasburst")
class NoEncoder(Encoder):
    """Pass spikes on: for data that is encoded already, such as recordings of event cameras.

    out[t] = in[t].

    Args:
        num_steps: T, time steps of the data, at least 1.
        seed: int of at least 0, or None; nothing is drawn.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: spikes `(batch, num_steps, *features)`, each 0 or 1; of an event camera
            `(batch, num_steps, height, width, 2)`.

    Returns:
        The same spikes, in the layer's compute dtype.

    Raises:
        InputError: for bad parameters, another number of steps, or values other than 0 and 1.

    Example:
        >>> encoder = NoEncoder(num_steps=2)
        >>> encoder(keras.ops.convert_to_tensor([[[0, 1, 1], [1, 0, 0]]])).numpy().tolist()
        [[[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]]
    """

    random = False
    encoded = True

    def check(self, inputs, argument: str = "inputs"):
        """Return spikes as a uint8 tensor, or raise an `InputError` that names the argument."""
        x = as_tensor(inputs, argument)
        self.compute_output_shape(x.shape)
        module = backend.of(x)
        x = module.ops.cast(x, "uint8") if keras.backend.standardize_dtype(x.dtype) == "bool" else x
        inside = module.ops.all((x == 0) | (x == 1))

        def error() -> InputError:
            values = keras.ops.convert_to_numpy(x)
            return fail(argument, "spikes, each 0 or 1", f"values from {values.min():.7g} to {values.max():.7g}")

        return module.ops.cast(module.check(x, inside, error, f"{argument} must be spikes, each 0 or 1"), "uint8")

    def encode_as(self, x, seed, dtype: str):
        """Return the spikes; the seed is not used."""
        return ops_of(x).cast(x, dtype)

    def probability(self, x):
        """Return P(spike at t): the spikes themselves."""
        return self.encode_as(x, None, "float32")

    def compute_output_shape(self, input_shape):
        """Return the shape of the input, which has the time axis."""
        if len(input_shape) < 3:
            raise fail("inputs", "spikes of shape (batch, num_steps, *features)", tuple(input_shape))
        if input_shape[1] not in (None, self.num_steps):
            raise fail("num_steps", f"{input_shape[1]}, the time steps of the spikes", self.num_steps)
        return (input_shape[0], self.num_steps, *input_shape[2:])
