r"""The LIF equation over all steps at once: forward and backward each one compiled pass.

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

from typing import Protocol

import tensorflow as tf

from kerasburst.neurons.surrogate import Surrogate

try:  # the one private import: no public operation writes into a loop's array in place when XLA compiles it
    from tensorflow.compiler.tf2xla.python import xla
except ImportError:
    xla = None

_MOST_STEPS, _MOST_FEATURES = 32, 4096  # of a loop that is written out


class Use(Protocol):
    """What is made of spikes at once, so that they never stand there in full width."""

    def forward(self, spikes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Give what becomes of uint8 spikes `(batch, time, *features)`, and what the way back needs."""

    def backward(self, upstream: tf.Tensor, kept: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
        """Give the gradient of spikes of `shape`."""


def advance(
    current: tf.Tensor, mem: tf.Tensor, beta: tf.Tensor, threshold: tf.Tensor, reset_mechanism: str
) -> tf.Tensor:
    """Give mem[t] from current[t] and mem[t-1]: the one place of the equation.

    Example:
        >>> float(advance(tf.constant(0.25), tf.constant(1.5), 0.5, 1.0, "subtract"))  # 0.5 * 1.5 + 0.25 - 1
        0.0
    """
    if reset_mechanism == "none":
        return beta * mem + current
    fired = tf.stop_gradient(tf.cast(mem > threshold, mem.dtype))
    if reset_mechanism == "subtract":
        return beta * mem + current - threshold * fired
    return beta * mem * (1.0 - fired) + current


def lif_scan(
    current: tf.Tensor,
    initial_mem: tf.Tensor,
    beta: tf.Tensor,
    threshold: tf.Tensor,
    *,
    reset_mechanism: str,
    surrogate: Surrogate,
    trained: tuple[bool, bool],
    return_mem: bool,
    spike_dtype: tf.DType,
    use: Use | None = None,
) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor]:
    """Run checked arguments over all steps.

    Args:
        current: `(batch, time, *features)`, any float dtype.
        initial_mem: mem[-1], `(batch, *features)`, float32 or float64; what is computed has its dtype.
        beta: broadcasts to `(*features)`, of the same dtype.
        threshold: likewise.
        reset_mechanism: "subtract", "zero" or "none".
        surrogate: gives the spike's derivative.
        trained: whether beta, and whether the threshold, needs its gradient; a constant's is not computed.
        return_mem: whether to give the membrane of every step, which costs its memory.
        spike_dtype: of the spikes.
        use: what is made of them; its outcome takes their place.

    Returns:
        `spk` and `mem` (or None), each `(batch, time, *features)`, and the last membrane `(batch, *features)`.
    """
    settings = {"reset_mechanism": reset_mechanism}

    @tf.custom_gradient
    def scan(*tensors):
        current, initial_mem, beta, threshold = _unrecorded(tensors)
        width = spike_dtype if use is None else tf.uint8
        spk, mem, last = _forward(
            current, initial_mem, beta, threshold, return_mem=return_mem, spike_dtype=width, **settings
        )
        for sequence in (spk, mem) if return_mem else (spk,):
            sequence.set_shape(current.shape)
        last.set_shape(initial_mem.shape)
        kept = None
        if use is not None:
            spk, kept = use.forward(spk)

        def gradient(*upstream):
            g_spk, g_mem, g_last = upstream if return_mem else (upstream[0], None, upstream[1])
            if use is not None:
                g_spk = use.backward(g_spk, kept, current.shape)
            inputs = (None if return_mem else current, mem, initial_mem, beta, threshold, g_spk, g_mem, g_last)
            g_current, *others = _backward(*_unrecorded(inputs), surrogate=surrogate, trained=trained, **settings)
            return tf.cast(g_current, current.dtype), *others

        return ((spk, mem, last) if return_mem else (spk, last)), gradient

    outputs = scan(current, initial_mem, beta, threshold)
    return outputs if return_mem else (outputs[0], None, outputs[1])


