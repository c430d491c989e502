"""`kerasburst.backend` on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def jit(function: Callable) -> Callable:
    """Return a function as a graph, traced once for each shape."""
    return tf.function(function, reduce_retracing=True, autograph=False)


def runs_cpu_paths() -> bool:
    """Return whether fast paths for a CPU may run here.

    They may where no device but CPUs is visible, and not inside a function that XLA compiles as a whole: there the
    plain equations are faster to compile, and no slower.
    """
    return not _inside_xla() and all(device.device_type == "CPU" for device in tf.config.list_logical_devices())


def _inside_xla() -> bool:
    """Return whether a `tf.function` with `jit_compile=True` is being traced."""
    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        context = graph._get_control_flow_context()  # no public function tells
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False
