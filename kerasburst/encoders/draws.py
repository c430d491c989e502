"""What every encoder's arithmetic shares: checked inputs, counter-based draws, the sizes of bursts.

Encoders are pure functions from intensities `x`, `(batch, *features)` in [0, 1], to `(batch, num_steps, *features)`:
uint8 spikes, exactly 0 or 1, or float32 probabilities. None loops over time and none rejects samples: one uniform
decides when a burst starts and how long it is, because P(burst and N > j) = f(x) SF(j), where SF(j) = P(N > j) and
N ~ Poisson(mean_burst_size).

Randomness is counter-based. `seed` is an int, a pair of ints for the whole batch, or a `(batch, 2)` tensor with a pair
for each example; an example's spikes then depend on its own pair and intensities alone, not on the rest of the batch.
"""

from __future__ import annotations

import numbers

import numpy as np
import tensorflow as tf
from scipy import special

from kerasburst.validation import InputError, fail

# float32 uniforms are multiples of 2**-23: a probability below half of that never decides a spike.
_RESOLUTION = 2.0**-24


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


def _numbers(shape, seed) -> tf.Tensor:
    """Draw int32 numbers below 2**23, the same with XLA as without.

    Not TensorFlow's own uniforms: both make the same bits, but its float kernel takes the low 23 of them and XLA's
    the high.
    """
    bits = tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=tf.int32, alg="philox")
    return bits & 0x7FFFFF


def draws(x: tf.Tensor, count: int, seed) -> tf.Tensor:
    """Draw `(batch, count, *features)` int32 numbers below 2**23: uniforms in units of 2**-23."""
    seed = tf.convert_to_tensor([0, int(seed)] if isinstance(seed, numbers.Integral) else seed)
    shape = tf.shape(x)
    if seed.shape.rank == 1:
        drawn = tf.concat([shape[:1], [count], shape[1:]], axis=0)
        k = _numbers(drawn, seed)
    elif seed.shape.rank == 2:
        drawn = tf.concat([[count], shape[1:]], axis=0)
        k = tf.map_fn(lambda pair: _numbers(drawn, pair), seed, fn_output_signature=tf.int32)
    else:
        raise fail("seed", "an int, a pair of ints, or of shape (batch, 2)", tuple(seed.shape))
    k.set_shape([x.shape[0], count, *x.shape[1:]])
    return k


def uniforms(k: tf.Tensor) -> tf.Tensor:
    """Return draws as float32 uniforms in [0, 1)."""
    return tf.cast(k, tf.float32) * 2.0**-23


def below(k: tf.Tensor, p: tf.Tensor) -> tf.Tensor:
    """Return whether draws are below float32 probabilities: k 2**-23 < p, exactly, without converting k to floats."""
    return k < tf.cast(tf.math.ceil(p * 2.0**23), tf.int32)


def over_time(values, x: tf.Tensor) -> tf.Tensor:
    """Return a table over time in a shape that broadcasts against `(batch, time, *features)`."""
    values = np.asarray(values, dtype="float32")
    return tf.constant(values.reshape((1,) + values.shape + (1,) * (x.shape.rank - 1)))


def burst_survival(mean_burst_size: float, length: int) -> np.ndarray:
    """Return SF(j) = P(N > j) for N ~ Poisson(mean_burst_size), j in 0..length-1, float64.

    Example:
        >>> float(burst_survival(2.0, 2)[0].round(4))  # 1 - exp(-2)
        0.8647
    """
    return special.pdtrc(np.arange(length), mean_burst_size)


def reach_of(mean_burst_size: float, limit: int) -> int:
    """Return how many steps a burst can last, at most `limit`, before SF falls below a uniform's resolution."""
    return max(1, int(np.sum(burst_survival(mean_burst_size, limit) >= _RESOLUTION)))
