"""Which tests of neurons run on which backend."""

import keras
import pytest

# Written with TensorFlow's tensors and tape, or about what runs there alone.
_TENSORFLOW = (
    *("test_base.py", "test_functional.py", "test_kernel.py", "test_lif.py", "test_lif_cell.py"),
    *("test_scan.py", "test_snntorch.py", "test_states.py", "test_surrogate.py", "test_compiled.py"),
)


def pytest_collection_modifyitems(items):
    """Skip them on other backends; the other modules ask the same of each."""
    if keras.backend.backend() == "tensorflow":
        return
    skip = pytest.mark.skip(reason="written with TensorFlow's gradient tape; test_every_neuron.py asks every backend")
    for item in items:
        if item.path.parent.name == "neurons" and item.path.name in _TENSORFLOW:
            item.add_marker(skip)
