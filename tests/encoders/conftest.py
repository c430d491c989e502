import pytest
from keras import ops

from kerasburst import backend


@pytest.fixture
def extreme_uniforms(monkeypatch):
    """Return a function that makes every random bit the one it is given: 0 or 1."""

    def constant(bit):
        def numbers(shape, seed, like):
            return ops.full(shape, bit * (2**23 - 1), dtype="int32")

        monkeypatch.setattr(backend._backend, "random_numbers", numbers)

    return constant
