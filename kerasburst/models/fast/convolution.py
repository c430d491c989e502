"""Convolutions with what stands around them; in training, those of a single channel in compiled passes of their own.

TensorFlow's convolution is made for many channels. With one channel, as in the spikes of a grey image, every output is
a sum of a few products with the same weights. Written out, the sum takes half the time; together with the bias, ReLU
and maximum in one pass it takes a third, because the map, the largest tensor of the network, never is in memory.

The two round differently, so a membrane very close to its threshold may fire in one and not in the other. Therefore a
trained network is always evaluated with TensorFlow's convolution, as an exported one is.
"""

from __future__ import annotations

import tensorflow as tf

from kerasburst.models.fast.pooling import CORNERS, max_pool, strongest, way_back
from kerasburst.models.fast.synapses import add_bias, column_sums

_MOST_TAPS = 25  # weights of a kernel that is written out


def convolve(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Compute a "same" convolution with its bias.

    Args:
        x: `(batch, height, width, channels)`, any float dtype.
        kernel: `(height, width, channels, filters)`, of the same dtype.
        bias: `(filters,)`, likewise.
        training: whether the sum may be written out, which rounds differently.

    Example:
        >>> convolve(tf.ones((1, 2, 2, 1)), tf.ones((3, 3, 1, 1)), tf.zeros(1)).numpy().ravel().tolist()
        [4.0, 4.0, 4.0, 4.0]
    """
    if not (training and is_thin(kernel)):
        return add_bias(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)

    @tf.custom_gradient
    def function(x, kernel, bias):
        def gradient(upstream):
            return *_ways_back(x, kernel, upstream), column_sums(upstream)

        return _convolve(x, kernel, bias), gradient

    return function(x, kernel, bias)


def convolve_and_pool(
    x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, relu: bool, training: bool = False
) -> tf.Tensor:
    """Return `convolve`'s result, pooled as by `kerasburst.models.fast.pooling.max_pool`.

    With `relu`, max(0, .) follows. The other arguments are those of `convolve`.

    Example:
        >>> convolve_and_pool(tf.ones((1, 2, 2, 1)), tf.ones((3, 3, 1, 1)), -tf.ones(1), relu=True).numpy().tolist()
        [[[[3.0]]]]
    """
    if not (training and is_thin(kernel)):
        # The bias after the maximum: the same values, from a quarter of the work.
        return max_pool(tf.nn.conv2d(x, kernel, 1, "SAME"), relu, bias, training)

    @tf.custom_gradient
    def function(x, kernel, bias):
        pooled, winner = _convolve_and_pool(x, kernel, bias, relu=relu)

        def gradient(upstream):
            spread, passed = way_back(upstream, winner, x.shape)
            return *_ways_back(x, kernel, spread), column_sums(passed)

        return pooled, gradient

    return function(x, kernel, bias)


def is_thin(kernel: tf.Tensor) -> bool:
    """Return whether the convolution with a kernel is written out in training.

    Example:
        >>> is_thin(tf.ones((3, 3, 1, 32))), is_thin(tf.ones((3, 3, 32, 64)))
        (True, False)
    """
    height, width, channels, _ = kernel.shape
    return channels == 1 and height * width <= _MOST_TAPS


def _ways_back(x, kernel, upstream):
    """Return the gradients of input and kernel, by TensorFlow's own convolutions, which are as fast."""
    shapes = {"strides": [1, 1, 1, 1], "padding": "SAME", "out_backprop": upstream}
    return (
        tf.raw_ops.Conv2DBackpropInput(input_sizes=tf.shape(x), filter=kernel, **shapes),
        tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, **shapes),
    )


def _padded(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Pad the input of a "same" convolution with zeros; for an even kernel the extra zero goes after."""
    around = [[(side - 1) // 2, side // 2] for side in kernel.shape[:2]]
    return tf.pad(tf.cast(x, tf.float64 if x.dtype == tf.float64 else tf.float32), [[0, 0], *around, [0, 0]])


def _sum(padded, kernel, rows: slice, columns: slice):
    """Return the sum of products with the kernel for the outputs at `rows` and `columns`."""
    total = None
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            seen = padded[
                :, rows.start + i : rows.stop + i : rows.step, columns.start + j : columns.stop + j : columns.step
            ]
            product = seen * tf.cast(kernel[i, j, 0], padded.dtype)
            total = product if total is None else total + product
    return total


@tf.function(jit_compile=True, autograph=False)
def _convolve(x, kernel, bias):
    whole = (slice(0, size, 1) for size in x.shape[1:3])
    total = _sum(_padded(x, kernel), kernel, *whole)
    return tf.cast(total + tf.cast(bias, total.dtype), x.dtype)


@tf.function(jit_compile=True, autograph=False)
def _convolve_and_pool(x, kernel, bias, *, relu):
    padded = _padded(x, kernel)
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    # The last is the one before the end: a slice that stops there reads no further.
    corners = [_sum(padded, kernel, slice(i, height - 1 + i, 2), slice(j, width - 1 + j, 2)) for i, j in CORNERS]
    best, winner = strongest(corners, bias, relu)
    return tf.cast(best, x.dtype), winner
