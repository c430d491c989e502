"""`kerasburst.backend` on JAX."""

from __future__ import annotations

from collections.abc import Callable

import jax


def jit(function: Callable) -> Callable:
    """Return a function compiled by XLA, once for each shape."""
    return jax.jit(function)


def runs_cpu_paths() -> bool:
    """Return False: the fast paths for a CPU are TensorFlow's."""
    return False
