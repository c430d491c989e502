"""A user's own Keras model, composed of our layers and taken apart after its encoder."""

from __future__ import annotations

import re
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from kerasburst.encoders.base import Encoder
from kerasburst.export.network import Network, state_keys
from kerasburst.models.base import SpikingNetwork
from kerasburst.neurons.lif import LIF, LIFCell
from kerasburst.neurons.scan import scan
from kerasburst.validation import InputError, one_line

_TOLERANCE = 1e-4  # of logits
_STEPS_TRIED = 5  # if any number of steps fits
_NOT_OF_ONE_STEP = (ValueError, TypeError, RuntimeError, tf.errors.OpError)


class ComposedNetwork(Network):
    """A functional or sequential Keras model taken apart.

    It may have one encoder; all other layers must depend on its spikes alone. To run one step, LIF layers and RNNs of
    LIF cells take their membrane from outside and `GlobalAveragePooling1D` becomes a running mean; every other layer
    must treat each step by itself. This is tried on random spikes: if steps and sequence differ, there is no step.
    """

    readout = "the model's own"

    def __init__(self, model: keras.Model):
        _check_graph(model)
        self.model = model
        self.encoder, self._before, after = _cut(model)
        self.prepares = self._before is not None
        self.num_steps, *features = after.inputs[0].shape[1:]
        self.spike_features = tuple(features)
        self.features = self.spike_features if self.encoder is None else tuple(model.inputs[0].shape[1:])
        if None in (*self.features, *self.spike_features) or not self.spike_features:
            raise InputError(
                "model must take (batch, *features), or spikes (batch, time, *features), with features of known size; "
                f"received {tuple(model.inputs[0].shape)}"
            )
        self._wires, self._step_wires = _Wires(), _Wires()
        self._sequence = _walked(after, partial(self._stand_in, self._wires))
        self.neurons = self._wires.neurons
        if not self.neurons:
            raise InputError("model must have a LIF layer or an RNN of LIFCell that is not nested, received none")
        if len(self._sequence.outputs[0].shape) != 2:
            raise InputError(f"model must give logits (batch, C), received {tuple(self._sequence.outputs[0].shape)}")
        self.num_classes = self._sequence.outputs[0].shape[-1]
        last = model.layers[-1]
        self._softmax = isinstance(last, keras.layers.Softmax) or (
            getattr(last, "activation", None) is keras.activations.softmax
        )
        spikes = np.random.default_rng(0).integers(0, 2, (5, self.num_steps or _STEPS_TRIED, *self.spike_features))
        spikes = tf.constant(spikes, tf.float32)
        whole = self.encoded(spikes)[0]
        if difference := _difference(self._logits(after(spikes)), whole):
            raise InputError(f"model cannot be taken apart: its parts' logits are {difference:.3g} from its own")
        self.states, self.no_step = self._try_steps(after, spikes, {"logits": whole, **self._wires.after})

    def _try_steps(self, after: keras.Model, spikes: tf.Tensor, whole: dict[str, tf.Tensor]):
        """Return the shapes of the states, or none and the reason; `whole`: logits and last states of the sequence."""
        try:
            self._one = _walked(after, partial(self._stand_in, self._step_wires), (None, 1, *self.spike_features))
            states = self._step_wires.shapes
            now = {name: tf.zeros((len(spikes), *shape)) for name, shape in states.items()}
            for t in range(spikes.shape[1]):
                logits, now = self.step(spikes[:, t], now)
        except _NOT_OF_ONE_STEP as error:
            return {}, f"a layer refuses a sequence of one step ({one_line(error)})"
        by_steps = now | {"logits": logits}
        differences = {name: _difference(value, by_steps[name]) for name, value in whole.items()}
        name = max(differences, key=differences.get)
        if differences[name]:
            reason = f"step by step {name} is {differences[name]:.3g} apart"
            return {}, f"a layer other than LIF mixes the steps: {reason}"
        return states, None

    def _stand_in(self, wires, layer, *args, **kwargs):
        if _is_spiking(layer):
            return _Spiking(layer, wires)(*args, **kwargs)
        if wires is self._step_wires and isinstance(layer, keras.layers.GlobalAveragePooling1D):
            return _RunningMean(layer.name, wires)(args[0])
        return layer(*args, **kwargs)

    def intensities(self, inputs):
        """Return what the encoder sees; see `Network.intensities`."""
        return inputs if self._before is None else self._before(inputs)

    def encoded(self, spikes):
        """Run over a sequence; see `Network.encoded`."""
        out = self._wires.run(self._sequence, spikes, {})
        return self._logits(out), self._wires.mem

    def step(self, spikes, states):
        """Advance one step; see `Network.step`."""
        out = self._step_wires.run(self._one, spikes[:, None], states)
        return self._logits(out), self._step_wires.after

    def _logits(self, out):
        out = tf.cast(out, tf.float32)
        return tf.math.log(tf.maximum(out, np.finfo("float32").tiny)) if self._softmax else out


class _Wires:
    """Carries states into a model of stand-in layers and out of it, beside the model's own inputs and outputs.

    Attributes:
        neurons: LIF layers by their name in the export.
        shapes: shape of each state, without batch.
        after: the states after the last run.
        mem: the membrane of the last LIF layer over the last run, `(batch, time, *features)`.
    """

    def __init__(self):
        self.neurons, self.shapes, self.after, self.mem = {}, {}, {}, None
        self._states: dict[str, tf.Tensor] = {}

    def run(self, model: keras.Model, inputs: tf.Tensor, states: dict[str, tf.Tensor]) -> tf.Tensor:
        """Call `model` from `states`; absent ones start at zero."""
        self._states, self.after = states, {}
        return model(inputs, training=False)

    def take(self, name: str, like: tf.Tensor) -> tf.Tensor:
        """Return the state `name`, `(batch, ...)`; zeros of the shape of `like` at the start."""
        self.shapes[name] = tuple(like.shape[1:])
        return self._states.get(name, tf.zeros_like(like, tf.float32))


