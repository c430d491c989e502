"""The fast passes are TensorFlow's, on a CPU."""

import keras
import pytest
import tensorflow as tf


def pytest_collection_modifyitems(items):
    """Skip their tests on other backends and devices."""
    if keras.backend.backend() == "tensorflow" and not tf.config.list_physical_devices("GPU"):
        return
    skip = pytest.mark.skip(reason="the fast passes on a CPU are TensorFlow's")
    for item in items:
        if item.path.parent.name == "fast":
            item.add_marker(skip)
