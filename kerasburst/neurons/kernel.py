r"""The LIF equation over all steps at once, for TensorFlow on a CPU: forward and backward each one compiled pass.

Backward, with g the gradients that come from above and k[t] what the reset leaves of mem[t-1] ("zero": 1 - spk[t-1],
else 1):

    o[t] = g_mem[t] + g_spk[t] surrogate'(mem[t] - threshold)
    a[t] = o[t] + beta k[t+1] a[t+1]
    d current[t] = a[t],   d mem[-1] = beta k[0] a[0],   d beta = sum_t a[t] k[t] mem[t-1]
    d threshold = -sum_t (g_spk[t] surrogate'(mem[t] - threshold) + a[t] spk[t-1]),  the last term for "subtract" alone

The membrane is computed again backward, unless it is an output and so is kept anyway: a loop forward over time writes
o where d current will stand, and a loop back turns it into a. XLA needs no other array of that size.
"""

from __future__ import annotations

import numbers
from typing import Any, Protocol

import tensorflow as tf

from kerasburst import backend
from kerasburst.neurons.compiled import differentiable, put, step_by_step, unrecorded
from kerasburst.neurons.functional import advance, lif_step
from kerasburst.neurons.scan import wide
from kerasburst.neurons.surrogate import Surrogate

_MOST_STEPS, _MOST_FEATURES = 32, 4096  # of a loop that is written out


