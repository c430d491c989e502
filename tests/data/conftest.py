import gc

import pytest


@pytest.fixture
def collected():
    """Collect garbage as early as Python does by itself, where memory is counted."""
    usual = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*usual)
