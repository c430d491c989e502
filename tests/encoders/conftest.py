import pytest
import tensorflow as tf


@pytest.fixture
def extreme_uniforms(monkeypatch):
    """Give a function that makes every uniform the one value it is given."""

    def constant(value):
        def uniform(shape, seed, **options):
            return tf.fill(shape, tf.constant(value, tf.float32))

        monkeypatch.setattr(tf.random, "stateless_uniform", uniform)

    return constant
