"""Measure what kerasburst costs: works in processes of their own, regions of a program, a network's operations.

This package starts without TensorFlow: only what needs it loads it.
"""

from __future__ import annotations

import importlib

_PUBLIC = {
    "Profiler": "kerasburst.profiling.profiler",
    "ProfilerCallback": "kerasburst.profiling.callback",
    "network_cost": "kerasburst.profiling.cost",
}
__all__ = [*_PUBLIC]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kerasburst.profiling' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
