"""Train a network into a run directory; a killed training can be resumed."""

from __future__ import annotations

import importlib.util
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from kerasburst import files, records
from kerasburst.config import TrainConfig
from kerasburst.data.dataset import Dataset
from kerasburst.data.datasets import availability
from kerasburst.data.events import Reading
from kerasburst.data.pipeline import count_batches, make_dataset
from kerasburst.encoders.base import Encoder
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.encoded import EncodedModel
from kerasburst.models.saving import save_model, weights_hash
from kerasburst.seeding import derive_seed
from kerasburst.training import distributed, private
from kerasburst.training.adversary import AdversarialModel, with_reference
from kerasburst.training.callbacks import BatchTeller, Recorder, TrainingObserver, Watcher
from kerasburst.training.evaluation import Evaluation, activity_warnings, evaluate_network
from kerasburst.training.result import TrainResult, save_curves, versions
from kerasburst.training.run_directory import RunDirectory, check_same_data, same_run
from kerasburst.training.setup import build, describe_data, is_trained, prepare, to_fit
from kerasburst.training.team import Team, open_team
from kerasburst.validation import InputError


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    observer: TrainingObserver | None = None,
    tensorboard: bool = False,
    strategy: str | tf.distribute.Strategy | None = None,
) -> TrainResult | None:
    """Train a network into a run directory.

    After every epoch the directory holds all that is needed to resume from there, with the same final weights as an
    uninterrupted run on the same machine.

    Args:
        config: what to train.
        out: the run directory; of several workers the chief writes it, the others nothing.
        resume: continue an unfinished run in `out`, or train a finished one for more epochs; start one if there is
            none.
        force: replace a run in `out`.
        observer: receives the progress.
        tensorboard: log to `out`/tensorboard (needs the extra `tensorboard`).
        strategy: "mirrored" to share each batch between this machine's GPUs, "multi_worker" between the workers of
            the environment's TF_CONFIG, each of which runs the same training; or a `tf.distribute.Strategy`.
            "multi_worker" must come before TensorFlow's devices are used.

    Returns:
        The result, which is also in `out`/result.json; None on a worker that is not the chief.

    Raises:
        InputError: for bad input, or a run in `out` without `resume` or `force`.
        TrainingFailed: where the loss is not a number.
        WorkerLost: where another worker has gone.
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
    team = open_team(strategy, observer.message)
    with team.agreement() as agreement:
        if tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise InputError("tensorboard is not installed: pip install 'kerasburst[tensorboard]'")
        directory = RunDirectory(out) if team.chief else None
        going_on = team.chief and _goes_on(directory, resume, force)
        if going_on:
            config = same_run(config, directory)
            agreement.nothing_left = directory.finished and config.epochs <= directory.config().epochs
        if not agreement.nothing_left:
            config, data = prepare(config, directory.splits() if going_on else None)
            if going_on:
                check_same_data(data, directory)
            if not team.alone and (config.adversary or is_trained(config.make_encoder())):
                raise InputError("strategy must be left out where the encoder is trained or attacked along")
            if team.workers > 1:
                agreement.same = _must_be_same(config, data)
    if agreement.nothing_left:
        if not team.chief:
            return None
        observer.message(f"{directory.path} is finished; --epochs with a higher number trains on")
        return directory.result()
    steps = count_batches(len(data.x_train), config.batch_size)
    if not team.chief:
        network, encoder = _build_for(team, config, data)
        distributed.run_epochs(team, network, encoder, config, data, callbacks=[Watcher(config, observer, steps)])
        observer.message(f"done; the chief, {team.addresses[0]}, writes the results")
        return None
    with directory.claimed():
        if directory.exists and not going_on:
            if not force:
                raise InputError(f"out must be a new directory, another run has just begun in {directory.path}")
            directory.clear()
        network, encoder = _build_for(team, config, data)
        model = to_fit(network, encoder, config)
        history, best = directory.load_checkpoint(model)  # before anything is written
        directory.begin(config)
        if directory.splits() is None:  # a new run, or one that was killed right after its config
            data.splits.save(directory.path / "splits.npz")
        described = describe_data(data, availability(config.dataset, config.data_dir).where)
        files.write_json(directory.path / "data.json", records.to_json(described))
        log = directory.path / "tensorboard" if tensorboard else None
        recorder = Recorder(config, directory, observer, history, best, steps)
        return _train(model, network, encoder, config, data, recorder, log, team)


def _goes_on(directory: RunDirectory, resume: bool, force: bool) -> bool:
    """Return whether to resume the run in the directory; refuse one that may be neither resumed nor replaced."""
    if not directory.exists:
        return False
    if force:
        directory.check_ours()
        return False
    if not resume:
        state = "a finished" if directory.finished else "an unfinished"
        raise InputError(
            f"out must be a new directory, {directory.path} holds {state} run: "
            "--resume goes on with it, --force replaces it (in Python resume=True, force=True)"
        )
    directory.check()
    return True


def _must_be_same(config: TrainConfig, data: Dataset) -> dict[str, str]:
    """Return what must be the same on every worker; the data may lie elsewhere on each."""
    values = {**records.to_json(config), "dataset": data.name, "data_dir": None}
    splits = [data.splits.train.tolist(), data.splits.validation.tolist()]
    return {
        "the training's config": json.dumps(values, sort_keys=True),
        "dataset": data.fingerprint,
        "the split of the data": json.dumps(splits),
        "the version of kerasburst and its packages": json.dumps(
            {name: version for name, version in versions().items() if name not in ("platform", "devices")}
        ),
    }


def _train(
    model: keras.Model,
    network: SpikingNetwork,
    encoder: Encoder,
    config: TrainConfig,
    data: Dataset,
    recorder: Recorder,
    tensorboard,
    team: Team,
) -> TrainResult:
    directory, observer, history = recorder.directory, recorder.observer, recorder.history
    if history:
        directory.write_history(history)  # a kill may have come between the checkpoint and its line
        observer.message(f"going on after epoch {len(history)} of {config.epochs}")
    callbacks: list = [recorder]
    if observer.wants_batches:
        callbacks.append(BatchTeller(observer))
    if tensorboard is not None:
        callbacks.append(keras.callbacks.TensorBoard(str(tensorboard)))
    # Early stopping may leave epochs that are not trained.
    run = {"first_epoch": config.epochs if recorder.done else len(history), "callbacks": callbacks}
    if not team.alone:
        distributed.run_epochs(team, network, encoder, config, data, **run)
        weights = network.get_weights()
        network, encoder = build(config, data)  # of this process alone: the other workers are free to go
        network.set_weights(weights)
    elif not recorder.done:
        run_epochs(model, encoder, config, data, **run)
    privacy = None if config.epsilon is None else private.describe_privacy(network, config, len(data.x_train))
    if recorder.best is not None:
        (model if team.alone else network).set_weights(recorder.best)
    if privacy is not None:
        network = network.with_encoder(None)  # without the account
    return _finish(network, encoder, config, data, recorder, team, privacy)


def _build_for(team: Team, config: TrainConfig, data: Dataset) -> tuple[SpikingNetwork, Encoder]:
    with team.scope():
        network, encoder = build(config, data)
    if not team.alone:
        for layer in network.leaves():
            if isinstance(layer, keras.layers.BatchNormalization):
                raise InputError(
                    f"strategy must be left out with {layer.name}, whose statistics are those of the whole batch: "
                    "model.normalization=none goes with it"
                )
    return network, encoder


def run_epochs(
    network: keras.Model,
    encoder: Encoder,
    config: TrainConfig,
    data: Dataset,
    *,
    first_epoch: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Train a compiled network through the pipeline, from `first_epoch` to the config's last.

    Args:
        network: on spikes, or what `to_fit` makes of it.
        encoder: trained along, if it can be; the pipeline then streams intensities.
        config: of the training.
        data: its data.
        first_epoch: finished epochs.
        callbacks: of Keras.
    """
    model = network if isinstance(network, EncodedModel) else to_fit(network, encoder, config)
    encoded = None if isinstance(model, EncodedModel) else encoder
    steps = count_batches(len(data.x_train), config.batch_size)
    if config.epsilon is None:
        pipeline = make_dataset(
            data.x_train,
            data.y_train,
            encoded,
            config.batch_size,
            config.seed,
            epoch=first_epoch,
            shuffle=True,
            num_epochs=config.epochs - first_epoch,
            augmented=Reading.of(config.data),
        )
    else:
        pipeline = private.private_batches(network, encoder, config, data)
    if isinstance(model, AdversarialModel):
        if data.x_reference is None:
            raise InputError("adversary needs a reference part of the data, received none")
        order = {"batch_size": config.batch_size, "steps": steps, "seed": config.seed}
        order |= {"epochs": range(first_epoch, config.epochs), "augmented": Reading.of(config.data)}
        pipeline = with_reference(pipeline, data.x_reference, data.y_reference, **order)
    validation = None
    if len(data.x_validation):
        seed = derive_seed(config.seed, "validation")
        validation = make_dataset(data.x_validation, data.y_validation, encoded, config.batch_size, seed)
    spiking = model.model if isinstance(model, EncodedModel) else model
    model.steps_per_execution = _steps_at_once(spiking, steps) if config.epsilon is None else 1
    keras.Model.fit(  # a private network's own `fit` draws from arrays
        model,
        pipeline,
        epochs=config.epochs,
        initial_epoch=first_epoch,
        steps_per_epoch=steps,
        validation_data=validation,
        callbacks=list(callbacks),
        shuffle=False,
        verbose=0,
    )


