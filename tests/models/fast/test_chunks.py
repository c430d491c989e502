"""A batch in parts gives what it gives whole, gradients too."""

import numpy as np
import pytest
import tensorflow as tf

from kerasburst.models.fast.stages import over_batch

RNG = np.random.default_rng(0)


def value_and_gradients(x, w, **options):
    with tf.GradientTape() as tape:
        tape.watch([x, w])
        y = over_batch(lambda x, w: tf.tanh(x @ w) ** 2, x, (w,), outputs=(3, 2), **options)
        loss = tf.reduce_sum(y * tf.reshape(tf.range(tf.size(y), dtype=y.dtype), tf.shape(y)))
    return [y, *tape.gradient(loss, [x, w])]


@pytest.mark.sampled(7)
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("batch", "examples"), [(4, 4), (5, 4), (11, 4), (12, 4), (7, 1), (3, 10)])
def test_in_parts_as_whole(batch, examples, recompute):
    x, w = tf.constant(RNG.normal(size=(batch, 3, 4))), tf.constant(RNG.normal(size=(4, 2)))
    y = tf.tanh(x @ w) ** 2
    weight = tf.reshape(tf.range(tf.size(y), dtype=y.dtype), tf.shape(y))
    with tf.GradientTape() as tape:
        tape.watch([x, w])
        loss = tf.reduce_sum(tf.tanh(x @ w) ** 2 * weight)
    want = [y, *tape.gradient(loss, [x, w])]

    def ours(x, w):
        return value_and_gradients(x, w, examples=examples, recompute=recompute)

    unknown = [tf.TensorSpec((None, 3, 4), x.dtype), tf.TensorSpec((4, 2), x.dtype)]
    graphs = ({}, {"input_signature": unknown}, {"jit_compile": True})
    for call in (ours, *(tf.function(ours, autograph=False, **options) for options in graphs)):
        for a, b in zip(call(x, w), want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_a_part_is_never_larger_than_asked_for():
    seen = set()

    def note(x):
        noted = tf.py_function(lambda y: (seen.add(len(y)), y)[1], [x], x.dtype)
        return tf.ensure_shape(noted, x.shape)

    run = tf.function(lambda x: over_batch(note, x, (), outputs=(2,), examples=4), autograph=False)
    y = run(tf.constant(np.arange(26.0).reshape(13, 2)))
    assert max(seen) == 4 and y.numpy().ravel().tolist() == list(range(26))  # four parts, the last one filled up


@pytest.mark.parametrize("shape", [(0, 3), (1, 3)])
def test_a_batch_of_none_or_one(shape):
    graph = tf.function(
        lambda x: over_batch(lambda x: x + 1, x, (), outputs=(3,), examples=2),
        input_signature=[tf.TensorSpec((None, 3))],
    )
    assert graph(tf.zeros(shape)).numpy().tolist() == np.ones(shape).tolist()
