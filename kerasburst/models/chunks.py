"""Work on a long sequence a stretch of time after the other, so that what only passes through never stands there whole.

The maps between two convolutions are large and soon done with. All steps at once, they are what a training's memory
grows by with every step; in stretches, a stretch of them is there at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def over_time(
    function: Callable[..., tf.Tensor],
    sequence: tf.Tensor,
    parameters: tuple[tf.Tensor, ...],
    *,
    steps: int,
    recompute: bool = False,
) -> tf.Tensor:
    """Apply a function of single steps to a sequence, in stretches of at most `steps`.

    Args:
        function: `(n, *features), *parameters -> (n, *outputs)`, the same for every step and example.
        sequence: `(batch, time, *features)`; where its time is unknown it is worked on whole.
        parameters: what else it depends on; gradients flow to them.
        steps: at least 1.
        recompute: keep nothing of a stretch for the way back, and compute it again there.

    Returns:
        `(batch, time, *outputs)`.

    Example:
        >>> over_time(lambda x, w: x @ w, tf.ones((2, 5, 3)), (tf.ones((3, 1)),), steps=2).shape
        TensorShape([2, 5, 1])
    """
    function = tf.recompute_grad(function) if recompute else function

    def whole(part):
        shape = tf.shape(part)
        lead = [shape[0], part.shape[1] or shape[1]]
        y = function(tf.reshape(part, [-1, *part.shape[2:]]), *parameters)
        return tf.reshape(y, [*lead, *y.shape[1:]])

    time = sequence.shape[1]
    if time is None or time <= steps:
        return whole(sequence)
    count = -(-time // steps)
    length = -(-time // count)
    beyond = [[0, 0]] * sequence.shape.rank
    beyond[1] = [0, count * length - time]  # fewer steps than stretches: the last is filled up
    parts = tf.reshape(tf.pad(sequence, beyond), [-1, count, length, *sequence.shape[2:]])
    parts = tf.transpose(parts, [1, 0, *range(2, parts.shape.rank)])
    example = whole(parts[0, :1, :1])  # for its shape: in a graph it is never computed
    one = tf.TensorSpec([None, length, *example.shape[2:]], example.dtype)
    done = tf.map_fn(whole, parts, parallel_iterations=1, fn_output_signature=one)
    done = tf.transpose(done, [1, 0, *range(2, done.shape.rank)])
    return tf.reshape(done, [-1, count * length, *done.shape[3:]])[:, :time]
