"""Ask a network K times, each time with another encoding, by an explicit seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kerasburst.encoders.base import Encoder
from kerasburst.encoders.functional import check_intensity
from kerasburst.export.network import Network


def draw_spikes(encoder: Encoder, x: tf.Tensor, seed: tf.Tensor, query: tf.Tensor) -> tf.Tensor:
    """Encode checked intensities for one query.

    An example's spikes depend on the seed, the number of the query, and its own intensities alone: not on its place
    in the batch, nor on what else is in it.

    Args:
        encoder: the encoder layer; its own seed is not used.
        x: float32 `(batch, *features)` in [0, 1].
        seed: int64 scalar.
        query: integer scalar, 0 to K - 1.

    Returns:
        uint8 spikes `(batch, num_steps, *features)`.
    """
    if not encoder.random:
        return encoder.encode(x, (0, 0))
    # fold_in(key, n) is (hash of key, n). Twice, so that the query is hashed, too.
    key = tf.random.fold_in(tf.stack([seed, 0]), tf.cast(query, tf.int64))
    key = tf.random.fold_in(key, tf.zeros_like(seed))[0]
    return encoder.encode(x, tf.stack([tf.fill(tf.shape(x)[:1], key), _fingerprint(x)], axis=1))


def _fingerprint(x: tf.Tensor) -> tf.Tensor:
    """Give an int64 for each example, of its bits: a sum modulo 2**64, weighted by random odd numbers."""
    bits = tf.reshape(tf.bitcast(x, tf.int32), [tf.shape(x)[0], int(np.prod(x.shape[1:]))])
    weights = np.random.default_rng(0).integers(-(2**62), 2**62, bits.shape[1]) * 2 + 1
    return tf.reduce_sum(tf.cast(bits, tf.int64) * tf.constant(weights, tf.int64), axis=1)


def fresh_spikes(encoder: Encoder, x: tf.Tensor) -> tf.Tensor:
    """Encode checked intensities with randomness of the runtime's own: a stateful operation, but no variable."""
    if not encoder.random:
        return encoder.encode(x, (0, 0))
    # Of both seeds 0, which tf.random.set_seed does not reach: each process and each call draws another.
    seed = tf.raw_ops.RandomUniformInt(shape=[2], minval=0, maxval=2**31 - 1, seed=0, seed2=0)
    return encoder.encode(x, seed)


def checked(network: Network, images: tf.Tensor) -> tf.Tensor:
    """Give the intensities that the network's encoder sees; an InvalidArgumentError in a graph where they are none."""
    return check_intensity(network.intensities(images), "images")


def ask(network: Network, images: tf.Tensor, seed: tf.Tensor, queries: tf.Tensor) -> dict[str, tf.Tensor]:
    """Give the mean over K encodings.

    Args:
        network: with an encoder.
        images: float32 `(batch, *features)`.
        seed: int64 scalar.
        queries: K, int32 scalar, at least 1.

    Returns:
        `logits`, their mean over the encodings; `probabilities`, its softmax; `spread`, the standard deviation of
        the single encodings' probabilities; each `(batch, C)`.
    """
    x = checked(network, images)
    check = tf.debugging.assert_positive(queries, "queries must be at least 1")
    with tf.control_dependencies([] if check is None else [check]):
        queries = tf.identity(queries)

    def probabilities(k):
        spikes = draw_spikes(network.encoder, x, seed, k)
        logits = network.encoded(tf.cast(spikes, tf.float32))[0]
        return logits, tf.nn.softmax(logits)

    def more(k, logits, mean, squares):
        new, p = probabilities(k)
        n = tf.cast(k + 1, tf.float32)
        logits += (new - logits) / n
        after = mean + (p - mean) / n
        return k + 1, logits, after, squares + (p - mean) * (p - after)

    first, p = probabilities(tf.constant(0))
    state = (tf.constant(1), first, p, tf.zeros_like(p))
    _, logits, _, squares = tf.while_loop(lambda k, *_: k < queries, more, state)
    return {
        "logits": logits,
        "probabilities": tf.nn.softmax(logits),
        "spread": tf.sqrt(squares / tf.cast(queries, tf.float32)),
    }


def asked_by(function: Callable) -> Callable[[np.ndarray, int, int], dict[str, tf.Tensor]]:
    """Return `function` of the tensors images, seed and queries as a function of an array and two ints."""

    def asked(images, seed, queries):
        return function(
            images=tf.constant(images, tf.float32),
            seed=tf.constant(seed, tf.int64),
            queries=tf.constant(queries, tf.int32),
        )

    return asked
