"""Delayed-Burst coding."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasburst.encoders import functional
from kerasburst.encoders.base import Encoder
from kerasburst.validation import check_int


@keras.saving.register_keras_serializable("kerasburst")
class DelayedBurstEncoder(Encoder):
    """Delayed-Burst coding: one burst per feature, earlier for brighter inputs.

    The onset D is geometric on {0, 1, ...} with mean (1 - x)(T - margin), the size N ~ Poisson(lambda);
    spikes fall at D, ..., D+N-1 inside the window.
    P(spike at t | x) = sum over d <= t of P(D = d) P(N > t - d).

    Args:
        num_steps: T, time steps, at least 1.
        mean_burst_size: lambda, spikes, above 0.
        margin: m, steps, 0 <= m < num_steps: the darkest input's mean onset is num_steps - m. None
            means 0.8 num_steps, rounded down: a geometric onset spreads as widely as its mean, so
            that with a small margin most dark inputs miss the window.
        overflow: "drop" silences a burst whose onset is outside the window, "clip" moves it to the last step.
        silence: a feature with x <= silence emits nothing. None is the literal reading of the paper,
            where every feature bursts; on images with a black background it does not train.
        seed: int of at least 0 that fixes the sequence of draws, or None.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, *features)`, values in [0, 1].

    Returns:
        Spikes `(batch, num_steps, *features)`, exactly 0 or 1, in the layer's compute dtype.

    Raises:
        InputError: for bad parameters or inputs outside [0, 1].

    Example:
        >>> encoder = DelayedBurstEncoder(num_steps=4, mean_burst_size=2.0, margin=2)
        >>> p = encoder.spike_probability([[0.0, 1.0]]).numpy()[0]
        >>> [round(float(v), 3) for v in p[:, 1]]  # x = 1 starts at once: P(N > t)
        [0.865, 0.594, 0.323, 0.143]
        >>> float(p[:, 0].sum())  # x = 0 is silent
        0.0

    References:
        arXiv 2505.04034, Delayed-Burst.
    """

    def __init__(
        self,
        num_steps: int,
        *,
        mean_burst_size: float = 6.0,
        margin: float | None = None,
        overflow: str = "drop",
        silence: float | None = 0.0,
        seed: int | None = None,
        **kwargs,
    ):
        if margin is None:
            margin = check_int("num_steps", num_steps, low=1) * 4 // 5
        functional.check_delayed_burst(num_steps, mean_burst_size, margin, overflow, silence)
        super().__init__(num_steps, seed=seed, **kwargs)
        self.mean_burst_size = float(mean_burst_size)
        self.margin = float(margin)
        self.overflow = overflow
        self.silence = None if silence is None else float(silence)

    def _parameters(self) -> dict:
        return {
            "mean_burst_size": self.mean_burst_size,
            "margin": self.margin,
            "overflow": self.overflow,
            "silence": self.silence,
        }

    def encode(self, x: tf.Tensor, seed) -> tf.Tensor:
        """Give the uint8 spikes of checked intensities `x` for a stateless `seed`."""
        return functional.delayed_burst(x, self.num_steps, seed, **self._parameters())

    def encode_as(self, x: tf.Tensor, seed, dtype) -> tf.Tensor:
        """Give `encode`'s spikes in another dtype."""
        return functional.delayed_burst(x, self.num_steps, seed, dtype=dtype, **self._parameters())

    def probability(self, x: tf.Tensor) -> tf.Tensor:
        """Give P(spike at t | x) in closed form."""
        return functional.delayed_burst_probability(x, self.num_steps, **self._parameters())

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), **self._parameters()}
