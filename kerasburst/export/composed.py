"""A user's own Keras model, composed from our layers, taken apart after its encoder."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from kerasburst.encoders.base import Encoder
from kerasburst.export.network import Network
from kerasburst.export.rewired import RunningMean, Spiking, Wires, is_spiking
from kerasburst.models.base import SpikingNetwork
from kerasburst.validation import InputError, one_line

_TOLERANCE = 1e-4  # of logits
_STEPS_TRIED = 5  # where any number of steps fits
_NOT_OF_ONE_STEP = (ValueError, TypeError, RuntimeError, tf.errors.OpError)


class ComposedNetwork(Network):
    """A functional or sequential Keras model taken apart.

    One encoder at most; the rest must hang on its spikes alone. Over one step, LIF layers and RNNs of LIF cells take
    their membrane from outside and `GlobalAveragePooling1D` is a running mean; every other layer must treat each step
    by itself. That is tried on random spikes: where steps and sequence differ, there is no step.
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
        self._wires = Wires()
        self._sequence = _walked(after, self._of_sequence)
        self.neurons = dict(self._wires.neurons)
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
        if apart := _apart(self._logits(after(spikes)), whole):
            raise InputError(f"model cannot be taken apart: its parts' logits are {apart:.3g} from its own")
        self.states, self.no_step = self._try_steps(after, spikes, {"logits": whole, **self._wires.after})

    def _try_steps(self, after: keras.Model, spikes: tf.Tensor, whole: dict[str, tf.Tensor]):
        """Give the states of the model of one step, or none and why; `whole`: logits and last membranes at once."""
        self._wires.shapes.clear()
        try:
            self._one = _walked(after, self._of_step, shape=(None, 1, *self.spike_features))
            states = dict(self._wires.shapes)
            now = {name: tf.zeros((len(spikes), *shape)) for name, shape in states.items()}
            for t in range(spikes.shape[1]):
                logits, now = self.step(spikes[:, t], now)
        except _NOT_OF_ONE_STEP as error:
            return {}, f"a layer refuses a sequence of one step ({one_line(error)})"
        apart = {name: _apart(value, logits if name == "logits" else now[name]) for name, value in whole.items()}
        if any(apart.values()):
            name = max(apart, key=apart.get)
            return {}, f"a layer other than LIF mixes the steps: step by step {name} is {apart[name]:.3g} apart"
        return states, None

    def _of_sequence(self, layer, *args, **kwargs):
        return Spiking(layer, self._wires)(*args, **kwargs) if is_spiking(layer) else layer(*args, **kwargs)

    def _of_step(self, layer, *args, **kwargs):
        if isinstance(layer, keras.layers.GlobalAveragePooling1D):
            return RunningMean(layer.name, self._wires)(args[0])
        return self._of_sequence(layer, *args, **kwargs)

    def intensities(self, inputs):
        """Give what the encoder sees; see `Network.intensities`."""
        return inputs if self._before is None else self._before(inputs)

    def encoded(self, spikes):
        """Run over a sequence; see `Network.encoded`."""
        out = self._wires.run(self._sequence, spikes, {})
        return self._logits(out), self._wires.mem

    def step(self, spikes, states):
        """Advance one step; see `Network.step`."""
        out = self._wires.run(self._one, spikes[:, None], states)
        return self._logits(out), dict(self._wires.after)

    def _logits(self, out):
        out = tf.cast(out, tf.float32)
        return tf.math.log(tf.maximum(out, np.finfo("float32").tiny)) if self._softmax else out


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
        if isinstance(layer, SpikingNetwork) or (isinstance(layer, keras.Model) and _holds_ours(layer)):
            raise InputError(
                f"model must hold our layers in its own graph, received them inside {layer.name}: compose them directly"
            )


def _holds_ours(model: keras.Model) -> bool:
    return any(
        isinstance(layer, Encoder) or is_spiking(layer) or (isinstance(layer, keras.Model) and _holds_ours(layer))
        for layer in model.layers
    )


def _walked(model: keras.Model, call, shape=None) -> keras.Model:
    """Give a model of the same layers, each called by `call`; `shape`: of its input, if another."""
    model = keras.Model(model.inputs[0], model.outputs[0])  # functional, not compiled
    tensors = None if shape is None else keras.Input(batch_shape=shape, dtype=model.inputs[0].dtype)
    return keras.models.clone_model(model, tensors, clone_function=lambda layer: layer, call_function=call)


def _cut(model: keras.Model) -> tuple[Encoder | None, keras.Model | None, keras.Model]:
    """Give the encoder, what comes before it, or None, and what comes after it."""
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


def _apart(a: tf.Tensor, b: tf.Tensor) -> float:
    """Give by how much most examples differ, 0 within the tolerance: rounding may move a spike in one or two."""
    largest = float(np.median(np.abs(a - b).reshape(len(a), -1).max(axis=1)))
    return 0.0 if largest <= _TOLERANCE else largest
