"""Measure what kerasburst costs: works in processes of their own, regions of a program, a network's operations.

This package starts without TensorFlow: only what needs it loads it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"cost": ["network_cost"], "profiler": ["Profiler", "ProfilerCallback"]}
)
