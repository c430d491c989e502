"""Train a network, resumably, into a run directory."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import platform
import statistics
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasburst import files
from kerasburst.config import TrainConfig
from kerasburst.data.dataset import Dataset
from kerasburst.data.datasets import DATASETS, load_source
from kerasburst.data.pipeline import make_dataset
from kerasburst.data.splits import Splits, make_splits
from kerasburst.seeding import derive_seed
from kerasburst.training.curves import save_curves
from kerasburst.training.evaluation import Evaluation, activity_warnings, evaluate_network
from kerasburst.training.observer import TrainingObserver
from kerasburst.training.run_directory import RunDirectory
from kerasburst.validation import InputError, check_int
from kerasburst.version import __version__

_DEFAULT_EPOCHS = 20  # of a user's own data


class TrainingFailed(RuntimeError):
    """Training cannot go on: its loss is no longer a number."""


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """The figures of a finished run.

    Args:
        test_accuracy: share of right answers on the test part, mean over `test_queries` encodings.
        test_accuracy_interval: 95 % Wilson interval over the test examples.
        test_queries: K, encodings of each test example.
        test_accuracies: accuracy of each encoding.
        test_accuracy_of_mean_logits: accuracy of the mean of the K logits.
        train_accuracy: on the training part, one encoding of each example, after training.
        validation_accuracy: likewise; None without a validation part.
        loss: training loss of the last epoch, nats.
        test_loss: nats.
        epochs: finished epochs.
        stopped_early: whether early stopping ended the run.
        best_epoch: epoch whose weights were kept; None if the last.
        train_seconds: wall time of all epochs, validation and compilation included, over all sessions of the run.
        samples_per_second: training examples by the median epoch's wall time, validation included.
        firing_rates: spikes per neuron and step on the test part, by layer.
        warnings: silent or saturated layers.
        examples: number of training, validation and test examples.
        num_classes: C.
        note: what must be known of the data, such as that it is a subset; else empty.
        seed: the run's seed.
        versions: of kerasburst and what it stands on.
    """

    test_accuracy: float
    test_accuracy_interval: tuple[float, float]
    test_queries: int
    test_accuracies: tuple[float, ...]
    test_accuracy_of_mean_logits: float
    train_accuracy: float
    validation_accuracy: float | None
    loss: float
    test_loss: float
    epochs: int
    stopped_early: bool
    best_epoch: int | None
    train_seconds: float
    samples_per_second: float
    firing_rates: dict[str, float]
    warnings: tuple[str, ...]
    examples: dict[str, int]
    num_classes: int
    note: str
    seed: int
    versions: dict[str, str]

    def to_json(self) -> dict:
        """Give the result as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict) -> TrainResult:
        """Build from `to_json`."""
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(value, dict) or set(value) != names:
            raise InputError("result.json is damaged or of another version of kerasburst")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in value.items()})


def prepare(config: TrainConfig, splits: Splits | None = None) -> tuple[TrainConfig, Dataset]:
    """Fill in a config's defaults, load its data, and check that the two fit.

    Args:
        config: what to train.
        splits: the recorded splits of a run that goes on; None to draw them.

    Raises:
        InputError: for anything wrong with either; nothing has been written then.
    """
    info = DATASETS.get(config.dataset)
    if info is not None:  # a misspelt parameter is found before the data is read
        config = config.resolved(info.kind, info.default_epochs)
        _check(config, info.num_classes, info.sample_shape)
    source = load_source(config.dataset, config.data_dir)
    if splits is None:
        splits = make_splits(source, config.seed, config.train_limit, config.validation_split)
    elif splits.pool_size != len(source.y):
        raise InputError(f"dataset must be the data that the run was begun with, {source.name} has changed")
    data = Dataset.from_source(source, splits)
    if info is None:
        config = config.resolved(data.kind, _DEFAULT_EPOCHS)
        _check(config, data.num_classes, data.sample_shape)
    return config, data


