"""A model taken apart for export: its own call, with the encoder's draws and the neurons' states from outside."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kerasburst.encoders.base import Encoder
from kerasburst.export.wires import States, Wires, as_call, patches_of
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.observing import patched
from kerasburst.neurons.base import Neuron
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.validation import InputError, fail, one_line

_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")  # what tf.name_scope takes
_STEPS_TRIED = 5  # where any number of steps fits
_ROUNDING = 1e-4  # of states and logits between steps and sequence
_NOT_OF_ONE_STEP = (ValueError, TypeError, RuntimeError, tf.errors.OpError)


class Network:
    """A model as functions of a sequence of spikes, of one step, and of intensities.

    Each function is the model's own `call`, layer by layer as Keras calls them. While it runs, the encoder's spikes
    come from outside and neurons run in plain operations that every runtime can load. For a single step, the states of
    neurons and RNNs come from outside, too, and the readout over time (a network's own, or `GlobalAveragePooling1D`)
    becomes a running one. The functions write no variable.

    Args:
        model: one of our networks, or a functional or sequential Keras model, models inside it included.

    Attributes:
        encoder: the encoder, or None for a model that takes spikes.
        features: shape of one example as the model takes it, without batch and time.
        spike_features: shape of one step's spikes, without batch.
        num_steps: T, or None for any number of steps.
        num_classes: C.
        prepares: whether layers of the model come before the encoder.
        readout: how the logits are read from the output neurons.
        neurons: layers and cells by their name in the export, in order, the output's last.

    Raises:
        InputError: for a model that cannot be taken apart, with the reason.
    """

    def __init__(self, model: keras.Model):
        _check_whole(model)
        self.model = model
        self._layers = list(model._flatten_layers())
        self.encoder = _only_encoder(self._layers)
        _check_layers(self._layers)
        self._softmax = _ends_in_softmax(model)
        self._wires = Wires()
        self._takes_training = "training" in inspect.signature(model.call).parameters
        self.readout = model.readout if isinstance(model, SpikingNetwork) else "the model's own"
        self.num_steps, self.features, self.spike_features, self.prepares = self._shapes()
        _, mem = self.encoded(tf.zeros((1, self.num_steps or _STEPS_TRIED, *self.spike_features)))
        self.num_classes = int(self._logits_shape[-1])
        self.neurons: dict[str, Neuron] = dict(self._wires.neurons)
        self.traced = mem is not None  # whether the last neurons' membrane is seen
        if not self.neurons:
            raise InputError("model must have a LIF layer or an RNN of LIFCell, received none")

    def _shapes(self):
        model, encoder = self.model, self.encoder
        if isinstance(model, SpikingNetwork):
            _, steps, *features = model.spikes_shape
            shape = (steps, *features) if encoder is None or encoder.encoded else tuple(features)
        else:
            shape = tuple(model.inputs[0].shape[1:])
        features = shape if encoder is not None else shape[1:]
        if not features or None in features:
            raise InputError(
                "model must take (batch, *features), or spikes (batch, time, *features), with features of known size, "
                f"received (batch, {', '.join(map(str, shape))})"
            )
        if encoder is None:
            return shape[0], features, features, False
        seen = []

        def note(x):
            seen.append(x)
            return tf.zeros(encoder.compute_output_shape(x.shape))

        images = tf.constant(np.random.default_rng(0).uniform(size=(1, *features)), tf.float32)
        self._run(images, note)
        if len(seen) != 1:
            raise InputError(f"model must call {encoder.name} once, received {len(seen)} calls")
        _, steps, *spike_features = encoder.compute_output_shape(seen[0].shape)
        same = seen[0].shape == images.shape and np.array_equal(seen[0], images)
        return steps, features, tuple(spike_features), not same

    # What is exported ---------------------------------------------------------------------------

    def encoded(self, spikes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Return logits `(batch, C)` and the last neurons' membrane `(batch, T, ...)` for spikes `(batch, T, ...)`."""
        return self._run_spikes(spikes), self._wires.mem

    def step(self, spikes: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
        """Advance one step: from spikes `(batch, ...)` and states to the logits `(batch, C)` so far, and states."""
        return self._run_spikes(spikes[:, None], states), dict(self._wires.after)

    @property
    def states(self) -> dict[str, tuple[int, ...]]:
        """What `step` carries, from zeros: shapes without batch; empty without a step."""
        return self._steps[0]

    @property
    def no_step(self) -> str | None:
        """Why the model cannot run step by step, or None."""
        return self._steps[1]

    def from_images(self, images: tf.Tensor, encode: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Return logits of the model's inputs; `encode` returns spikes of checked intensities."""
        return self._run(images, lambda x: encode(self.encoder.check(x, "images")))

    def ask(self, images: tf.Tensor, seed: tf.Tensor, queries: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the mean over K encodings, for a network with an encoder.

        Args:
            images: float32 `(batch, *features)`.
            seed: int64 scalar.
            queries: K, int32 scalar, at least 1.

        Returns:
            `logits`, their mean over the encodings; `probabilities`, its softmax; `spread`, the standard deviation of
            the single encodings' probabilities; each `(batch, C)`.
        """
        check = tf.debugging.assert_positive(queries, "queries must be at least 1")
        with tf.control_dependencies([] if check is None else [check]):
            queries = tf.identity(queries)

        def one(k):
            logits = self.from_images(images, lambda x: draw_spikes(self.encoder, x, seed, k))
            return logits, tf.nn.softmax(logits)

        def more(k, logits, mean, squares):  # Welford's running mean and sum of squared deviations
            new, p = one(k)
            n = tf.cast(k + 1, tf.float32)
            after = mean + (p - mean) / n
            return k + 1, logits + (new - logits) / n, after, squares + (p - mean) * (p - after)

        first, p = one(tf.constant(0))
        start = (tf.constant(1), first, p, tf.zeros_like(p))
        _, logits, _, squares = tf.while_loop(lambda k, *_: k < queries, more, start)
        spread = tf.sqrt(squares / tf.cast(queries, tf.float32))
        return {"logits": logits, "probabilities": tf.nn.softmax(logits), "spread": spread}

    # What it is compared with -------------------------------------------------------------------

    def own(self, inputs: tf.Tensor, encode: Callable[[tf.Tensor], tf.Tensor] | None = None) -> tf.Tensor:
        """Return the model's own logits, fast kernels included; `encode` stands for the encoder's draws."""
        patches = [] if encode is None else [(self.encoder, {"call": as_call(self.encoder, encode)})]
        with patched(patches):
            return self._logits(self.model(inputs, training=False))

    def own_of_spikes(self, spikes: tf.Tensor, filler: float = 0.0) -> tf.Tensor:
        """Return the model's own logits of spikes; a model with an encoder sees images of the value `filler`."""
        if self.encoder is None:
            return self.own(spikes)
        return self.own(tf.fill((len(spikes), *self.features), filler), lambda _: spikes)

    def compute_dtypes(self) -> set[str]:
        """Return the types that layers compute in, besides the encoder, whose spikes are exact in each."""
        return {layer.compute_dtype for layer in self._layers if layer is not self.encoder and layer.weights}

    @property
    def spikes_of_last(self) -> tf.Tensor | None:
        """The last neurons' spikes in the last run, `(batch, T, ...)`."""
        return self._wires.spk

    def foreign_layers(self) -> list[keras.layers.Layer]:
        """Return layers of classes that neither Keras nor kerasburst has."""
        return [each for each in self._layers if type(each).__module__.split(".")[0] not in ("keras", "kerasburst")]

    # How it runs --------------------------------------------------------------------------------

    def _run_spikes(self, spikes, states=None):
        if self.encoder is None:
            return self._run(spikes, None, states)
        images = tf.zeros((tf.shape(spikes)[0], *self.features))  # what depends on them alone is not exported
        return self._run(images, lambda _: spikes, states)

    def _run(self, inputs, encode, states=None):
        """Call the model; `states` by name for a single step, None for a sequence."""
        wires = self._wires
        wires.start(states)
        with patched((layer, patches_of(layer, wires, encode)) for layer in self._layers):
            out = self.model.call(inputs, **({"training": False} if self._takes_training else {}))
        return self._logits(out)

    def _logits(self, out):
        if isinstance(out, (list, tuple, dict)) or len(out.shape) != 2:
            shape = "several outputs" if isinstance(out, (list, tuple, dict)) else tuple(out.shape)
            raise InputError(f"model must give logits (batch, C), received {shape}")
        self._logits_shape = out.shape
        out = tf.cast(out, tf.float32)
        return tf.math.log(tf.maximum(out, np.finfo("float32").tiny)) if self._softmax else out

    @functools.cached_property
    def _steps(self) -> tuple[dict[str, tuple[int, ...]], str | None]:
        """Try steps against the sequence on random spikes: the states' shapes and None, or none and the reason."""
        spikes = np.random.default_rng(0).integers(0, 2, (5, self.num_steps or _STEPS_TRIED, *self.spike_features))
        spikes = tf.constant(spikes, tf.float32)
        logits, _ = self.encoded(spikes)
        whole = {"logits": logits, **self._wires.after}
        try:
            now: States = {}
            for t in range(spikes.shape[1]):
                logits, now = self.step(spikes[:, t], now)
        except _NOT_OF_ONE_STEP as error:
            return {}, f"a layer refuses a sequence of one step ({one_line(error)})"
        steps = now | {"logits": logits}
        apart = {name: _typical(value, steps[name]) for name, value in whole.items() if name in steps}
        name = max(apart, key=lambda name: apart[name])
        if apart[name] > _ROUNDING:
            reason = f"step by step {name} is {apart[name]:.3g} apart"
            return {}, f"a layer other than neurons mixes the steps: {reason}"
        return {name: tuple(value.shape[1:]) for name, value in now.items()}, None


def _check_whole(model) -> None:
    if not isinstance(model, keras.Model):
        raise fail("model", "a Keras model", model)
    for layer in model._flatten_layers():
        if layer.compute_dtype == "float64":  # signatures and states are float32
            raise InputError(f"model must compute in at most 32 bits, layer {layer.name} computes in float64")
    if isinstance(model, SpikingNetwork):
        if not model.built:
            raise InputError("model must be built, received one without weights: call it once, or its build")
        return
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise InputError(
            "model must be one of our networks, or a functional or sequential Keras model that is built, "
            f"received a {type(model).__name__} without a graph of layers"
        )
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(f"model must have one input and one output, received {len(inputs)} and {len(outputs)}")


def _only_encoder(layers) -> Encoder | None:
    encoders = [layer for layer in layers if isinstance(layer, Encoder)]
    if len(encoders) > 1:
        raise InputError(f"model must have one encoder, received {', '.join(layer.name for layer in encoders)}")
    for encoder in encoders:
        if type(encoder).call is not Encoder.call:
            raise InputError(
                f"{encoder.name} must not have a call of its own, as {type(encoder).__name__} does: an export draws "
                "its spikes by encode"
            )
        return encoder
    return None


def _check_layers(layers) -> None:
    for layer in layers:
        if not _NAME.fullmatch(layer.name):
            raise InputError(
                "names of layers must consist of letters, digits, . _ - and /, and begin with a letter or digit, "
                f"since TensorFlow runs no others in a graph, received {layer.name!r}"
            )
        if isinstance(layer, (NeuronLayer, keras.layers.RNN)):
            if layer.stateful:
                raise InputError(f"{layer.name} must not be stateful: a server would share its state among all clients")
            if getattr(layer, "go_backwards", False):
                raise InputError(f"{layer.name} must not go backwards")


def _ends_in_softmax(model: keras.Model) -> bool:
    last = model.layers[-1]
    softmax = isinstance(last, keras.layers.Softmax) or getattr(last, "activation", None) is keras.activations.softmax
    return softmax and not isinstance(model, SpikingNetwork)


def _typical(a: tf.Tensor, b: tf.Tensor) -> float:
    """Return the median over examples of the largest difference: rounding may move a spike in one or two."""
    return float(np.median(np.abs(a - b).reshape(len(a), -1).max(axis=1)))


def draw_spikes(encoder: Encoder, x: tf.Tensor, seed: tf.Tensor, query: tf.Tensor) -> tf.Tensor:
    """Encode checked intensities for one query.

    An example's spikes depend on the seed, the number of the query and its own intensities, and not on its place in
    the batch or on the other examples.

    Args:
        encoder: the encoder layer; its own seed is not used.
        x: float32 `(batch, *features)` in [0, 1].
        seed: int64 scalar.
        query: integer scalar, 0 to K - 1.

    Returns:
        uint8 spikes `(batch, num_steps, *features)`.
    """
    if not encoder.random:
        return encoder.encode(x, (0, 0))
    # fold_in(key, n) is (hash of key, n). Twice, so that the query is hashed, too.
    key = tf.random.fold_in(tf.stack([seed, 0]), tf.cast(query, tf.int64))
    key = tf.random.fold_in(key, tf.zeros_like(seed))[0]
    return encoder.encode(x, tf.stack([tf.fill(tf.shape(x)[:1], key), _fingerprint(tf.cast(x, tf.float32))], axis=1))


def _fingerprint(x: tf.Tensor) -> tf.Tensor:
    """Return an int64 for each example, a hash of its bits: their sum modulo 2**64, weighted by random odd numbers."""
    bits = tf.reshape(tf.bitcast(x, tf.int32), [tf.shape(x)[0], int(np.prod(x.shape[1:]))])
    weights = np.random.default_rng(0).integers(-(2**62), 2**62, bits.shape[1]) * 2 + 1
    return tf.reduce_sum(tf.cast(bits, tf.int64) * tf.constant(weights, tf.int64), axis=1)


def fresh_spikes(encoder: Encoder, x: tf.Tensor) -> tf.Tensor:
    """Encode checked intensities with the runtime's own random numbers: a stateful operation, but no variable."""
    if not encoder.random:
        return encoder.encode(x, (0, 0))
    # Both seeds are 0, which tf.random.set_seed does not change: each process and each call draws another number.
    seed = tf.raw_ops.RandomUniformInt(shape=[2], minval=0, maxval=2**31 - 1, seed=0, seed2=0)
    return encoder.encode(x, seed)


def asked_by(function: Callable) -> Callable[[np.ndarray, int, int], dict[str, tf.Tensor]]:
    """Return `function` of the tensors images, seed and queries as a function of an array and two ints."""

    def asked(images, seed, queries):
        padded = images.dtype == np.int8  # which says where steps are padding
        return function(
            images=tf.constant(images, tf.int8 if padded else tf.float32),
            seed=tf.constant(seed, tf.int64),
            queries=tf.constant(queries, tf.int32),
        )

    return asked
