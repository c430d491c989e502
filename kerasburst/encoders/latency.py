"""Latency coding: the time to the first spike."""

from __future__ import annotations

import keras
import numpy as np

from kerasburst import backend
from kerasburst.encoders.base import Encoder
from kerasburst.encoders.draws import fused, ops_of, over_time
from kerasburst.validation import check_choice, check_float, check_int

MODES = ("linear", "logarithmic")


def check_latency(num_steps, mode, tau, silence) -> None:
    """Check the parameters of latency coding; see `LatencyEncoder`."""
    check_int("num_steps", num_steps, low=1)
    check_choice("mode", mode, MODES)
    check_float("tau", tau, above=0.0)
    if silence is not None:
        check_float("silence", silence, low=0.0, high=1.0)


def latency(
    x,
    num_steps: int,
    *,
    mode: str = "linear",
    tau: float = 2.0,
    silence: float | None = 0.0,
    dtype: str = "uint8",
):
    """Latency coding: one spike per feature, the earlier the brighter; see `LatencyEncoder`.

    The step is computed in float64 from the intensity as float32 holds it, so that only ties of that number are
    rounded to even: 0.3 is stored a little above, and 0.7 * 5 steps is then not a tie.

    Example:
        >>> latency(keras.ops.convert_to_tensor([[0.0, 0.5, 1.0]]), num_steps=3).numpy()[0].T.tolist()
        [[0, 0, 0], [0, 1, 0], [1, 0, 0]]
    """
    check_latency(num_steps, mode, tau, silence)
    spike = fused(_latency, x, dtype, exact=mode == "linear")
    return spike(x, num_steps=num_steps, tau=None if mode == "linear" else float(tau), silence=silence, dtype=dtype)


def _latency(x, *, num_steps: int, tau: float | None, silence: float | None, dtype: str):
    ops, last = ops_of(x), num_steps - 1.0
    with backend.of(x).float64():
        exact = ops.cast(x, "float64")
        step = (1.0 - exact) * last if tau is None else ops.clip(-tau * ops.log(exact), 0.0, last)  # log 0 is -inf
        step = ops.cast(ops.round(step), "int32")
    if silence is not None:
        step = ops.where(x > silence, step, -1)
    return ops.cast(over_time(np.arange(num_steps), x, "int32") == step[:, None], dtype)


@keras.saving.register_keras_serializable("kerasburst")
class LatencyEncoder(Encoder):
    """Latency coding: one spike per feature, earlier for brighter inputs.

    The spike falls at step t, deterministically: t = round((1 - x) (T - 1)) in mode "linear",
    t = round(min(T - 1, tau log(1 / x))) in mode "logarithmic"; halves round to even.
    P(spike at t | x) is 1 at that step and 0 elsewhere.

    Args:
        num_steps: T, time steps, at least 1.
        mode: "linear" or "logarithmic".
        tau: steps, above 0: in mode "logarithmic", by how much later an intensity e times smaller spikes. Mode
            "linear" does not use it.
        silence: from 0 to 1, a feature with x <= silence emits nothing. None lets every feature spike, x = 0 at the
            last step.
        seed: int of at least 0, or None; the code is deterministic and draws nothing.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, *features)`, values in [0, 1].

    Returns:
        Spikes `(batch, num_steps, *features)`, exactly 0 or 1, in the layer's compute dtype.

    Raises:
        InputError: for bad parameters or inputs outside [0, 1].

    Example:
        >>> encoder = LatencyEncoder(num_steps=4)
        >>> encoder(keras.ops.convert_to_tensor([[0.0, 0.3, 1.0]])).numpy()[0].T.astype(int).tolist()
        [[0, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]]

    References:
        Thorpe, Delorme and Van Rullen, Spike-based strategies for rapid processing, 2001.
    """

    random = False

    def __init__(
        self,
        num_steps: int,
        *,
        mode: str = "linear",
        tau: float = 2.0,
        silence: float | None = 0.0,
        seed: int | None = None,
        **kwargs,
    ):
        check_latency(num_steps, mode, tau, silence)
        super().__init__(num_steps, seed=seed, **kwargs)
        self.mode = mode
        self.tau = float(tau)
        self.silence = None if silence is None else float(silence)

    def encode_as(self, x, seed, dtype: str):
        """Return the spikes of checked intensities `x`; the seed is not used."""
        return latency(x, self.num_steps, mode=self.mode, tau=self.tau, silence=self.silence, dtype=dtype)

    def probability(self, x):
        """Return P(spike at t | x): the spikes themselves."""
        return self.encode_as(x, None, "float32")
