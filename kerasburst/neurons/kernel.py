r"""The LIF equation over all steps at once: forward and backward each one compiled pass.

Backward, with g the gradients that come from above and k[t] what the reset leaves of mem[t-1] ("zero": 1 - spk[t-1],
else 1):

    a[t] = g_mem[t] + g_spk[t] surrogate'(mem[t] - threshold) + beta k[t+1] a[t+1]
    d current[t] = a[t],   d mem[-1] = beta k[0] a[0],   d beta = sum_t a[t] k[t] mem[t-1]
    d threshold = -sum_t (g_spk[t] surrogate'(mem[t] - threshold) + a[t] spk[t-1]),  the last term for "subtract" alone

The membrane is computed again backward, unless it is an output and so is kept anyway. All sequences are time-major
here, `(time, batch, *features)`, so that a step reads and writes one block of memory.
"""

from __future__ import annotations

import tensorflow as tf

from kerasburst.neurons.surrogate import Surrogate


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
) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor]:
    """Run checked arguments over all steps.

    Args:
        current: `(time, batch, *features)`, any float dtype.
        initial_mem: mem[-1], `(batch, *features)`, float32 or float64; what is computed has its dtype.
        beta: broadcasts to `(*features)`, of the same dtype.
        threshold: likewise.
        reset_mechanism: "subtract", "zero" or "none".
        surrogate: gives the spike's derivative.
        trained: whether beta, and whether the threshold, needs its gradient; a constant's is not computed.
        return_mem: whether to give the membrane of every step, which costs its memory.
        spike_dtype: of the spikes.

    Returns:
        `spk` and `mem` (or None), each `(time, batch, *features)`, and the last membrane `(batch, *features)`.
    """

    @tf.custom_gradient
    def scan(*tensors):
        current, initial_mem, beta, threshold = _unrecorded(tensors)
        spk, mem, last = _forward(
            current,
            initial_mem,
            beta,
            threshold,
            reset_mechanism=reset_mechanism,
            return_mem=return_mem,
            spike_dtype=spike_dtype,
        )
        for sequence in (spk, mem) if return_mem else (spk,):
            sequence.set_shape(current.shape)
        last.set_shape(initial_mem.shape)

        def gradient(*upstream):
            g_spk, g_mem, g_last = upstream if return_mem else (upstream[0], None, upstream[1])
            inputs = (mem if return_mem else current, initial_mem, beta, threshold, g_spk, g_mem, g_last)
            return _backward(
                *_unrecorded(inputs),
                reset_mechanism=reset_mechanism,
                surrogate=surrogate,
                trained=trained,
                dtype_of_current=current.dtype,
            )

        return ((spk, mem, last) if return_mem else (spk, last)), gradient

    outputs = scan(current, initial_mem, beta, threshold)
    return outputs if return_mem else (outputs[0], None, outputs[1])


def _unrecorded(tensors):
    """Keep an eager tape from recording what a custom gradient stands for; second derivatives are then None."""
    return [None if tensor is None else tf.stop_gradient(tensor) for tensor in tensors]


@tf.function(jit_compile=True, autograph=False)
def _forward(current, initial_mem, beta, threshold, *, reset_mechanism, return_mem, spike_dtype):
    dtype, num_steps = initial_mem.dtype, tf.shape(current)[0]

    def step(t, mem, spks, mems):
        mem = advance(tf.cast(current[t], dtype), mem, beta, threshold, reset_mechanism)
        spks = _put(spks, t, tf.cast(mem > threshold, spike_dtype))
        return t + 1, mem, spks, _put(mems, t, mem) if return_mem else mems

    mems = tf.zeros_like(current, dtype) if return_mem else tf.zeros([], dtype)
    loop = (0, initial_mem, tf.zeros_like(current, spike_dtype), mems)
    _, last, spks, mems = tf.while_loop(lambda t, *_: t < num_steps, step, loop, maximum_iterations=num_steps)
    return spks, mems if return_mem else None, last


@tf.function(jit_compile=True, autograph=False)
def _backward(
    kept, initial_mem, beta, threshold, g_spk, g_mem, g_last, *, reset_mechanism, surrogate, trained, dtype_of_current
):
    dtype, num_steps = initial_mem.dtype, tf.shape(kept)[0]
    # Without g_mem what is kept is the current.
    mems = _membranes(kept, initial_mem, beta, threshold, reset_mechanism) if g_mem is None else kept

    def step(i, above, out):
        t = num_steps - 1 - i
        mem = mems[t]
        if reset_mechanism == "zero":  # what comes from the next step passed the reset; g_last did not
            above = tf.where((mem > threshold) & (i > 0), tf.zeros_like(above), above)
        a = above + tf.cast(g_spk[t], dtype) * surrogate.derivative(mem - threshold)
        if g_mem is not None:
            a += g_mem[t]
        return i + 1, beta * a, _put(out, t, a)

    loop = (0, g_last, tf.zeros_like(kept, dtype))
    _, g_initial, g_current = tf.while_loop(lambda i, *_: i < num_steps, step, loop, maximum_iterations=num_steps)
    if reset_mechanism == "zero":
        g_initial = tf.where(initial_mem > threshold, tf.zeros_like(g_initial), g_initial)

    before = tf.concat([initial_mem[None], mems[:-1]], axis=0)
    fired = tf.cast(before > threshold, dtype)
    g_beta = g_threshold = None
    if trained[0]:
        left = before * (1.0 - fired) if reset_mechanism == "zero" else before
        g_beta = _summed(g_current * left, beta)
    if trained[1]:
        g_v = tf.cast(g_spk, dtype) * surrogate.derivative(mems - threshold)
        g_threshold = _summed(-g_v - g_current * fired if reset_mechanism == "subtract" else -g_v, threshold)
    return tf.cast(g_current, dtype_of_current), g_initial, g_beta, g_threshold


def _membranes(current, mem, beta, threshold, reset_mechanism) -> tf.Tensor:
    """Give the membrane of every step."""
    num_steps = tf.shape(current)[0]

    def step(t, mem, mems):
        mem = advance(tf.cast(current[t], mem.dtype), mem, beta, threshold, reset_mechanism)
        return t + 1, mem, _put(mems, t, mem)

    loop = (0, mem, tf.zeros_like(current, mem.dtype))
    return tf.while_loop(lambda t, *_: t < num_steps, step, loop, maximum_iterations=num_steps)[2]


def _put(sequence: tf.Tensor, t: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    return tf.tensor_scatter_nd_update(sequence, [[t]], value[None])


def _summed(x: tf.Tensor, parameter: tf.Tensor) -> tf.Tensor:
    """Sum `(time, batch, *features)` to the shape of a parameter that broadcasts to `(*features)`."""
    lead = x.shape.rank - parameter.shape.rank
    x = tf.reduce_sum(x, axis=list(range(lead)))
    stretched = [axis for axis, size in enumerate(parameter.shape) if size == 1]
    return tf.reduce_sum(x, axis=stretched, keepdims=True) if stretched else x