class _Spiking(keras.layers.Layer):
    """A LIF layer, or an RNN of LIF cells, in plain operations, with its states on the wires."""

    def __init__(self, layer: keras.layers.Layer, wires: _Wires):
        if layer.stateful:
            raise InputError(f"{layer.name} must not be stateful: a server would share its state among all clients")
        if getattr(layer, "go_backwards", False):
            raise InputError(f"{layer.name} must not go backwards")
        super().__init__(dtype=layer.dtype_policy, autocast=False)
        self._layer = layer.cell if isinstance(layer, keras.layers.RNN) else layer
        self._flags = (layer.return_sequences, getattr(layer, "return_mem", False), layer.return_state)
        self._wires = wires
        self._key = re.sub(r"\W", "_", layer.name)
        while self._key in wires.neurons or self._key in ("spikes", "logits"):  # a layer called twice has two states
            self._key += "_again"
        self.built = True

    def call(self, inputs, initial_state=None, mask=None):
        """Run over `inputs`, `(batch, time, *features)`."""
        layer, wires = self._layer, self._wires
        if mask is not None:
            raise InputError(f"{self._key} must not be masked")
        keys = state_keys(self._key, layer)
        if initial_state is None:
            start = {name: wires.take(key, inputs[:, 0]) for name, key in keys.items()}
        elif isinstance(initial_state, dict):
            start = initial_state
        else:
            given = initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
            start = dict(zip(keys, given, strict=True))
        spk, sequences = scan(layer, inputs, start)
        last = {name: sequence[:, -1] for name, sequence in sequences.items()}
        wires.neurons[self._key], wires.mem = layer, sequences["mem"]
        wires.after |= {key: last[name] for name, key in keys.items()}
        return_sequences, return_mem, return_state = self._flags
        out = [spk if return_sequences else spk[:, -1]]
        if return_mem:
            out.append(sequences["mem"] if return_sequences else last["mem"])
        if return_state:
            out += last.values()
        return tuple(out) if len(out) > 1 else out[0]


class _RunningMean(keras.layers.Layer):
    """The mean of `(batch, 1, channels)` over the steps so far, with its sum and the number of steps on the wires."""

    def __init__(self, key: str, wires: _Wires):
        super().__init__(dtype="float32")
        self._key, self._wires = key, wires
        self.built = True

    def call(self, inputs):
        """Add one step."""
        now, wires = inputs[:, 0], self._wires
        total = wires.take(f"{self._key}_sum", now) + now
        steps = wires.take(f"{self._key}_steps", now[:, :1]) + 1.0
        wires.after |= {f"{self._key}_sum": total, f"{self._key}_steps": steps}
        return total / steps


def _is_spiking(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, LIF) or (isinstance(layer, keras.layers.RNN) and isinstance(layer.cell, LIFCell))


def _check_graph(model: keras.Model) -> None:
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise InputError(
            "model must be one of our networks, or a functional or sequential Keras model that is built, "
            f"received a {type(model).__name__} without a graph of layers"
        )
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(f"model must have one input and one output, received {len(inputs)} and {len(outputs)}")
    for layer in model.layers:
        if isinstance(layer, keras.Model) and _holds_ours(layer):
            raise InputError(
                f"model must hold our layers in its own graph, received them inside {layer.name}: compose them directly"
            )


def _holds_ours(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.Model) and not isinstance(layer, SpikingNetwork):
        return any(map(_holds_ours, layer.layers))
    return isinstance(layer, (SpikingNetwork, Encoder)) or _is_spiking(layer)


def _walked(model: keras.Model, call, shape=None) -> keras.Model:
    """Return a model of the same layers, each called by `call`; `shape`: another shape for its input."""
    model = keras.Model(model.inputs[0], model.outputs[0])  # functional, not compiled
    tensors = None if shape is None else keras.Input(batch_shape=shape, dtype=model.inputs[0].dtype)
    return keras.models.clone_model(model, tensors, clone_function=lambda layer: layer, call_function=call)


def _cut(model: keras.Model) -> tuple[Encoder | None, keras.Model | None, keras.Model]:
    """Return the encoder and the model before it, each or None, and the model after it."""
    ends = []

    def call(layer, *args, **kwargs):
        out = layer(*args, **kwargs)
        if isinstance(layer, Encoder):
            ends.append((layer, args[0], out))
        return out

    whole = _walked(model, call)
    if not ends:
        return None, None, whole
    if len(ends) > 1:
        raise InputError(f"model must have one encoder, received {', '.join(layer.name for layer, _, _ in ends)}")
    encoder, seen, spikes = ends[0]
    try:
        after = keras.Model(spikes, whole.outputs[0])
    except ValueError:
        raise InputError(
            f"model must see its inputs through {encoder.name} alone, received one with a way around it"
        ) from None
    return encoder, None if seen is whole.inputs[0] else keras.Model(whole.inputs[0], seen), after


def _difference(a: tf.Tensor, b: tf.Tensor) -> float:
    """Return the median over examples of the largest difference, 0 within the tolerance.

    Rounding may move a spike in one or two examples.
    """
    largest = float(np.median(np.abs(a - b).reshape(len(a), -1).max(axis=1)))
    return 0.0 if largest <= _TOLERANCE else largest
