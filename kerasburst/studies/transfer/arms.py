"""One arm of a transfer experiment: a network that learns the target, and what it starts from.

    scratch     everything is trained
    transfer    the frozen layers are the source network's
    control     the frozen layers are untrained: what a new head learns on random features

All three have the same data in the same order, the same spikes and the same initial weights; they differ in the frozen
layers alone. Whatever is not frozen starts afresh.

    plan.json                            what the experiment is; written first
    ENCODING/seed-S/source.keras, .json  the pre-trained network on spikes, and its record
    ENCODING/seed-S/ARM.json             an arm's record; written last
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import keras

from kerasburst import files, records
from kerasburst.config import TrainConfig
from kerasburst.data.dataset import Dataset
from kerasburst.data.datasets import load_source
from kerasburst.data.derived import with_sample_shape
from kerasburst.data.splits import make_splits
from kerasburst.encoders.base import Encoder
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.saving import load_recorded, save_model, weights_hash
from kerasburst.seeding import derive_seed
from kerasburst.studies.transfer.config import TransferConfig
from kerasburst.study import Task
from kerasburst.training.evaluation import activity_warnings, check_learnt, evaluate_network, load_network
from kerasburst.training.fit import run_epochs
from kerasburst.training.setup import build, compile_network
from kerasburst.validation import InputError

SCRATCH, TRANSFER, CONTROL = ARMS = ("scratch", "transfer", "control")
_HEAD = {"conv": ("hidden", "output"), "hidden": ("output",)}  # how the names of layers that stay open begin


def frozen_layers(network: SpikingNetwork, freeze: str) -> list[keras.layers.Layer]:
    """Return the layers that `freeze` freezes: all before the head.

    Args:
        network: a built network.
        freeze: "conv" or "hidden".

    Raises:
        InputError: where it has none.

    Example:
        >>> from kerasburst.models import SNNConvNet
        >>> [layer.name for layer in frozen_layers(SNNConvNet(2), "conv")]
        ['conv1', 'conv2']
    """
    layers = [layer for layer in network.layers if not layer.name.startswith(_HEAD[freeze])]
    if not layers:
        name = type(network).__name__
        raise InputError(f"freeze must be hidden for {name}, which has no convolutions, received conv")
    return sorted(layers, key=lambda layer: layer.name)


def task(folder: Path, encoding: str, seed: int, arm: str) -> Task:
    """Return the fleet's task for one arm."""
    arguments = {"folder": str(folder), "encoding": encoding, "seed": seed, "arm": arm}
    return Task(f"{encoding}/seed-{seed}/{arm}", "kerasburst.studies.transfer.arms:train_arm", arguments)


def record_path(folder: str | Path, encoding: str, seed: int, arm: str) -> Path:
    """Return the path of an arm's record."""
    return Path(folder) / encoding / f"seed-{seed}" / f"{arm}.json"


def load_plan(folder: str | Path) -> dict:
    """Read an experiment's plan: `config`, `freeze`, `sources` and `targets` (trainings by encoding, resolved)."""
    folder = Path(folder)
    plan = files.read_json(folder / "plan.json")
    return {
        "config": records.load(TransferConfig, folder / "config.json"),
        "freeze": plan["freeze"],
        "sample_shape": tuple(plan["sample_shape"]),
        "source_shape": tuple(plan.get("source_shape", plan["sample_shape"])),
        **{
            part: {name: records.from_json(TrainConfig, value, name) for name, value in plan[part].items()}
            for part in ("sources", "targets")
        },
    }


