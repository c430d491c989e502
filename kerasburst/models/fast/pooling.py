"""Max-pooling by 2, with the bias and the ReLU around it, as one compiled pass each way.

TensorFlow's gradient of max-pooling on a CPU costs more than the convolution before it. Here the forward
pass remembers, in one byte an output, which of the four inputs won; the backward pass needs nothing else. The bias is
added after the maximum, to a quarter of the values, which changes none of them: rounding keeps their order.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import tensorflow as tf

from kerasburst.models.fast.synapses import column_sums
from kerasburst.models.forward import merge, split

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # of a window, row and column, in reading order
_NONE = 4  # the winner's number where the ReLU lets nothing through


def max_pool(x: tf.Tensor, relu: bool = False, bias: tf.Tensor | None = None, training: bool = True) -> tf.Tensor:
    """Compute max_pool2d(x + bias, 2, 2, "VALID") of `(batch, height, width, channels)`, then a ReLU if `relu`.

    Of equal inputs the first in reading order gets the gradient, as in `tf.nn.max_pool2d`.

    Args:
        x: any float dtype.
        relu: whether max(0, .) follows.
        bias: `(channels,)`, of the same dtype; none if None.
        training: whether a gradient will follow; without, it may, but finds the winners anew.

    Example:
        >>> max_pool(tf.constant([[[[1.0], [2.0]], [[-3.0], [0.0]]]]), relu=True).numpy().ravel().tolist()
        [2.0]
    """
    inputs = (x,) if bias is None else (x, bias)

    @tf.custom_gradient
    def pool(*inputs):
        pooled, winner = _forward(*inputs, relu=relu) if training else (_maxima(*inputs, relu=relu), None)

        def gradient(upstream):
            won = _forward(*inputs, relu=relu)[1] if winner is None else winner
            spread, passed = way_back(upstream, won, x.shape)
            return spread if bias is None else (spread, column_sums(passed))

        return pooled, gradient

    return pool(*inputs)


class SpikePool:
    """`max_pool` of spikes as `kerasburst.neurons.kernel.lif_scan` makes them: bytes, a quarter of the traffic.

    Args:
        dtype: of what comes out.
    """

    def __init__(self, dtype: str | tf.DType):
        self.dtype = tf.as_dtype(dtype)

    def forward(self, spikes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Pool uint8 spikes `(batch, time, height, width, channels)`; return the pooled spikes and which input won."""
        pooled, winner = _forward_spikes(merge(spikes), dtype=self.dtype)
        return split(pooled, spikes), winner

    def backward(self, upstream: tf.Tensor, winner: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
        """Return the gradient with respect to spikes of shape `shape`."""
        return split(way_back(merge(upstream), winner, shape[1:])[0], upstream)


@tf.function(jit_compile=True, autograph=False)
def _forward(x: tf.Tensor, bias: tf.Tensor | None = None, *, relu: bool) -> tuple[tf.Tensor, tf.Tensor]:
    best, winner = strongest(_corners(x), bias, relu)
    return tf.cast(best, x.dtype), winner


@tf.function(jit_compile=True, autograph=False)
def _maxima(x: tf.Tensor, bias: tf.Tensor | None = None, *, relu: bool) -> tf.Tensor:
    """Return the first of what `_forward` returns, in as little as half of the time."""
    best = functools.reduce(tf.maximum, _corners(x))
    best = best if bias is None else best + tf.cast(bias, best.dtype)
    return tf.cast(tf.nn.relu(best) if relu else best, x.dtype)


def _corners(x: tf.Tensor) -> list[tf.Tensor]:
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    if x.dtype.size == 2:
        x = tf.cast(x, tf.float32)  # XLA compares 16-bit numbers on a CPU three times as slowly
    return [x[:, i:height:2, j:width:2] for i, j in CORNERS]


def strongest(
    corners: Sequence[tf.Tensor], bias: tf.Tensor | None = None, relu: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the largest of a window's four values, after bias and ReLU, and which of the four it was.

    Args:
        corners: in the order of `CORNERS`.
        bias: as for `max_pool`.
        relu: likewise; where it lets nothing through, none of the four it was.

    Example:
        >>> best, winner = strongest([tf.constant([v]) for v in (1.0, 4.0, 4.0, -1.0)])
        >>> best.numpy().tolist(), winner.numpy().tolist()
        ([4.0], [1])
    """
    best, winner = corners[0], tf.zeros_like(corners[0])  # with eight channels, XLA chooses bytes four times as slowly
    for number, corner in enumerate(corners[1:], 1):
        winner = tf.where(corner > best, tf.constant(number, best.dtype), winner)
        best = tf.maximum(best, corner)
    if bias is not None:
        best += tf.cast(bias, best.dtype)
    if relu:
        winner = tf.where(best > 0, winner, tf.constant(_NONE, best.dtype))
        best = tf.nn.relu(best)
    return best, tf.cast(winner, tf.uint8)


@tf.function(jit_compile=True, autograph=False)
def _forward_spikes(spikes: tf.Tensor, *, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
    height, width = spikes.shape[1] // 2 * 2, spikes.shape[2] // 2 * 2
    first, second, third, fourth = (spikes[:, i:height:2, j:width:2] for i, j in CORNERS)
    one, two, three = (tf.constant(number, tf.uint8) for number in (1, 2, 3))
    # The first that fires, or of four silent ones the first; in arithmetic, which is faster here than choices.
    winner = (one - first) * (second + (one - second) * (two * third + (one - third) * three * fourth))
    return tf.cast(first | second | third | fourth, dtype), winner


def way_back(upstream: tf.Tensor, winner: tf.Tensor, shape: tf.TensorShape) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the gradient of a pooling's input, and the part of `upstream` that the ReLU lets through.

    Args:
        upstream: gradient of what came out.
        winner: as `strongest` returns it.
        shape: of the input, `(batch, height, width, channels)`.
    """
    spread, passed = _backward(upstream, winner)
    odd_height, odd_width = shape[1] % 2, shape[2] % 2
    if odd_height or odd_width:
        spread = tf.pad(spread, [[0, 0], [0, odd_height], [0, odd_width], [0, 0]])
    return spread, passed


@tf.function(jit_compile=True, autograph=False)
def _backward(upstream: tf.Tensor, winner: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    _, height, width, channels = upstream.shape
    numbers = tf.reshape(tf.range(4, dtype=tf.int32), (1, 1, 2, 1, 2, 1))
    hit = tf.cast(winner, tf.int32)[:, :, None, :, None, :] == numbers
    nothing = tf.zeros([], upstream.dtype)
    spread = tf.where(hit, upstream[:, :, None, :, None, :], nothing)
    passed = tf.where(winner == _NONE, nothing, upstream)
    return tf.reshape(spread, (-1, 2 * height, 2 * width, channels)), passed
