"""From a config to what is trained: its data, checked, and its network and encoder, built and compiled."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasburst.config import TrainConfig
from kerasburst.data.dataset import Dataset
from kerasburst.data.datasets import known_dataset, load_source
from kerasburst.data.events import Reading
from kerasburst.data.splits import Splits, make_splits
from kerasburst.encoders.base import Encoder
from kerasburst.encoders.bursts import BurstEncoder
from kerasburst.losses import FiringRate
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.encoded import EncodedModel
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.training import private
from kerasburst.training.adversary import AdversarialModel
from kerasburst.training.run_directory import DataRecord
from kerasburst.validation import InputError, shown

DEFAULT_EPOCHS = 20  # of a user's own data


def prepare(config: TrainConfig, splits: Splits | None = None) -> tuple[TrainConfig, Dataset]:
    """Fill in a config's defaults, load its data, and check that the two fit.

    Args:
        config: what to train.
        splits: the recorded splits of a run that goes on; None to draw them.

    Raises:
        InputError: for anything wrong with either; nothing has been written then.
    """
    reading = config.reading()
    info = known_dataset(config.dataset)
    if info is not None and not reading["spikes"]:  # a misspelt parameter is found before the data is read
        config = config.resolved(info.kind, info.default_epochs)
        check_fits(config, info.num_classes, info.sample_shape)
    source = load_source(config.dataset, **reading)
    if splits is None:
        reference = config.reference_split if config.adversary else 0.0
        splits = make_splits(
            source, config.seed, config.train_limit, config.validation_split, reference_split=reference
        )
    elif splits.pool_size != len(source.y):
        raise InputError(f"dataset must be the data that the run was begun with, {source.name} has changed")
    data = Dataset.from_source(source, splits)
    if info is None or reading["spikes"]:
        config = config.resolved(data.kind, DEFAULT_EPOCHS if info is None else info.default_epochs)
        check_fits(config, data.num_classes, data.sample_shape)
    if config.epsilon is not None and Reading.of(config.data).augments:
        raise InputError("data.flip and data.crop must not be set with epsilon: its batches are not changed at random")
    if config.epsilon is not None:
        private.check_account(config.batch_size, config.delta, len(data.x_train))
    return config, data


def check_fits(config: TrainConfig, num_classes: int, sample_shape: tuple[int, ...]) -> None:
    """Check that a resolved config's encoder and network can be built for such examples.

    Raises:
        InputError: for what they refuse, or a network beyond this machine's memory.
    """
    if config.epsilon is not None:
        private.check_available()
    encoder = config.make_encoder()
    if config.epsilon is not None and is_trained(encoder):
        raise InputError(
            "a trained encoder and epsilon exclude each other: private training encodes outside the network"
        )
    if config.spike_cost and not is_trained(encoder):
        raise InputError(f"spike_cost needs an encoder that is trained, received {config.spike_cost:g} without one")
    if config.firing_penalty and config.network.get("recompute_steps") is not None:
        raise InputError("model.recompute_steps must be null with firing_penalty")
    try:
        config.make_network(num_classes).build(encoder.compute_output_shape((None, *sample_shape)))
    except (MemoryError, OverflowError, tf.errors.ResourceExhaustedError, tf.errors.InvalidArgumentError):
        chosen = ", ".join(f"{name} = {shown(value)}" for name, value in config.network.items()) or "its defaults"
        raise InputError(f"model must fit this machine's memory, received {config.model} with {chosen}") from None


def build(config: TrainConfig, data: Dataset) -> tuple[SpikingNetwork, Encoder]:
    """Build a resolved config's network for the data, and its encoder.

    The network takes spikes and is compiled with Adam, softmax cross-entropy on the logits, and accuracy. With an
    epsilon it is private: `run_epochs` trains it.
    """
    encoder = config.make_encoder()
    network = config.make_network(data.num_classes)
    network.build(encoder.compute_output_shape((None, *data.sample_shape)))
    if config.firing_penalty:
        for part in network.leaves()[:-1]:
            if isinstance(part, NeuronLayer):
                part.spike_regularizer = FiringRate(config.firing_penalty, target=0.0)
    if is_trained(encoder):
        encoder.build((None, *data.sample_shape))
    compile_network(network, config)
    if config.epsilon is not None:
        private.attach(network, config, len(data.x_train))
    return network, encoder


def compile_network(network: SpikingNetwork, config: TrainConfig) -> None:
    """Compile a network as `build` does; call it again after layers were frozen."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Private batches are filled up by weight 0.
    _compile(network, keras.optimizers.Adam(config.learning_rate), loss, weighted=config.epsilon is not None)


def _compile(model: keras.Model, optimizer: keras.optimizers.Optimizer, loss, weighted: bool) -> None:
    accuracy = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    model.compile(optimizer=optimizer, loss=loss, **{"weighted_metrics" if weighted else "metrics": accuracy})
    # All variables are there before the first step: a step that makes some is traced twice.
    model.optimizer.build(model.trainable_variables)


def is_trained(encoder: Encoder) -> bool:
    """Return whether an encoder has weights that training changes."""
    return isinstance(encoder, BurstEncoder) and encoder.is_trained


def to_fit(network: SpikingNetwork, encoder: Encoder, config: TrainConfig) -> keras.Model:
    """Return the model that `fit` trains: the network on spikes, or both where the encoder is trained or attacked.

    The network is compiled; the model shares its weights, and has its optimizer's settings and its loss.
    """
    if config.adversary:
        model = AdversarialModel(
            encoder, network, weight=config.adversary, spike_cost=config.spike_cost, seed=config.seed
        )
    elif is_trained(encoder):
        model = EncodedModel(encoder, network, spike_cost=config.spike_cost)
    else:
        return network
    shape = network.spikes_shape
    model.build(shape if encoder.encoded else (None, *shape[2:]))
    optimizer = getattr(network.optimizer, "inner_optimizer", network.optimizer)
    optimizer = type(optimizer).from_config(optimizer.get_config())
    _compile(model, optimizer, network.loss, weighted=bool(config.adversary))
    return model


def describe_data(data: Dataset, where: str) -> DataRecord:
    """Return what a user of the trained network must know about the data; `where` is the place it was read from."""
    return DataRecord(
        name=data.name,
        where=where,
        kind=data.kind,
        sample_shape=data.sample_shape,
        num_classes=data.num_classes,
        class_names=data.class_names,
        scaling=data.scaling,
        fingerprint=data.fingerprint,
        note=data.note,
        splits=data.splits.fingerprint,
    )
