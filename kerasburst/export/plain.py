"""Inference in plain TensorFlow operations: a graph without compiled functions or a layer's state, for any runtime.

Training has compiled forms of the same equations, which not every runtime can load.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasburst.models.course import Ways
from kerasburst.neurons.base import LIFBase
from kerasburst.neurons.functional import lif_step

# Up to so many steps are unrolled into the graph; more, or an unknown number, are a loop, which keeps the graph small.
_UNROLL_LIMIT = 64


def state_names(layer: LIFBase) -> tuple[str, ...]:
    """Return the names of a neuron's states, the membrane first."""
    return ("mem",)


def scan(
    layer: LIFBase, current: tf.Tensor, state: dict[str, tf.Tensor] | None = None
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Run a layer's neurons over `current`, `(batch, time, *features)`.

    Args:
        layer: a built layer or cell.
        current: the input current, float.
        state: each state before the first step by its name, `(batch, *features)`; None for zeros.

    Returns:
        Spikes in the layer's compute dtype, and the states at each step by name; each of the shape of `current`.

    Example:
        >>> from kerasburst.neurons.lif import LIF
        >>> layer = LIF(beta=1.0)
        >>> layer.build((1, 3, 1))
        >>> spk, states = scan(layer, tf.constant([[[0.6], [0.6], [0.6]]]))
        >>> spk.numpy().ravel().tolist(), states["mem"].numpy().ravel().round(2).tolist()
        ([0.0, 1.0, 0.0], [0.6..., 1.2..., 0.8...])
    """
    parameters = layer.neuron_parameters()
    current = tf.cast(current, tf.float64 if current.dtype == tf.float64 else tf.float32)
    mem = tf.zeros_like(current[:, 0]) if state is None else tf.cast(state["mem"], current.dtype)
    steps = current.shape[1]
    if steps is not None and steps <= _UNROLL_LIMIT:
        spks, mems = [], []
        for now in tf.unstack(current, axis=1):
            spk, mem = lif_step(now, mem, **parameters)
            spks.append(spk)
            mems.append(mem)
        spk, mems = tf.stack(spks, axis=1), tf.stack(mems, axis=1)
    else:
        order = [1, 0, *range(2, current.shape.rank)]
        spk, mems = tf.scan(
            lambda state, now: lif_step(now, state[1], **parameters), tf.transpose(current, order), (mem, mem)
        )
        spk, mems = tf.transpose(spk, order), tf.transpose(mems, order)
    return tf.cast(spk, layer.compute_dtype), {"mem": mems}


def fire(layer: LIFBase, current: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Run a layer's neurons from rest; return spikes and membrane."""
    spk, states = scan(layer, current)
    return spk, states["mem"]


def pool(x: tf.Tensor, relu: bool = False) -> tf.Tensor:
    """Return `kerasburst.models.fast.pooling.max_pool` of `(batch, height, width, channels)`."""
    x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    return tf.nn.relu(x) if relu else x


def _call(layer: keras.layers.Layer, x: tf.Tensor) -> tf.Tensor:
    return layer(x)


WAYS = Ways(convolve=_call, project=_call, pool=pool)
