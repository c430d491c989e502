"""`kerasburst.backend` on PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import torch


def jit(function: Callable) -> Callable:
    """Return a function that keeps nothing for gradients; it is not compiled."""
    return torch.no_grad()(function)


def runs_cpu_paths() -> bool:
    """Return False: the fast paths for a CPU are TensorFlow's."""
    return False
