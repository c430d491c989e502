"""Poisson-Burst coding."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from kerasburst.encoders.base import Encoder
from kerasburst.encoders.draws import below, burst_survival, draws, fused, ops_of, over_time, reach_of, seed_pair
from kerasburst.validation import InputError, check_choice, check_float, check_int, fail, shown

MAPS = ("linear", "power")
OVERFLOWS = ("truncate", "spill")


def linear(x):
    """Return `x`: the map of intensities to themselves."""
    return x


def resolve_map(intensity_map: str | Callable, gamma: float) -> Callable:
    """Return the function that `intensity_map` names, checked on a grid of [0, 1].

    Raises:
        InputError: for an unknown name, or a callable that is not monotone with f(0) = 0, f(1) <= 1.
    """
    check_float("gamma", gamma, above=0.0)
    if not callable(intensity_map):
        if intensity_map not in MAPS:
            raise fail("intensity_map", f"one of {', '.join(MAPS)}, or a callable", intensity_map)
        return linear if intensity_map == "linear" else lambda x: x**gamma
    grid = keras.ops.convert_to_tensor(np.linspace(0.0, 1.0, 257, dtype="float32"))
    values = keras.ops.convert_to_numpy(intensity_map(grid))
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
    start = intensity_map(x)[:, None]
    sf = burst_survival(mean_burst_size, num_steps)
    t = np.arange(num_steps)
    if overflow == "truncate":
        return start * over_time(sf[t % burst_interval], x)
    silent = 1.0
    for k in range(-(-num_steps // burst_interval)):
        since = t - k * burst_interval
        silent = silent * (1.0 - start * over_time(np.where(since >= 0, sf[since.clip(0)], 0.0), x))
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
    parameters = {
        "num_steps": num_steps,
        "burst_interval": burst_interval,
        "mean_burst_size": mean_burst_size,
        "spill": overflow == "spill",
        "dtype": dtype,
    }
    if overflow == "spill" or burst_interval == 1:  # XLA would draw each number again wherever it is used
        return fused(_bursts, x, dtype)(draws(x, -(-num_steps // burst_interval), seed), intensity_map(x), **parameters)
    return fused(_drawn_bursts, x, dtype)(seed_pair(seed), intensity_map(x), **parameters)


def _drawn_bursts(seed, start, *, num_steps: int, burst_interval: int, **parameters):
    k = draws(start, -(-num_steps // burst_interval), seed)
    return _bursts(k, start, num_steps=num_steps, burst_interval=burst_interval, **parameters)


def _bursts(k, start, *, num_steps: int, burst_interval: int, mean_burst_size: float, spill: bool, dtype: str):
    """Return the spikes of the draws `k`, one for each interval, and the probability `start` of a burst."""
    ops = ops_of(k)
    batch, *features = ops.shape(start)
    intervals = -(-num_steps // burst_interval)
    start = start[:, None]
    reach = reach_of(mean_burst_size, num_steps)
    sf = burst_survival(mean_burst_size, intervals * burst_interval).astype("float32").tolist()
    at = []  # the spikes at each offset of all intervals
    for offset in range(burst_interval):
        spikes = below(k, start * sf[offset])
        for lag in range(1, intervals if spill else 1):
            since = lag * burst_interval + offset
            if since >= reach:
                break
            older = below(k[:, :-lag], start * sf[since])
            spikes = ops.logical_or(spikes, ops.concatenate([ops.zeros_like(spikes[:, :lag]), older], axis=1))
        at.append(ops.cast(spikes, dtype))
    spikes = ops.reshape(ops.stack(at, axis=2), (batch, intervals * burst_interval, *features))
    return spikes[:, :num_steps]


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

    def _arguments(self) -> dict:
        return {
            "burst_interval": self.burst_interval,
            "mean_burst_size": self.mean_burst_size,
            "intensity_map": self._map,
            "overflow": self.overflow,
        }

    def encode_as(self, x, seed, dtype: str):
        """Return the spikes of checked intensities `x` for a stateless `seed`."""
        return poisson_burst(x, self.num_steps, seed, dtype=dtype, **self._arguments())

    def probability(self, x):
        """Return P(spike at t | x) in closed form."""
        return poisson_burst_probability(x, self.num_steps, **self._arguments())
