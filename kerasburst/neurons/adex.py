"""The adaptive exponential integrate-and-fire neuron, as a layer over sequences and as a cell."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasburst.neurons import surrogate as surrogates
from kerasburst.neurons.base import Neuron
from kerasburst.neurons.cell import NeuronCell
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.neurons.parameters import at_most
from kerasburst.neurons.surrogate import Surrogate, spike
from kerasburst.validation import InputError, check_bool, check_float, check_int

_LARGEST_EXPONENT = 10.0  # from there v passes any peak within a sub-step


class _AdEx(Neuron):
    """The parameters and the step of both."""

    state_names = ("mem", "w")

    def _set_adex(self, numbers, step_ms, sub_steps, input_scale, input_offset, trainable_input, surrogate):
        for name, value in numbers.items():
            bounds = {"above": 0.0} if name in ("capacitance", "g_leak", "delta", "tau_w") else {}
            setattr(self, name, check_float(name, value, **bounds))
        if self.v_peak <= max(self.v_reset, self.v_threshold):
            raise InputError(f"v_peak must be above v_reset and v_threshold, received {self.v_peak}")
        self._below_peak = float(np.nextafter(np.float32(self.v_peak), np.float32(-np.inf)))  # the peak itself fires
        self.step_ms = check_float("step_ms", step_ms, above=0.0)
        self.sub_steps = check_int("sub_steps", sub_steps, low=1, high=1000)
        self.trainable_input = check_bool("trainable_input", trainable_input)
        self.add_parameter("input_scale", input_scale, trainable=trainable_input)
        self.add_parameter("input_offset", input_offset, trainable=trainable_input)
        self.surrogate = surrogates.get(surrogate)

    def rest(self, like):
        """Return v = e_leak and w = 0."""
        return {"mem": ops.full_like(like, self.e_leak), "w": ops.zeros_like(like)}

    def step(self, current, state):
        """Advance `step_ms`."""
        fired = state["mem"] > self._below_peak
        v = ops.where(fired, ops.full_like(current, self.v_reset), state["mem"])
        w = ops.where(fired, state["w"] + self.b, state["w"])
        scale, offset = (self.parameter(name, current.dtype) for name in ("input_scale", "input_offset"))
        current, dt = scale * current + offset, self.step_ms / self.sub_steps
        for _ in range(self.sub_steps):
            below = v <= self._below_peak  # at the peak all stands still until the next step resets it
            away = v - self.e_leak
            upswing = ops.exp(at_most((v - self.v_threshold) / self.delta, _LARGEST_EXPONENT))
            dv = (self.g_leak * (self.delta * upswing - away) - w + current) * (dt / self.capacitance)
            dw = (self.a * away - w) * (dt / self.tau_w)
            v, w = ops.where(below, v + dv, v), ops.where(below, w + dw, w)
        return spike(v - self._below_peak, self.surrogate), {"mem": at_most(v, self.v_peak), "w": w}


@keras.saving.register_keras_serializable("kerasburst")
class AdEx(_AdEx, NeuronLayer):
    """Adaptive exponential integrate-and-fire neurons over sequences, elementwise.

        C v' = -g_leak (v - e_leak) + g_leak delta exp((v - v_threshold) / delta) - w + I
        tau_w w' = a (v - e_leak) - w,   I = input_scale current + input_offset
        where v > v_peak: a spike, and at the next step v = v_reset, w = w + b

    A step is `step_ms` long and is computed in `sub_steps` Euler steps, the exponent at most 10; a neuron fires at most
    once a step. The membrane is v, cut at v_peak; at rest v = e_leak and w = 0. No gradient passes a reset. The
    defaults are Brette and Gerstner's; a constant current of 800 pA makes such a neuron fire.

    Args:
        capacitance: C, in pF, above 0.
        g_leak: leak conductance, in nS, above 0.
        e_leak: resting potential, in mV.
        v_threshold: membrane at which the upswing begins, in mV.
        delta: slope factor, in mV, above 0.
        tau_w: time constant of the adaptation w, in ms, above 0.
        a: how strongly w follows v, in nS.
        b: what a spike adds to w, in pA.
        v_reset: membrane after a spike, in mV.
        v_peak: membrane at which a neuron fires, in mV, above v_reset and v_threshold.
        input_scale: factor of the input, which makes it pA; hundreds where the inputs are around 1. A number, an array
            or a Keras initializer.
        input_offset: in pA, added to the scaled input: a number, an array or a Keras initializer.
        step_ms: length of a step, in ms.
        sub_steps: Euler steps in each step, 1 to 1000.
        trainable_input: whether input_scale and input_offset are trained.
        surrogate: a name or a configured `Surrogate` of v - v_peak. The default is as wide as the membrane's range.
        **kwargs: as for `NeuronLayer`: return_sequences, return_mem, return_state, stateful, go_backwards, ...

    Call arguments:
        inputs: `(batch, time, *features)`.
        initial_state: `mem` and `w` before the first step, each `(batch, *features)`.
        mask: bool `(batch, time)`, as for `NeuronLayer`.

    Returns:
        `spk`, or the tuple of `spk`, `mem` with return_mem, and the final `mem` and `w` with return_state.

    Raises:
        InputError: for a parameter outside its range.

    Example:
        >>> spk = AdEx(input_offset=1000.0)(keras.ops.zeros((1, 100, 1)))
        >>> float(keras.ops.sum(spk)) > 3  # of 100 ms
        True

    References:
        Brette and Gerstner 2005, "Adaptive exponential integrate-and-fire model as an effective description of neuronal
        activity".
    """

    def __init__(
        self,
        *,
        capacitance: float = 281.0,
        g_leak: float = 30.0,
        e_leak: float = -70.6,
        v_threshold: float = -50.4,
        delta: float = 2.0,
        tau_w: float = 144.0,
        a: float = 4.0,
        b: float = 80.5,
        v_reset: float = -70.6,
        v_peak: float = 20.0,
        input_scale: Any = 1.0,
        input_offset: Any = 0.0,
        step_ms: float = 1.0,
        sub_steps: int = 4,
        trainable_input: bool = False,
        surrogate: str | Surrogate = "atan(alpha=0.02)",
        **kwargs,
    ):
        super().__init__(**kwargs)
        numbers = {
            "capacitance": capacitance,
            "g_leak": g_leak,
            "e_leak": e_leak,
            "v_threshold": v_threshold,
            "delta": delta,
            "tau_w": tau_w,
            "a": a,
            "b": b,
            "v_reset": v_reset,
            "v_peak": v_peak,
        }
        self._set_adex(numbers, step_ms, sub_steps, input_scale, input_offset, trainable_input, surrogate)


@keras.saving.register_keras_serializable("kerasburst")
class AdExCell(_AdEx, NeuronCell):
    """`AdEx` as a cell for `keras.layers.RNN`.

    Args:
        units: number of neurons, equal to the input's last axis.
        capacitance, g_leak, e_leak, v_threshold, delta, tau_w, a, b, v_reset, v_peak, input_scale, input_offset,
            step_ms, sub_steps, trainable_input, surrogate: as for `AdEx`.
        **kwargs: as for `NeuronCell`.

    Example:
        >>> layer = keras.layers.RNN(AdExCell(1, input_offset=1000.0), return_sequences=True)
        >>> float(keras.ops.sum(layer(keras.ops.zeros((1, 100, 1))))) > 3
        True
    """

    def __init__(
        self,
        units: int,
        *,
        capacitance: float = 281.0,
        g_leak: float = 30.0,
        e_leak: float = -70.6,
        v_threshold: float = -50.4,
        delta: float = 2.0,
        tau_w: float = 144.0,
        a: float = 4.0,
        b: float = 80.5,
        v_reset: float = -70.6,
        v_peak: float = 20.0,
        input_scale: Any = 1.0,
        input_offset: Any = 0.0,
        step_ms: float = 1.0,
        sub_steps: int = 4,
        trainable_input: bool = False,
        surrogate: str | Surrogate = "atan(alpha=0.02)",
        **kwargs,
    ):
        super().__init__(units, **kwargs)
        numbers = {
            "capacitance": capacitance,
            "g_leak": g_leak,
            "e_leak": e_leak,
            "v_threshold": v_threshold,
            "delta": delta,
            "tau_w": tau_w,
            "a": a,
            "b": b,
            "v_reset": v_reset,
            "v_peak": v_peak,
        }
        self._set_adex(numbers, step_ms, sub_steps, input_scale, input_offset, trainable_input, surrogate)
