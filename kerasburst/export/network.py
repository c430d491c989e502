"""A model taken apart for export: its encoder, and the rest as functions of a sequence and of one step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kerasburst.encoders.base import Encoder
from kerasburst.encoders.draws import check_intensity
from kerasburst.models.base import SpikingNetwork
from kerasburst.neurons.base import Neuron
from kerasburst.neurons.scan import scan
from kerasburst.validation import InputError, fail

States = dict[str, tf.Tensor]


class Network(ABC):
    """A model taken apart. Its functions are plain TensorFlow operations that write no variable."""

    model: keras.Model
    encoder: Encoder | None  # None: the model takes spikes
    features: tuple[int, ...]  # shape of one example as the model takes it, without batch and time
    spike_features: tuple[int, ...]  # shape of one step's spikes, without batch
    num_steps: int | None  # None: any number
    num_classes: int
    prepares: bool = False  # whether layers of the model come before the encoder
    readout: str  # how the logits are read from the output neurons
    neurons: dict[str, Neuron]  # in order, the output's last
    states: dict[str, tuple[int, ...]]  # what `step` carries, from zeros: shapes without batch; empty without a step
    no_step: str | None = None  # why the model cannot run step by step

    def intensities(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return what the encoder sees of the model's inputs."""
        return inputs

    @abstractmethod
    def encoded(self, spikes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return logits `(batch, C)` and the last layer's membrane `(batch, T, ...)` for spikes `(batch, T, ...)`."""

    @abstractmethod
    def step(self, spikes: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
        """Advance one step: from spikes `(batch, ...)` and states to the logits `(batch, C)` so far, and states."""

    def checked(self, images: tf.Tensor) -> tf.Tensor:
        """Return the intensities that the encoder sees; in a graph, others raise an InvalidArgumentError."""
        return check_intensity(self.intensities(images), "images")

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
        x = self.checked(images)
        check = tf.debugging.assert_positive(queries, "queries must be at least 1")
        with tf.control_dependencies([] if check is None else [check]):
            queries = tf.identity(queries)

        def one(k):
            logits, _ = self.encoded(tf.cast(draw_spikes(self.encoder, x, seed, k), tf.float32))
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


class ReadyNetwork(Network):
    """A `SpikingNetwork` taken apart."""

    def __init__(self, model: SpikingNetwork):
        if not model.built:
            raise InputError("model must be built, received one without weights: call it once, or its build")
        self.model = model
        self.encoder = model.encoder
        _, self.num_steps, *features = model.spikes_shape
        self.features = self.spike_features = tuple(features)
        self.num_classes = model.num_classes
        self.readout = model.readout
        self.neurons, self.states = {}, {}

        def note(layer, current):
            self.neurons[layer.name] = layer
            self.states |= dict.fromkeys(state_keys(layer.name, layer).values(), tuple(current.shape[2:]))
            return scan(layer, current)

        self._run(tf.zeros((1, 1, *self.spike_features)), note)
        if model.readout == "mean":
            self.states |= {"readout_sum": (model.num_classes,), "readout_steps": (1,)}
        elif model.readout == "count":
            self.states["readout_count"] = (model.num_classes,)

    def _run(self, spikes, fire):
        return self.model.run_course(tf.cast(spikes, self.model.compute_dtype), fire)

    def encoded(self, spikes):
        """Run over a sequence; see `Network.encoded`."""
        spk, states = self._run(spikes, scan)
        return self.model.read_out(spk, states["mem"]), states["mem"]

    def step(self, spikes, states):
        """Advance one step; see `Network.step`."""
        after = {}

        def fire(layer, current):
            keys = state_keys(layer.name, layer)
            spk, sequences = scan(layer, current, {name: states[key] for name, key in keys.items()})
            after.update({key: sequences[name][:, 0] for name, key in keys.items()})
            return spk, sequences

        spk, sequences = self._run(spikes[:, None], fire)
        now = self.model.read_out(spk, sequences["mem"])
        if self.readout == "mean":
            after["readout_sum"] = states["readout_sum"] + now
            after["readout_steps"] = states["readout_steps"] + 1.0
            now = after["readout_sum"] / after["readout_steps"]
        elif self.readout == "count":
            now = after["readout_count"] = states["readout_count"] + now
        return now, after


def state_keys(key: str, layer: Neuron) -> dict[str, str]:
    """Return the name in an export of each state of a layer that is called `key` there.

    It is the layer's own name for a neuron with one state, and the layer's and the state's for one with more.
    """
    names = layer.state_names
    return {names[0]: key} if len(names) == 1 else {name: f"{key}_{name}" for name in names}


def course_of(network: Network, format: str) -> list:
    """Return the course of one of our networks, for a format that is written layer by layer.

    Raises:
        InputError: for a composed model, or one that computes in another type than float32.
    """
    if not isinstance(network, ReadyNetwork):
        raise InputError(
            f"model must be one of our networks for {format}, received a {type(network.model).__name__}: "
            "as a SavedModel or for LiteRT any model of our layers will do"
        )
    if network.model.compute_dtype != "float32":
        raise InputError(f"model must compute in float32 for {format}, received {network.model.compute_dtype}")
    return network.model.course()


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
    return encoder.encode(x, tf.stack([tf.fill(tf.shape(x)[:1], key), _fingerprint(x)], axis=1))


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
        return function(
            images=tf.constant(images, tf.float32),
            seed=tf.constant(seed, tf.int64),
            queries=tf.constant(queries, tf.int32),
        )

    return asked


def take_apart(model: keras.Model) -> Network:
    """Take a model apart for export.

    Args:
        model: a `SpikingNetwork`, or a functional or sequential Keras model with our layers inside.

    Raises:
        InputError: for what cannot be taken apart, with the reason.

    Example:
        >>> from kerasburst.encoders.rate import RateEncoder
        >>> from kerasburst.models import SNNFCNet
        >>> network = SNNFCNet(2, hidden_units=4, encoder=RateEncoder(6))
        >>> network.build((None, 3))
        >>> take_apart(network).states
        {'hidden_lif': (4,), 'output_lif': (2,)}
    """
    if isinstance(model, SpikingNetwork):
        return ReadyNetwork(model)
    if isinstance(model, keras.Model):
        from kerasburst.export.composed import ComposedNetwork

        return ComposedNetwork(model)
    raise fail("model", "a Keras model", model)
