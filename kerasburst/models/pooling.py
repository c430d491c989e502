"""Max-pooling by 2, with its ReLU, as one compiled pass each way.

TensorFlow's gradient of max-pooling on a CPU costs more than the convolution before it. Here the forward
pass remembers, in one byte an output, which of the four inputs won; the backward pass needs nothing else.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

_NONE = 4  # the winner's number where the ReLU lets nothing through


@dataclasses.dataclass(frozen=True)
class Pool:
    """Max-pooling by 2 as a part of a network's course; `relu`: followed by a ReLU."""

    relu: bool = False


def max_pool(x: tf.Tensor, relu: bool = False) -> tf.Tensor:
    """Give max_pool2d(x, 2, 2, "VALID") of `(batch, height, width, channels)`, with `relu` its ReLU.

    Of equal inputs the first in reading order gets the gradient, as in `tf.nn.max_pool2d`.

    Example:
        >>> max_pool(tf.constant([[[[1.0], [2.0]], [[-3.0], [0.0]]]]), relu=True).numpy().ravel().tolist()
        [2.0]
    """

    @tf.custom_gradient
    def pool(x):
        pooled, winner = _forward(x, relu)
        odd_height, odd_width = x.shape[1] % 2, x.shape[2] % 2

        def gradient(upstream):
            spread = _backward(upstream, winner)
            return tf.pad(spread, [[0, 0], [0, odd_height], [0, odd_width], [0, 0]])

        return pooled, gradient if odd_height or odd_width else lambda upstream: _backward(upstream, winner)

    return pool(x)


@tf.function(jit_compile=True)
def _forward(x: tf.Tensor, relu: bool) -> tuple[tf.Tensor, tf.Tensor]:
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    corners = [x[:, i:height:2, j:width:2] for i in range(2) for j in range(2)]
    best, winner = corners[0], tf.zeros_like(corners[0], tf.uint8)
    for number, corner in enumerate(corners[1:], 1):
        winner = tf.where(corner > best, tf.constant(number, tf.uint8), winner)
        best = tf.maximum(best, corner)
    if relu:
        return tf.nn.relu(best), tf.where(best > 0, winner, tf.constant(_NONE, tf.uint8))
    return best, winner


@tf.function(jit_compile=True)
def _backward(upstream: tf.Tensor, winner: tf.Tensor) -> tf.Tensor:
    _, height, width, channels = upstream.shape
    numbers = tf.reshape(tf.range(4, dtype=tf.int32), (1, 1, 2, 1, 2, 1))
    hit = tf.cast(winner, tf.int32)[:, :, None, :, None, :] == numbers
    spread = tf.where(hit, upstream[:, :, None, :, None, :], tf.zeros([], upstream.dtype))
    return tf.reshape(spread, (-1, 2 * height, 2 * width, channels))