class Use(Protocol):
    """What is made of spikes at once, so that they never stand there in full width."""

    def forward(self, spikes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what becomes of uint8 spikes `(batch, time, *features)`, and what the way back needs."""

    def backward(self, upstream: tf.Tensor, kept: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
        """Return the gradient with respect to spikes of shape `shape`."""


def lif_scan(
    current: tf.Tensor,
    initial_mem: tf.Tensor | None,
    beta: float | tf.Tensor,
    threshold: float | tf.Tensor,
    reset_mechanism: str,
    surrogate: Surrogate,
    *,
    return_mem: bool = True,
    spike_dtype: Any = None,
    use: Use | None = None,
) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor]:
    """Run checked arguments over all steps.

    Args:
        current: `(batch, time, *features)`, any float dtype; computed in float32 or wider.
        initial_mem: mem[-1], `(batch, *features)`; None for zeros.
        beta: a number, or a tensor that broadcasts to `(*features)` and receives its gradient.
        threshold: likewise.
        reset_mechanism: "subtract", "zero" or "none".
        surrogate: has the spike's derivative.
        return_mem: whether to return the membrane of every step, which costs its memory.
        spike_dtype: of the spikes; None for the membrane's.
        use: what is made of them; its outcome takes their place.

    Returns:
        `spk` and `mem` (or None), each `(batch, time, *features)`, and the last membrane `(batch, *features)`.
    """
    dtype = wide(current.dtype)
    trained = tuple(not isinstance(value, numbers.Real) for value in (beta, threshold))
    beta, threshold = (  # tf.cast would take a number through float32
        tf.cast(value, dtype) if each else tf.constant(value, dtype)
        for value, each in zip((beta, threshold), trained, strict=True)
    )
    shape = tf.shape(current)
    if initial_mem is None:
        mem = tf.zeros(tf.concat([shape[:1], shape[2:]], axis=0), dtype)
    else:
        mem = tf.cast(initial_mem, dtype)
    mem = backend.with_shape(mem, current.shape[:1].concatenate(current.shape[2:]))
    settings = {"reset_mechanism": reset_mechanism}
    width = tf.uint8 if use is not None else dtype if spike_dtype is None else spike_dtype

    @tf.custom_gradient
    def scan(*tensors):
        current, initial_mem, beta, threshold = unrecorded(tensors)
        spk, mem, last = _forward(
            current, initial_mem, beta, threshold, return_mem=return_mem, spike_dtype=tf.as_dtype(width), **settings
        )
        for sequence in (spk, mem) if return_mem else (spk,):
            sequence.set_shape(current.shape)
        last.set_shape(initial_mem.shape)
        kept = None
        if use is not None:
            spk, kept = use.forward(spk)

        def first(*upstream):
            g_spk, g_mem, g_last = upstream if return_mem else (upstream[0], None, upstream[1])
            inputs = (None if return_mem else current, mem, initial_mem, beta, threshold, g_spk, g_mem, g_last)
            g_current, g_initial, *others = _backward(*inputs, surrogate=surrogate, trained=trained, **settings)
            others = (tf.zeros_like(x) if g is None else g for x, g in zip((beta, threshold), others, strict=True))
            return tf.cast(g_current, current.dtype), g_initial, *others

        def gradient(g_spk, *upstream):
            if use is not None:
                g_spk = use.backward(g_spk, kept, current.shape)

            def outputs(current, initial_mem, beta, threshold):
                def step(state, now, live):
                    spk, mem = lif_step(tf.cast(now, dtype), *state, beta, threshold, reset_mechanism, surrogate)
                    return spk, (mem,)

                spk, mem, state = step_by_step(step, (initial_mem,), current)
                return (tf.cast(spk, g_spk.dtype), *[mem] * return_mem, *state)

            return differentiable(first, outputs, tensors, (g_spk, *upstream))

        return ((spk, mem, last) if return_mem else (spk, last)), gradient

    outputs = scan(current, mem, beta, threshold)
    return outputs if return_mem else (outputs[0], None, outputs[1])


@tf.function(jit_compile=True, autograph=False)
def _forward(current, initial_mem, beta, threshold, *, reset_mechanism, return_mem, spike_dtype):
    shape, dtype = tf.shape(current), initial_mem.dtype
    beta, threshold = (_spread(value, current.shape) for value in (beta, threshold))

    def step(mem, now):
        mem = advance(tf.cast(now, dtype), mem, beta, threshold, reset_mechanism)
        spk = tf.cast(mem > threshold, spike_dtype)
        return mem, (spk, mem) if return_mem else (spk,)

    last, sequences = _loop(step, _flat(initial_mem, 1), [_flat(current, 2)])
    spk, mem = (tf.reshape(x, shape) for x in (sequences if return_mem else (*sequences, sequences[0])))
    return spk, mem if return_mem else None, tf.reshape(last, tf.shape(initial_mem))


@tf.function(jit_compile=True, autograph=False)
def _backward(
    current, mems, initial_mem, beta, threshold, g_spk, g_mem, g_last, *, reset_mechanism, surrogate, trained
):
    shape, given = tf.shape(g_spk), (beta, threshold)
    beta, threshold = (_spread(value, g_spk.shape) for value in given)
    initial, g_spk = _flat(initial_mem, 1), _flat(g_spk, 2)
    dtype, resets_to_zero = initial.dtype, reset_mechanism == "zero"

    def again(mem, now, g_now):
        mem = advance(tf.cast(now, dtype), mem, beta, threshold, reset_mechanism)
        above = tf.cast(g_now, dtype) * surrogate.derivative(mem - threshold)
        return mem, (above, *[mem] * any(trained), *[mem > threshold] * resets_to_zero)

    def passed(a, fired):
        """Return what of d mem[t+1] reaches mem[t]; for a reset to zero nothing where mem[t] fired."""
        return tf.where(fired, tf.zeros_like(a), beta * a) if resets_to_zero else beta * a

    def back(a, above, fired=None):
        a = above + passed(a, fired)
        return a, (a,)

    def back_first(a, above, fired=None):  # the gradient of the last membrane passes no reset
        a = above + a
        return a, (a,)

    if mems is None:
        _, (above, *kept) = _loop(again, initial, [_flat(current, 2), g_spk])
        mems = kept[0] if any(trained) else None
        fired = kept[-1:] if resets_to_zero else []
    else:
        mems = _flat(mems, 2)
        above = _flat(g_mem, 2) + tf.cast(g_spk, dtype) * surrogate.derivative(mems - threshold)
        fired = [mems > threshold] * resets_to_zero
    a, (g_current,) = _loop(back, _flat(g_last, 1), [above, *fired], first=back_first, reverse=True)
    g_initial = passed(a, initial > threshold)
    g_beta = g_threshold = None
    if any(trained):
        before = tf.concat([initial[:, None], mems[:, :-1]], axis=1)
        spk = tf.cast(before > threshold, dtype)
        if trained[0]:
            left = before * (1.0 - spk) if resets_to_zero else before
            g_beta = _summed(tf.reshape(g_current * left, shape), given[0])
        if trained[1]:
            g_v = tf.cast(g_spk, dtype) * surrogate.derivative(mems - threshold)
            g_v = -g_v - g_current * spk if reset_mechanism == "subtract" else -g_v
            g_threshold = _summed(tf.reshape(g_v, shape), given[1])
    return tf.reshape(g_current, shape), tf.reshape(g_initial, tf.shape(initial_mem)), g_beta, g_threshold


def _loop(step, state, inputs, *, first=None, reverse=False):
    """Run `step(state, *inputs at t) -> (state, outputs at t)` over time; return the last state and the outputs.

    Inputs and outputs are `(batch, time, features)`. A reverse scan writes its
    output over its first input. A short scan over few features is written out: what surrounds it, if that is compiled
    too, then is one stretch of code.
    """
    _, num_steps, features = inputs[0].shape
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
    arrays = [put(array, begin, output) for array, output in zip(empty, now, strict=True)]

    def body(i, state, arrays):
        t = num_steps - 1 - i if reverse else i
        state, now = step(state, *((arrays if reverse else inputs)[0][:, t], *(x[:, t] for x in inputs[1:])))
        return i + 1, state, [put(array, t, output) for array, output in zip(arrays, now, strict=True)]

    _, state, arrays = tf.while_loop(
        lambda i, *_: i < num_steps, body, (1, state, arrays), maximum_iterations=num_steps - 1
    )
    return state, arrays


def _flat(x: tf.Tensor, lead: int) -> tf.Tensor:
    """Keep `lead` axes and make one of the features: a loop's body runs faster on few axes."""
    flat = tf.reshape(x, tf.concat([tf.shape(x)[:lead], [tf.reduce_prod(tf.shape(x)[lead:])]], axis=0))
    return backend.with_shape(flat, x.shape[:lead].concatenate(x.shape[lead:].num_elements()))


def _spread(parameter: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """Return a parameter that broadcasts to `(*features)` as one that broadcasts to them flat."""
    if parameter.shape.num_elements() == 1:
        return tf.reshape(parameter, [])
    return tf.reshape(tf.broadcast_to(parameter, shape[2:]), [-1])


def _summed(x: tf.Tensor, parameter: tf.Tensor) -> tf.Tensor:
    """Sum `(batch, time, *features)` to the shape of a parameter that broadcasts to `(*features)`."""
    lead = x.shape.rank - parameter.shape.rank
    x = tf.reduce_sum(x, axis=list(range(lead)))
    stretched = [axis for axis, size in enumerate(parameter.shape) if size == 1]
    return tf.reduce_sum(x, axis=stretched, keepdims=True) if stretched else x
