"""Inference in plain TensorFlow operations: no compiled function, no layer's state, in any graph that is taken away.

Training has compiled forms of the same equations, which not every runtime can load.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasburst.models.course import Ways
from kerasburst.neurons.base import LIFBase
from kerasburst.neurons.functional import lif_step

# As many steps are unrolled into the graph; beyond, and for an unknown number, a loop keeps it small.
_UNROLL_LIMIT = 64


def lif(layer: LIFBase, current: tf.Tensor, mem: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """Run a layer's neurons over `current`, `(batch, time, *features)`, from `mem`, `(batch, *features)`, or zeros.

    Returns:
        Spikes in the layer's compute dtype, and the membrane, float32; each of the shape of `current`.

    Example:
        >>> from kerasburst.neurons.lif import LIF
        >>> layer = LIF(beta=1.0)
        >>> layer.build((1, 3, 1))
        >>> spk, mem = lif(layer, tf.constant([[[0.6], [0.6], [0.6]]]))
        >>> spk.numpy().ravel().tolist(), mem.numpy().ravel().round(2).tolist()
        ([0.0, 1.0, 0.0], [0.6..., 1.2..., 0.8...])
    """
    parameters = layer.neuron_parameters()
    current = tf.cast(current, tf.float64 if current.dtype == tf.float64 else tf.float32)
    mem = tf.zeros_like(current[:, 0]) if mem is None else tf.cast(mem, current.dtype)
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
    return tf.cast(spk, layer.compute_dtype), mems


def pool(x: tf.Tensor, relu: bool = False) -> tf.Tensor:
    """Give `kerasburst.models.fast.pooling.max_pool` of `(batch, height, width, channels)`."""
    x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    return tf.nn.relu(x) if relu else x


def _call(layer: keras.layers.Layer, x: tf.Tensor) -> tf.Tensor:
    return layer(x)


WAYS = Ways(convolve=_call, project=_call, pool=pool)
