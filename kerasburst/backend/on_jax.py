"""`kerasburst.backend` on JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras import ops  # noqa: F401

float64 = partial(jax.enable_x64, True)  # within it float64 is float64


def random_numbers(shape: Sequence[int], seed, like: jax.Array) -> jax.Array:
    """Draw int32 numbers below 2**23 for a pair of ints, of which the low 32 bits count."""
    if not isinstance(seed, jax.Array):
        seed = np.asarray(seed).astype(np.uint32)
    key = jax.random.wrap_key_data(jnp.asarray(seed, "uint32"), impl="threefry2x32")
    return (jax.random.bits(key, shape, "uint32") >> 9).astype("int32")


def each(function: Callable, seeds) -> jax.Array:
    """Return `function` of each row of `seeds`."""
    if not isinstance(seeds, jax.Array):
        seeds = np.asarray(seeds).astype(np.uint32)
    return jax.vmap(function)(jnp.asarray(seeds, "uint32"))


def fresh_seed(generator) -> jax.Array:
    """Return the next seed of a Keras seed generator; a batch that devices share is one draw, split between them."""
    return generator.next()


def check(x: jax.Array, inside: jax.Array, error: Callable, message: str) -> jax.Array:
    """Return `x`; raise `error()` where `inside` is False. A function that JAX traces cannot check values."""
    if not isinstance(inside, jax.core.Tracer) and not inside:
        raise error()
    return x


def fused(function: Callable, exact: bool = True) -> Callable:
    """Return the function: XLA compiles it together with what calls it."""
    return function


def on_gpu(function: Callable) -> Callable:
    """Return the function as it is."""
    return function


def jit(function: Callable, layer: keras.layers.Layer | None = None) -> Callable:
    """Return a function compiled by XLA, once for each shape; it may read and write the variables of `layer`."""
    if layer is None:
        return jax.jit(function)

    @jax.jit
    def pure(values, *args):
        with keras.StatelessScope(list(zip(layer.variables, values, strict=True))) as scope:
            outputs = function(*args)
        return outputs, [scope.get_current_value(v) for v in layer.variables if not v.trainable]

    def call(*args):
        outputs, changed = pure([variable.value for variable in layer.variables], *args)
        for variable, value in zip((v for v in layer.variables if not v.trainable), changed, strict=True):
            variable.assign(value)
        return outputs

    return call


def device_peak_mb() -> float | None:
    """Return the peak of what the allocator gave out on the GPU, MB (10^6 bytes); None without one."""
    statistics = jax.local_devices()[0].memory_stats() if jax.default_backend() == "gpu" else None
    return statistics["peak_bytes_in_use"] / 1e6 if statistics else None


def with_shape(x: jax.Array, shape: tuple[int | None, ...]) -> jax.Array:
    """Return `x`: shapes are known here before anything runs."""
    return x


def ensure_shape(x: jax.Array, shape: tuple[int | None, ...]) -> jax.Array:
    """Return `x`: shapes are known here before anything runs."""
    return x


def writes_steps_out() -> bool:
    """Return whether neurons are written out over time: not on a CPU.

    There XLA's backward pass computes early steps again for each later one: LIF takes 5 times as long as in a loop, and
    Izhikevich's neurons 13 times.
    """
    return jax.default_backend() != "cpu"


def runs_cpu_passes() -> bool:
    """Return False: the compiled passes for a CPU are TensorFlow's."""
    return False


def runs_cpu_paths() -> bool:
    """Return False: the fast paths for a CPU are TensorFlow's."""
    return False
