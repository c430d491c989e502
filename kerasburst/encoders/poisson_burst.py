"""Poisson-Burst coding."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kerasburst.encoders.base import Encoder
from kerasburst.encoders.draws import below, burst_survival, draws, over_time, reach_of
from kerasburst.validation import InputError, check_choice, check_float, check_int, fail, shown

MAPS = ("linear", "power")
OVERFLOWS = ("truncate", "spill")


def resolve_map(intensity_map: str | Callable, gamma: float) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function that `intensity_map` names, checked on a grid of [0, 1].

    Raises:
        InputError: for an unknown name, or a callable that is not monotone with f(0) = 0, f(1) <= 1.
    """
    check_float("gamma", gamma, above=0.0)
    if not callable(intensity_map):
        if intensity_map not in MAPS:
            raise fail("intensity_map", f"one of {', '.join(MAPS)}, or a callable", intensity_map)
        return tf.identity if intensity_map == "linear" else lambda x: x**gamma
    values = np.asarray(intensity_map(tf.linspace(0.0, 1.0, 257)))
    good = values.shape == (257,) and values[0] == 0.0 and values[-1] <= 1.0 and np.all(np.diff(values) >= 0.0)
    if not good:
        raise InputError(
            "intensity_map must be an elementwise monotone function with f(0) = 0 and f(1) <= 1, "
            f"received {shown(intensity_map)}"
        )
    return intensity_map


def check_poisson_burst(num_steps, burst_interval, mean_burst_size, overflow) -> None:
    """Check the parameters of Poisson-Burst coding; see `PoissonBurstEncoder`."""
    num_steps = check_int("num_steps", num_steps, low=1)
    interval = check_int("burst_interval", burst_interval, low=1)
    if interval > num_steps:
        raise fail("burst_interval", f"at most num_steps = {num_steps}", interval)
    check_float("mean_burst_size", mean_burst_size, above=0.0)
    check_choice("overflow", overflow, OVERFLOWS)


def poisson_burst_probability(
    x: tf.Tensor,
    num_steps: int,
    *,
    burst_interval: int,
    mean_burst_size: float,
    intensity_map: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    overflow: str = "truncate",
) -> tf.Tensor:
    """Return the exact marginal P(spike at t | x) of `poisson_burst`.

    `truncate`: f(x) SF(t mod tau). `spill`: 1 - prod over k <= t div tau of (1 - f(x) SF(t - k tau)).
    """
    check_poisson_burst(num_steps, burst_interval, mean_burst_size, overflow)
    start = intensity_map(x)[:, None]
    sf = burst_survival(mean_burst_size, num_steps)
    t = np.arange(num_steps)
    if overflow == "truncate":
        return start * over_time(sf[t % burst_interval], x)
    silent = tf.ones_like(start)
    for k in range(-(-num_steps // burst_interval)):
        since = t - k * burst_interval
        silent = silent * (1.0 - start * over_time(np.where(since >= 0, sf[since.clip(0)], 0.0), x))
    return 1.0 - silent


def poisson_burst(
    x: tf.Tensor,
    num_steps: int,
    seed,
    *,
    burst_interval: int,
    mean_burst_size: float,
    intensity_map: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    overflow: str = "truncate",
    dtype=tf.uint8,
    compiled: bool = False,
) -> tf.Tensor:
    """Poisson-Burst coding: in each interval a burst of Poisson size starts with probability f(x).

    One uniform u per feature and interval: a spike at offset j of the interval if u < f(x) SF(j).

    Args:
        x: float32 `(batch, *features)` in [0, 1].
        num_steps: as the other parameters, see `PoissonBurstEncoder`; `intensity_map` is a function here.
        seed: see `kerasburst.encoders.draws`.
        burst_interval: tau.
        mean_burst_size: lambda.
        intensity_map: f.
        overflow: "truncate" or "spill".
        dtype: of the spikes.
        compiled: compile with XLA for the shape: half the time where the shape repeats.
    """
    check_poisson_burst(num_steps, burst_interval, mean_burst_size, overflow)
    bursts = _compiled_bursts if compiled else _bursts
    spikes = bursts(
        x,
        intensity_map(x),
        seed,
        num_steps=num_steps,
        burst_interval=burst_interval,
        mean_burst_size=mean_burst_size,
        spill=overflow == "spill",
        dtype=tf.as_dtype(dtype),
    )
    spikes.set_shape([x.shape[0], num_steps, *x.shape[1:]])
    return spikes


def _bursts(x, start, seed, *, num_steps: int, burst_interval: int, mean_burst_size: float, spill: bool, dtype):
    intervals = -(-num_steps // burst_interval)
    k = draws(x, intervals, seed)
    start = start[:, None]
    reach = reach_of(mean_burst_size, num_steps)
    sf = burst_survival(mean_burst_size, intervals * burst_interval).astype("float32")
    at = []  # the spikes at each offset of all intervals
    for offset in range(burst_interval):
        spikes = below(k, start * sf[offset])
        for lag in range(1, intervals if spill else 1):
            since = lag * burst_interval + offset
            if since >= reach:
                break
            older = below(k[:, :-lag], start * sf[since])
            spikes |= tf.concat([tf.zeros_like(spikes[:, :lag]), older], axis=1)
        at.append(tf.cast(spikes, dtype))
    shape = tf.shape(x)
    spikes = tf.reshape(tf.stack(at, axis=2), tf.concat([shape[:1], [intervals * burst_interval], shape[1:]], axis=0))
    return spikes[:, :num_steps]


_compiled_bursts = tf.function(_bursts, jit_compile=True, autograph=False)


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
        check_poisson_burst(num_steps, burst_interval, mean_burst_size, overflow)
        super().__init__(num_steps, seed=seed, **kwargs)
        self.burst_interval = int(burst_interval)
        self.mean_burst_size = float(mean_burst_size)
        self.intensity_map = (
            keras.saving.deserialize_keras_object(intensity_map) if isinstance(intensity_map, dict) else intensity_map
        )
        self.gamma = check_float("gamma", gamma, above=0.0)
        self.overflow = overflow
        self._map = resolve_map(self.intensity_map, gamma)

    def _parameters(self) -> dict:
        return {
            "burst_interval": self.burst_interval,
            "mean_burst_size": self.mean_burst_size,
            "intensity_map": self._map,
            "overflow": self.overflow,
        }

    def encode(self, x: tf.Tensor, seed) -> tf.Tensor:
        """Return the uint8 spikes of checked intensities `x` for a stateless `seed`."""
        return poisson_burst(x, self.num_steps, seed, **self._parameters())

    def encode_as(self, x: tf.Tensor, seed, dtype) -> tf.Tensor:
        """Return `encode`'s spikes in another dtype; in a graph, which repeats, compiled."""
        compiled = not tf.executing_eagerly()
        return poisson_burst(x, self.num_steps, seed, dtype=dtype, compiled=compiled, **self._parameters())

    def probability(self, x: tf.Tensor) -> tf.Tensor:
        """Return P(spike at t | x) in closed form."""
        return poisson_burst_probability(x, self.num_steps, **self._parameters())
