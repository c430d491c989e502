"""Intensity maps: what is refused, and what a layer's config keeps of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasburst.encoders import intensity


@keras.saving.register_keras_serializable("kerasburst_tests")
def smoothstep(x):
    return x * x * (3.0 - 2.0 * x)


def test_named_maps():
    x = tf.constant([0.0, 0.25, 0.5, 1.0])
    np.testing.assert_array_equal(intensity.resolve("linear", 2.0)(x), x)
    np.testing.assert_allclose(intensity.resolve("power", 2.0)(x), [0.0, 0.0625, 0.25, 1.0])
    np.testing.assert_allclose(intensity.resolve("power", 0.5)(x), [0.0, 0.5, 0.5**0.5, 1.0], rtol=1e-6)
    assert intensity.resolve(smoothstep, 2.0) is smoothstep


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x * (1.0 - x),  # rises and falls
        lambda x: 1.0 - x,
        lambda x: 0.1 + 0.9 * x,  # f(0) > 0
        lambda x: x - 0.1,  # f(0) < 0
        lambda x: 1.1 * x,  # f(1) > 1
        lambda x: x / 0.0,  # NaN
        lambda x: tf.reduce_sum(x),  # not elementwise
    ],
)
def test_maps_that_are_not_monotone_from_zero_to_at_most_one_are_refused(wrong):
    with pytest.raises(ValueError, match=r"intensity_map must be .*f\(0\) = 0 and f\(1\) <= 1, received .*lambda"):
        intensity.resolve(wrong, 2.0)


def test_maps_at_the_bounds_are_allowed():
    for allowed in (lambda x: 0.0 * x, lambda x: tf.cast(x > 0.5, tf.float32)):
        assert intensity.resolve(allowed, 1.0) is allowed


@pytest.mark.parametrize("name", ["linear", "power", smoothstep])
def test_serialize_and_back(name):
    config = intensity.serialize(name)
    assert config == name if isinstance(name, str) else isinstance(config, dict)
    assert intensity.deserialize(config) is name or intensity.deserialize(config) == name
