"""Delayed-Burst coding."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from kerasburst.encoders.base import Encoder
from kerasburst.encoders.draws import burst_survival, draws, over_time, reach_of, uniforms
from kerasburst.validation import check_choice, check_float, check_int, fail

OVERFLOWS = ("drop", "clip")


def check_delayed_burst(num_steps, mean_burst_size, margin, overflow, silence) -> None:
    """Check the parameters of Delayed-Burst coding; see `DelayedBurstEncoder`."""
    num_steps = check_int("num_steps", num_steps, low=1)
    check_float("mean_burst_size", mean_burst_size, above=0.0)
    check_float("margin", margin, low=0.0)
    if margin >= num_steps:
        raise fail("margin", f"below num_steps = {num_steps}", margin)
    check_choice("overflow", overflow, OVERFLOWS)
    if silence is not None:
        check_float("silence", silence, low=0.0, high=1.0)


def _log_continue(x: tf.Tensor, num_steps: int, margin: float) -> tf.Tensor:
    """Return log q of the onset delay P(D = d) = (1 - q) q**d; -inf where the mean delay is 0."""
    mean_delay = (1.0 - x) * (num_steps - margin)
    return -tf.math.log1p(1.0 / mean_delay)


def _speaks(x: tf.Tensor, silence: float | None) -> tf.Tensor:
    return tf.ones_like(x, tf.bool) if silence is None else x > silence


def delayed_burst_probability(
    x: tf.Tensor,
    num_steps: int,
    *,
    mean_burst_size: float,
    margin: float,
    overflow: str = "drop",
    silence: float | None = 0.0,
) -> tf.Tensor:
    """Return the exact marginal P(spike at t | x) = sum over d <= t of P(D = d) SF(t - d)."""
    check_delayed_burst(num_steps, mean_burst_size, margin, overflow, silence)
    log_q = _log_continue(x, num_steps, margin)[:, None]
    d = over_time(np.arange(num_steps), x)
    reached = tf.where(d > 0, tf.exp(d * log_q), tf.ones_like(log_q))  # P(D >= d) = q**d
    leaves = -tf.math.expm1(log_q)  # 1 - q
    if overflow == "clip":
        leaves = tf.where(d == num_steps - 1, tf.ones_like(leaves), leaves)
    onset = tf.where(_speaks(x, silence)[:, None], reached * leaves, tf.zeros_like(reached))
    t = np.arange(num_steps)
    sf = burst_survival(mean_burst_size, num_steps)
    since = t[None, :] - t[:, None]  # [d, t]
    kernel = np.where(since >= 0, sf[since.clip(0)], 0.0).astype("float32")
    p = tf.tensordot(onset, kernel, axes=[[1], [0]])  # (batch, *features, t)
    rank = x.shape.rank
    return tf.transpose(p, [0, rank, *range(1, rank)])


def delayed_burst(
    x: tf.Tensor,
    num_steps: int,
    seed,
    *,
    mean_burst_size: float,
    margin: float,
    overflow: str = "drop",
    silence: float | None = 0.0,
    dtype=tf.uint8,
) -> tf.Tensor:
    """Delayed-Burst coding: one burst per feature, the earlier the brighter.

    The onset D is geometric on {0, 1, ...} with mean (1 - x)(num_steps - margin), drawn by inverse
    CDF: D = floor(log1p(-u) / log q). The size N is Poisson, by inverse CDF too. Spikes fall at
    D, D+1, ..., D+N-1, as far as they are inside the window.

    Args:
        x: float32 `(batch, *features)` in [0, 1].
        num_steps: as the other parameters, see `DelayedBurstEncoder`; `margin` has no default here.
        seed: see `kerasburst.encoders.draws`.
        mean_burst_size: lambda.
        margin: m.
        overflow: "drop" or "clip".
        silence: features with x <= silence emit nothing; None lets every feature burst.
        dtype: of the spikes.
    """
    check_delayed_burst(num_steps, mean_burst_size, margin, overflow, silence)
    k = draws(x, 2, seed)
    delay = tf.floor(tf.math.log1p(-uniforms(k[:, 0])) / _log_continue(x, num_steps, margin))
    delay = tf.minimum(delay, num_steps - 1.0 if overflow == "clip" else float(num_steps))
    reach = reach_of(mean_burst_size, num_steps)
    cdf = 1.0 - burst_survival(mean_burst_size, reach)
    size = tf.searchsorted(tf.constant(cdf, tf.float32), tf.reshape(uniforms(k[:, 1]), [-1]), side="right")
    size = tf.where(_speaks(x, silence), tf.reshape(size, tf.shape(delay)), 0)
    # Steps since the onset, in as few bits as hold -num_steps to num_steps; as unsigned, those before it are many.
    few, unsigned = (tf.int8, tf.uint8) if num_steps < 128 else (tf.int32, tf.uint32)
    t = tf.constant(np.arange(num_steps).reshape((1, -1) + (1,) * (x.shape.rank - 1)), few)
    since = tf.bitcast(t - tf.cast(delay, few)[:, None], unsigned)
    return tf.cast(since < tf.cast(size, unsigned)[:, None], dtype)


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
        check_delayed_burst(num_steps, mean_burst_size, margin, overflow, silence)
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
        """Return the uint8 spikes of checked intensities `x` for a stateless `seed`."""
        return delayed_burst(x, self.num_steps, seed, **self._parameters())

    def encode_as(self, x: tf.Tensor, seed, dtype) -> tf.Tensor:
        """Return `encode`'s spikes in another dtype."""
        return delayed_burst(x, self.num_steps, seed, dtype=dtype, **self._parameters())

    def probability(self, x: tf.Tensor) -> tf.Tensor:
        """Return P(spike at t | x) in closed form."""
        return delayed_burst_probability(x, self.num_steps, **self._parameters())
