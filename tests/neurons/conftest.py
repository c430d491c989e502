"""Which tests of neurons run on which backend."""

import keras
import pytest

_TENSORFLOW = {
    "test_kernel.py": "of TensorFlow's compiled kernel for a CPU",
    "test_compiled.py": "of TensorFlow's compiled scan for a CPU",
}


def pytest_collection_modifyitems(items):
    """Skip tests of TensorFlow's parts on other backends; the other modules ask the same of each."""
    if keras.backend.backend() == "tensorflow":
        return
    for item in items:
        if item.path.parent.name == "neurons" and item.path.name in _TENSORFLOW:
            item.add_marker(pytest.mark.skip(reason=_TENSORFLOW[item.path.name]))
