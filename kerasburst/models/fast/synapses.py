"""What Keras' layers of synapses compute, with cheaper ways back on a CPU.

A bias's gradient is a sum over every image and step. Keras adds biases by broadcasting, which makes it a reduction: for
the first convolution of `SNNConvNet` it took twice as long as the kernel's gradient. TensorFlow's BiasAddGrad is fast,
but oneDNN's fusion of it into the kernel's gradient makes that four times as slow. A product with ones is neither.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasburst import backend

_FEW = 16  # outputs of a layer whose gradient is summed instead of multiplied


def project(layer: keras.layers.Dense, x: tf.Tensor) -> tf.Tensor:
    """Compute what a dense layer computes.

    The gradient that leaves a layer of few outputs is a product of two thin matrices, at which a compiled one of XLA's
    is slow; it is the sum of as many outer products, which fuse.

    Args:
        layer: a built one without activation.
        x: `(..., features)`, in the layer's compute dtype.

    Example:
        >>> layer = keras.layers.Dense(3)
        >>> x = tf.ones((2, 5, 4))
        >>> layer(x).shape == project(layer, x).shape
        True
    """
    kernel, shape = tf.cast(layer.kernel, x.dtype), tf.shape(x)
    flat = tf.reshape(x, [-1, kernel.shape[0]])
    y = _thin(flat, kernel) if kernel.shape[1] <= _FEW else tf.matmul(flat, kernel)
    y = tf.reshape(add_bias(y, tf.cast(layer.bias, x.dtype)), tf.concat([shape[:-1], [kernel.shape[1]]], axis=0))
    return backend.with_shape(y, [*x.shape[:-1], kernel.shape[1]])


def column_sums(x: tf.Tensor) -> tf.Tensor:
    """Sum `(..., channels)` over all axes but the last.

    Example:
        >>> column_sums(tf.constant([[1.0, 2.0], [3.0, 4.0]])).numpy().tolist()
        [4.0, 6.0]
    """
    flat = tf.reshape(x, [-1, x.shape[-1]])
    return tf.matmul(tf.ones([1, tf.shape(flat)[0]], x.dtype), flat)[0]


@tf.custom_gradient
def add_bias(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Return x + bias of `(..., channels)` and `(channels,)`.

    Example:
        >>> add_bias(tf.zeros((1, 2)), tf.constant([1.0, 2.0])).numpy().tolist()
        [[1.0, 2.0]]
    """
    return tf.nn.bias_add(x, bias), lambda upstream: (upstream, column_sums(upstream))


@tf.custom_gradient
def _thin(x: tf.Tensor, kernel: tf.Tensor):
    def gradient(upstream):
        return _outer(upstream, kernel), tf.matmul(x, upstream, transpose_a=True)

    return tf.matmul(x, kernel), gradient


@tf.function(jit_compile=True, autograph=False)
def _outer(upstream: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Return upstream @ kernel^T of `(n, few)` and `(features, few)`."""
    parts = [upstream[:, i : i + 1] * kernel[:, i] for i in range(kernel.shape[1])]
    return tf.add_n(parts)
