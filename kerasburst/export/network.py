"""What an export needs of a model: its encoder, and what comes after it, over a sequence and over one step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import keras
import tensorflow as tf

from kerasburst.encoders.base import Encoder
from kerasburst.export import plain
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.pooling import Pool
from kerasburst.neurons.base import LIFBase
from kerasburst.neurons.lif import LIF
from kerasburst.validation import InputError, fail

States = dict[str, tf.Tensor]


class Network(ABC):
    """A model taken apart. Its functions are plain TensorFlow operations that write no variable.

    Attributes:
        model: the Keras model.
        encoder: its encoder layer, or None where it takes spikes.
        features: shape of one example as the model takes it, without batch and time.
        spike_features: shape of one step's spikes, without batch.
        num_steps: T, or None where any number fits.
        num_classes: C.
        prepares: whether layers of the model come before the encoder.
        readout: how logits come out of the output neurons, for the manifest.
        neurons: its LIF layers by name, in order, the output's last.
        states: shape, without batch, of what `step` carries by name; zeros to start. Empty where there is no step.
        no_step: why the model cannot run step by step, or None.
    """

    model: keras.Model
    encoder: Encoder | None
    features: tuple[int, ...]
    spike_features: tuple[int, ...]
    num_steps: int | None
    num_classes: int
    prepares: bool = False
    readout: str
    neurons: dict[str, LIFBase]
    states: dict[str, tuple[int, ...]]
    no_step: str | None = None

    def intensities(self, inputs: tf.Tensor) -> tf.Tensor:
        """Give what the encoder sees of the model's inputs."""
        return inputs

    @abstractmethod
    def encoded(self, spikes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Give logits `(batch, C)` and the last LIF layer's membrane `(batch, T, ...)` of spikes `(batch, T, ...)`."""

    @abstractmethod
    def step(self, spikes: tf.Tensor, states: States) -> tuple[tf.Tensor, States]:
        """Advance one step: spikes `(batch, ...)` and states to logits `(batch, C)` as of now, and states."""

    @property
    def weights(self) -> list[keras.Variable]:
        """The model's weights, without the state of random generators."""
        return list(self.model.weights)


class ReadyNetwork(Network):
    """A `SpikingNetwork` taken apart."""

    def __init__(self, model: SpikingNetwork):
        if not model.built:
            raise InputError("model must be built, received one without weights: call it once, or its build")
        self.model = model
        self.encoder = model.encoder
        self.spike_features = tuple(model.spikes_shape[2:])
        self.features = self.spike_features
        self.num_steps = model.spikes_shape[1]
        self.num_classes = model.num_classes
        self.readout = model.readout
        self.neurons, self.states = {}, {}
        self.run(tf.zeros((1, 1, *self.spike_features)), self._note)
        if model.readout == "mean":
            self.states |= {"readout_sum": (model.num_classes,), "readout_steps": (1,)}
        elif model.readout == "count":
            self.states["readout_count"] = (model.num_classes,)

    def _note(self, layer, current):
        self.neurons[layer.name], self.states[layer.name] = layer, tuple(current.shape[2:])
        return plain.lif(layer, current)

    def run(
        self, spikes: tf.Tensor, fire: Callable[[LIF, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Send spikes through the network's course; synaptic layers see all steps at once.

        Args:
            spikes: `(batch, num_steps, *features)`.
            fire: gives spikes and membrane, `(batch, num_steps, ...)`, of a LIF layer for its current.

        Returns:
            Spikes and membrane of the output neurons, `(batch, num_steps, C)`.
        """
        lead = tf.unstack(tf.shape(spikes)[:2])
        lead = [known or now for known, now in zip(spikes.shape[:2], lead, strict=True)]
        x, mem, folded = tf.cast(spikes, self.model.compute_dtype), None, False  # folded: batch and time are one axis
        for part in self.model.course():
            image = isinstance(part, (keras.layers.Conv2D, Pool))
            if image and not folded:
                x = tf.reshape(x, [-1, *x.shape[2:]])
            elif folded and not image:
                x = tf.reshape(x, [*lead, *x.shape[1:]])
            folded = image
            if isinstance(part, LIF):
                x, mem = fire(part, x)
            elif isinstance(part, Pool):
                x = plain.pool(x, part.relu)
            elif isinstance(part, keras.layers.Dense):
                x = part(tf.reshape(x, [*lead, part.kernel.shape[0]]))
            else:
                x = part(x)
        return x, mem

    def encoded(self, spikes):
        """Run over a sequence; see `Network.encoded`."""
        spk, mem = self.run(spikes, plain.lif)
        return self.model.read_out(spk, mem), mem

    def step(self, spikes, states):
        """Advance one step; see `Network.step`."""
        after = {}

        def fire(layer, current):
            spk, mem = plain.lif(layer, current, states[layer.name])
            after[layer.name] = mem[:, 0]
            return spk, mem

        spk, mem = self.run(spikes[:, None], fire)
        now = self.model.read_out(spk, mem)
        if self.readout == "mean":
            after["readout_sum"] = states["readout_sum"] + now
            after["readout_steps"] = states["readout_steps"] + 1.0
            now = after["readout_sum"] / after["readout_steps"]
        elif self.readout == "count":
            now = after["readout_count"] = states["readout_count"] + now
        return now, after


def course_of(network: Network, format: str) -> list:
    """Give the course of one of our networks, for a format that is written layer by layer.

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


def take_apart(model: keras.Model) -> Network:
    """Give the parts of a model for export.

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
