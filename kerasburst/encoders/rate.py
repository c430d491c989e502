"""Rate coding."""

from __future__ import annotations

import keras
import numpy as np

from kerasburst import backend
from kerasburst.encoders.base import Encoder
from kerasburst.encoders.draws import below, draws, fused, ops_of, over_time
from kerasburst.validation import check_choice, check_float, check_int

MODES = ("bernoulli", "regular")


def check_rate(num_steps, mode, gain) -> None:
    """Check the parameters of rate coding; see `RateEncoder`."""
    check_int("num_steps", num_steps, low=1)
    check_choice("mode", mode, MODES)
    check_float("gain", gain, low=0.0)


def rate_probability(x, num_steps: int, *, gain: float = 1.0):
    """Return P(spike at t | x) = clip(gain x, 0, 1) at every step, `(batch, num_steps, *features)`."""
    ops = ops_of(x)
    return ops.repeat(ops.clip(gain * x, 0.0, 1.0)[:, None], num_steps, axis=1)


def rate(x, num_steps: int, seed, *, gain: float = 1.0, dtype: str = "uint8"):
    """Bernoulli rate coding: a spike at every step with probability p = clip(gain x, 0, 1).

    Example:
        >>> spikes = rate(keras.ops.convert_to_tensor([[0.0, 1.0]]), num_steps=3, seed=7)
        >>> spikes.numpy().tolist()
        [[[0, 1], [0, 1], [0, 1]]]
    """
    check_rate(num_steps, "bernoulli", gain)
    p = ops_of(x).clip(gain * x, 0.0, 1.0)
    return fused(_below, x, dtype)(draws(x, num_steps, seed), p[:, None], dtype=dtype)


def _below(k, p, *, dtype: str):
    return ops_of(k).cast(below(k, p), dtype)


def regular_rate(x, num_steps: int, *, gain: float = 1.0, dtype: str = "uint8"):
    """Deterministic rate coding: floor(p (t+1)) - floor(p t), evenly spaced.

    The floors are taken in float64 with p raised by two float32 roundings, so that an intensity
    k / num_steps stored in float32 gives exactly k spikes.

    Example:
        >>> regular_rate(keras.ops.convert_to_tensor([[0.5]]), num_steps=4).numpy()[0, :, 0].tolist()
        [0, 1, 0, 1]
    """
    check_rate(num_steps, "regular", gain)
    return fused(_regular, x, dtype)(x, num_steps=num_steps, gain=float(gain), dtype=dtype)


def _regular(x, *, num_steps: int, gain: float, dtype: str):
    ops = ops_of(x)
    with backend.of(x).float64():
        p = ops.clip(gain * ops.cast(x, "float64"), 0.0, 1.0)[:, None] * (1.0 + 2.0**-22)
        count = ops.floor(p * over_time(np.arange(num_steps + 1), x, "float64"))
        return ops.cast(count[:, 1:] - count[:, :-1], dtype)


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
        >>> encoder(keras.ops.convert_to_tensor([[0.25, 1.0]])).numpy()[0].T.astype(int).tolist()
        [[0, 0, 0, 1], [1, 1, 1, 1]]

    References:
        arXiv 2505.04034, the baseline encoding.
    """

    def __init__(
        self, num_steps: int, *, mode: str = "bernoulli", gain: float = 1.0, seed: int | None = None, **kwargs
    ):
        check_rate(num_steps, mode, gain)
        super().__init__(num_steps, seed=seed, **kwargs)
        self.mode = mode
        self.gain = float(gain)
        self.random = mode == "bernoulli"

    def encode_as(self, x, seed, dtype: str):
        """Return the spikes of checked intensities `x` for a stateless `seed`."""
        if self.random:
            return rate(x, self.num_steps, seed, gain=self.gain, dtype=dtype)
        return regular_rate(x, self.num_steps, gain=self.gain, dtype=dtype)

    def probability(self, x):
        """Return P(spike at t | x): p at every step, or the spikes themselves in mode "regular"."""
        if self.random:
            return rate_probability(x, self.num_steps, gain=self.gain)
        return self.encode_as(x, None, "float32")
