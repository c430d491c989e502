"""Poisson-Burst coding."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from kerasburst.encoders.bursts import BurstEncoder, linear, straight_through
from kerasburst.encoders.draws import (
    below,
    burst_survival,
    draws,
    fused,
    ops_of,
    ordered,
    over_time,
    reach_of,
    seed_pair,
    uniforms,
)
from kerasburst.validation import check_choice, check_float, check_int, fail

OVERFLOWS = ("truncate", "spill")


def check_poisson_burst(num_steps, burst_interval, mean_burst_size, overflow) -> None:
    """Check the parameters of Poisson-Burst coding; see `PoissonBurstEncoder`."""
    num_steps = check_int("num_steps", num_steps, low=1)
    interval = check_int("burst_interval", burst_interval, low=1)
    if interval > num_steps:
        raise fail("burst_interval", f"at most num_steps = {num_steps}", interval)
    check_float("mean_burst_size", mean_burst_size, above=0.0)
    check_choice("overflow", overflow, OVERFLOWS)


def poisson_burst_probability(
    x,
    num_steps: int,
    *,
    burst_interval: int,
    mean_burst_size: float,
    intensity_map: Callable = linear,
    overflow: str = "truncate",
):
    """Return the exact marginal P(spike at t | x) of `poisson_burst`.

    `truncate`: f(x) SF(t mod tau). `spill`: 1 - prod over k <= t div tau of (1 - f(x) SF(t - k tau)).
    """
    check_poisson_burst(num_steps, burst_interval, mean_burst_size, overflow)
    return _marginals(intensity_map(x), burst_survival(mean_burst_size, num_steps), burst_interval, overflow)


def _marginals(start, sf, burst_interval: int, overflow: str):
    """Return the marginals of the probability `start` of a burst, `(batch, *features)`, and the table `sf` of SF."""
    num_steps = sf.shape[0]
    t = np.arange(num_steps)
    if overflow == "truncate":
        return start[:, None] * over_time(ordered(sf, t % burst_interval), start)
    silent = 1.0
    for k in range(-(-num_steps // burst_interval)):
        since = t - k * burst_interval
        lasts = over_time(ordered(sf, since.clip(0)), start) * over_time(np.float32(since >= 0), start)
        silent = silent * (1.0 - start[:, None] * lasts)
    return 1.0 - silent


def poisson_burst(
    x,
    num_steps: int,
    seed,
    *,
    burst_interval: int,
    mean_burst_size: float,
    intensity_map: Callable = linear,
    overflow: str = "truncate",
    dtype: str = "uint8",
):
    """Poisson-Burst coding: in each interval a burst of Poisson size starts with probability f(x).

    One uniform u per feature and interval: a spike at offset j of the interval if u < f(x) SF(j). The parameters are
    those of `PoissonBurstEncoder`; `intensity_map` is a function here.
    """
    check_poisson_burst(num_steps, burst_interval, mean_burst_size, overflow)
    intervals, spill = -(-num_steps // burst_interval), overflow == "spill"
    sf = burst_survival(mean_burst_size, intervals * burst_interval).astype("float32").tolist()
    parameters = {
        "num_steps": num_steps,
        "burst_interval": burst_interval,
        "sf": tuple(sf[: max(burst_interval, reach_of(mean_burst_size, num_steps))]),
        "spill": spill,
        "dtype": dtype,
    }
    if spill or burst_interval == 1:  # XLA would draw each number again wherever it is used
        return fused(_bursts, x, dtype)(draws(x, intervals, seed), intensity_map(x), **parameters)
    return fused(_drawn_bursts, x, dtype)(seed_pair(seed), intensity_map(x), **parameters)


def _drawn_bursts(seed, start, *, num_steps: int, burst_interval: int, **parameters):
    k = draws(start, -(-num_steps // burst_interval), seed)
    return _bursts(k, start, num_steps=num_steps, burst_interval=burst_interval, **parameters)


def _bursts(k, start, *, num_steps: int, burst_interval: int, sf, spill: bool, dtype: str, softness=None):
    """Return the spikes of the draws `k`, one for each interval, and the probability `start` of a burst.

    `sf` holds SF for as many steps as a burst can last; `softness` is the temperature of the straight-through
    derivative, None for none.
    """
    ops = ops_of(k)
    batch, *features = ops.shape(start)
    intervals = -(-num_steps // burst_interval)
    start = start[:, None]
    fire, either = below, ops.logical_or
    if softness is not None:
        k, either = uniforms(k), lambda one, other: one + other - one * other
        fire = lambda u, p: straight_through(p - u, softness)  # noqa: E731
    at = []  # the spikes at each offset of all intervals
    for offset in range(burst_interval):
        spikes = fire(k, start * sf[offset])
        for lag in range(1, intervals if spill else 1):
            since = lag * burst_interval + offset
            if since >= len(sf):
                break
            older = fire(k[:, :-lag], start * sf[since])
            spikes = either(spikes, ops.concatenate([ops.zeros_like(spikes[:, :lag]), older], axis=1))
        at.append(ops.cast(spikes, dtype))
    spikes = ops.reshape(ops.stack(at, axis=2), (batch, intervals * burst_interval, *features))
    return spikes[:, :num_steps]


@keras.saving.register_keras_serializable("kerasburst")
class PoissonBurstEncoder(BurstEncoder):
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
        trainable_burst_size: whether lambda is trained, as the weight `mean_burst_size`, which stays at 0.001 or more.
        trainable_intensity_map: whether f is trained, as the weight `intensity_map`: the exponent of "power", which
            stays at 0.001 or more; "linear" becomes piecewise linear on 8 equal pieces, and the weight holds their
            slopes, which stay positive, with f(1) at most 1. Not for a callable.
        per_feature: whether each input feature has trained values of its own, instead of one for all.
        gradient: how trained parameters get a gradient from random spikes. "straight_through": a spike is 1 if u < p,
            with one uniform u for each interval, and the backward pass uses the derivative of
            sigmoid((p - u) / temperature) in p, which is biased. "score_function": no gradient passes the spikes;
            `kerasburst.EncodedModel` adds an unbiased estimate from `log_prob`, whose variance grows with the number
            of features.
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
        >>> encoder = PoissonBurstEncoder(num_steps=6, burst_interval=3, mean_burst_size=2.0)
        >>> p = encoder.spike_probability([[0.5]]).numpy()[0, :, 0]
        >>> [round(float(v), 3) for v in p]  # 0.5 * P(N > 0, 1, 2), twice
        [0.432, 0.297, 0.162, 0.432, 0.297, 0.162]
        >>> trained = PoissonBurstEncoder(num_steps=6, trainable_burst_size=True, trainable_intensity_map=True)
        >>> trained.build((None, 4))
        >>> [(weight.name, tuple(weight.shape)) for weight in trained.trainable_weights]
        [('mean_burst_size', ()), ('intensity_map', (8,))]

    References:
        arXiv 2505.04034, Poisson-Burst. Straight-through gradients: Bengio, Leonard, Courville 2013.
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
        trainable_burst_size: bool = False,
        trainable_intensity_map: bool = False,
        per_feature: bool = False,
        gradient: str = "straight_through",
        temperature: float = 0.1,
        seed: int | None = None,
        **kwargs,
    ):
        check_poisson_burst(num_steps, burst_interval, mean_burst_size, overflow)
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
        self.burst_interval = int(burst_interval)
        self.overflow = overflow

    def _arguments(self) -> dict:
        return {
            "burst_interval": self.burst_interval,
            "mean_burst_size": self.mean_burst_size,
            "intensity_map": self._map,
            "overflow": self.overflow,
        }

    def encode_as(self, x, seed, dtype: str):
        """Return the spikes of checked intensities `x` for a stateless `seed`."""
        if not self.is_trained:
            return poisson_burst(x, self.num_steps, seed, dtype=dtype, **self._arguments())
        intervals, spill = -(-self.num_steps // self.burst_interval), self.overflow == "spill"
        length = intervals * self.burst_interval if spill else self.burst_interval
        sf = self.sizes(x, length)
        return _bursts(
            draws(x, intervals, seed),
            self.mapped(x),
            num_steps=self.num_steps,
            burst_interval=self.burst_interval,
            sf=[sf[j] for j in range(length)],
            spill=spill,
            dtype=dtype,
            softness=self.softness(dtype),
        )

    def probability(self, x):
        """Return P(spike at t | x) in closed form."""
        return _marginals(self.mapped(x), self.sizes(x, self.num_steps), self.burst_interval, self.overflow)

    def train_log_prob(self, x, spikes):
        """Return the log-probability of each feature's spikes, `(batch, *features)`.

        It follows how many spikes of the bursts begun so far are still to come, from step to step.
        """
        ops, most = keras.ops, self.burst_interval if self.overflow == "truncate" else self.num_steps
        start, sf, pmf = self.mapped(x), self.sizes(x, most), self.size_probabilities(x, most)
        sizes = [1.0 - start * sf[0], *(start * pmf[m] for m in range(1, most)), start * sf[most - 1]]
        sizes = ops.stack(sizes, axis=-1)  # of a burst, 0 to most
        at_most = ops.cumsum(sizes, axis=-1)
        left = ops.zeros_like(sizes) + ops.convert_to_tensor(np.eye(most + 1, dtype="float32")[0])
        log_p = ops.zeros_like(x)
        for t in range(self.num_steps):
            if t % self.burst_interval == 0:
                fewer = ops.cumsum(left, axis=-1) - left
                left = left * at_most + fewer * sizes
            silent = ops.zeros_like(left[..., 1:])
            after_spike = ops.concatenate([left[..., 1:], silent[..., :1]], axis=-1)
            after_none = ops.concatenate([left[..., :1], silent], axis=-1)
            left = ops.where(spikes[:, t, ..., None] > 0.5, after_spike, after_none)
            total = ops.sum(left, axis=-1)
            log_p = log_p + ops.log(total)
            left = left / ops.where(total > 0.0, total, 1.0)[..., None]
        return log_p
