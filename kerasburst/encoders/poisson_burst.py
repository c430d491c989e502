"""Poisson-Burst coding."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from kerasburst.encoders import functional, intensity
from kerasburst.encoders.base import Encoder


@keras.saving.register_keras_serializable("kerasburst")
class PoissonBurstEncoder(Encoder):
    """Poisson-Burst coding: brighter inputs start more bursts, of random length.

    Time is cut into intervals of tau steps. In each, independently, a burst starts with probability
    f(x); its size is N ~ Poisson(lambda) and its spikes fill consecutive steps from the interval's
    first. P(spike at t | x) = f(x) P(N > t mod tau) with the default overflow.

    Args:
        num_steps: T, time steps, at least 1.
        burst_interval: tau, steps, 1 to num_steps. The default 2 is the shortest in which a burst
            can differ from a single spike: it gives num_steps / 2 independent bursts, and the
            accuracy of a short run is bounded by how many there are.
        mean_burst_size: lambda, spikes, above 0.
        intensity_map: f, monotone with f(0) = 0 and f(1) <= 1: "linear" (x), "power" (x**gamma), or a
            callable that Keras can serialise.
        gamma: exponent of "power", above 0; unused otherwise.
        overflow: "truncate" cuts a burst at the end of its interval, "spill" lets it run on into the
            next (logical OR where bursts overlap), cut at num_steps.
        seed: int of at least 0 that fixes the sequence of draws, or None.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, *features)`, values in [0, 1].

    Returns:
        Spikes `(batch, num_steps, *features)`, exactly 0 or 1, in the layer's compute dtype.

    Raises:
        InputError: for bad parameters or inputs outside [0, 1].

    Example:
        >>> encoder = PoissonBurstEncoder(num_steps=6, burst_interval=3, mean_burst_size=2.0)
        >>> p = encoder.spike_probability([[0.5]]).numpy()[0, :, 0]
        >>> [round(float(v), 3) for v in p]  # 0.5 * P(N > 0, 1, 2), twice
        [0.432, 0.297, 0.162, 0.432, 0.297, 0.162]

    References:
        arXiv 2505.04034, Poisson-Burst.
    """

    def __init__(
        self,
        num_steps: int,
        *,
        burst_interval: int = 2,
        mean_burst_size: float = 3.0,
        intensity_map: str | Callable = "linear",
        gamma: float = 2.0,
        overflow: str = "truncate",
        seed: int | None = None,
        **kwargs,
    ):
        functional.check_poisson_burst(num_steps, burst_interval, mean_burst_size, overflow)
        super().__init__(num_steps, seed=seed, **kwargs)
        self.burst_interval = int(burst_interval)
        self.mean_burst_size = float(mean_burst_size)
        self.intensity_map = intensity.deserialize(intensity_map)
        self.gamma = float(gamma)
        self.overflow = overflow
        self._map = intensity.resolve(self.intensity_map, gamma)

    def _parameters(self) -> dict:
        return {
            "burst_interval": self.burst_interval,
            "mean_burst_size": self.mean_burst_size,
            "intensity_map": self._map,
            "overflow": self.overflow,
        }

    def encode(self, x: tf.Tensor, seed) -> tf.Tensor:
        """Give the uint8 spikes of checked intensities `x` for a stateless `seed`."""
        return functional.poisson_burst(x, self.num_steps, seed, **self._parameters())

    def encode_as(self, x: tf.Tensor, seed, dtype) -> tf.Tensor:
        """Give `encode`'s spikes in another dtype; in a graph, which repeats, compiled."""
        compiled = not tf.executing_eagerly()
        return functional.poisson_burst(x, self.num_steps, seed, dtype=dtype, compiled=compiled, **self._parameters())

    def probability(self, x: tf.Tensor) -> tf.Tensor:
        """Give P(spike at t | x) in closed form."""
        return functional.poisson_burst_probability(x, self.num_steps, **self._parameters())

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "burst_interval": self.burst_interval,
            "mean_burst_size": self.mean_burst_size,
            "intensity_map": intensity.serialize(self.intensity_map),
            "gamma": self.gamma,
            "overflow": self.overflow,
        }