def _unrecorded(tensors):
    """Keep an eager tape from recording what a custom gradient stands for; second derivatives are then None."""
    return [None if tensor is None else tf.stop_gradient(tensor) for tensor in tensors]


@tf.function(jit_compile=True, autograph=False)
def _forward(current, initial_mem, beta, threshold, *, reset_mechanism, return_mem, spike_dtype):
    shape, dtype = tf.shape(current), initial_mem.dtype
    beta, threshold = (_spread(value, current.shape) for value in (beta, threshold))

    def step(mem, now):
        mem = advance(tf.cast(now, dtype), mem, beta, threshold, reset_mechanism)
        spk = tf.cast(mem > threshold, spike_dtype)
        return mem, (spk, mem) if return_mem else (spk,)

    last, sequences = _scan(step, _flat(initial_mem, 1), [_flat(current, 2)])
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
        """Give what of d mem[t+1] reaches mem[t]; for a reset to zero nothing where mem[t] fired."""
        return tf.where(fired, tf.zeros_like(a), beta * a) if resets_to_zero else beta * a

    def back(a, above, fired=None):
        a = above + passed(a, fired)
        return a, (a,)

    def back_first(a, above, fired=None):  # the gradient of the last membrane passes no reset
        a = above + a
        return a, (a,)

    if mems is None:
        _, (above, *kept) = _scan(again, initial, [_flat(current, 2), g_spk])
        mems = kept[0] if any(trained) else None
        fired = kept[-1:] if resets_to_zero else []
    else:
        mems = _flat(mems, 2)
        above = _flat(g_mem, 2) + tf.cast(g_spk, dtype) * surrogate.derivative(mems - threshold)
        fired = [mems > threshold] * resets_to_zero
    a, (g_current,) = _scan(back, _flat(g_last, 1), [above, *fired], first=back_first, reverse=True)
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


def _scan(step, state, inputs, *, first=None, reverse=False):
    """Run `step(state, *inputs at t) -> (state, outputs at t)` over time; give the last state and the outputs.

    Inputs and outputs are `(batch, time, features)`. A reverse scan writes its output over its first input. A short
    scan over few features is written out: what surrounds it, if that is compiled too, then is one stretch of code.
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
    """Write `(batch, features)` as step t of `(batch, time, features)`, in place where XLA compiles it.

    Without the private operation the same is done by a public one, at nine times the time of a pass.
    """
    if xla is not None:
        return xla.dynamic_update_slice(sequence, value[:, None], tf.stack([0, t, 0]))
    by_step = tf.transpose(sequence, [1, 0, 2])
    return tf.transpose(tf.tensor_scatter_nd_update(by_step, tf.reshape(t, [1, 1]), value[None]), [1, 0, 2])


def _flat(x: tf.Tensor, lead: int) -> tf.Tensor:
    """Keep `lead` axes and make one of the features: a loop's body runs faster on few axes."""
    flat = tf.reshape(x, tf.concat([tf.shape(x)[:lead], [tf.reduce_prod(tf.shape(x)[lead:])]], axis=0))
    return tf.ensure_shape(flat, x.shape[:lead].concatenate(x.shape[lead:].num_elements()))


def _spread(parameter: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """Give a parameter that broadcasts to `(*features)` as one that broadcasts to them flat."""
    if parameter.shape.num_elements() == 1:
        return tf.reshape(parameter, [])
    return tf.reshape(tf.broadcast_to(parameter, shape[2:]), [-1])


def _summed(x: tf.Tensor, parameter: tf.Tensor) -> tf.Tensor:
    """Sum `(batch, time, *features)` to the shape of a parameter that broadcasts to `(*features)`."""
    lead = x.shape.rank - parameter.shape.rank
    x = tf.reduce_sum(x, axis=list(range(lead)))
    stretched = [axis for axis, size in enumerate(parameter.shape) if size == 1]
    return tf.reduce_sum(x, axis=stretched, keepdims=True) if stretched else x
