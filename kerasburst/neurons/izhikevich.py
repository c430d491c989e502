"""Izhikevich's neuron, which bursts, adapts and resonates, as a layer over sequences and as a cell."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerasburst.neurons import surrogate as surrogates
from kerasburst.neurons.base import Neuron
from kerasburst.neurons.cell import NeuronCell
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.neurons.parameters import at_most
from kerasburst.neurons.surrogate import Surrogate, spike
from kerasburst.validation import check_bool

_PEAK = 30.0  # mV
_BELOW_PEAK = 29.999998  # the float32 before it: a membrane at the peak itself fires
_HIGHEST = 1e5  # mV; far above what v overshoots the peak by, and low enough that no number overflows


class _Izhikevich(Neuron):
    """The parameters and the step of both."""

    state_names = ("mem", "u")

    def _set_izhikevich(self, a, b, c, d, input_scale, input_offset, trainable_input, surrogate):
        for name, value in {"a": a, "b": b, "c": c, "d": d}.items():
            self.add_parameter(name, value)
        self.trainable_input = check_bool("trainable_input", trainable_input)
        self.add_parameter("input_scale", input_scale, trainable=trainable_input)
        self.add_parameter("input_offset", input_offset, trainable=trainable_input)
        self.surrogate = surrogates.get(surrogate)

    def rest(self, like):
        """Return v = c and u = b v."""
        v = ops.zeros_like(like) + self.parameter("c", like.dtype)
        return {"mem": v, "u": self.parameter("b", like.dtype) * v}

    def step(self, current, state):
        """Advance 1 ms."""
        p = {name: self.parameter(name, current.dtype) for name in self._own_parameters}
        fired = state["mem"] > _BELOW_PEAK
        v = ops.where(fired, p["c"] + ops.zeros_like(current), state["mem"])
        u = ops.where(fired, state["u"] + p["d"], state["u"])
        current = p["input_scale"] * current + p["input_offset"]
        for _ in range(2):  # two halves, for numerical stability
            v = v + 0.5 * (0.04 * ops.square(v + 62.5) - 16.25 - u + current)  # 0.04 v^2 + 5 v + 140 with less rounding
        v = at_most(v, _HIGHEST)
        u = u + p["a"] * (p["b"] * v - u)
        return spike(v - _BELOW_PEAK, self.surrogate), {"mem": at_most(v, _PEAK), "u": u}


@keras.saving.register_keras_serializable("kerasburst")
class Izhikevich(_Izhikevich, NeuronLayer):
    """Izhikevich's neurons over sequences, elementwise; one step is 1 ms.

        v' = 0.04 v^2 + 5 v + 140 - u + I,   u' = a (b v - u),   I = input_scale current + input_offset
        where v >= 30 mV: a spike, and at the next step v = c, u = u + d

    A step advances v in two halves and then u, as Izhikevich's published program does. The membrane is v, cut at 30 mV;
    at rest v = c and u = b v. No gradient passes a reset. In the step of a spike v overshoots by up to a thousand mV,
    and u follows it: small differences grow with each spike, so that float32 and float64 agree for some 100 ms.

    | pattern | a | b | c | d |
    |---|---|---|---|---|
    | regular spiking (default) | 0.02 | 0.2 | -65 | 8 |
    | intrinsically bursting | 0.02 | 0.2 | -55 | 4 |
    | chattering | 0.02 | 0.2 | -50 | 2 |
    | fast spiking | 0.1 | 0.2 | -65 | 2 |
    | low-threshold spiking | 0.02 | 0.25 | -65 | 2 |

    Args:
        a: rate of the recovery u, per ms: a number, an array or a Keras initializer.
        b: how strongly u follows v.
        c: membrane v after a spike, in mV.
        d: what a spike adds to u.
        input_scale: factor of the input; about 5 to 20 where the inputs are around 1.
        input_offset: added to the scaled input; 4 is about where a neuron begins to fire by itself.
        trainable_input: whether input_scale and input_offset are trained.
        surrogate: a name or a configured `Surrogate` of v - 30 mV. The default is as wide as the membrane's range.
        **kwargs: as for `NeuronLayer`: return_sequences, return_mem, return_state, stateful, go_backwards, ...

    Call arguments:
        inputs: `(batch, time, *features)`.
        initial_state: `mem` and `u` before the first step, each `(batch, *features)`.
        mask: bool `(batch, time)`, as for `NeuronLayer`.

    Returns:
        `spk`, or the tuple of `spk`, `mem` with return_mem, and the final `mem` and `u` with return_state.

    Raises:
        InputError: for a parameter that is no finite number.

    Example:
        >>> spk = Izhikevich(input_offset=10.0)(keras.ops.zeros((1, 20, 1)))
        >>> keras.ops.convert_to_numpy(spk)[0, :, 0].nonzero()[0].tolist()  # ms
        [3]

    References:
        Izhikevich 2003, "Simple model of spiking neurons".
    """

    def __init__(
        self,
        a: Any = 0.02,
        b: Any = 0.2,
        c: Any = -65.0,
        d: Any = 8.0,
        input_scale: Any = 1.0,
        input_offset: Any = 0.0,
        *,
        trainable_input: bool = False,
        surrogate: str | Surrogate = "atan(alpha=0.02)",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._set_izhikevich(a, b, c, d, input_scale, input_offset, trainable_input, surrogate)


@keras.saving.register_keras_serializable("kerasburst")
class IzhikevichCell(_Izhikevich, NeuronCell):
    """`Izhikevich` as a cell for `keras.layers.RNN`.

    Args:
        units: number of neurons, equal to the input's last axis.
        a, b, c, d, input_scale, input_offset, trainable_input, surrogate: as for `Izhikevich`.
        **kwargs: as for `NeuronCell`.

    Example:
        >>> layer = keras.layers.RNN(IzhikevichCell(1, input_offset=10.0), return_sequences=True)
        >>> keras.ops.convert_to_numpy(layer(keras.ops.zeros((1, 20, 1))))[0, :, 0].nonzero()[0].tolist()
        [3]
    """

    def __init__(
        self,
        units: int,
        a: Any = 0.02,
        b: Any = 0.2,
        c: Any = -65.0,
        d: Any = 8.0,
        input_scale: Any = 1.0,
        input_offset: Any = 0.0,
        *,
        trainable_input: bool = False,
        surrogate: str | Surrogate = "atan(alpha=0.02)",
        **kwargs,
    ):
        super().__init__(units, **kwargs)
        self._set_izhikevich(a, b, c, d, input_scale, input_offset, trainable_input, surrogate)