def train_arm(folder: str, encoding: str, seed: int, arm: str) -> None:
    """Train one arm on the target, and write its accuracies.

    Args:
        folder: the experiment's directory.
        encoding: the encoder's name.
        seed: of everything.
        arm: "scratch", "transfer" or "control".

    Raises:
        InputError: where a network has diverged, or the run that it starts from is no longer what the experiment was
            begun with.
    """
    plan = load_plan(folder)
    config: TransferConfig = plan["config"]
    path = record_path(folder, encoding, seed, arm)
    path.parent.mkdir(parents=True, exist_ok=True)
    training = dataclasses.replace(plan["targets"][encoding], seed=seed)
    data = load_data(training, plan["sample_shape"])
    network, encoder = build(training, data)
    record = {"arm": arm, "seed": seed}
    layers = [] if arm == SCRATCH else frozen_layers(network, plan["freeze"])
    if arm == TRANSFER:
        of_source = dataclasses.replace(plan["sources"][encoding], seed=seed)
        source, record["source"] = _source(config, of_source, plan["source_shape"], path)
        for mine, theirs in zip(layers, frozen_layers(source, plan["freeze"]), strict=True):
            mine.set_weights(theirs.get_weights())
    for layer in layers:
        layer.trainable = False
    if layers:
        compile_network(network, training)
    before = {layer.name: weights_hash(layer) for layer in layers}
    begun = time.perf_counter()
    run_epochs(network, encoder, training, data)
    seconds = time.perf_counter() - begun
    after = {layer.name: weights_hash(layer) for layer in layers}
    if before != after:
        raise RuntimeError(f"frozen layers have changed: {before} became {after}")
    record |= {
        "frozen": after,
        "trained_parameters": sum(v.shape.num_elements() for v in network.trainable_variables),
        "train_seconds": seconds,
        **_measure(network, encoder, training, data),
    }
    files.write_json(path, record)


def load_data(training: TrainConfig, shape: tuple[int, ...]) -> Dataset:
    """Load the data of a training in the shape that both networks take, split by its seed."""
    source = with_sample_shape(load_source(training.dataset, **training.reading()), shape)
    return Dataset.from_source(source, make_splits(source, training.seed, training.train_limit))


def _source(
    config: TransferConfig, training: TrainConfig, shape: tuple[int, ...], path: Path
) -> tuple[SpikingNetwork, dict]:
    """Return the source network, on spikes, and its record: the run's, a stored one, or a newly trained one."""
    if config.run is not None:
        network = load_network(config.run.path).with_encoder(None)
        if weights_hash(network) != config.run.weights:
            raise InputError(f"run must be the one that the transfer was begun with, {config.run.path} has changed")
        return network, {"run": records.to_json(config.run)}
    model_path, record_path = path.parent / "source.keras", path.parent / "source.json"
    stored = load_recorded(model_path, record_path)
    if stored is not None:
        return stored
    # A seed of its own: with the target's, the head of a source of as many classes would begin as the target's does.
    training = dataclasses.replace(training, seed=derive_seed(training.seed, "transfer", "source"))
    data = load_data(training, shape)
    network, encoder = build(training, data)
    run_epochs(network, encoder, training, data)
    record = {"weights": weights_hash(network), **_measure(network, encoder, training, data)}
    save_model(network.with_encoder(None), model_path)
    files.write_json(record_path, record)
    return network, record


def _measure(network: SpikingNetwork, encoder: Encoder, training: TrainConfig, data: Dataset) -> dict:
    seed = derive_seed(training.seed, "test")
    test = evaluate_network(network, encoder, data.x_test, data.y_test, queries=training.queries, seed=seed)
    fitted = evaluate_network(network, encoder, data.x_train[:2000], data.y_train[:2000], queries=1, seed=seed)
    check_learnt(training, test, fitted)
    return {
        "test_accuracy": test.accuracy,
        "test_accuracy_interval": test.accuracy_interval,
        "test_accuracy_of_mean_logits": test.accuracy_of_mean_logits,
        "test_queries": test.queries,
        "train_accuracy": fitted.accuracy,
        "examples": {"train": len(data.x_train), "test": len(data.x_test)},
        "epochs": training.epochs,
        "firing_rates": test.firing_rates,
        "warnings": activity_warnings(test.firing_rates, network.readout),
    }
