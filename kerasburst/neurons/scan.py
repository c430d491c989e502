"""Any neuron's step over a whole sequence, in plain TensorFlow operations that every runtime can load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from kerasburst.neurons.base import Neuron

_UNROLL_LIMIT = 64  # steps; more, or an unknown number, become a loop, which keeps the graph small


def scan(
    neurons: Neuron, current: tf.Tensor, state: dict[str, tf.Tensor] | None = None
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Run neurons over `current` by their `step`.

    Args:
        neurons: a built layer or cell.
        current: `(batch, time, *features)`; computed in float32 or wider.
        state: the state before the first step, each `(batch, *features)`; None for the state at rest.

    Returns:
        Spikes in the neurons' compute dtype, and each state's values at all steps; all of the shape of `current`.

    Example:
        >>> from kerasburst.neurons.lif import LIF
        >>> neurons = LIF(beta=1.0)
        >>> neurons.build((1, 3, 1))
        >>> spk, states = scan(neurons, tf.constant([[[0.6], [0.6], [0.6]]]))
        >>> spk.numpy().ravel().tolist(), states["mem"].numpy().ravel().round(2).tolist()
        ([0.0, 1.0, 0.0], [0.6..., 1.2..., 0.8...])
    """
    current = tf.cast(current, tf.float64 if current.dtype == tf.float64 else tf.float32)
    if state is None:
        state = neurons.rest(current[:, 0])
    state = {name: tf.cast(value, current.dtype) for name, value in state.items()}
    steps = current.shape[1]
    if steps is not None and steps <= _UNROLL_LIMIT:
        outputs = []
        for now in tf.unstack(current, axis=1):
            spk, state = neurons.step(now, state)
            outputs.append((spk, state))
        spk, states = tf.nest.map_structure(lambda *values: tf.stack(values, axis=1), *outputs)
    else:
        swap = [1, 0, *range(2, current.shape.rank)]
        outputs = tf.scan(
            lambda before, now: neurons.step(now, before[1]),
            tf.transpose(current, swap),
            (tf.zeros_like(current[:, 0]), state),
        )
        spk, states = tf.nest.map_structure(lambda x: tf.transpose(x, swap), outputs)
    return tf.cast(spk, neurons.compute_dtype), states
