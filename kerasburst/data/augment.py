"""Flips and random crops of images and of frames of events, before they are encoded."""

from __future__ import annotations

import tensorflow as tf

from kerasburst.data.events import PADDING, Reading
from kerasburst.encoders.draws import draws


def augment(x: tf.Tensor, seeds: tf.Tensor, reading: Reading) -> tf.Tensor:
    """Return examples as training sees them in one epoch.

    Args:
        x: `(batch, height, width, channels)`, or with an axis of steps after the batch.
        seeds: `(batch, 2)` ints, a pair for each example; its change depends on that alone.
        reading: With flip, an example is mirrored left to right with probability 1/2. With crop c, it is a part of its
            own size of itself with c pixels of 0 around it; where the part begins is uniform.

    Returns:
        As `x`.

    Example:
        >>> x = tf.reshape(tf.range(4.0), (1, 1, 4, 1))
        >>> pairs = [[0, seed] for seed in range(20)]
        >>> seen = augment(tf.repeat(x, 20, axis=0), tf.constant(pairs), Reading(flip=True))
        >>> sorted({tuple(int(v) for v in row) for row in seen.numpy()[:, 0, :, 0]})
        [(0, 1, 2, 3), (3, 2, 1, 0)]
    """
    k = draws(tf.zeros((tf.shape(x)[0], 1)), 3, seeds)[:, :, 0]
    height, width = x.shape[-3], x.shape[-2]
    rows = tf.repeat(tf.range(height)[None], tf.shape(x)[0], axis=0)
    columns = tf.repeat(tf.range(width)[None], tf.shape(x)[0], axis=0)
    if reading.flip:
        columns = tf.where((k[:, 0] < 2**22)[:, None], width - 1 - columns, columns)
    if reading.crop:
        down, right = ((k[:, i] % (2 * reading.crop + 1) - reading.crop)[:, None] for i in (1, 2))
        rows, columns = rows + down, columns + right
    for index, size, axis in ((rows, height, -3), (columns, width, -2)):
        inside = (index >= 0) & (index < size)
        x = tf.gather(x, tf.clip_by_value(index, 0, size - 1), axis=x.shape.rank + axis, batch_dims=1)
        shape = [-1] + [1] * (x.shape.rank - 1)
        shape[axis] = size
        keep = tf.reshape(inside, shape)
        if x.dtype == tf.int8:
            keep = keep | (x == PADDING)
        x = tf.where(keep, x, tf.zeros_like(x))
    return x