def _steps_at_once(network: SpikingNetwork, steps: int) -> int:
    """Return how many steps one call takes: a divisor of an epoch's, since no call may run into the next epoch."""
    return max(n for n in range(1, min(network.steps_at_once, steps) + 1) if steps % n == 0)


def _finish(network, encoder, config, data: Dataset, recorder: Recorder, team: Team, privacy) -> TrainResult:
    def measure(part: str, queries: int) -> Evaluation | None:
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        seed = derive_seed(config.seed, part)
        if not len(x):
            return None
        return evaluate_network(network, encoder, x, y, queries=queries, seed=seed, batch_size=config.batch_size)

    recorder.observer.message("measuring accuracy")
    trained = network.with_encoder(encoder)
    test, train_part, validation = measure("test", config.queries), measure("train", 1), measure("validation", 1)
    directory, history = recorder.directory, recorder.history
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
        warnings=tuple(activity_warnings(test.firing_rates, network.readout)),
        examples={part: len(getattr(data, f"x_{part}")) for part in ("train", "validation", "test")},
        num_classes=data.num_classes,
        note=data.note,
        seed=config.seed,
        replicas=team.replicas,
        versions=versions(),
        weights=weights_hash(trained),
        splits=data.splits.fingerprint,
        config=config,
        privacy=privacy,
        trained_encoder=encoder.summary() if is_trained(encoder) else None,
    )
    save_model(trained, directory.path / "model.keras")
    title = f"{data.name}, encoding {config.encoding}"
    save_curves(history, directory.path / "curves.png", title, result.test_accuracy)
    files.write_json(directory.path / "result.json", records.to_json(result))
    return result
