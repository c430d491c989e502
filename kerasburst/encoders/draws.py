"""What every encoder's arithmetic shares: checked inputs, counter-based draws, the sizes of bursts.

Encoders are pure functions from intensities `x`, `(batch, *features)` in [0, 1], to `(batch, num_steps, *features)`:
spikes, exactly 0 or 1, or float32 probabilities. None loops over time and none rejects samples: one uniform decides
when a burst starts and how long it is, because P(burst and N > j) = f(x) SF(j), where SF(j) = P(N > j) and
N ~ Poisson(mean_burst_size). They compute with `ops_of(x)`, so that they run on every backend and in tf.data.

Randomness is counter-based. `seed` is an int, a pair of ints for the whole batch, or `(batch, 2)` ints with a pair
for each example; an example's spikes then depend on its own pair and intensities alone, not on the rest of the batch.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from scipy import special

from kerasburst import backend
from kerasburst.validation import ROUNDING, InputError, fail

# float32 uniforms are multiples of 2**-23: a probability below half of that never decides a spike.
_RESOLUTION = 2.0**-24
_MEND = "under a 16-bit policy begin with keras.Input, or give your Model autocast=False"


def ops_of(x) -> Any:
    """Return the operations that compute with the tensor `x`: `keras.ops`, or TensorFlow's alike where `x` is its.

    An encoder that uses them runs on every backend, and in tf.data, which is TensorFlow's whatever Keras runs on.

    Args:
        x: a tensor.
    """
    return backend.of(x).ops


def as_tensor(x, argument: str = "inputs", convert: Callable = keras.ops.convert_to_tensor):
    """Return numbers as a tensor of at least 32 bits; arrays but bytes, and lists, become float32 first.

    Raises:
        InputError: for what holds no numbers, has 16 bits, or has no batch axis.
    """
    if not keras.ops.is_tensor(x) and not type(x).__module__.startswith("tensorflow."):
        try:
            array = np.asarray(x)
        except ValueError:
            raise fail(argument, "an array of numbers", x) from None
        if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
            raise fail(argument, "an array of numbers", f"the type {array.dtype}")
        if array.dtype not in (np.uint8, np.int8) and (array.dtype.itemsize != 2 or array.dtype.kind in "iu"):
            with np.errstate(over="ignore"):
                array = array.astype("float32")
        x = array
    dtype = keras.backend.standardize_dtype(x.dtype)
    if dtype in ("float16", "bfloat16"):
        raise fail(argument, f"at least 32 bits wide, since 16 bits round intensities ({_MEND})", dtype)
    if getattr(x.shape, "rank", 0) is None or len(x.shape) < 2:
        shape = "unknown rank" if getattr(x.shape, "rank", 0) is None else tuple(x.shape)
        raise fail(argument, "of shape (batch, *features), with a leading batch axis", shape)
    return convert(x) if isinstance(x, np.ndarray) else x


def check_intensity(x, argument: str = "inputs"):
    """Return `x` as a float32 tensor `(batch, *features)` in [0, 1] after checking its values.

    Args:
        x: array or tensor of rank 2 or more. Values up to 1e-6 outside [0, 1] are rounding, and clipped.
        argument: the name an error uses.

    Raises:
        InputError: eagerly, for a missing batch axis, a value outside [0, 1], or NaN. Inside a graph of TensorFlow the
            same check is an `InvalidArgumentError` when it runs; XLA, JAX and torch drop it from what they compile.
    """
    x = as_tensor(x, argument)
    module = backend.of(x)
    x = module.ops.cast(x, "float32")
    inside = module.ops.all((x >= -ROUNDING) & (x <= 1.0 + ROUNDING))  # False for NaN, too

    def error() -> InputError:
        values = keras.ops.convert_to_numpy(x)
        came = "NaN" if np.isnan(values).any() else f"values from {values.min():.7g} to {values.max():.7g}"
        return InputError(f"{argument} must be in the range 0 to 1, received {came}")

    x = module.check(x, inside, error, f"{argument} must be in the range 0 to 1")
    return module.ops.clip(x, 0.0, 1.0)


def draws(x, count: int, seed):
    """Draw independent integers, uniform from 0 to 2**23 - 1: all the randomness of an encoder.

    Args:
        x: intensities `(batch, *features)`, of which the shape counts.
        count: how many for each feature: T for one a step.
        seed: an int, a pair of ints for the whole batch, or `(batch, 2)` ints, a pair for each example.

    Returns:
        int32 `(batch, count, *features)`, on one backend the same for the same seed. Backends differ in them; tf.data
        always draws TensorFlow's. `below` compares them with probabilities; `uniforms` turns them into floats.

    Example:
        >>> k = draws(keras.ops.zeros((2, 3)), 5, seed=0)
        >>> tuple(k.shape), bool(keras.ops.all((k >= 0) & (k < 2**23)))
        ((2, 5, 3), True)
    """
    module = backend.of(x)
    batch, *features = module.ops.shape(x)
    seed = seed_pair(seed)
    shape = tuple(getattr(seed, "shape", np.shape(seed)))
    if shape == (2,):
        return module.random_numbers((batch, count, *features), seed, x)
    if len(shape) != 2 or shape[1] != 2 or (None not in (shape[0], x.shape[0]) and shape[0] != x.shape[0]):
        raise fail("seed", "an int, a pair of ints, or of shape (batch, 2)", shape)
    return module.each(lambda pair: module.random_numbers((count, *features), pair, x), seed)


def seed_pair(seed):
    """Return a seed as `draws` takes it, an int as the pair of 0 and itself."""
    return np.array([0, int(seed)]) if isinstance(seed, numbers.Integral) else seed


def uniforms(k):
    """Return draws as float32 uniforms in [0, 1), multiples of 2**-23.

    Args:
        k: what `draws` returned.
    """
    return ops_of(k).cast(k, "float32") * 2.0**-23


def ordered(values, index: np.ndarray):
    """Return rows of a table over time, an array or a tensor, in another order."""
    return keras.ops.take(values, index, axis=0) if keras.ops.is_tensor(values) else values[index]


def below(k, p):
    """Return whether draws are below float32 probabilities: k 2**-23 < p, exactly, without converting k to floats.

    Args:
        k: what `draws` returned, `(batch, count, *features)`.
        p: probabilities in [0, 1] that broadcast against `k`.

    Returns:
        A boolean tensor, True with probability p (rounded up to a multiple of 2**-23).
    """
    ops = ops_of(k)
    return k < ops.cast(ops.ceil(p * 2.0**23), "int32")


def over_time(values, x, dtype: str = "float32"):
    """Return a table over time so that it broadcasts against a batch over time.

    Args:
        values: `(time,)` or `(time, *features)`.
        x: intensities `(batch, *features)`, of which the rank counts.
        dtype: of the table.

    Returns:
        A tensor `(1, time, 1, ...)` or `(1, time, *features)`.
    """
    shape = (1, *values.shape, *(1,) * (len(x.shape) - len(values.shape)))
    if keras.ops.is_tensor(values):
        return keras.ops.reshape(values, shape)
    return ops_of(x).convert_to_tensor(np.asarray(values, dtype).reshape(shape))


def fused(function: Callable, x, dtype: str, exact: bool = True) -> Callable:
    """Return a function, compiled where a layer's call gains by that; see `kerasburst.backend.on_tensorflow.fused`.

    The uint8 spikes of pipelines are not compiled: their batches come in several sizes.
    """
    return function if dtype == "uint8" else backend.of(x).fused(function, exact)


def burst_survival(mean_burst_size: float | np.ndarray, length: int) -> np.ndarray:
    """Return SF(j) = P(N > j) for N ~ Poisson(mean_burst_size), j in 0..length-1, float64, along the first axis.

    Example:
        >>> float(burst_survival(2.0, 2)[0].round(4))  # 1 - exp(-2)
        0.8647
    """
    return special.pdtrc(np.arange(length).reshape(-1, *(1,) * np.ndim(mean_burst_size)), mean_burst_size)


def reach_of(mean_burst_size: float, limit: int) -> int:
    """Return how many steps a burst can last, at most `limit`, before SF falls below a uniform's resolution."""
    return max(1, int(np.sum(burst_survival(mean_burst_size, limit) >= _RESOLUTION)))
