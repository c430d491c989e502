"""Direct coding: the intensity itself is the input current."""

from __future__ import annotations

import keras

from kerasburst.encoders.base import Encoder
from kerasburst.encoders.draws import ops_of


@keras.saving.register_keras_serializable("kerasburst")
class DirectEncoder(Encoder):
    """Direct (current) coding: the first layer receives the intensity itself at every step.

    out[t] = x. Nothing is drawn, and the outputs are no spikes: the first layer multiplies, and its neurons are the
    first that spike.

    Args:
        num_steps: T, time steps, at least 1.
        seed: int of at least 0, or None; the code is deterministic and draws nothing.
        **kwargs: as for `keras.layers.Layer`. A 16-bit dtype rounds the outputs.

    Call arguments:
        inputs: `(batch, *features)`, values in [0, 1].

    Returns:
        The intensities `(batch, num_steps, *features)`, in the layer's compute dtype.

    Raises:
        InputError: for bad parameters or inputs outside [0, 1].

    Example:
        >>> encoder = DirectEncoder(num_steps=3)
        >>> encoder(keras.ops.convert_to_tensor([[0.25, 1.0]])).numpy().tolist()
        [[[0.25, 1.0], [0.25, 1.0], [0.25, 1.0]]]

    References:
        Rueckauer et al., Conversion of Continuous-Valued Deep Networks to Efficient Event-Driven Networks for Image
        Classification, 2017.
    """

    random = False
    spiking = False

    def encode_as(self, x, seed, dtype: str):
        """Return the intensities at every step; the seed is not used."""
        ops = ops_of(x)
        return ops.repeat(ops.cast(x, dtype)[:, None], self.num_steps, axis=1)

    def encode(self, x, seed):
        """Return the float32 intensities at every step; the seed is not used."""
        return self.encode_as(x, seed, "float32")

    def probability(self, x):
        """Return what stands in for P(spike at t | x): the intensities themselves."""
        return self.encode_as(x, None, "float32")
