"""A step over a whole sequence, in plain operations that every backend can run and differentiate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from kerasburst import backend
from kerasburst.validation import InputError, fail, fits

if TYPE_CHECKING:
    from kerasburst.neurons.base import Neuron

State = dict[str, Any]  # tensors by name
_UNROLL_LIMIT = 64  # steps; more, or an unknown number, become a loop, which keeps the graph small


def scan(neurons: Neuron, current: Any, state: State | None = None, mask: Any = None) -> tuple[Any, State]:
    """Run neurons over `current` by their `step`.

    Args:
        neurons: a built layer or cell.
        current: `(batch, time, *features)`; computed in float32 or wider.
        state: the state before the first step, each `(batch, *features)`; None for the state at rest.
        mask: bool `(batch, time)`; where it is False, there is no spike and the state stays as it is.

    Returns:
        Spikes in the neurons' compute dtype, and each state's values at all steps; all of the shape of `current`.

    Example:
        >>> from kerasburst.neurons.lif import LIF
        >>> neurons = LIF(beta=1.0)
        >>> neurons.build((1, 3, 1))
        >>> spk, states = scan(neurons, ops.array([[[0.6], [0.6], [0.6]]]))
        >>> ops.convert_to_numpy(spk).ravel().tolist(), ops.convert_to_numpy(states["mem"]).ravel().round(2).tolist()
        ([0.0, 1.0, 0.0], [0.6..., 1.2..., 0.8...])
    """
    current = ops.cast(current, wide(current.dtype))
    state = neurons.rest(current[:, 0]) if state is None else state
    state = {name: ops.cast(value, current.dtype) for name, value in state.items()}
    spk, states = over_time(neurons.step, current, state, mask)
    return ops.cast(spk, neurons.compute_dtype), states


def over_time(step: Callable[[Any, State], tuple[Any, State]], current: Any, state: State, mask: Any = None):
    """Return the spikes and states of all steps of `step(current, state) -> (spk, state)`.

    Args:
        step: one step.
        current: `(batch, time, *features)`, of the states' dtype.
        state: before the first step.
        mask: as for `scan`.
    """
    steps, rank = current.shape[1], len(current.shape)
    live = None if mask is None else ops.reshape(mask, (-1, ops.shape(mask)[1], *[1] * (rank - 2)))
    if steps is not None and steps <= _UNROLL_LIMIT and backend.writes_steps_out():
        outputs = []
        for t in range(steps):
            spk, state = held(step, current[:, t], state, None if live is None else live[:, t])
            outputs.append((spk, state))
        return keras.tree.map_structure(lambda *values: ops.stack(values, axis=1), *outputs)

    swap = [1, 0, *range(2, rank)]
    inputs = [ops.transpose(x, swap) for x in (current, live) if x is not None]

    def body(carry, now):
        after = held(step, now[0], carry[1], *now[1:])
        return after, after

    start = (ops.zeros_like(current[:, 0]), state)
    if keras.backend.backend() == "tensorflow":  # its own bounds the loop: XLA's backward pass and ONNX need that
        import tensorflow as tf

        outputs = tf.scan(lambda carry, now: body(carry, now)[0], inputs, start)
    else:
        _, outputs = ops.scan(body, start, inputs, length=steps)
    return keras.tree.map_structure(lambda x: ops.transpose(x, swap), outputs)


def held(step: Callable, current: Any, state: State, live: Any = None) -> tuple[Any, State]:
    """Advance one step where `live`; elsewhere there is no spike, and the state stays as it is.

    Args:
        step: `(current, state) -> (spk, state)`.
        current: `(batch, *features)`.
        state: by name.
        live: bool, of a shape that broadcasts to it; None for all.
    """
    spk, after = advanced(step, current, state)
    if live is None:
        return spk, after
    after = {name: ops.where(live, after[name], before) for name, before in state.items()}
    return ops.where(live, spk, ops.zeros_like(spk)), after


def advanced(step: Callable, current: Any, state: State) -> tuple[Any, State]:
    """Return the spikes and the state after one step, both as a user's own step must return them.

    Raises:
        InputError: for anything but spikes and the tensors of `state`, each of the shape of `current`.
    """
    result = step(current, state)
    pair = isinstance(result, tuple | list) and len(result) == 2 and isinstance(result[1], Mapping)
    if not pair or set(result[1]) != set(state):
        raise InputError(f"step must return the spikes and a dict of the state, with {', '.join(state)}")
    for name, value in {"spikes": result[0], **result[1]}.items():
        if not fits(shape := getattr(value, "shape", ()), current.shape):
            raise fail(f"{name} of step", f"of the current's shape {tuple(current.shape)}", tuple(shape))
    return result


def wide(dtype: Any) -> str:
    """Return the dtype that neurons compute in: float64 for float64, else float32.

    Example:
        >>> wide("bfloat16"), wide("float64")
        ('float32', 'float64')
    """
    return "float64" if keras.backend.standardize_dtype(dtype) == "float64" else "float32"
