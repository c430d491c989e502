"""`kerasburst.backend` on TensorFlow."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import keras
import tensorflow as tf

from kerasburst.backend.callers import exporting_litert, exporting_onnx
from kerasburst.validation import InputError


def _shape(x: tf.Tensor) -> tuple:
    """Return the sizes of `x`: an int where it is known, else a tensor."""
    return tuple(tf.shape(x)[i] if size is None else size for i, size in enumerate(x.shape))


class _Operations(SimpleNamespace):
    """What encoders use of `keras.ops`, for TensorFlow's tensors on any backend; all of it on TensorFlow's own."""

    def __getattr__(self, name: str):
        if keras.backend.backend() != "tensorflow":
            raise AttributeError(f"ops_of(x) has no {name} for tensors of tf.data while Keras runs on another backend")
        return getattr(keras.ops, name)


ops = _Operations(
    all=tf.reduce_all,
    cast=tf.cast,
    ceil=tf.math.ceil,
    clip=tf.clip_by_value,
    concatenate=tf.concat,
    convert_to_tensor=tf.convert_to_tensor,
    floor=tf.floor,
    log=tf.math.log,
    log1p=tf.math.log1p,
    logical_or=tf.logical_or,
    max=tf.reduce_max,
    min=tf.reduce_min,
    minimum=tf.minimum,
    ones_like=tf.ones_like,
    repeat=tf.repeat,
    reshape=tf.reshape,
    round=tf.round,
    shape=_shape,
    stack=tf.stack,
    where=tf.where,
    zeros_like=tf.zeros_like,
)


def float64() -> contextlib.AbstractContextManager:
    """Return a context in which float64 is float64; a graph that becomes a LiteRT file has none."""
    if exporting_litert():
        raise InputError(
            "an encoder that computes in float64 must be left out of an export to LiteRT, which has none: export the "
            "network on spikes, or write a SavedModel with kerasburst.export.savedmodel"
        )
    return contextlib.nullcontext()


def random_numbers(shape: Sequence, seed, like: tf.Tensor) -> tf.Tensor:
    """Draw int32 numbers below 2**23 for a pair of ints, the same with XLA as without.

    Not TensorFlow's own uniforms: both make the same bits, but its float kernel takes the low 23 of them and XLA's
    the high.
    """
    bits = tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=tf.int32, alg="philox")
    return bits & 0x7FFFFF


def each(function: Callable, seeds) -> tf.Tensor:
    """Return `function` of each row of `seeds`, as int32."""
    return tf.map_fn(function, tf.convert_to_tensor(seeds), fn_output_signature=tf.int32)


def fresh_seed(generator) -> tf.Tensor:
    """Return the next seed of a Keras seed generator; each replica of a strategy gets its own."""
    seed = generator.next()
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return seed
    replica = tf.cast(tf.convert_to_tensor(context.replica_id_in_sync_group), tf.int64)
    return tf.random.fold_in(tf.cast(seed, tf.int64), replica)


def check(x: tf.Tensor, inside: tf.Tensor, error: Callable, message: str) -> tf.Tensor:
    """Return `x`; raise `error()` where `inside` is False, or in a graph an `InvalidArgumentError` when it runs.

    XLA drops the check.
    """
    if tf.executing_eagerly():
        if not inside:
            raise error()
        return x
    done = tf.debugging.Assert(inside, [f"{message}, received minimum", ops.min(x), "maximum", ops.max(x)])
    with tf.control_dependencies([done] if done is not None else []):
        return tf.identity(x)


def fused(function: Callable, exact: bool = True) -> Callable:
    """Return a function of tensors and static arguments, compiled by XLA for its shapes where that is faster.

    It is faster on a GPU, where int32 comparisons would run on the host, and in a graph, which repeats.

    Args:
        function: the same object in each call.
        exact: whether XLA computes the same bits on a CPU. It does unless its logarithms and powers differ; those are
            not compiled there.
    """
    if has_gpu() or (exact and not tf.executing_eagerly()):
        return function if _traced_as_plain() else _compiled(function)
    return function


def on_gpu(function: Callable) -> Callable:
    """Return the function; in a graph on a GPU, compiled whole by XLA, as small operations would wait for the host."""
    whole = has_gpu() and not tf.executing_eagerly() and not _traced_as_plain()
    return _compiled(function) if whole else function


@functools.cache
def _compiled(function: Callable) -> Callable:
    return tf.function(function, jit_compile=True, autograph=False)


def jit(function: Callable, layer: object = None) -> Callable:
    """Return a function as a graph, traced once for each shape; on a GPU XLA compiles it, as it does Keras' own."""
    return tf.function(function, reduce_retracing=True, autograph=False, jit_compile=has_gpu() or None)


def has_gpu() -> bool:
    """Return whether TensorFlow uses a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def device_peak_mb() -> float | None:
    """Return the peak of what the allocator gave out on the GPU, MB (10^6 bytes); None without one."""
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6 if has_gpu() else None


def with_shape(x: tf.Tensor, shape: tuple[int | None, ...]) -> tf.Tensor:
    """Return `x` with a static shape that is known to hold: nothing checks it, since LiteRT has no such operation."""
    x = tf.identity(x)
    x.set_shape(shape)
    return x


def ensure_shape(x: tf.Tensor, shape: tuple[int | None, ...]) -> tf.Tensor:
    """Return `x`; in a graph, another shape raises an InvalidArgumentError when it runs."""
    return tf.ensure_shape(x, shape)


def writes_steps_out() -> bool:
    """Return True: where neurons run by plain operations, they are written out over time."""
    return True


def runs_cpu_passes() -> bool:
    """Return whether neurons may run over time by compiled passes for a CPU.

    They may where no device but CPUs is visible, and not in a graph that becomes an ONNX file. Inside a function that
    XLA compiles as a whole they may, too: for a CPU, XLA computes a step that is written out over time again for each
    later step that needs it, so that LIF takes 4 times as long there, and adaptive LIF over 100 times.
    """
    return not exporting_onnx() and all(device.device_type == "CPU" for device in tf.config.list_logical_devices())


def runs_cpu_paths() -> bool:
    """Return whether networks may take fast paths for a CPU: where `runs_cpu_passes`, and XLA compiles no whole step.

    In one function with the rest of a step, XLA compiles convolutions in parts for longer and runs them no faster. A
    LiteRT file cannot hold the parts.
    """
    return runs_cpu_passes() and not (_traced_as_plain() or exporting_litert())


def _traced_as_plain() -> bool:
    """Return whether a graph is being traced that has no compiled parts: one that XLA compiles whole, or for ONNX."""
    if tf.executing_eagerly():
        return False
    if exporting_onnx():
        return True
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        context = graph._get_control_flow_context()  # no public function tells
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False
