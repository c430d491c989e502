r"""The leaky integrate-and-fire equation, in one place.

    mem[t] = beta mem[t-1] + current[t] - threshold spk[t-1]         "subtract"
    mem[t] = beta mem[t-1] (1 - spk[t-1]) + current[t]               "zero"
    mem[t] = beta mem[t-1] + current[t]                              "none"
    spk[t] = 1 if mem[t] > threshold else 0

The spike that resets is detached; a trained threshold still receives the gradient of the term it is
subtracted in. Since spk[t-1] = (mem[t-1] > threshold), the membrane is the whole state. Step for step
this is snnTorch 1.0's `Leaky` with its default delayed reset.
"""

from __future__ import annotations

import numbers

import tensorflow as tf

from kerasburst.neurons import surrogate as surrogates
from kerasburst.neurons.kernel import Use, advance, lif_scan
from kerasburst.neurons.surrogate import Surrogate
from kerasburst.validation import check_choice, check_float, fail

RESET_MECHANISMS = ("subtract", "zero", "none")


def lif_step(
    current: tf.Tensor,
    mem: tf.Tensor,
    beta: float | tf.Tensor,
    threshold: float | tf.Tensor,
    reset_mechanism: str,
    surrogate: Surrogate,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Advance one step: (current[t], mem[t-1]) -> (spk[t], mem[t]), all `(batch, *features)`.

    Example:
        >>> spk, mem = lif_step(tf.constant([0.3]), tf.constant([1.5]), 0.5, 1.0, "subtract", surrogates.ATan())
        >>> spk.numpy().tolist(), round(float(mem[0]), 4)  # 0.5 * 1.5 + 0.3 - 1.0
        ([0.0], 0.05)
    """
    new_mem = advance(current, mem, beta, threshold, reset_mechanism)
    return surrogates.spike(new_mem - threshold, surrogate), new_mem


def lif_sequence(
    current: tf.Tensor,
    beta: float | tf.Tensor = 0.95,
    threshold: float | tf.Tensor = 1.0,
    reset_mechanism: str = "subtract",
    surrogate: str | Surrogate = "atan",
    initial_mem: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Run the LIF equation over whole sequences.

    Args:
        current: input current `(batch, time, *features)`, any float dtype; computed in float32 or wider.
        beta: membrane decay per step, in [0, 1]; a number, or a tensor that broadcasts to `(*features)`.
        threshold: firing threshold, above 0, in the membrane's unit; likewise.
        reset_mechanism: "subtract", "zero" or "none".
        surrogate: a name or a `Surrogate`.
        initial_mem: mem[-1], `(batch, *features)`; zeros if None. spk[-1] = (mem[-1] > threshold).

    Returns:
        `(spk, mem)`, each `(batch, time, *features)`.

    Raises:
        InputError: for an unknown reset mechanism or surrogate, a number outside its range, a current of
            rank below 2 or without a step, or an initial membrane of another shape.

    Example:
        >>> spk, mem = lif_sequence(tf.constant([[0.6, 0.6, 0.6]]), beta=1.0)
        >>> spk.numpy().tolist(), mem.numpy().round(2).tolist()
        ([[0.0, 1.0, 0.0]], [[0.6..., 1.2..., 0.8...]])

    References:
        Eshraghian et al. 2023, "Training spiking neural networks using lessons from deep learning".
    """
    spk, mem, _ = run(current, beta, threshold, reset_mechanism, surrogate, initial_mem)
    return spk, mem


def run(
    current: tf.Tensor,
    beta: float | tf.Tensor,
    threshold: float | tf.Tensor,
    reset_mechanism: str,
    surrogate: str | Surrogate,
    initial_mem: tf.Tensor | None,
    return_mem: bool = True,
    spike_dtype: str | tf.DType | None = None,
    use: Use | None = None,
) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor]:
    """Check as `lif_sequence` does and run; for layers, which may not want every membrane.

    Args:
        current: as for `lif_sequence`, as all up to `initial_mem`.
        beta: a tensor is one that is trained.
        threshold: likewise.
        reset_mechanism: "subtract", "zero" or "none".
        surrogate: a name or a `Surrogate`.
        initial_mem: mem[-1], or None.
        return_mem: whether to give the membrane of every step, which costs its memory.
        spike_dtype: of the spikes; None for the membrane's.
        use: what is made of them, as for `lif_scan`.

    Returns:
        `spk`, `mem` (None unless wanted), and the last membrane.
    """
    check_choice("reset_mechanism", reset_mechanism, RESET_MECHANISMS)
    surrogate = surrogates.get(surrogate)
    current = tf.convert_to_tensor(current)
    if current.shape.rank is None or current.shape.rank < 2:
        raise fail("current", "of shape (batch, time, *features)", tuple(current.shape))
    if current.shape[1] == 0:
        raise fail("current", "of shape (batch, time, *features) with at least one step", tuple(current.shape))
    dtype = tf.float64 if current.dtype == tf.float64 else tf.float32
    trained = tuple(not isinstance(value, numbers.Real) for value in (beta, threshold))
    beta = _parameter("beta", beta, dtype, low=0.0, high=1.0)
    threshold = _parameter("threshold", threshold, dtype, above=0.0)
    known, shape = current.shape[:1].concatenate(current.shape[2:]), tf.shape(current)
    if initial_mem is None:
        mem = tf.ensure_shape(tf.zeros(tf.concat([shape[:1], shape[2:]], axis=0), dtype), known)
    else:
        mem = tf.cast(initial_mem, dtype)
    if not mem.shape.is_compatible_with(known):
        raise fail("initial_mem", f"of shape {tuple(known)}, (batch, *features)", tuple(mem.shape))

    return lif_scan(
        current,
        mem,
        beta,
        threshold,
        reset_mechanism=reset_mechanism,
        surrogate=surrogate,
        trained=trained,
        return_mem=return_mem,
        spike_dtype=dtype if spike_dtype is None else tf.as_dtype(spike_dtype),
        use=use,
    )


def _parameter(name: str, value: float | tf.Tensor, dtype: tf.DType, **bounds: float) -> tf.Tensor:
    if isinstance(value, numbers.Real):  # tf.cast would take it through float32
        return tf.constant(check_float(name, value, **bounds), dtype)
    return tf.cast(value, dtype)
