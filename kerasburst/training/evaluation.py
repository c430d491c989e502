"""Accuracy over several encodings: one draw of a random encoder is not a test accuracy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from keras import ops
from scipy import special

from kerasburst.config import TrainConfig
from kerasburst.data.pipeline import make_dataset
from kerasburst.encoders.base import Encoder
from kerasburst.intervals import wilson
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.saving import load_model, weights_hash
from kerasburst.registry import ENCODERS, NETWORKS
from kerasburst.seeding import derive_seed
from kerasburst.training.run_directory import RunDirectory, check_same_data
from kerasburst.training.setup import prepare
from kerasburst.validation import LARGEST, InputError, check_int, fail, shown

# Below and above these mean rates a layer passes nothing on that varies.
_SILENT, _SATURATED = 1e-6, 0.999


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A network's accuracy on one set of examples.

    Args:
        examples: n.
        queries: K, encodings of each example; 1 for a deterministic encoder.
        accuracy: share of right answers, mean over the K encodings.
        accuracy_interval: 95 % Wilson interval over the n examples.
        accuracies: accuracy of each encoding.
        accuracy_of_mean_logits: share of right answers from the mean of the K logits.
        loss: cross-entropy in nats, mean over examples and encodings; NaN of a network that has diverged.
        firing_rates: spikes per neuron and step, by layer in the network's order, after "input".
    """

    examples: int
    queries: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    accuracies: tuple[float, ...]
    accuracy_of_mean_logits: float
    loss: float
    firing_rates: dict[str, float]


def evaluate_network(
    network: SpikingNetwork,
    encoder: Encoder,
    x: np.ndarray,
    y: np.ndarray,
    *,
    queries: int = 4,
    seed: int = 0,
    batch_size: int = 128,
) -> Evaluation:
    """Measure a network that takes spikes.

    Args:
        network: takes spikes, has no encoder inside.
        encoder: encodes each example `queries` times; once if it is deterministic.
        x: intensities `(n, *features)` in [0, 1].
        y: labels `(n,)`.
        queries: K, at least 1.
        seed: of the encodings; the first draws of a larger K are those of a smaller.
        batch_size: examples at once.
    """
    queries = check_int("queries", queries, low=1) if encoder.random else 1
    n = len(x)
    pipeline = make_dataset(x, y, encoder, batch_size, seed, num_epochs=queries)
    logits, rates = [], {}
    for spikes, _ in pipeline:
        batch_logits, _, batch_rates = network.probe_batch(spikes, min(batch_size, n))
        logits.append(ops.convert_to_numpy(batch_logits))
        for name, rate in batch_rates.items():
            rates[name] = rates.get(name, 0.0) + float(rate) * len(batch_logits) / (n * queries)
    z = np.concatenate(logits).reshape(queries, n, -1)
    right = z.argmax(-1) == y
    accuracy = float(right.mean())
    log_p = np.array(np.nan)
    if np.isfinite(z).all():
        log_p = np.take_along_axis(special.log_softmax(z.astype("float64"), -1), y[None, :, None], -1)
    order = ["input", *(name for name in rates if name != "input")]
    return Evaluation(
        examples=n,
        queries=queries,
        accuracy=accuracy,
        accuracy_interval=wilson(accuracy, n),
        accuracies=tuple(float(a) for a in right.mean(1)),
        accuracy_of_mean_logits=float((z.mean(0).argmax(-1) == y).mean()),
        loss=float(-log_p.mean()),
        firing_rates={name: float(rates[name]) for name in order},
    )


def check_learnt(config: TrainConfig, *evaluations: Evaluation) -> None:
    """Check that a trained network has not diverged.

    Args:
        config: of the training.
        evaluations: of the network.

    Raises:
        InputError: where a loss is not a number.
    """
    if not np.isfinite([each.loss for each in evaluations]).all():
        raise InputError(
            f"learning_rate must be lower than {config.learning_rate:g}: the network's loss is no longer a number"
        )


