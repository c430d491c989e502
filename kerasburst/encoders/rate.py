"""Rate coding."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasburst.encoders import functional
from kerasburst.encoders.base import Encoder


@keras.saving.register_keras_serializable("kerasburst")
class RateEncoder(Encoder):
    """Rate coding: brighter inputs spike more often.

    With p = clip(gain x, 0, 1): mode "bernoulli" spikes at every step with probability p,
    independently; mode "regular" is deterministic and evenly spaced,
    floor(p (t+1)) - floor(p t), so that x = k / num_steps gives exactly k spikes.

    Args:
        num_steps: T, time steps, at least 1.
        mode: "bernoulli" or "regular".
        gain: factor on the intensity, at least 0.
        seed: int of at least 0 that fixes the sequence of draws, or None.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, *features)`, values in [0, 1].

    Returns:
        Spikes `(batch, num_steps, *features)`, exactly 0 or 1, in the layer's compute dtype.

    Raises:
        InputError: for bad parameters or inputs outside [0, 1].

    Example:
        >>> encoder = RateEncoder(num_steps=4, mode="regular")
        >>> encoder(tf.constant([[0.25, 1.0]])).numpy()[0].T.astype(int).tolist()
        [[0, 0, 0, 1], [1, 1, 1, 1]]

    References:
        arXiv 2505.04034, the baseline encoding.
    """

    def __init__(
        self, num_steps: int, *, mode: str = "bernoulli", gain: float = 1.0, seed: int | None = None, **kwargs
    ):
        functional.check_rate(num_steps, mode, gain)
        super().__init__(num_steps, seed=seed, **kwargs)
        self.mode = mode
        self.gain = float(gain)
        self.random = mode == "bernoulli"

    def encode(self, x: tf.Tensor, seed) -> tf.Tensor:
        """Give the uint8 spikes of checked intensities `x` for a stateless `seed`."""
        return self.encode_as(x, seed, tf.uint8)

    def encode_as(self, x: tf.Tensor, seed, dtype) -> tf.Tensor:
        """Give `encode`'s spikes in another dtype."""
        if self.random:
            return functional.rate(x, self.num_steps, seed, gain=self.gain, dtype=dtype)
        return tf.cast(functional.regular_rate(x, self.num_steps, gain=self.gain), dtype)

    def probability(self, x: tf.Tensor) -> tf.Tensor:
        """Give P(spike at t | x): p at every step, or the spikes themselves in mode "regular"."""
        if self.random:
            return functional.rate_probability(x, self.num_steps, gain=self.gain)
        return tf.cast(self.encode(x, None), tf.float32)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "mode": self.mode, "gain": self.gain}
