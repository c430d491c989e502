"""What every encoder layer shares."""

from __future__ import annotations

from abc import ABC, abstractmethod

import keras
import tensorflow as tf

from kerasburst.encoders import functional
from kerasburst.validation import LARGEST, check_int


class Encoder(keras.layers.Layer, ABC):
    """A layer from intensities to spikes; a subclass gives `encode` and `probability`.

    Calling the layer draws afresh each time from its own seed generator; two layers built with one
    seed give the same sequence of draws. `encode` is the stateless face, for pipelines and tests.

    Args:
        num_steps: T, time steps, at least 1.
        seed: int of at least 0 that fixes the sequence of draws, or None.
        **kwargs: as for `keras.layers.Layer`. The dtype is that of the spikes alone: intensities
            are float32 or wider under every policy.

    Call arguments:
        inputs: `(batch, *features)`, any rank of features, values in [0, 1].

    Returns:
        Spikes `(batch, num_steps, *features)`, exactly 0 or 1, in the layer's compute dtype.

    Raises:
        InputError: (a ValueError) for bad parameters, and eagerly for inputs outside [0, 1], NaN, or
            without a batch axis. In a graph: `tf.errors.InvalidArgumentError`.
    """

    random = True  # whether two calls on one input can differ

    def __init__(self, num_steps: int, *, seed: int | None = None, **kwargs):
        super().__init__(**kwargs, autocast=False)
        self.num_steps = check_int("num_steps", num_steps, low=1, high=LARGEST)
        self.seed = None if seed is None else check_int("seed", seed, low=0, high=LARGEST)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.built = True

    @abstractmethod
    def encode(self, x: tf.Tensor, seed) -> tf.Tensor:
        """Give the uint8 spikes of checked intensities `x` for a stateless `seed`."""

    @abstractmethod
    def probability(self, x: tf.Tensor) -> tf.Tensor:
        """Give the float32 marginals of checked intensities `x`."""

    def call(self, inputs):
        """Encode `inputs` with fresh randomness."""
        x = functional.check_intensity(inputs)
        return self.encode_as(x, self.seed_generator.next(), self.compute_dtype)

    def encode_as(self, x: tf.Tensor, seed, dtype) -> tf.Tensor:
        """Give `encode`'s spikes in another dtype; a subclass may have a shorter way than to cast them."""
        return tf.cast(self.encode(x, seed), dtype)

    def spike_probability(self, inputs) -> tf.Tensor:
        """Give the exact marginals P(spike at t | inputs), float32 `(batch, num_steps, *features)`."""
        return self.probability(functional.check_intensity(inputs))

    def compute_output_shape(self, input_shape):
        """Insert the time axis after the batch axis."""
        return (input_shape[0], self.num_steps, *input_shape[1:])

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "num_steps": self.num_steps, "seed": self.seed}
