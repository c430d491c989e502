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
from typing import Any

from keras import ops

from kerasburst import backend
from kerasburst.neurons import surrogate as surrogates
from kerasburst.neurons.scan import over_time, wide
from kerasburst.neurons.surrogate import Surrogate
from kerasburst.validation import check_choice, check_float, fail, fits

RESET_MECHANISMS = ("subtract", "zero", "none")
Tensor = Any  # of Keras' backend


def advance(
    current: Tensor, mem: Tensor, beta: float | Tensor, threshold: float | Tensor, reset_mechanism: str
) -> Tensor:
    """Return mem[t] from current[t] and mem[t-1]: the one place of the equation.

    Example:
        >>> float(advance(0.25, ops.array(1.5), 0.5, 1.0, "subtract"))  # 0.5 * 1.5 + 0.25 - 1
        0.0
    """
    if reset_mechanism == "none":
        return beta * mem + current
    fired = ops.stop_gradient(ops.cast(mem > threshold, mem.dtype))
    if reset_mechanism == "subtract":
        return beta * mem + current - threshold * fired
    return beta * mem * (1.0 - fired) + current


def lif_step(
    current: Tensor,
    mem: Tensor,
    beta: float | Tensor,
    threshold: float | Tensor,
    reset_mechanism: str,
    surrogate: Surrogate,
) -> tuple[Tensor, Tensor]:
    """Advance one step: (current[t], mem[t-1]) -> (spk[t], mem[t]), all `(batch, *features)`.

    Example:
        >>> spk, mem = lif_step(ops.array([0.3]), ops.array([1.5]), 0.5, 1.0, "subtract", surrogates.ATan())
        >>> float(spk[0]), round(float(mem[0]), 4)  # 0.5 * 1.5 + 0.3 - 1.0
        (0.0, 0.05)
    """
    new_mem = advance(current, mem, beta, threshold, reset_mechanism)
    return surrogates.spike(new_mem - threshold, surrogate), new_mem


def lif_sequence(
    current: Tensor,
    beta: float | Tensor = 0.95,
    threshold: float | Tensor = 1.0,
    reset_mechanism: str = "subtract",
    surrogate: str | Surrogate = "atan",
    initial_mem: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Run the LIF equation over whole sequences.

    Args:
        current: input current `(batch, time, *features)`, any float dtype; computed in float32 or wider.
        beta: membrane decay per step, in [0, 1]; a number, or a tensor that broadcasts to `(*features)`.
        threshold: firing threshold, above 0, in the membrane's unit; a number, or a tensor that broadcasts to
            `(*features)`.
        reset_mechanism: "subtract", "zero" or "none".
        surrogate: a name or a `Surrogate`.
        initial_mem: mem[-1], `(batch, *features)`; zeros if None. spk[-1] = (mem[-1] > threshold).

    Returns:
        `(spk, mem)`, each `(batch, time, *features)`.

    Raises:
        InputError: for an unknown reset mechanism or surrogate, a number outside its range, a current of
            rank below 2 or without a step, or an initial membrane of another shape.

    Example:
        >>> spk, mem = lif_sequence(ops.array([[0.6, 0.6, 0.6]]), beta=1.0)
        >>> ops.convert_to_numpy(spk).tolist(), ops.convert_to_numpy(mem).round(2).tolist()
        ([[0.0, 1.0, 0.0]], [[0.6..., 1.2..., 0.8...]])

    References:
        Eshraghian et al. 2023, "Training spiking neural networks using lessons from deep learning".
    """
    check_choice("reset_mechanism", reset_mechanism, RESET_MECHANISMS)
    surrogate = surrogates.get(surrogate)
    current = ops.convert_to_tensor(current)
    if len(current.shape) < 2:
        raise fail("current", "of shape (batch, time, *features)", tuple(current.shape))
    if current.shape[1] == 0:
        raise fail("current", "of shape (batch, time, *features) with at least one step", tuple(current.shape))
    dtype = wide(current.dtype)
    beta = _parameter("beta", beta, dtype, low=0.0, high=1.0)
    threshold = _parameter("threshold", threshold, dtype, above=0.0)
    if initial_mem is not None:
        initial_mem = ops.convert_to_tensor(initial_mem)
        known = (current.shape[0], *current.shape[2:])
        if not fits(initial_mem.shape, known):
            raise fail("initial_mem", f"of shape {known}, (batch, *features)", tuple(initial_mem.shape))
    if backend.runs_cpu_passes():
        from kerasburst.neurons.kernel import lif_scan

        spk, mem, _ = lif_scan(current, initial_mem, beta, threshold, reset_mechanism, surrogate)
        return spk, mem
    current = ops.cast(current, dtype)

    def step(current, state):
        spk, mem = lif_step(current, state["mem"], beta, threshold, reset_mechanism, surrogate)
        return spk, {"mem": mem}

    start = ops.zeros_like(current[:, 0]) if initial_mem is None else ops.cast(initial_mem, dtype)
    spk, states = over_time(step, current, {"mem": start})
    return spk, states["mem"]


def _parameter(name: str, value: float | Tensor, dtype: str, **bounds: float) -> float | Tensor:
    if isinstance(value, numbers.Real):
        return check_float(name, value, **bounds)
    return ops.cast(value, dtype)
