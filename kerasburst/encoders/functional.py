"""The encoders' mathematics: pure, stateless functions from intensities to spikes.

Every function takes intensities `x` of shape `(batch, *features)` with values in [0, 1] and gives
`(batch, num_steps, *features)`: uint8 spikes, exactly 0 or 1, or float32 probabilities. Nothing
loops over time and nothing rejects samples: one uniform decides when a burst starts and how long it
is, because P(burst and N > j) = f(x) SF(j), where SF(j) = P(N > j), N ~ Poisson(mean_burst_size).

Randomness is counter-based. `seed` is an int, or a pair of ints for the whole batch, or a
`(batch, 2)` tensor with a pair for each example; an example's spikes then depend on its own pair
and its own intensities alone, whatever batch it travels in.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from scipy import special

from kerasburst.validation import InputError, check_choice, check_float, check_int, fail

RATE_MODES = ("bernoulli", "regular")
POISSON_BURST_OVERFLOWS = ("truncate", "spill")
DELAYED_BURST_OVERFLOWS = ("drop", "clip")

# float32 uniforms are multiples of 2**-23: a probability below half of that never decides a spike.
_RESOLUTION = 2.0**-24


# Inputs ---------------------------------------------------------------------------------------


def check_intensity(x, argument: str = "inputs") -> tf.Tensor:
    """Return `x` as a float32 tensor `(batch, *features)` after checking its values.

    Args:
        x: array or tensor of rank 2 or more, values in [0, 1].
        argument: the name an error uses.

    Raises:
        InputError: eagerly, for a missing batch axis, a value outside [0, 1], or NaN. Inside a
            graph the same check is an `InvalidArgumentError` when the graph runs (XLA drops it).
    """
    x = tf.convert_to_tensor(x)
    if x.dtype in (tf.float16, tf.bfloat16):
        mend = "under a 16-bit policy begin with keras.Input, or give your Model autocast=False"
        raise fail(argument, f"at least 32 bits wide, since 16 bits round intensities ({mend})", x.dtype.name)
    if x.shape.rank is None or x.shape.rank < 2:
        shape = "unknown rank" if x.shape.rank is None else tuple(x.shape)
        raise fail(argument, "of shape (batch, *features), with a leading batch axis", shape)
    x = tf.cast(x, tf.float32)
    inside = tf.reduce_all((x >= 0.0) & (x <= 1.0))  # False for NaN, too
    if tf.executing_eagerly():
        if not inside:
            values = x.numpy()
            came = "NaN" if np.isnan(values).any() else f"values from {values.min():g} to {values.max():g}"
            raise InputError(f"{argument} must be in the range 0 to 1, received {came}")
        return x
    low, high = tf.reduce_min(x), tf.reduce_max(x)
    check = tf.debugging.Assert(
        inside, [f"{argument} must be in the range 0 to 1, received minimum", low, "maximum", high]
    )
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(x)


def _draw(shape, seed) -> tf.Tensor:
    """Draw int32 numbers below 2**23, the same with XLA as without.

    Not TensorFlow's own uniforms: both make the same bits, but its float kernel takes the low 23 of them and XLA's
    the high.
    """
    bits = tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=tf.int32, alg="philox")
    return bits & 0x7FFFFF


def _draws(x: tf.Tensor, count: int, seed) -> tf.Tensor:
    """Draw `(batch, count, *features)` int32 numbers below 2**23: uniforms in units of 2**-23."""
    seed = tf.convert_to_tensor([0, int(seed)] if isinstance(seed, numbers.Integral) else seed)
    shape = tf.shape(x)
    if seed.shape.rank == 1:
        drawn = tf.concat([shape[:1], [count], shape[1:]], axis=0)
        k = _draw(drawn, seed)
    elif seed.shape.rank == 2:
        drawn = tf.concat([[count], shape[1:]], axis=0)
        k = tf.map_fn(lambda pair: _draw(drawn, pair), seed, fn_output_signature=tf.int32)
    else:
        raise fail("seed", "an int, a pair of ints, or of shape (batch, 2)", tuple(seed.shape))
    k.set_shape([x.shape[0], count, *x.shape[1:]])
    return k


def _uniforms(k: tf.Tensor) -> tf.Tensor:
    """Give draws as float32 uniforms in [0, 1)."""
    return tf.cast(k, tf.float32) * 2.0**-23


def _below(k: tf.Tensor, p: tf.Tensor) -> tf.Tensor:
    """Tell which draws are below float32 probabilities: k 2**-23 < p, exactly, without a pass to make floats of k."""
    return k < tf.cast(tf.math.ceil(p * 2.0**23), tf.int32)


def _over_time(values, x: tf.Tensor) -> tf.Tensor:
    """Shape a table over time so that it broadcasts against `(batch, time, *features)`."""
    values = np.asarray(values, dtype="float32")
    return tf.constant(values.reshape((1,) + values.shape + (1,) * (x.shape.rank - 1)))


def burst_survival(mean_burst_size: float, length: int) -> np.ndarray:
    """Give SF(j) = P(N > j) for N ~ Poisson(mean_burst_size), j in 0..length-1, float64.

    Example:
        >>> float(burst_survival(2.0, 2)[0].round(4))  # 1 - exp(-2)
        0.8647
    """
    return special.pdtrc(np.arange(length), mean_burst_size)


def _reach(mean_burst_size: float, limit: int) -> int:
    """Give how many steps a burst can last before its survival is below a uniform's resolution."""
    return max(1, int(np.sum(burst_survival(mean_burst_size, limit) >= _RESOLUTION)))


