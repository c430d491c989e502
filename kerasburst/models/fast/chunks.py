"""Work on a batch a few examples after the others, so that what only passes through stays in the processor's cache.

The maps between two convolutions are large and soon done with. All examples at once, they go to memory and come back
for every operation, and are what a training's memory grows by with every step.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

_SIDE_BY_SIDE = 2  # parts: while one is in a compiled pass of one thread, another is in a convolution


def over_batch(
    function: Callable[..., tf.Tensor],
    inputs: tf.Tensor,
    parameters: tuple[tf.Tensor, ...],
    *,
    outputs: tuple[int, ...],
    examples: int,
    recompute: bool = False,
) -> tf.Tensor:
    """Apply a function to a batch, a part of at most `examples` at a time.

    Args:
        function: `(n, *features), *parameters -> (n, *outputs)`, of each example by itself and of the inputs' dtype.
        inputs: `(batch, *features)`.
        parameters: what else it depends on; gradients flow to them.
        outputs: shape of one example's.
        examples: at least 1.
        recompute: keep nothing of a part for the way back, and compute it again there.

    Returns:
        `(batch, *outputs)`.

    Example:
        >>> over_batch(lambda x, w: x @ w, tf.ones((5, 3)), (tf.ones((3, 1)),), outputs=(1,), examples=2).shape
        TensorShape([5, 1])
    """
    function = tf.recompute_grad(function) if recompute else function
    batch = inputs.shape[0]
    if batch is not None and batch <= examples:
        return function(inputs, *parameters)
    if batch is None:
        batch = tf.shape(inputs)[0]
        count = tf.maximum(-(-batch // examples), 1)
    else:
        count = -(-batch // examples)
    length = -(-batch // count)
    beyond = [[0, count * length - batch]] + [[0, 0]] * (inputs.shape.rank - 1)  # the last part is filled up
    parts = tf.reshape(tf.pad(inputs, beyond), [count, length, *inputs.shape[1:]])
    done = tf.map_fn(
        lambda part: function(part, *parameters),
        parts,
        parallel_iterations=_SIDE_BY_SIDE,
        fn_output_signature=tf.TensorSpec([None if tf.is_tensor(length) else length, *outputs], inputs.dtype),
    )
    return tf.reshape(done, [-1, *outputs])[:batch]
