"""Train one model of an audit and store its answers.

    plan.json, splits.npz                      the audit's inputs; written first
    ARM/models/ROLE.keras, ROLE.json           the network on spikes, and its record
    ARM/signals/ROLE-snapshots.npz             its answers at several epochs
    ARM/signals/ROLE.npz                       its answers at the end; written last

`kerasburst.privacy.lessons` names the roles.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from kerasburst import files, records
from kerasburst.config import TrainConfig, same_config
from kerasburst.data.dataset import Dataset
from kerasburst.data.datasets import load_source
from kerasburst.data.events import Reading
from kerasburst.data.pipeline import make_dataset
from kerasburst.data.sources import Source
from kerasburst.data.splits import Splits
from kerasburst.models.saving import load_recorded, save_model, weights_hash
from kerasburst.privacy.audited_run import AuditedRun
from kerasburst.privacy.config import SNAPSHOT_QUERIES, TARGET_QUERIES, TEST_EXAMPLES, AuditConfig
from kerasburst.privacy.defences import Defence
from kerasburst.privacy.lessons import (
    CANARIES,
    PLANTED,
    UNTRAINED,
    Lesson,
    lesson,
    load_pools,
    place,
    role_config,
    roles,
)
from kerasburst.privacy.signals import (
    collect_dropped,
    collect_replay,
    collect_signals,
    fed_probabilities,
    replay_rows,
    store,
    stored_key,
)
from kerasburst.privacy.splits import AuditSplits
from kerasburst.privacy.statistics import phi
from kerasburst.registry import ATTACKS
from kerasburst.seeding import derive_seed
from kerasburst.study import Task
from kerasburst.training.evaluation import check_learnt, evaluate_network
from kerasburst.training.fit import run_epochs
from kerasburst.training.setup import build, is_trained
from kerasburst.validation import InputError

_REPLAYED = 4  # last epochs whose spikes the attack "replay" asks for
_HELD_OUT = 500  # examples that a defence may watch, at most


def task(folder: Path, encoding: str, role: str, config: AuditConfig, beside: Path | None = None) -> Task:
    """Return the fleet's task for one model."""
    arguments = {"folder": str(folder), "encoding": encoding, "role": role}
    arguments |= {} if beside is None else {"beside": str(beside)}
    return Task(f"{config.compared[encoding].folder}/{role}", "kerasburst.privacy.shadow:train_and_ask", arguments)


def signals_key(config: AuditConfig, encoder: TrainConfig, role: str, record: dict) -> str:
    """Return everything that a role's signals depend on, as JSON."""
    key = {
        "role": role,
        "weights": record["weights"],
        "asked": record["asked"],
        "data": record["data"],
        "encoding": encoder.encoding,
        "encoder": dict(encoder.encoder),
        "num_steps": encoder.num_steps,
        "queries": max(config.queries),
        "seed": config.train.seed,
        **({"attacks": list(config.attacks)} if config.attacks else {}),
    }
    return json.dumps(key, sort_keys=True)


def load_plan(folder: str | Path) -> tuple[AuditConfig, dict[str, TrainConfig]]:
    """Load an audit's config and each encoding's resolved training."""
    folder = Path(folder)
    plan = files.read_json(folder / "plan.json")
    trainings = {name: records.from_json(TrainConfig, value, name) for name, value in plan["trainings"].items()}
    return records.load(AuditConfig, folder / "config.json"), trainings


def snapshot_epochs(folder: Path, role: str) -> tuple[int, ...]:
    """Return the epochs after which a role's model is asked; none for models of controls and in older audits."""
    config = records.load(AuditConfig, folder / "config.json")
    _, kind, _ = place(role)
    if kind not in ("target", "shadow") or (kind == "target" and config.run is not None):
        return ()
    return tuple(files.read_json(folder / "plan.json").get("snapshots", ()))


