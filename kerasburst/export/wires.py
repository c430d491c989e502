"""Replace, for one call of a model, what its layers with states compute: states come from outside and go there."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import keras
import tensorflow as tf

from kerasburst.encoders.base import Encoder
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.observing import patched
from kerasburst.neurons.base import Neuron
from kerasburst.neurons.cell import NeuronCell
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.neurons.scan import scan, wide
from kerasburst.validation import InputError

States = dict[str, tf.Tensor]


class Wires:
    """Carries states into a model and out of it, beside the model's own inputs and outputs.

    Attributes:
        stepping: whether the model runs a single step.
        neurons: layers and cells by their name in the export.
        after: the states after the last run.
        spk: the spikes of the last neurons over the last run, `(batch, time, *features)`.
        mem: their membrane, likewise, or None if they run in a way of their own.
    """

    def __init__(self):
        self.start(None)

    def start(self, states: States | None) -> None:
        """Forget the last run; `states` are those before a single step."""
        self.stepping, self._before = states is not None, states or {}
        self.neurons, self.after, self.spk, self.mem = {}, {}, None, None

    def name(self, layer: keras.layers.Layer) -> str:
        """Return a layer's name in the export; a layer that is called twice has two."""
        key = re.sub(r"\W", "_", layer.name)
        while key in self.neurons or key in ("spikes", "logits"):
            key += "_again"
        return key

    def take(self, name: str, at_start: tf.Tensor, neurons: Neuron | None = None) -> tf.Tensor:
        """Return a state as it came in; that of neurons comes as its distance from rest, so that all begin with 0."""
        state = self._before.get(name, at_start)
        return at_start + state if name in self._before and _rests_elsewhere(neurons) else state


def patches_of(layer, wires: Wires, encode) -> dict[str, Callable]:
    """Return what stands for a layer's methods while the model runs for an export."""
    match layer:
        case Encoder():
            return {"call": as_call(layer, encode)}
        case NeuronLayer():
            return {"run": functools.partial(_run_neurons, layer, wires)}
        case keras.layers.RNN() if isinstance(layer.cell, NeuronCell):
            return {"inner_loop": functools.partial(_loop_neurons, layer, wires)}
        case keras.layers.RNN():
            return {"inner_loop": functools.partial(_loop, layer, layer.inner_loop, wires)}
        case SpikingNetwork():
            patches: dict = {"recompute": False}
            if wires.stepping:
                patches["read_out"] = functools.partial(_read_out, layer, layer.read_out, wires)
            return patches
        case keras.layers.GlobalAveragePooling1D() if wires.stepping:
            return {"call": functools.partial(_running_mean, layer.name, wires)}
    return {}


def as_call(encoder: Encoder, encode):
    """Return an encoder's call that encodes by another function."""

    def call(inputs):
        return tf.cast(encode(tf.convert_to_tensor(inputs)), encoder.compute_dtype)

    return call


def _run_neurons(layer: NeuronLayer, wires: Wires, current, state=None, mask=None):
    """Stand for `NeuronLayer.run`: plain operations, from the states on the wires."""
    key = wires.name(layer)
    keys = state_keys(key, layer)
    like = tf.cast(current[:, 0], wide(current.dtype))
    start = state or {name: wires.take(keys[name], value, layer) for name, value in layer.rest(like).items()}
    return _scanned(layer, wires, key, current, start, mask)


def _loop_neurons(layer, wires: Wires, sequences, initial_state, mask, training=False):
    """Stand for `inner_loop` of an RNN of neurons."""
    if mask is not None:
        raise InputError(f"{layer.name} must not be masked")
    cell = layer.cell
    key = wires.name(layer)
    keys = state_keys(key, cell)
    start = {name: wires.take(keys[name], value, cell) for name, value in zip(keys, initial_state, strict=True)}
    spk, mem, last = _scanned(cell, wires, key, sequences, start)
    outputs = spk if cell.fires else mem
    return outputs[:, -1], outputs, list(last.values())


def _scanned(neurons: Neuron, wires: Wires, key: str, current, start, mask=None):
    """Return spikes and membranes of a plain scan, and the last state, which goes out by the wires."""
    spk, states = scan(neurons, current, start, mask)
    mem, last = states[neurons.state_names[0]], {name: values[:, -1] for name, values in states.items()}
    wires.neurons[key], wires.spk, wires.mem = neurons, spk, mem
    rest = neurons.rest(tf.zeros_like(mem[:, 0])) if _rests_elsewhere(neurons) else {}
    after = {name: value - rest[name] if rest else value for name, value in last.items()}
    wires.after |= {name: after[state] for state, name in state_keys(key, neurons).items()}
    return spk, mem, last


def _rests_elsewhere(neurons: Neuron | None) -> bool:
    """Return whether the state at rest may be other than zeros."""
    return neurons is not None and type(neurons).rest is not Neuron.rest


def _loop(layer, own, wires: Wires, sequences, initial_state, mask, training=False):
    """Stand for `inner_loop` of another RNN: Keras' own, from the states on the wires for a single step."""
    key = wires.name(layer)
    flat = keras.tree.flatten(initial_state)
    names = [key] if len(flat) == 1 else [f"{key}_{i}" for i in range(len(flat))]
    if wires.stepping:
        flat = [wires.take(name, value) for name, value in zip(names, flat, strict=True)]
        initial_state = keras.tree.pack_sequence_as(initial_state, flat)
    with patched([(layer, {"unroll": True} if wires.stepping else {})]):
        out, outputs, states = own(sequences, initial_state, mask, training)
    wires.after |= dict(zip(names, keras.tree.flatten(states), strict=True))
    return out, outputs, states


def _read_out(network: SpikingNetwork, own, wires: Wires, spk, mem):
    """Stand for `read_out`: the readout over the steps so far."""
    now = own(spk, mem)
    if network.readout == "mean":
        return _mean_so_far("readout", wires, now)
    if network.readout == "count":
        now = wires.after["readout_count"] = wires.take("readout_count", tf.zeros_like(now)) + now
    return now


def _running_mean(key: str, wires: Wires, inputs, mask=None):
    """Stand for `GlobalAveragePooling1D`: the mean over the steps so far."""
    return _mean_so_far(re.sub(r"\W", "_", key), wires, tf.cast(inputs[:, 0], tf.float32))


def _mean_so_far(key: str, wires: Wires, now):
    total = wires.take(f"{key}_sum", tf.zeros_like(now)) + now
    steps = wires.take(f"{key}_steps", tf.zeros_like(now[:, :1])) + 1.0
    wires.after |= {f"{key}_sum": total, f"{key}_steps": steps}
    return total / steps


def state_keys(key: str, layer: Neuron) -> dict[str, str]:
    """Return the name in an export of each state of a layer that is called `key` there.

    It is the layer's own name for a neuron with one state, and the layer's and the state's for one with more.
    """
    names = layer.state_names
    return {names[0]: key} if len(names) == 1 else {name: f"{key}_{name}" for name in names}
