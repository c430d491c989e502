import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import importlib.util

import pytest


def pytest_configure():
    """Refuse to run, instead of skipping tests, where a module that `KERASBURST_REQUIRE` names is missing."""
    required = [name for name in os.environ.get("KERASBURST_REQUIRE", "").split(",") if name]
    missing = [name for name in required if importlib.util.find_spec(name) is None]
    if missing:
        raise pytest.UsageError(f"KERASBURST_REQUIRE names modules that are not installed: {', '.join(missing)}")


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