def activity_warnings(firing_rates: dict[str, float], readout: str = "last") -> list[str]:
    """Name the layers in which nothing fires or everything does; the output only where its spikes are counted.

    Args:
        firing_rates: of the input and all layers, by name.
        readout: the network's; all but "count" read the output's membrane.

    Example:
        >>> activity_warnings({"input": 0.2, "hidden_lif": 0.0, "output_lif": 0.0})
        ['layer hidden_lif is silent: it fires 0 spikes per neuron and step']
    """
    warnings = []
    for name, rate in firing_rates.items():
        if name == "output_lif" and readout != "count":
            continue
        state = "silent" if rate < _SILENT else "saturated" if rate > _SATURATED else None
        if state:
            warnings.append(f"layer {name} is {state}: it fires {rate:.3g} spikes per neuron and step")
    return warnings


def evaluate(
    run: str | Path,
    *,
    queries: int = 16,
    data_dir: str | Path | None = None,
    dataset: str | Path | None = None,
    batch_size: int | None = None,
) -> Evaluation:
    """Measure a run's network on its test part.

    Args:
        run: directory of a finished run.
        queries: K, encodings of each example, at least 1; one is enough for a deterministic encoder.
        data_dir: folder of data files, if it is not the one the run was trained from.
        dataset: the path of the run's data, if it has moved.
        batch_size: examples at once; None for the run's.

    Returns:
        Accuracy with its interval, firing rates and loss. With the K of the training it equals the
        figures in the run's result.json.

    Raises:
        InputError: where `run` is not a finished run, or its data has changed.
    """
    directory = RunDirectory.of_finished(run)
    config = directory.config()
    moved = {"data_dir": data_dir, "dataset": dataset}
    config = dataclasses.replace(config, **{name: value for name, value in moved.items() if value is not None})
    if batch_size is not None:
        check_int("batch_size", batch_size, low=1, high=LARGEST)
    check_int("queries", queries, low=1, high=LARGEST)
    config, data = prepare(config, directory.splits())
    check_same_data(data, directory)
    network = load_network(directory.path)
    return evaluate_network(
        network.with_encoder(None),
        network.encoder,
        data.x_test,
        data.y_test,
        queries=queries,
        seed=derive_seed(config.seed, "test"),
        batch_size=batch_size or config.batch_size,
    )


def load_network(run: str | Path) -> SpikingNetwork:
    """Load a run's trained network, with its encoder inside.

    Args:
        run: directory of a finished run.

    Returns:
        The network, which takes intensities; its `with_encoder(None)` returns one that takes spikes.

    Raises:
        InputError: where `run` is not a run directory with a trained network, or its file is damaged.
    """
    directory = RunDirectory(run)
    path = directory.path / "model.keras"
    if not path.exists():
        raise InputError(f"run must be a finished run, {path} does not exist")
    network = load_model(path)
    if directory.exists:
        _check_network(network, directory, path)
    return network


def _check_network(network, directory: RunDirectory, path: Path) -> None:
    """Check that a network is the one that its run trained.

    Raises:
        InputError: where it is another.
    """
    config, result, data = directory.config(), directory.result(), directory.data()

    def agree(name: str, wanted, found) -> None:
        if wanted != found:
            raise fail(f"{path} must be the run's network: {name}", shown(wanted), found)

    agree("model", NETWORKS[str(config.model)].__name__, type(network).__name__)
    agree("encoding", ENCODERS[config.encoding].__name__, type(network.encoder).__name__)
    agree("num_steps", config.num_steps, network.encoder.num_steps)
    if data is not None:
        agree("num_classes", data.num_classes, network.num_classes)
    have = {**network.encoder.get_config(), **network.get_config()}
    for name, value in {**config.encoder, **config.network, **config.neuron}.items():
        if isinstance(value, int | float | str) and type(have.get(name)) is type(value):
            agree(name, value, have[name])
    if result is not None and result.weights is not None:
        agree("weights", result.weights, weights_hash(network))
