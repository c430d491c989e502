"""Delayed-Burst coding."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from kerasburst.encoders.bursts import BurstEncoder, only_gradient
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
    sf = burst_survival(mean_burst_size, num_steps).tolist()
    return _marginals(x, x, sf, num_steps, margin, overflow == "clip", silence)


def _marginals(x, mapped, sf, num_steps: int, margin: float, clip: bool, silence: float | None):
    """Return the marginals of intensities `x`, of f(x) in `mapped`, and of the table `sf` of SF."""
    ops = ops_of(x)
    leaves, q = _onset(mapped, num_steps, margin)
    p = [leaves * sf[0]]
    for t in range(1, num_steps):
        p.append(q * p[-1] + leaves * sf[t])
    if clip:
        p[-1] = p[-1] + q**num_steps * sf[0]  # the onsets that would come after the window
    p = ops.stack(p, axis=1)
    return p if silence is None else ops.where((x > silence)[:, None], p, ops.zeros_like(p))


def _onset(mapped, num_steps: int, margin: float):
    """Return 1 - q and q of the onset's law P(D = d) = (1 - q) q**d, for f(x) in `mapped`."""
    mean_delay = (1.0 - mapped) * (num_steps - margin)
    leaves = 1.0 / (1.0 + mean_delay)
    return leaves, mean_delay * leaves


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
    cdf = 1.0 - burst_survival(mean_burst_size, reach_of(mean_burst_size, num_steps))
    return burst(
        draws(x, 2, seed),
        x,
        x,
        least=tuple(int(k) for k in np.ceil(cdf.astype("float32") * 2.0**23)),
        num_steps=num_steps,
        margin=margin,
        clip=overflow == "clip",
        silence=silence,
        dtype=dtype,
    )


def _burst(k, x, mapped, *, least, num_steps: int, margin: float, clip: bool, silence, dtype: str):
    """Return the spikes of two draws `k` for each feature, of its onset and of its size.

    `mapped` is f(x); a burst has more than j spikes where the second draw is at least `least[j]`.
    """
    delay, size, few = _drawn(k, x, mapped, least, num_steps, margin, clip, silence)
    ops = ops_of(x)
    since = over_time(np.arange(num_steps), x, few) - ops.cast(delay, few)[:, None]
    spikes = since < size[:, None]  # steps before the onset are, as bytes, many after it
    if few == "int32":
        spikes = spikes & (since >= 0)
    return ops.cast(spikes, dtype)


def _drawn(k, x, mapped, least, num_steps: int, margin: float, clip: bool, silence):
    """Return delays, sizes, and the type that can count them."""
    ops = ops_of(x)
    log_q = -ops.log1p(1.0 / ((1.0 - mapped) * (num_steps - margin)))  # -inf where the mean delay is 0
    delay = ops.floor(ops.log1p(-uniforms(k[:, 0])) / log_q)
    delay = ops.minimum(delay, num_steps - 1.0 if clip else float(num_steps))
    few = "uint8" if num_steps < 128 else "int32"
    size = sum(ops.cast(k[:, 1] >= each, few) for each in least)
    if silence is not None:
        size = ops.where(x > silence, size, ops.zeros_like(size))
    return delay, size, few


