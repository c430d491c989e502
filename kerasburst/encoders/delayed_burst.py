"""Delayed-Burst coding."""

from __future__ import annotations

import keras
import numpy as np

from kerasburst.encoders.base import Encoder
from kerasburst.encoders.draws import burst_survival, draws, fused, ops_of, over_time, reach_of, uniforms
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


def delayed_burst_probability(
    x,
    num_steps: int,
    *,
    mean_burst_size: float,
    margin: float,
    overflow: str = "drop",
    silence: float | None = 0.0,
):
    """Return the exact marginal P(spike at t | x) = sum over d <= t of P(D = d) SF(t - d).

    With P(D = d) = (1 - q) q**d the sum at t is q times that at t - 1, plus (1 - q) SF(t).
    """
    check_delayed_burst(num_steps, mean_burst_size, margin, overflow, silence)
    ops = ops_of(x)
    mean_delay = (1.0 - x) * (num_steps - margin)
    leaves = 1.0 / (1.0 + mean_delay)  # 1 - q
    q = mean_delay * leaves
    sf = burst_survival(mean_burst_size, num_steps).tolist()
    p = [leaves * sf[0]]
    for t in range(1, num_steps):
        p.append(q * p[-1] + leaves * sf[t])
    if overflow == "clip":
        p[-1] = p[-1] + q**num_steps * sf[0]  # the onsets that would come after the window
    p = ops.stack(p, axis=1)
    return p if silence is None else ops.where((x > silence)[:, None], p, ops.zeros_like(p))


def delayed_burst(
    x,
    num_steps: int,
    seed,
    *,
    mean_burst_size: float,
    margin: float,
    overflow: str = "drop",
    silence: float | None = 0.0,
    dtype: str = "uint8",
):
    """Delayed-Burst coding: one burst per feature, the earlier the brighter.

    The onset D is geometric on {0, 1, ...} with mean (1 - x)(num_steps - margin), drawn by inverse
    CDF: D = floor(log1p(-u) / log q). The size N is Poisson, by inverse CDF too. Spikes fall at
    D, D+1, ..., D+N-1, as far as they are inside the window. The parameters are those of `DelayedBurstEncoder`.
    """
    check_delayed_burst(num_steps, mean_burst_size, margin, overflow, silence)
    burst = fused(_burst, x, dtype, exact=False)
    return burst(
        draws(x, 2, seed),
        x,
        num_steps=num_steps,
        mean_burst_size=mean_burst_size,
        margin=margin,
        clip=overflow == "clip",
        silence=silence,
        dtype=dtype,
    )


def _burst(k, x, *, num_steps: int, mean_burst_size: float, margin: float, clip: bool, silence, dtype: str):
    """Return the spikes of two draws `k` for each feature, of its onset and of its size."""
    ops = ops_of(x)
    log_q = -ops.log1p(1.0 / ((1.0 - x) * (num_steps - margin)))  # -inf where the mean delay is 0
    delay = ops.floor(ops.log1p(-uniforms(k[:, 0])) / log_q)
    delay = ops.minimum(delay, num_steps - 1.0 if clip else float(num_steps))
    few = "uint8" if num_steps < 128 else "int32"
    cdf = 1.0 - burst_survival(mean_burst_size, reach_of(mean_burst_size, num_steps))
    size = sum(ops.cast(k[:, 1] >= int(least), few) for least in np.ceil(cdf.astype("float32") * 2.0**23))
    if silence is not None:
        size = ops.where(x > silence, size, ops.zeros_like(size))
    since = over_time(np.arange(num_steps), x, few) - ops.cast(delay, few)[:, None]
    spikes = since < size[:, None]  # steps before the onset are, as bytes, many after it
    if few == "int32":
        spikes = spikes & (since >= 0)
    return ops.cast(spikes, dtype)


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

    def _arguments(self) -> dict:
        return {
            "mean_burst_size": self.mean_burst_size,
            "margin": self.margin,
            "overflow": self.overflow,
            "silence": self.silence,
        }

    def encode_as(self, x, seed, dtype: str):
        """Return the spikes of checked intensities `x` for a stateless `seed`."""
        return delayed_burst(x, self.num_steps, seed, dtype=dtype, **self._arguments())

    def probability(self, x):
        """Return P(spike at t | x) in closed form."""
        return delayed_burst_probability(x, self.num_steps, **self._arguments())
