"""Any neuron's step over all steps at once, for TensorFlow on a CPU: forward and backward each one compiled pass.

The backward pass is derived. It computes the states again, step by step, and goes back through one step at a time by
automatic differentiation. Nothing but the input is kept from the forward pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from kerasburst.neurons.scan import State, held, wide
from kerasburst.neurons.surrogate import Surrogate

if TYPE_CHECKING:
    from kerasburst.neurons.base import Neuron

try:  # the one private import: no public operation writes into a loop's array in place when XLA compiles it
    from tensorflow.compiler.tf2xla.python import xla
except ImportError:
    xla = None

_MOST_STEPS, _MOST_FEATURES = 32, 4096  # of a loop that is written out


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
    live = None
    if neurons.elementwise:  # a loop's body runs faster on few axes
        rows = tf.shape(current)[0]
        weights = [tf.broadcast_to(spread(w, current.shape), [rows, _size(current)]) for w in weights]
        sequence, begin = flat(current, 2), [flat(tf.cast(state[name], dtype), 1) for name in neurons.state_names]
    else:
        sequence, begin = current, [tf.cast(state[name], dtype) for name in neurons.state_names]
    if mask is not None:
        live = tf.reshape(tf.cast(mask, tf.bool), [*_lead(current), *[1] * (sequence.shape.rank - 2)])
    static = {"neurons": neurons, "settings": _settings(neurons)}

    @tf.custom_gradient
    def scan(sequence, *others):
        sequence, *others = unrecorded((sequence, *others))
        state, weights = tuple(others[: len(begin)]), tuple(others[len(begin) :])
        spk, mem, last = _forward(
            sequence, live, state, weights, return_mem=return_mem, spike_dtype=neurons.compute_dtype, **static
        )

        def gradient(g_spk, *upstream):
            g_mem, g_last = (upstream[0], upstream[1:]) if return_mem else (None, upstream)
            g_current, g_others = _backward(
                sequence, live, state, weights, *unrecorded((g_spk, g_mem)), tuple(unrecorded(g_last)), **static
            )
            return (tf.cast(g_current, sequence.dtype), *g_others)

        return (spk, *[mem] * return_mem, *last), gradient

    spk, *outputs = scan(sequence, *begin, *weights)
    mem = _whole(outputs.pop(0), current) if return_mem else None
    last = [tf.reshape(value, tf.shape(current[:, 0])) for value in outputs]
    for value in last:
        value.set_shape(current.shape[:1].concatenate(features))
    return _whole(spk, current), mem, dict(zip(neurons.state_names, last, strict=True))


@tf.function(jit_compile=True, autograph=False)
def _forward(sequence, live, state, weights, *, neurons, settings, return_mem, spike_dtype):
    def step(state, now, live=None):
        spk, state = _advance(neurons, state, now, live, weights)
        return state, (tf.cast(spk, spike_dtype), *state[:1] * return_mem)

    last, (spk, *mem) = loop(step, state, [sequence, *[live] * (live is not None)])
    return spk, mem[0] if return_mem else None, last


@tf.function(jit_compile=True, autograph=False)
def _backward(sequence, live, state, weights, g_spk, g_mem, g_last, *, neurons, settings):
    masks = [live] * (live is not None)

    def again(state, now, live=None):
        return _advance(neurons, state, now, live, weights)[1], state

    def back(carry, first, *now):
        above, g_weights = carry
        before, now = (first, *now[: len(state) - 1]), now[len(state) - 1 :]
        current, g_spk, *now = now
        if g_mem is not None:
            above, now = (above[0] + now[0], *above[1:]), now[1:]
        inputs = (tf.cast(current, first.dtype), before, weights)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            outputs = _advance(neurons, before, inputs[0], now[0] if now else None, weights)
        above = (tf.cast(g_spk, first.dtype), above)
        g_current, above, g_step = tape.gradient(outputs, inputs, output_gradients=above, unconnected_gradients="zero")
        g_weights = tuple(total + each for total, each in zip(g_weights, g_step, strict=True))
        return (above, g_weights), (g_current,)

    _, before = loop(again, state, [sequence, *masks])
    above = [] if g_mem is None else [g_mem]
    start = (tuple(g_last), tuple(tf.zeros_like(weight) for weight in weights))
    (g_state, g_weights), (g_current,) = loop(back, start, [*before, sequence, g_spk, *above, *masks], reverse=True)
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
    """Keep an eager tape from recording what a custom gradient stands for; second derivatives are then None."""
    return [None if tensor is None else tf.stop_gradient(tensor) for tensor in tensors]


def loop(step, state, inputs, *, first=None, reverse=False):
    """Run `step(state, *inputs at t) -> (state, outputs at t)` over time; return the last state and the outputs.

    Inputs and outputs are `(batch, time, *features)`, the first input of the outputs' shape. A reverse scan writes its
    output over its first input. A short scan over few features is written out: what surrounds it, if that is compiled
    too, then is one stretch of code.
    """
    num_steps, features = inputs[0].shape[1], inputs[0].shape[2:].num_elements()
    first = first or step
    if num_steps is not None and num_steps <= _MOST_STEPS and features is not None and features <= _MOST_FEATURES:
        outputs = []
        for t in reversed(range(num_steps)) if reverse else range(num_steps):
            state, now = (step if outputs else first)(state, *(x[:, t] for x in inputs))
            outputs.append(now)
        columns = zip(*(reversed(outputs) if reverse else outputs), strict=True)
        return state, [tf.stack(column, axis=1) for column in columns]

    num_steps = tf.shape(inputs[0])[1]
    begin = num_steps - 1 if reverse else 0
    state, now = first(state, *(x[:, begin] for x in inputs))
    empty = inputs[:1] if reverse else [tf.zeros(tf.shape(inputs[0]), output.dtype) for output in now]
    arrays = [_put(array, begin, output) for array, output in zip(empty, now, strict=True)]

    def body(i, state, arrays):
        t = num_steps - 1 - i if reverse else i
        state, now = step(state, *((arrays if reverse else inputs)[0][:, t], *(x[:, t] for x in inputs[1:])))
        return i + 1, state, [_put(array, t, output) for array, output in zip(arrays, now, strict=True)]

    _, state, arrays = tf.while_loop(
        lambda i, *_: i < num_steps, body, (1, state, arrays), maximum_iterations=num_steps - 1
    )
    return state, arrays


def _put(sequence: tf.Tensor, t: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Write `(batch, *features)` as step t of `(batch, time, *features)`, in place where XLA compiles it.

    Without the private operation the same is done by a public one, at nine times the time of a pass.
    """
    if xla is not None:
        return xla.dynamic_update_slice(sequence, value[:, None], tf.stack([0, t, *[0] * (sequence.shape.rank - 2)]))
    swap = [1, 0, *range(2, sequence.shape.rank)]
    by_step = tf.tensor_scatter_nd_update(tf.transpose(sequence, swap), tf.reshape(t, [1, 1]), value[None])
    return tf.transpose(by_step, swap)


def flat(x: tf.Tensor, lead: int) -> tf.Tensor:
    """Keep `lead` axes and make one of the features: a loop's body runs faster on few axes."""
    flat = tf.reshape(x, tf.concat([tf.shape(x)[:lead], [tf.reduce_prod(tf.shape(x)[lead:])]], axis=0))
    return tf.ensure_shape(flat, x.shape[:lead].concatenate(x.shape[lead:].num_elements()))


def spread(parameter: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """Return a parameter that broadcasts to `(*features)` as one that broadcasts to them flat."""
    if parameter.shape.num_elements() == 1:
        return tf.reshape(parameter, [])
    return tf.reshape(tf.broadcast_to(parameter, shape[2:]), [-1])


def _size(x: tf.Tensor) -> int | tf.Tensor:
    """Return the number of features of `(batch, time, *features)`."""
    known = x.shape[2:].num_elements()
    return tf.reduce_prod(tf.shape(x)[2:]) if known is None else known


def _lead(x: tf.Tensor) -> list:
    shape = tf.shape(x)
    return [shape[0], shape[1]]


def _whole(x: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(tf.reshape(x, tf.shape(like)), like.shape)