@keras.saving.register_keras_serializable("kerasburst")
class DelayedBurstEncoder(BurstEncoder):
    """Delayed-Burst coding: one burst per feature, earlier for brighter inputs.

    The onset D is geometric on {0, 1, ...} with mean (1 - f(x))(T - margin), the size N ~ Poisson(lambda);
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
        intensity_map: f, monotone with f(0) = 0 and f(1) <= 1: "linear" (x), "power" (x**gamma), or a
            callable that Keras can serialise.
        gamma: exponent of "power", above 0; unused otherwise.
        trainable_burst_size: whether lambda is trained, as the weight `mean_burst_size`, which stays at 0.001 or more.
        trainable_intensity_map: whether f is trained, as the weight `intensity_map`: the exponent of "power", which
            stays at 0.001 or more; "linear" becomes piecewise linear on 8 equal pieces, and the weight holds their
            slopes, which stay positive, with f(1) at most 1. Not for a callable.
        per_feature: whether each input feature has trained values of its own, instead of one for all.
        gradient: how trained parameters get a gradient from random spikes. "straight_through": the onset is at most t
            where u < P(D <= t), the size is above j where another uniform u < P(N > j), and the backward pass uses the
            derivative of sigmoid((P - u) / temperature) in either P, which is biased. "score_function": no gradient
            passes the spikes; `kerasburst.EncodedModel` adds an unbiased estimate from `log_prob`, whose variance
            grows with the number of features.
        temperature: width of the derivative of "straight_through", in probability, above 0. Smaller: less bias, more
            variance.
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
        intensity_map: str | Callable = "linear",
        gamma: float = 2.0,
        trainable_burst_size: bool = False,
        trainable_intensity_map: bool = False,
        per_feature: bool = False,
        gradient: str = "straight_through",
        temperature: float = 0.1,
        seed: int | None = None,
        **kwargs,
    ):
        if margin is None:
            margin = check_int("num_steps", num_steps, low=1) * 4 // 5
        check_delayed_burst(num_steps, mean_burst_size, margin, overflow, silence)
        super().__init__(
            num_steps,
            mean_burst_size=mean_burst_size,
            intensity_map=intensity_map,
            gamma=gamma,
            trainable_burst_size=trainable_burst_size,
            trainable_intensity_map=trainable_intensity_map,
            per_feature=per_feature,
            gradient=gradient,
            temperature=temperature,
            seed=seed,
            **kwargs,
        )
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
        if not self.is_trained and self.intensity_map == "linear":
            return delayed_burst(x, self.num_steps, seed, dtype=dtype, **self._arguments())
        ops, k, mapped, sf = ops_of(x), draws(x, 2, seed), self.mapped(x), self.sizes(x, self.num_steps)
        where: dict = {"num_steps": self.num_steps, "margin": self.margin, "clip": self.overflow == "clip"}
        least = [ops.cast(ops.ceil((1.0 - sf[j]) * 2.0**23), "int32") for j in range(self.num_steps)]
        spikes = _burst(k, x, mapped, least=least, silence=self.silence, dtype=dtype, **where)
        temperature = self.softness(dtype)
        if temperature is None:
            return spikes
        delay, size, _ = _drawn(k, x, mapped, least, silence=self.silence, **where)
        _, q = _onset(mapped, self.num_steps, self.margin)
        begun = [1.0 - power for power in _powers(q, self.num_steps)[1:]]  # P(D <= t)
        if where["clip"]:
            begun[-1] = ops.ones_like(q)
        begun = ops.stack(begun, axis=1) - uniforms(k[:, :1])
        begun = only_gradient(ops.sigmoid(begun / temperature))
        lasts = over_time(sf, x) - (1.0 - uniforms(k[:, 1:]))
        lasts = only_gradient(ops.sigmoid(lasts / temperature))
        # A spike is there from the onset to the end: with the size held, both move with the onset; with the onset
        # held, the size decides about each step after it.
        moved = begun - _later(begun, size) + _later(lasts, delay)
        if self.silence is not None:
            moved = ops.where((x > self.silence)[:, None], moved, 0.0)
        return spikes + ops.cast(moved, dtype)

    def probability(self, x):
        """Return P(spike at t | x) in closed form."""
        clip, sf = self.overflow == "clip", self.sizes(x, self.num_steps)
        return _marginals(x, self.mapped(x), sf, self.num_steps, self.margin, clip, self.silence)

    def train_log_prob(self, x, spikes):
        """Return the log-probability of each feature's spikes, `(batch, *features)`."""
        ops, steps = keras.ops, range(self.num_steps)
        sf, pmf = self.sizes(x, self.num_steps), self.size_probabilities(x, self.num_steps)
        leaves, q = _onset(self.mapped(x), self.num_steps, self.margin)
        *powers, outside = _powers(q, self.num_steps)
        onset = [leaves * power for power in powers]
        if self.overflow == "clip":
            onset[-1], outside = onset[-1] + outside, ops.zeros_like(q)
        count, last = ops.sum(spikes, axis=1), spikes[:, -1]
        of_size = sum(ops.where(count == t + 1, ops.where(last > 0.5, sf[t], pmf[t + 1]), 0.0) for t in steps[:-1])
        of_size = ops.where(count == self.num_steps, sf[self.num_steps - 1], of_size)
        before = ops.concatenate([ops.zeros_like(spikes[:, :1]), spikes[:, :-1]], axis=1)
        begins = spikes * (1.0 - before)
        of_onset = sum(begins[:, t] * onset[t] for t in steps)
        one_burst = ops.sum(begins, axis=1) == 1.0
        of_none = 1.0 - sf[0] * (1.0 - outside)
        p = ops.where(one_burst, of_onset * of_size, ops.where(count == 0.0, of_none, 0.0))
        if self.silence is not None:
            p = ops.where(x > self.silence, p, ops.cast(count == 0.0, p.dtype))
        return ops.log(p)


def _powers(q, most: int) -> list:
    """Return q**0 to q**most, as products: a power's derivative is NaN at 0."""
    powers = [keras.ops.ones_like(q)]
    for _ in range(most):
        powers.append(powers[-1] * q)
    return powers


def _later(values, steps):
    """Return `values` `(batch, time, *features)` moved on by `steps` `(batch, *features)`; zeros come in."""
    ops = keras.ops
    at = over_time(np.arange(values.shape[1]), steps, "int32") - ops.cast(steps, "int32")[:, None]
    found = ops.take_along_axis(values, ops.maximum(at, 0), axis=1)
    return ops.where(at >= 0, found, 0.0)
