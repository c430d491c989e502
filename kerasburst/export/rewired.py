"""Stand-ins for the layers with a membrane, in a model that is walked for export."""

from __future__ import annotations

import re

import keras
import tensorflow as tf

from kerasburst.export import plain
from kerasburst.neurons.base import LIFBase
from kerasburst.neurons.lif import LIF
from kerasburst.neurons.lif_cell import LIFCell
from kerasburst.validation import InputError


class Wires:
    """Hand states into a model of stand-ins, and out of it again, around its own inputs and outputs.

    Attributes:
        neurons: LIF layers by the name of their state.
        shapes: shape of each state, without batch.
        after: the states after the last run.
        mem: the membrane of the last LIF layer over the last run, `(batch, time, *features)`.
    """

    def __init__(self):
        self.neurons: dict[str, LIFBase] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.after: dict[str, tf.Tensor] = {}
        self.mem: tf.Tensor | None = None
        self._states: dict[str, tf.Tensor] = {}

    def run(self, model: keras.Model, inputs: tf.Tensor, states: dict[str, tf.Tensor]) -> tf.Tensor:
        """Call `model` from `states`; those that are absent begin at zero."""
        self._states, self.after = states, {}
        return model(inputs, training=False)

    def take(self, name: str, like: tf.Tensor) -> tf.Tensor:
        """Give the state `name`, `(batch, ...)`; zeros like `like` at the start."""
        self.shapes[name] = tuple(like.shape[1:])
        return self._states.get(name, tf.zeros_like(like, tf.float32))


class Spiking(keras.layers.Layer):
    """A LIF layer, or an RNN of LIF cells, in plain operations, its membrane on the wires."""

    def __init__(self, layer: keras.layers.Layer, wires: Wires):
        if layer.stateful:
            raise InputError(f"{layer.name} must not be stateful: a server would share its state among all clients")
        if getattr(layer, "go_backwards", False):
            raise InputError(f"{layer.name} must not go backwards")
        super().__init__(dtype=layer.dtype_policy, autocast=False)
        self._layer = layer.cell if isinstance(layer, keras.layers.RNN) else layer
        self._flags = (layer.return_sequences, getattr(layer, "return_mem", False), layer.return_state)
        self._wires = wires
        self._key = re.sub(r"\W", "_", layer.name)
        while self._key in wires.shapes or self._key in ("spikes", "logits"):  # called twice, it has two membranes
            self._key += "_again"
        self.built = True

    def call(self, inputs, initial_state=None, mask=None):
        """Run over `inputs`, `(batch, time, *features)`."""
        layer, wires = self._layer, self._wires
        if isinstance(initial_state, (list, tuple)):
            (initial_state,) = initial_state
        if mask is not None:
            raise InputError(f"{self._key} must not be masked")
        start = wires.take(self._key, inputs[:, 0]) if initial_state is None else initial_state
        spk, mem = plain.lif(layer, inputs, start)
        wires.neurons[self._key], wires.after[self._key], wires.mem = layer, mem[:, -1], mem
        sequences, return_mem, return_state = self._flags
        last = mem[:, -1]
        if not sequences:
            spk, mem = spk[:, -1], last
        extra = (mem,) * return_mem + (last,) * return_state
        return (spk, *extra) if extra else spk


class RunningMean(keras.layers.Layer):
    """The mean over the steps so far of `(batch, 1, channels)`, its sum and their number on the wires."""

    def __init__(self, key: str, wires: Wires):
        super().__init__(dtype="float32")
        self._key, self._wires = key, wires
        self.built = True

    def call(self, inputs):
        """Take one step in."""
        now, wires = inputs[:, 0], self._wires
        total = wires.take(f"{self._key}_sum", now) + now
        steps = wires.take(f"{self._key}_steps", now[:, :1]) + 1.0
        wires.after |= {f"{self._key}_sum": total, f"{self._key}_steps": steps}
        return total / steps


def is_spiking(layer: keras.layers.Layer) -> bool:
    """Tell whether `layer` has a LIF membrane over time."""
    return isinstance(layer, LIF) or (isinstance(layer, keras.layers.RNN) and isinstance(layer.cell, LIFCell))