def _check(config: TrainConfig, num_classes: int, sample_shape: tuple[int, ...]) -> None:
    encoder = config.make_encoder()
    config.make_network(num_classes).build(encoder.compute_output_shape((None, *sample_shape)))


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    observer: TrainingObserver | None = None,
    tensorboard: bool = False,
) -> TrainResult:
    """Train a network into a run directory.

    After every epoch the directory holds all it takes to go on from there, to the same final weights
    as an undisturbed run on the same machine.

    Args:
        config: what to train.
        out: the run directory.
        resume: go on with an unfinished run in `out`, or train a finished one to more epochs; starts
            where there is none.
        force: replace a run in `out`.
        observer: is told the progress.
        tensorboard: log to `out`/tensorboard (needs the extra `tensorboard`).

    Returns:
        The result, which stands in `out`/result.json too.

    Raises:
        InputError: for bad input, or a run in `out` without `resume` or `force`.
        TrainingFailed: where the loss is not a number.
        OSError: where the disk is full.

    Example:
        >>> import tempfile
        >>> config = TrainConfig(dataset="iris", encoding="rate", epochs=2, network={"hidden_units": 8})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = train(config, folder)
        >>> result.epochs, result.test_queries
        (2, 4)
    """
    observer = observer or TrainingObserver()
    directory = RunDirectory(out)
    if tensorboard:
        _check_tensorboard()
    if directory.exists and not force:
        if not resume:
            state = "a finished" if directory.finished else "an unfinished"
            raise InputError(
                f"out must be a new directory, {directory.path} holds {state} run: "
                "--resume goes on with it, --force replaces it"
            )
        config = _same_run(config, directory)
        if directory.finished and config.epochs <= directory.config().epochs:
            observer.message(f"{directory.path} is finished; --epochs with a higher number trains on")
            return TrainResult.from_json(directory.result())
    going_on = directory.exists and not force
    if directory.exists and force:
        directory.check_ours()
    config, data = prepare(config, directory.splits() if going_on else None)
    if going_on:
        check_same_data(data, directory)
    with directory.claimed():
        if directory.exists and not going_on:
            if not force:
                raise InputError(f"out must be a new directory, another run has just begun in {directory.path}")
            directory.clear()
        directory.begin(config)
        if directory.splits() is None:  # a new run, or one that was killed right after its config
            data.splits.save(directory.path / "splits.npz")
        files.write_json(directory.path / "data.json", describe_data(data))
        return _train(config, data, directory, observer, directory.path / "tensorboard" if tensorboard else None)


