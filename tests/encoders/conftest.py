import pytest
import tensorflow as tf


@pytest.fixture
def extreme_uniforms(monkeypatch):
    """Give a function that makes every random bit the one it is given: 0 or 1."""

    def constant(bit):
        def uniform(shape, seed, minval=0, maxval=None, dtype=tf.float32, **options):
            assert dtype == tf.int32 and minval is None and maxval is None  # whole words of bits
            return tf.fill(shape, tf.constant(-bit, tf.int32))

        monkeypatch.setattr(tf.random, "stateless_uniform", uniform)

    return constant