# Rate -----------------------------------------------------------------------------------------


def check_rate(num_steps, mode, gain) -> None:
    """Check the parameters of rate coding; see `RateEncoder`."""
    check_int("num_steps", num_steps, low=1)
    check_choice("mode", mode, RATE_MODES)
    check_float("gain", gain, low=0.0)


def rate_probability(x: tf.Tensor, num_steps: int, *, gain: float = 1.0) -> tf.Tensor:
    """Give P(spike at t | x) = clip(gain x, 0, 1) at every step, `(batch, num_steps, *features)`."""
    p = tf.clip_by_value(gain * x, 0.0, 1.0)[:, None]
    return tf.repeat(p, num_steps, axis=1)


def rate(x: tf.Tensor, num_steps: int, seed, *, gain: float = 1.0, dtype=tf.uint8) -> tf.Tensor:
    """Bernoulli rate coding: a spike at every step with probability p = clip(gain x, 0, 1).

    Example:
        >>> spikes = rate(tf.constant([[0.0, 1.0]]), num_steps=3, seed=7)
        >>> spikes.numpy().tolist()
        [[[0, 1], [0, 1], [0, 1]]]
    """
    check_rate(num_steps, "bernoulli", gain)
    p = tf.clip_by_value(gain * x, 0.0, 1.0)
    return tf.cast(_below(_draws(x, num_steps, seed), p[:, None]), dtype)


def regular_rate(x: tf.Tensor, num_steps: int, *, gain: float = 1.0) -> tf.Tensor:
    """Deterministic rate coding: floor(p (t+1)) - floor(p t), evenly spaced.

    The floors are taken in float64 with p raised by two float32 roundings, so that an intensity
    k / num_steps stored in float32 gives exactly k spikes.

    Example:
        >>> regular_rate(tf.constant([[0.5]]), num_steps=4).numpy()[0, :, 0].tolist()
        [0, 1, 0, 1]
    """
    check_rate(num_steps, "regular", gain)
    p = tf.clip_by_value(gain * tf.cast(x, tf.float64), 0.0, 1.0)[:, None] * (1.0 + 2.0**-22)
    t = np.arange(num_steps + 1, dtype="float64").reshape((1, -1) + (1,) * (x.shape.rank - 1))
    count = tf.floor(p * t)
    return tf.cast(count[:, 1:] - count[:, :-1], tf.uint8)


# Poisson-Burst --------------------------------------------------------------------------------


def check_poisson_burst(num_steps, burst_interval, mean_burst_size, overflow) -> None:
    """Check the parameters of Poisson-Burst coding; see `PoissonBurstEncoder`."""
    num_steps = check_int("num_steps", num_steps, low=1)
    interval = check_int("burst_interval", burst_interval, low=1)
    if interval > num_steps:
        raise fail("burst_interval", f"at most num_steps = {num_steps}", interval)
    check_float("mean_burst_size", mean_burst_size, above=0.0)
    check_choice("overflow", overflow, POISSON_BURST_OVERFLOWS)


