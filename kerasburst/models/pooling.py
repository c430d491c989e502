"""Max-pooling by 2, with the bias and the ReLU around it, as one compiled pass each way.

TensorFlow's gradient of max-pooling on a CPU costs more than the convolution before it. Here the forward
pass remembers, in one byte an output, which of the four inputs won; the backward pass needs nothing else. The bias is
added after the maximum, to a quarter of the values, which changes none of them: rounding keeps their order.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from kerasburst.models.synapses import column_sums

_NONE = 4  # the winner's number where the ReLU lets nothing through


@dataclasses.dataclass(frozen=True)
class Pool:
    """Max-pooling by 2 as a part of a network's course; `relu`: followed by a ReLU."""

    relu: bool = False


def max_pool(x: tf.Tensor, relu: bool = False, bias: tf.Tensor | None = None) -> tf.Tensor:
    """Give max_pool2d(x + bias, 2, 2, "VALID") of `(batch, height, width, channels)`, with `relu` its ReLU.

    Of equal inputs the first in reading order gets the gradient, as in `tf.nn.max_pool2d`.

    Args:
        x: any float dtype.
        relu: whether max(0, .) follows.
        bias: `(channels,)`, of the same dtype; none if None.

    Example:
        >>> max_pool(tf.constant([[[[1.0], [2.0]], [[-3.0], [0.0]]]]), relu=True).numpy().ravel().tolist()
        [2.0]
    """
    inputs = (x,) if bias is None else (x, bias)

    @tf.custom_gradient
    def pool(*inputs):
        pooled, winner = _forward(*inputs, relu=relu)
        odd_height, odd_width = x.shape[1] % 2, x.shape[2] % 2

        def gradient(upstream):
            spread, passed = _backward(upstream, winner)
            if odd_height or odd_width:
                spread = tf.pad(spread, [[0, 0], [0, odd_height], [0, odd_width], [0, 0]])
            return spread if bias is None else (spread, column_sums(passed))

        return pooled, gradient

    return pool(*inputs)


@tf.function(jit_compile=True, autograph=False)
def _forward(x: tf.Tensor, bias: tf.Tensor | None = None, *, relu: bool) -> tuple[tf.Tensor, tf.Tensor]:
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    dtype = x.dtype
    if dtype.size == 2:
        x = tf.cast(x, tf.float32)  # XLA compares 16-bit numbers on a CPU three times as slowly
    corners = [x[:, i:height:2, j:width:2] for i in range(2) for j in range(2)]
    best, winner = corners[0], tf.zeros_like(corners[0], tf.uint8)
    for number, corner in enumerate(corners[1:], 1):
        winner = tf.where(corner > best, tf.constant(number, tf.uint8), winner)
        best = tf.maximum(best, corner)
    if bias is not None:
        best += tf.cast(bias, best.dtype)
    if relu:
        winner = tf.where(best > 0, winner, tf.constant(_NONE, tf.uint8))
        best = tf.nn.relu(best)
    return tf.cast(best, dtype), winner


@tf.function(jit_compile=True, autograph=False)
def _backward(upstream: tf.Tensor, winner: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Give the gradient of the input, and what of `upstream` the ReLU lets through."""
    _, height, width, channels = upstream.shape
    numbers = tf.reshape(tf.range(4, dtype=tf.int32), (1, 1, 2, 1, 2, 1))
    hit = tf.cast(winner, tf.int32)[:, :, None, :, None, :] == numbers
    nothing = tf.zeros([], upstream.dtype)
    spread = tf.where(hit, upstream[:, :, None, :, None, :], nothing)
    passed = tf.where(winner == _NONE, nothing, upstream)
    return tf.reshape(spread, (-1, 2 * height, 2 * width, channels)), passed