def default_snapshots(epochs: int) -> tuple[int, ...]:
    """Return a quarter, half and all of the epochs, each at least 1.

    A fourth epoch would make an audit of digits at its defaults more than 15 % longer than one that asks at the end.

    Example:
        >>> default_snapshots(32), default_snapshots(2)
        ((8, 16, 32), (1, 2))
    """
    return tuple(sorted({-(-epochs // part) for part in (4, 2, 1)}))


def is_done(task: Task) -> bool:
    """Return whether a task's model and signals exist."""
    folder, encoding, role = (task.arguments[name] for name in ("folder", "encoding", "role"))
    config, trainings = load_plan(folder)
    arm = config.compared[encoding]
    model, record, signals, snapshots = paths(Path(folder) / arm.folder, role)
    if not (record.exists() and model.exists()):
        return False
    try:
        found = files.read_json(record)
        if not _trained_as(found, trainings[encoding]):
            return False
        key = signals_key(config, trainings[encoding], role, found)
    except (InputError, KeyError, TypeError):
        return False
    if snapshot_epochs(Path(folder), role) and stored_key(snapshots) != key:
        return False
    return stored_key(signals) == key


def train_and_ask(folder: str, encoding: str, role: str, beside: str | None = None) -> None:
    """Train or copy one model of an audit, unless it exists, and store its answers.

    Args:
        folder: the audit's directory.
        encoding: the arm's name.
        role: "target-0", "shadow-3", "untrained", "planted" or "pool1-shadow-3".
        beside: another audit's directory; its model is used if its training was identical.

    Raises:
        InputError: if the model has diverged, or the audited run has changed since the audit began.
    """
    config, trainings = load_plan(folder)
    arm = config.compared[encoding]
    pools = load_pools(Path(folder))
    splits = pools[place(role)[0]]
    training = trainings[encoding]
    source = load_source(training.dataset, **training.reading())
    what = lesson(role, pools, source.y, source.num_classes, config.train.seed)
    mine = role_config(training, role, max(CANARIES, len(what.train)))
    model_path, record_path, signals_path, snapshots_path = paths(Path(folder) / arm.folder, role)
    for path in (model_path, signals_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    data = _data(source, what, splits, mine)
    network, encoder = build(mine, data)
    trained = is_trained(encoder)
    if trained and "replay" in config.attacks:
        raise InputError(
            "attack replay needs spikes that a pipeline drew in training, a trained encoder draws them itself"
        )
    defence = arm.make_defence()
    encoder = defence.encoder(encoder)
    x = data.scaling.apply(source.x[what.asked])
    seed = derive_seed(mine.seed, "queries")
    epochs = snapshot_epochs(Path(folder), role)
    few = min(SNAPSHOT_QUERIES, max(config.queries))
    asking = AskAt(epochs, lambda: _snapshot(network, encoder, mine, data, x, few, seed))
    stored = load_recorded(model_path, record_path)
    usable = stored is not None and _trained_as(stored[1], training)
    if usable and epochs:  # what it answered on its way is gone with the process, unless it was written
        usable = stored_key(snapshots_path) == signals_key(config, training, role, stored[1])
    if usable:
        network, record = stored
    else:
        if config.run is not None and role == "target-0":
            run = AuditedRun.load(config.run.path)
            run.check(config, source)
            network, facts = run.network, {"epochs": mine.epochs, "seed": run.seed, "train_seconds": None}
            if trained:
                encoder = run.encoder
        elif (
            not epochs and beside is not None and (alike := _alike(Path(beside), encoding, role, training, what, data))
        ):
            network, encoder = _apart(alike[0], encoder)
            facts = {name: alike[1][name] for name in ("epochs", "seed", "train_seconds")}
        else:
            held_out = _held_out(source, data, splits, encoder, mine)
            facts = _train(network, encoder, mine, data, role, defence, asking, held_out)
            if mine.epsilon is not None:
                network = network.with_encoder(None)  # without the account
        record = {
            "role": role,
            "training": records.to_json(dataclasses.replace(training, data_dir=None)),
            "asked": [int(i) for i in what.asked],
            **_measure(network, encoder, mine, data, TARGET_QUERIES if role.startswith("target-") else 1),
            **facts,
        }
        kept = network.with_encoder(encoder if trained else None)  # drops the optimizer, which must have run
        record["weights"] = weights_hash(kept)
        save_model(kept, model_path)
        files.write_json(record_path, record)
    network, encoder = _apart(network, encoder)
    key = signals_key(config, training, role, record)
    if stored_key(signals_path) == key and (usable or not epochs):
        return
    answers = _ask(network, encoder, x, what, max(config.queries), seed)
    answers |= _own_queries(config, role, record, network, encoder, x, what, seed)
    if epochs and not usable:
        store(snapshots_path, key, asking.together((answers["logits"][:, :few], record["test_accuracy"])))
    store(signals_path, key, answers)


def _trained_as(record: dict, training: TrainConfig) -> bool:
    """Return whether a model's record says that it was trained as its arm is; version 0.2 wrote nothing of it."""
    if "training" not in record:
        return True
    try:
        return same_config(records.from_json(TrainConfig, record["training"], "training"), training)
    except InputError:  # damaged: it is trained anew
        return False


def _apart(network, encoder):
    """Return a network on spikes and its encoder: the one inside, with what it learnt, or the one that is given."""
    return (network, encoder) if network.encoder is None else (network.with_encoder(None), network.encoder)


Snapshot = tuple[np.ndarray, float]  # at one epoch: logits about a lesson's points `(n, K, C)`, and test accuracy


class AskAt(keras.callbacks.Callback):
    """Ask a model after some epochs of its training.

    Args:
        epochs: ascending; the last is the end, which is asked when the training is over.
        ask: returns a `Snapshot`.
    """

    def __init__(self, epochs: Sequence[int], ask: Callable[[], Snapshot]):
        super().__init__()
        self.epochs, self.found, self._ask = tuple(epochs), [], ask

    def on_epoch_end(self, epoch, logs=None):
        """Ask, if it is time."""
        if epoch + 1 in self.epochs[:-1]:
            self.found.append(self._ask())

    def together(self, last: Snapshot) -> dict[str, np.ndarray]:
        """Return all snapshots as arrays; a training that stopped before some of them answers as at its end."""
        logits, accuracies = zip(*self.found, *[last] * (len(self.epochs) - len(self.found)), strict=True)
        arrays = {"logits": np.stack(logits), "test_accuracies": np.array(accuracies)}
        return {"epochs": np.array(self.epochs), **arrays}


def _alike(
    beside: Path, encoding: str, role: str, training: TrainConfig, what: Lesson, data: Dataset
) -> tuple[keras.Model, dict] | None:
    """Return another audit's model and record if this training would give the same bits, else None."""
    try:
        config, trainings = load_plan(beside)
        pools = load_pools(beside)
    except InputError:
        return None  # that audit has not begun
    if role not in roles(pools) or encoding not in config.encodings:
        return None
    theirs = lesson(role, pools, what.y, data.num_classes, config.train.seed)
    alike = encoding in trainings and same_config(trainings[encoding], training)
    same = alike and config.run is None and np.array_equal(theirs.train, what.train)
    found = load_recorded(*paths(beside / config.compared[encoding].folder, role)[:2]) if same else None
    return found if found is not None and found[1]["data"] == data.fingerprint else None  # which is of labels, too


def _train(
    network,
    encoder,
    config: TrainConfig,
    data: Dataset,
    role: str,
    defence: Defence,
    asking: AskAt,
    held_out: Callable[[], object],
) -> dict:
    begun = time.perf_counter()
    optimizer, loss = defence.optimizer(config.learning_rate), defence.loss()
    if optimizer is not None or loss is not None:
        network.compile(optimizer or network.optimizer, loss or network.loss, metrics=["accuracy"])
        network.optimizer.build(network.trainable_variables)
    if role != UNTRAINED:
        watching = () if role == PLANTED else defence.callbacks(held_out)  # its canaries must be learnt by heart
        run_epochs(network, encoder, config, data, callbacks=[asking, *watching])
    seconds = time.perf_counter() - begun
    return {"epochs": 0 if role == UNTRAINED else config.epochs, "seed": config.seed, "train_seconds": seconds}


def _held_out(source: Source, data: Dataset, splits: AuditSplits, encoder, config: TrainConfig):
    """Return a function that streams examples of the shadow pool that no model trains on."""

    def stream():
        free = _free(splits, "early_stopping")[:_HELD_OUT]
        x = data.scaling.apply(source.x[free])
        return make_dataset(x, source.y[free], encoder, config.batch_size, derive_seed(config.seed, "held out"))

    return stream


def _snapshot(network, encoder, config: TrainConfig, data: Dataset, x, queries: int, seed: int) -> Snapshot:
    x_test, y_test = data.x_test[:TEST_EXAMPLES], data.y_test[:TEST_EXAMPLES]
    test_seed = derive_seed(config.seed, "test")
    tested = evaluate_network(network, encoder, x_test, y_test, queries=1, seed=test_seed)
    return collect_signals(network, x, encoder=encoder, queries=queries, seed=seed).logits, tested.accuracy


def _measure(network, encoder, config: TrainConfig, data: Dataset, queries: int) -> dict:
    seed = derive_seed(config.seed, "test")
    fitted, tested = (
        evaluate_network(network, encoder, x[:TEST_EXAMPLES], y[:TEST_EXAMPLES], queries=queries, seed=seed)
        for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test))
    )
    check_learnt(config, fitted, tested)
    return {
        "weights": weights_hash(network),
        "data": data.fingerprint,
        "train_examples": len(data.x_train),
        "train_accuracy": fitted.accuracy,
        "test_accuracy": tested.accuracy,
        "test_accuracy_interval": tested.accuracy_interval,
        "test_examples": tested.examples,
        "test_queries": tested.queries,
        "firing_rates": tested.firing_rates,
        "readout": network.readout,
    }


def _ask(network, encoder, x, what: Lesson, queries: int, seed: int) -> dict[str, np.ndarray]:
    signals = collect_signals(network, x, encoder=encoder, queries=queries, seed=seed)
    labels = what.y[what.asked]
    return {
        "asked": what.asked,
        "labels": labels,
        "logits": signals.logits,
        "mem": signals.trace[:, :, -1],  # the final membrane, which is the logits only for the readout "last"
        "phi_trace": phi(signals.trace, labels).astype(np.float32),
        "membranes": signals.trace.mean(axis=1, keepdims=True),
        "bypass_logits": fed_probabilities(network, encoder, x).logits,
    }


def _own_queries(
    config: AuditConfig, role: str, record: dict, network, encoder, x: np.ndarray, what: Lesson, seed: int
) -> dict[str, np.ndarray]:
    """Ask what only the attacks that the config names need."""
    needs = {need for name in config.attacks for need in ATTACKS[name].needs}
    found = {}
    if "dropped" in needs:
        found["dropped"] = collect_dropped(network, x, encoder=encoder, seed=seed)
    if "replayed" in needs and record["epochs"]:
        run = role == "target-0" and config.run is not None
        train = AuditedRun.load(config.run.path).splits.train if run else what.train
        epochs = range(max(0, record["epochs"] - _REPLAYED), record["epochs"])
        rows = replay_rows(what.asked, train, seed)
        changes = Reading.of(config.train.data)
        found["replayed"] = collect_replay(
            network, x, rows, encoder=encoder, seed=record["seed"], epochs=epochs, augmented=changes
        )
    return found


def _data(source: Source, what: Lesson, splits: AuditSplits, config: TrainConfig) -> Dataset:
    relabelled = dataclasses.replace(source, y=what.y)
    reference = _free(splits, "adversary")[: len(what.train)] if config.adversary else ()
    parts = Splits(what.train, [], splits.test, pool_size=splits.pool_size, reference=reference)
    return Dataset.from_source(relabelled, parts)


def _free(splits: AuditSplits, needed_by: str) -> np.ndarray:
    """Return the examples of the shadow pool that no model trains on and no attack is judged on."""
    found = np.setdiff1d(splits.shadow_pool, splits.fillers)
    if not len(found):
        raise InputError(f"{needed_by} needs examples that no model trains on, the audit's pool leaves none")
    return found


def paths(folder: Path, role: str) -> tuple[Path, Path, Path, Path]:
    """Return the paths of a role's model, record, signals and snapshots, in its arm's folder."""
    models, signals = folder / "models", folder / "signals"
    return models / f"{role}.keras", models / f"{role}.json", signals / f"{role}.npz", signals / f"{role}-snapshots.npz"