def poisson_burst_probability(
    x: tf.Tensor,
    num_steps: int,
    *,
    burst_interval: int,
    mean_burst_size: float,
    intensity_map: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    overflow: str = "truncate",
) -> tf.Tensor:
    """Give the exact marginal P(spike at t | x) of `poisson_burst`.

    `truncate`: f(x) SF(t mod tau). `spill`: 1 - prod over k <= t div tau of (1 - f(x) SF(t - k tau)).
    """
    check_poisson_burst(num_steps, burst_interval, mean_burst_size, overflow)
    start = intensity_map(x)[:, None]
    sf = burst_survival(mean_burst_size, num_steps)
    t = np.arange(num_steps)
    if overflow == "truncate":
        return start * _over_time(sf[t % burst_interval], x)
    silent = tf.ones_like(start)
    for k in range(-(-num_steps // burst_interval)):
        since = t - k * burst_interval
        silent = silent * (1.0 - start * _over_time(np.where(since >= 0, sf[since.clip(0)], 0.0), x))
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
        num_steps: T, steps.
        seed: see the module's description.
        burst_interval: tau, steps between possible burst onsets, 1 to num_steps.
        mean_burst_size: lambda, spikes, above 0.
        intensity_map: f, from intensity to the probability of a burst.
        overflow: "truncate" ends a burst with its interval, "spill" lets it run on.
        dtype: of the spikes.
        compiled: draw and compare in one pass that XLA makes for the shape: half the time where it repeats.

    Returns:
        spikes `(batch, num_steps, *features)`.
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
    k = _draws(x, intervals, seed)
    start = start[:, None]
    reach = _reach(mean_burst_size, num_steps)
    sf = burst_survival(mean_burst_size, intervals * burst_interval).astype("float32")
    at = []  # the spikes at each offset of all intervals
    for offset in range(burst_interval):
        spikes = _below(k, start * sf[offset])
        for lag in range(1, intervals if spill else 1):
            since = lag * burst_interval + offset
            if since >= reach:
                break
            older = _below(k[:, :-lag], start * sf[since])
            spikes |= tf.concat([tf.zeros_like(spikes[:, :lag]), older], axis=1)
        at.append(tf.cast(spikes, dtype))
    shape = tf.shape(x)
    spikes = tf.reshape(tf.stack(at, axis=2), tf.concat([shape[:1], [intervals * burst_interval], shape[1:]], axis=0))
    return spikes[:, :num_steps]


_compiled_bursts = tf.function(_bursts, jit_compile=True, autograph=False)


# Delayed-Burst --------------------------------------------------------------------------------


def check_delayed_burst(num_steps, mean_burst_size, margin, overflow, silence) -> None:
    """Check the parameters of Delayed-Burst coding; see `DelayedBurstEncoder`."""
    num_steps = check_int("num_steps", num_steps, low=1)
    check_float("mean_burst_size", mean_burst_size, above=0.0)
    check_float("margin", margin, low=0.0)
    if margin >= num_steps:
        raise fail("margin", f"below num_steps = {num_steps}", margin)
    check_choice("overflow", overflow, DELAYED_BURST_OVERFLOWS)
    if silence is not None:
        check_float("silence", silence, low=0.0, high=1.0)


def _log_continue(x: tf.Tensor, num_steps: int, margin: float) -> tf.Tensor:
    """Give log q of the onset delay P(D = d) = (1 - q) q**d; -inf where the mean delay is 0."""
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
    """Give the exact marginal P(spike at t | x) = sum over d <= t of P(D = d) SF(t - d)."""
    check_delayed_burst(num_steps, mean_burst_size, margin, overflow, silence)
    log_q = _log_continue(x, num_steps, margin)[:, None]
    d = _over_time(np.arange(num_steps), x)
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
        num_steps: T, steps.
        seed: see the module's description.
        mean_burst_size: lambda, spikes, above 0.
        margin: m, steps, 0 <= m < num_steps.
        overflow: "drop" silences a burst whose onset is outside the window, "clip" moves it to T-1.
        silence: a feature with x <= silence emits nothing; None lets every feature burst.
        dtype: of the spikes.

    Returns:
        spikes `(batch, num_steps, *features)`.
    """
    check_delayed_burst(num_steps, mean_burst_size, margin, overflow, silence)
    k = _draws(x, 2, seed)
    delay = tf.floor(tf.math.log1p(-_uniforms(k[:, 0])) / _log_continue(x, num_steps, margin))
    delay = tf.minimum(delay, num_steps - 1.0 if overflow == "clip" else float(num_steps))
    reach = _reach(mean_burst_size, num_steps)
    cdf = 1.0 - burst_survival(mean_burst_size, reach)
    size = tf.searchsorted(tf.constant(cdf, tf.float32), tf.reshape(_uniforms(k[:, 1]), [-1]), side="right")
    size = tf.where(_speaks(x, silence), tf.reshape(size, tf.shape(delay)), 0)
    # Steps since the onset, in as few bits as hold -num_steps to num_steps; as unsigned, those before it are many.
    few, unsigned = (tf.int8, tf.uint8) if num_steps < 128 else (tf.int32, tf.uint32)
    t = tf.constant(np.arange(num_steps).reshape((1, -1) + (1,) * (x.shape.rank - 1)), few)
    since = tf.bitcast(t - tf.cast(delay, few)[:, None], unsigned)
    return tf.cast(since < tf.cast(size, unsigned)[:, None], dtype)