def _train(config: TrainConfig, data: Dataset, directory: RunDirectory, observer, tensorboard) -> TrainResult:
    encoder = config.make_encoder()
    network = config.make_network(data.num_classes)
    network.build(encoder.compute_output_shape((None, *data.sample_shape)))
    compile_network(network, config.learning_rate)
    history, best = directory.load_checkpoint(network)
    if history:
        directory.write_history(history)  # a kill may have come between the checkpoint and its line
        observer.message(f"going on after epoch {len(history)} of {config.epochs}")
    recorder = _Recorder(config, directory, observer, history, best, steps=-(-len(data.x_train) // config.batch_size))
    if not recorder.done:
        _fit(network, encoder, config, data, recorder, tensorboard)
    if recorder.best is not None:
        network.set_weights(recorder.best)
    return _finish(network, encoder, config, data, recorder, directory)


def compile_network(network: keras.Model, learning_rate: float) -> None:
    """Compile with Adam, softmax cross-entropy on the logits, and accuracy."""
    network.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def describe_data(data: Dataset) -> dict:
    """Give what must be known of the data to use the trained network."""
    return {
        "name": data.name,
        "kind": data.kind,
        "sample_shape": list(data.sample_shape),
        "num_classes": data.num_classes,
        "class_names": list(data.class_names),
        "scaling": data.scaling.to_json(),
        "fingerprint": data.fingerprint,
        "note": data.note,
    }


def _same_run(config: TrainConfig, directory: RunDirectory) -> TrainConfig:
    """Return the config to go on with: the directory's, with the epochs and data folder asked for."""
    stored = directory.config()
    filled = dataclasses.replace(config, epochs=config.epochs or stored.epochs, model=config.model or stored.model)
    filled = filled.resolved("", filled.epochs)  # model and epochs are known: neither default is used
    wanted, have = filled.to_json(), stored.to_json()
    differing = [
        name for name in wanted if wanted[name] != have[name] and name not in ("epochs", "data_dir", "kerasburst")
    ]
    if differing:
        name = differing[0]
        raise InputError(
            f"{name} must be what the run in {directory.path} was begun with, {have[name]!r}, to resume it; "
            f"received {wanted[name]!r}"
        )
    check_int("epochs", filled.epochs, low=max(1, directory.finished_epochs()))
    return filled


def check_same_data(data: Dataset, directory: RunDirectory) -> None:
    """Check that the data is still what a run was begun with.

    Raises:
        InputError: where its fingerprint differs.
    """
    recorded = directory.data()
    if recorded is not None and recorded["fingerprint"] != data.fingerprint:
        raise InputError(f"dataset must be the data that {directory.path} was begun with, {data.name} has changed")


class _Recorder(keras.callbacks.Callback):
    """After each epoch: one history row, one checkpoint, one word to the observer, a decision to stop."""

    def __init__(self, config, directory, observer, history, best, steps):
        super().__init__()
        self.config, self.directory, self.observer = config, directory, observer
        self.history, self.best = history, best
        self.steps = steps
        self._started = 0.0

    @property
    def best_epoch(self) -> int | None:
        """Number of the epoch with the lowest validation loss, the first of equals."""
        if not self.config.validation_split or not self.history:
            return None
        return min(self.history, key=lambda row: row["val_loss"])["epoch"]

    @property
    def stopped_early(self) -> bool:
        """Whether patience has run out; a function of the history alone, so that resuming agrees."""
        patience = self.config.early_stopping
        return patience is not None and bool(self.history) and len(self.history) - self.best_epoch >= patience

    @property
    def done(self) -> bool:
        """Whether no epoch is left to train."""
        return len(self.history) >= self.config.epochs or self.stopped_early

    def on_train_begin(self, logs=None):
        self.observer.start(
            epochs=self.config.epochs,
            first_epoch=len(self.history) + 1,
            steps=self.steps,
            batch_size=self.config.batch_size,
        )

    def on_epoch_begin(self, epoch, logs=None):
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        row = {"epoch": epoch + 1, **{name: float(logs[name]) for name in names if name in logs}}
        row["seconds"] = round(time.perf_counter() - self._started, 4)
        if not np.isfinite(row["loss"]):
            raise TrainingFailed(
                f"the loss of epoch {epoch + 1} is {row['loss']}: lower --learning-rate; "
                f"epochs up to {epoch} are kept in {self.directory.path}"
            )
        self.history.append(row)
        if self.config.keep_best and self.best_epoch == row["epoch"]:
            self.best = self.model.get_weights()
        self.directory.save_checkpoint(self.model, self.history, self.best)
        self.observer.epoch(row)
        self.model.stop_training = self.done


class _Batches(keras.callbacks.Callback):
    """Tell the observer of every batch; apart, since Keras fetches the losses only where it is used."""

    def __init__(self, observer: TrainingObserver):
        super().__init__()
        self._observer, self._epoch = observer, 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        self._observer.batch(self._epoch, batch + 1, float(logs["loss"]), float(logs["accuracy"]))


def _fit(network, encoder, config: TrainConfig, data: Dataset, recorder: _Recorder, tensorboard: Path | None) -> None:
    first = len(recorder.history)
    pipeline = make_dataset(
        data.x_train,
        data.y_train,
        encoder,
        config.batch_size,
        config.seed,
        epoch=first,
        shuffle=True,
        num_epochs=config.epochs - first,
    )
    validation = None
    if len(data.x_validation):
        seed = derive_seed(config.seed, "validation")
        validation = make_dataset(data.x_validation, data.y_validation, encoder, config.batch_size, seed)
    callbacks: list = [recorder]
    if recorder.observer.wants_batches:
        callbacks.append(_Batches(recorder.observer))
    if tensorboard is not None:
        callbacks.append(keras.callbacks.TensorBoard(str(tensorboard)))
    network.fit(
        pipeline,
        epochs=config.epochs,
        initial_epoch=first,
        steps_per_epoch=recorder.steps,
        validation_data=validation,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )


def _check_tensorboard() -> None:
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError("tensorboard is not installed: pip install 'kerasburst[tensorboard]'")


def _finish(network, encoder, config, data: Dataset, recorder: _Recorder, directory: RunDirectory) -> TrainResult:
    def measure(part: str, queries: int) -> Evaluation | None:
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        seed = derive_seed(config.seed, part)
        if not len(x):
            return None
        return evaluate_network(network, encoder, x, y, queries=queries, seed=seed, batch_size=config.batch_size)

    recorder.observer.message("measuring accuracy")
    test, train_part, validation = measure("test", config.queries), measure("train", 1), measure("validation", 1)
    history = recorder.history
    seconds = [row["seconds"] for row in history]
    result = TrainResult(
        test_accuracy=test.accuracy,
        test_accuracy_interval=test.accuracy_interval,
        test_queries=test.queries,
        test_accuracies=test.accuracies,
        test_accuracy_of_mean_logits=test.accuracy_of_mean_logits,
        train_accuracy=train_part.accuracy,
        validation_accuracy=None if validation is None else validation.accuracy,
        loss=history[-1]["loss"],
        test_loss=test.loss,
        epochs=len(history),
        stopped_early=recorder.stopped_early and len(history) < config.epochs,
        best_epoch=recorder.best_epoch if config.keep_best else None,
        train_seconds=round(sum(seconds), 3),
        samples_per_second=round(len(data.x_train) / statistics.median(seconds), 1),
        firing_rates=test.firing_rates,
        warnings=tuple(activity_warnings(test.firing_rates)),
        examples={part: len(getattr(data, f"x_{part}")) for part in ("train", "validation", "test")},
        num_classes=data.num_classes,
        note=data.note,
        seed=config.seed,
        versions=versions(),
    )
    with files.replacing(directory.path / "model.keras") as temporary:
        network.with_encoder(encoder).save(temporary)
    save_curves(history, directory.path / "curves.png", title=f"{data.name}, {config.encoding}")
    files.write_json(directory.path / "result.json", result.to_json())
    return result


def versions() -> dict[str, str]:
    """Give the versions that a figure depends on."""
    packages = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn")
    return {
        "kerasburst": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "platform": platform.platform(),
        "devices": ", ".join(device.device_type for device in tf.config.list_physical_devices()),
    }
