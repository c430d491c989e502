import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Make the cases of a `sampled(n)` test `thorough`, all but every n-th."""
    seen = {}
    for item in items:
        if (mark := item.get_closest_marker("sampled")) is not None:
            number = seen.setdefault(item.function, 0)
            seen[item.function] += 1
            if number % mark.args[0]:
                item.add_marker(pytest.mark.thorough)
