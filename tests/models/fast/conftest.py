"""The fast passes are TensorFlow's."""

import keras
import pytest


def pytest_collection_modifyitems(items):
    """Skip their tests on other backends."""
    if keras.backend.backend() == "tensorflow":
        return
    skip = pytest.mark.skip(reason="the fast passes on a CPU are TensorFlow's")
    for item in items:
        if item.path.parent.name == "fast":
            item.add_marker(skip)
