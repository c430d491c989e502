"""Any neuron's step over all steps at once, for TensorFlow on a CPU: forward and backward each one compiled pass.

The backward pass is derived. It computes the states again, step by step, and goes back through one step at a time by
automatic differentiation. Nothing but the input is kept from the forward pass.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from kerasburst.neurons.scan import State, held, wide
from kerasburst.neurons.surrogate import Surrogate
from kerasburst.validation import InputError

if TYPE_CHECKING:
    from kerasburst.neurons.base import Neuron


def compiled_scan(
    neurons: Neuron, current: tf.Tensor, state: State | None, mask: tf.Tensor | None, *, return_mem: bool
) -> tuple[tf.Tensor, tf.Tensor | None, State]:
    """Run neurons over `current` by their `step`.

    Args:
        neurons: a built layer.
        current: `(batch, time, *features)`; computed in float32 or wider.
        state: the state before the first step, each `(batch, *features)`; None for the state at rest.
        mask: bool `(batch, time)`; where it is False, there is no spike and the state stays as it is.
        return_mem: whether to return the membrane of every step, which costs its memory.

    Returns:
        Spikes in the neurons' compute dtype and the membrane (or None), each of the shape of `current`, and the last
        state.
    """
    dtype, features = tf.as_dtype(wide(current.dtype)), current.shape[2:]
    if state is None:
        state = neurons.rest(tf.cast(current[:, 0], dtype))
    weights = [tf.convert_to_tensor(weight) for weight in neurons.weights]
    begin = [tf.cast(state[name], dtype) for name in neurons.state_names]
    live = None
    if mask is not None:
        shape = tf.shape(current)
        live = tf.reshape(tf.cast(mask, tf.bool), [shape[0], shape[1], *[1] * features.rank])
    forward, backward = _passes(neurons)
    static = {"settings": _settings(neurons)}

    @tf.custom_gradient
    def scan(*tensors):
        current, *others = unrecorded(tensors)
        state, weights = tuple(others[: len(begin)]), tuple(others[len(begin) :])
        spk, mem, last = forward(
            current, live, state, weights, return_mem=return_mem, spike_dtype=neurons.compute_dtype, **static
        )
        for sequence in (spk, mem) if return_mem else (spk,):
            sequence.set_shape(current.shape)
        for value in last:
            value.set_shape(current.shape[:1].concatenate(features))

        def first(g_spk, *upstream):
            g_mem, g_last = (upstream[0], upstream[1:]) if return_mem else (None, upstream)
            g_current, g_others = backward(current, live, state, weights, g_spk, g_mem, g_last, **static)
            return (tf.cast(g_current, current.dtype), *g_others)

        def outputs(current, *others):
            state, weights = others[: len(begin)], others[len(begin) :]

            def step(state, now, live):
                return _advance(neurons, state, now, live, weights)

            spk, mem, last = step_by_step(step, state, current, live)
            return (tf.cast(spk, neurons.compute_dtype), *[mem] * return_mem, *last)

        def gradient(*upstream):
            return differentiable(first, outputs, tensors, upstream)

        return (spk, *[mem] * return_mem, *last), gradient

    spk, *outputs = scan(current, *begin, *weights)
    mem = outputs.pop(0) if return_mem else None
    return spk, mem, dict(zip(neurons.state_names, outputs, strict=True))


def _passes(neurons: Neuron) -> tuple:
    """Return the compiled passes of a layer, which are its own: they go when it goes."""
    own: Any = vars(neurons)  # past Keras' tracking
    if "_passes" not in own:
        own["_passes"] = tuple(
            tf.function(functools.partial(each, neurons), jit_compile=True, autograph=False)
            for each in (_forward, _backward)
        )
    return own["_passes"]


def _forward(neurons, sequence, live, state, weights, *, settings, return_mem, spike_dtype):
    def step(state, now, live=None):
        spk, state = _advance(neurons, state, now, live, weights)
        return state, (tf.cast(spk, spike_dtype), *state[:1] * return_mem)

    inputs, dtypes = [sequence, *[live] * (live is not None)], [spike_dtype, *[state[0].dtype] * return_mem]
    last, (spk, *mem) = _each(step, state, inputs, dtypes)
    return spk, mem[0] if return_mem else None, last


def _backward(neurons, sequence, live, state, weights, g_spk, g_mem, g_last, *, settings):
    masks = [live] * (live is not None)

    def again(state, now, live=None):
        return _advance(neurons, state, now, live, weights)[1], state

    def back(carry, now, g_now, *others):
        above, g_weights = carry
        before, others = others[: len(state)], list(others[len(state) :])
        if g_mem is not None:
            above = (above[0] + others.pop(0), *above[1:])
        inputs = (tf.cast(now, dtypes[0]), before, weights)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            outputs = _advance(neurons, before, inputs[0], others[0] if others else None, weights)
        above = (tf.cast(g_now, dtypes[0]), above)
        g_current, above, g_step = tape.gradient(outputs, inputs, output_gradients=above, unconnected_gradients="zero")
        g_weights = tuple(total + each for total, each in zip(g_weights, g_step, strict=True))
        return (above, g_weights), (g_current,)

    dtypes = [each.dtype for each in state]
    _, before = _each(again, state, [sequence, *masks], dtypes)
    start = (tuple(g_last), tuple(tf.zeros_like(weight) for weight in weights))
    inputs = [sequence, g_spk, *before, *([] if g_mem is None else [g_mem]), *masks]
    (g_state, g_weights), (g_current,) = _each(back, start, inputs, dtypes[:1], reverse=True)
    return g_current, (*g_state, *g_weights)


def _advance(neurons, state, current, live, weights):
    """Advance one step as a pure function of tensors: states and weights are tuples, in their order."""
    scope = keras.StatelessScope()
    for variable, value in zip(neurons.weights, weights, strict=True):
        scope.add_update((variable, value))
    dtype = state[0].dtype
    with scope:
        named = dict(zip(neurons.state_names, state, strict=True))
        spk, after = held(neurons.step, tf.cast(current, dtype), named, live)
    return tf.cast(spk, dtype), tuple(tf.cast(after[name], dtype) for name in neurons.state_names)


def _settings(neurons) -> tuple:
    """Return what a compiled pass depends on besides its tensors, so that a changed attribute compiles anew."""
    plain = (bool, int, float, str, type(None), Surrogate)
    names = sorted(name for name, value in vars(neurons).items() if isinstance(value, plain) and name[0] != "_")
    return tuple((name, vars(neurons)[name]) for name in names)


def unrecorded(tensors):
    """Keep an eager tape from recording what a custom gradient stands for."""
    return [None if tensor is None else tf.stop_gradient(tensor) for tensor in tensors]


def differentiable(backward, outputs, inputs, upstream) -> tuple:
    """Return the gradients that a compiled pass computes, with their own gradient, which plain operations compute.

    A penalty on gradients needs it. Nothing of it is computed where nobody asks for second derivatives.

    Args:
        backward: the compiled pass, `*upstream -> gradients of the inputs`.
        outputs: what it is the gradient of, by plain operations, `*inputs -> outputs`.
        inputs: the tensors that have a gradient.
        upstream: the gradients of the outputs.
    """
    count = len(inputs)

    @tf.custom_gradient
    def first(*tensors):
        def second(*g):
            with tf.GradientTape(watch_accessed_variables=False) as outer:
                outer.watch(tensors)
                with tf.GradientTape(watch_accessed_variables=False) as inner:
                    inner.watch(tensors[:count])
                    found = outputs(*tensors[:count])
                again = inner.gradient(found, tensors[:count], tensors[count:], unconnected_gradients="zero")
            return outer.gradient(again, tensors, g, unconnected_gradients="zero")

        return backward(*unrecorded(tensors[count:])), second

    return first(*inputs, *upstream)


def step_by_step(advance, state, current, live=None):
    """Run `advance(state, current, live) -> (spk, state)` over time by operations that TensorFlow differentiates twice.

    Raises:
        InputError: for a number of steps that is not known when a graph is made.
    """
    if current.shape[1] is None:
        raise InputError("inputs must have a known number of steps for second derivatives, received None")
    spk, mem = [], []
    for t in range(current.shape[1]):
        now, state = advance(state, current[:, t], None if live is None else live[:, t])
        spk.append(now)
        mem.append(state[0])
    return tf.stack(spk, axis=1), tf.stack(mem, axis=1), state


def _each(step, state, inputs, dtypes, *, reverse=False):
    """Run `step(state, *inputs at t) -> (state, outputs at t)` over time; return the last state and the outputs.

    The outputs have the shape of the first input. They are arrays of their own: XLA copies an input that is written
    over, at each step as a whole, where more than one pass reads it.
    """
    num_steps = tf.shape(inputs[0])[1]
    arrays = [tf.zeros(tf.shape(inputs[0]), dtype) for dtype in dtypes]

    def body(i, state, arrays):
        t = num_steps - 1 - i if reverse else i
        state, now = step(state, *(x[:, t] for x in inputs))
        return i + 1, state, [put(array, t, output) for array, output in zip(arrays, now, strict=True)]

    _, state, arrays = tf.while_loop(
        lambda i, *_: i < num_steps, body, (0, state, arrays), maximum_iterations=num_steps
    )
    return state, arrays


def put(sequence: tf.Tensor, t: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Write `(batch, *features)` as step t of `(batch, time, *features)`, in place where XLA compiles it.

    XLA's operation has no function in TensorFlow's public interface; a graph makes it by its name. Run one by one
    (`tf.config.run_functions_eagerly`), public operations do the same at nine times the time of a pass.
    """
    if not tf.executing_eagerly():
        begin = tf.stack([0, t, *[0] * (sequence.shape.rank - 2)])
        inputs, dtypes = [sequence, value[:, None], begin], [sequence.dtype]
        return begin.graph.create_op("XlaDynamicUpdateSlice", inputs, dtypes=dtypes).outputs[0]
    swap = [1, 0, *range(2, sequence.shape.rank)]
    by_step = tf.tensor_scatter_nd_update(tf.transpose(sequence, swap), tf.reshape(t, [1, 1]), value[None])
    return tf.transpose(by_step, swap)
