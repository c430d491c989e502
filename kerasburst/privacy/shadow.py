"""Train one model of an audit and store its answers.

    plan.json, splits.npz                      the audit's inputs; written first
    ENCODING/models/ROLE.keras, ROLE.json      the network on spikes, and its record
    ENCODING/signals/ROLE.npz                  its answers; written last

Roles: target-0.., shadow-0.., and the controls' untrained and planted. A role's seed and data do not depend on the
encoding, so encodings are compared on the same splits, initial weights and orders. The target of an audited run is not
trained: it is a copy of the run's network.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from kerasburst import files, records
from kerasburst.config import TrainConfig, same_config
from kerasburst.data.dataset import Dataset
from kerasburst.data.datasets import load_source
from kerasburst.data.sources import Source
from kerasburst.data.splits import Splits
from kerasburst.models.saving import load_recorded, weights_hash
from kerasburst.privacy.audited_run import AuditedRun
from kerasburst.privacy.config import TARGET_QUERIES, TEST_EXAMPLES, AuditConfig
from kerasburst.privacy.signals import cached, collect_signals, fed_probabilities, key_text, stored_key
from kerasburst.privacy.splits import AuditSplits
from kerasburst.privacy.statistics import phi
from kerasburst.seeding import derive_seed
from kerasburst.study import Task
from kerasburst.training.evaluation import check_learnt, evaluate_network
from kerasburst.training.fit import run_epochs
from kerasburst.training.setup import build
from kerasburst.validation import InputError

UNTRAINED, PLANTED = "untrained", "planted"
_CANARIES = 64  # half of them members
_CANARY_EPOCHS = 300


def roles(splits: AuditSplits) -> list[str]:
    """Return the roles of one encoding's models, targets first."""
    targets = [f"target-{t}" for t in range(len(splits.targets))]
    return targets + [f"shadow-{j}" for j in range(len(splits.shadows))] + [UNTRAINED, PLANTED]


def task(folder: Path, encoding: str, role: str, beside: Path | None = None) -> Task:
    """Return the fleet's task for one model."""
    arguments = {"folder": str(folder), "encoding": encoding, "role": role}
    arguments |= {} if beside is None else {"beside": str(beside)}
    return Task(f"{encoding}/{role}", "kerasburst.privacy.shadow:train_and_ask", arguments)


@dataclass(frozen=True)
class Lesson:
    """The training set of one model, and the points that it is asked about.

    Args:
        train: indices of its training set, int64.
        y: labels of the whole pool, int64; the canaries' are random.
        asked: indices of the points it is asked about, int64.
    """

    train: np.ndarray
    y: np.ndarray
    asked: np.ndarray


def lesson(role: str, splits: AuditSplits, y: np.ndarray, num_classes: int, seed: int) -> Lesson:
    """Return a role's training set, labels and questions."""
    asked = np.concatenate([splits.audited, np.setdiff1d(splits.reference, splits.audited), splits.population])
    kind, _, number = role.partition("-")
    if kind == "target":
        return Lesson(splits.target_train(int(number)), y, asked)
    if kind == "shadow":
        return Lesson(splits.shadow_train(int(number)), y, asked)
    if role == UNTRAINED:
        return Lesson(splits.target_train(0), y, splits.audited)
    chosen, member = canaries(splits)
    y = y.copy()  # random labels: only a model that has seen one can know it
    y[chosen] = np.random.default_rng(derive_seed(seed, "audit", "canaries")).integers(0, num_classes, len(chosen))
    return Lesson(chosen[member], y, chosen)


def canaries(splits: AuditSplits) -> tuple[np.ndarray, np.ndarray]:
    """Return the mislabelled points of the planted leak, and a mask of those that its model trains on."""
    chosen = splits.audited[: min(_CANARIES, len(splits.audited))]
    return chosen, np.arange(len(chosen)) % 2 == 0


def role_config(config: TrainConfig, role: str) -> TrainConfig:
    """Return a role's training: the encoding's, with the role's seed."""
    config = dataclasses.replace(config, seed=derive_seed(config.seed, "audit", "model", role))
    if role == PLANTED:
        return dataclasses.replace(config, epochs=max(config.epochs, _CANARY_EPOCHS), batch_size=_CANARIES // 2)
    return config


def signals_key(config: AuditConfig, encoder: TrainConfig, role: str, record: dict) -> dict:
    """Return everything that a role's signals depend on."""
    return {
        "role": role,
        "weights": record["weights"],
        "asked": record["asked"],
        "data": record["data"],
        "encoding": encoder.encoding,
        "encoder": dict(encoder.encoder),
        "num_steps": encoder.num_steps,
        "queries": max(config.queries),
        "seed": config.train.seed,
    }


def load_plan(folder: str | Path) -> tuple[AuditConfig, dict[str, TrainConfig]]:
    """Load an audit's config and each encoding's resolved training."""
    folder = Path(folder)
    plan = files.read_json(folder / "plan.json")
    trainings = {name: records.from_json(TrainConfig, value, name) for name, value in plan["trainings"].items()}
    return records.load(AuditConfig, folder / "config.json"), trainings


def is_done(task: Task) -> bool:
    """Return whether a task's model and signals exist."""
    folder, encoding, role = (task.arguments[name] for name in ("folder", "encoding", "role"))
    model, record, signals = _paths(Path(folder), encoding, role)
    if not (model.exists() and record.exists()):
        return False
    config, trainings = load_plan(folder)
    try:
        key = signals_key(config, trainings[encoding], role, files.read_json(record))
    except (InputError, KeyError, TypeError):
        return False
    return stored_key(signals) == key_text(key)


def train_and_ask(folder: str, encoding: str, role: str, beside: str | None = None) -> None:
    """Train or copy one model of an audit, unless it exists, and store its answers.

    Args:
        folder: the audit's directory.
        encoding: the encoder's name.
        role: "target-0", "shadow-3", "untrained" or "planted".
        beside: another audit's directory; its model is used if its training was identical.

    Raises:
        InputError: if the model has diverged, or the audited run has changed since the audit began.
    """
    config, trainings = load_plan(folder)
    splits = AuditSplits.load(Path(folder) / "splits.npz")
    training = trainings[encoding]
    source = load_source(training.dataset, training.data_dir)
    what = lesson(role, splits, source.y, source.num_classes, config.train.seed)
    mine = role_config(training, role)
    model_path, record_path, signals_path = _paths(Path(folder), encoding, role)
    for path in (model_path, signals_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    data = _data(source, what, splits)
    network, encoder = build(mine, data)
    stored = load_recorded(model_path, record_path)
    if stored is not None:
        network, record = stored
    else:
        if config.run is not None and role == "target-0":
            run = AuditedRun.load(config.run.path)
            run.check(config, source)
            network, facts = run.network, {"epochs": mine.epochs, "seed": run.seed, "train_seconds": None}
        elif beside is not None and (alike := _alike(Path(beside), encoding, role, training, what, data)):
            network, facts = alike[0], {name: alike[1][name] for name in ("epochs", "seed", "train_seconds")}
        else:
            facts = _train(network, encoder, mine, data, role)
        record = {
            "role": role,
            "asked": [int(i) for i in what.asked],
            **_measure(network, encoder, mine, data, TARGET_QUERIES if role.startswith("target-") else 1),
            **facts,
        }
        with files.replacing(model_path) as temporary:
            network.with_encoder(None).save(temporary)  # drops the optimizer, which must have run
        files.write_json(record_path, record)
    x = data.scaling.apply(source.x[what.asked])
    cached(
        signals_path,
        signals_key(config, training, role, record),
        lambda: _ask(network, encoder, x, what, max(config.queries), derive_seed(mine.seed, "queries")),
    )


def _alike(
    beside: Path, encoding: str, role: str, training: TrainConfig, what: Lesson, data: Dataset
) -> tuple[keras.Model, dict] | None:
    """Return another audit's model and record if this training would give the same bits, else None."""
    try:
        config, trainings = load_plan(beside)
        splits = AuditSplits.load(beside / "splits.npz")
    except InputError:
        return None  # that audit has not begun
    if role not in roles(splits):
        return None
    theirs = lesson(role, splits, what.y, data.num_classes, config.train.seed)
    alike = encoding in trainings and same_config(trainings[encoding], training)
    same = alike and config.run is None and np.array_equal(theirs.train, what.train)
    found = load_recorded(*_paths(beside, encoding, role)[:2]) if same else None
    return found if found is not None and found[1]["data"] == data.fingerprint else None  # which is of labels, too


def _train(network, encoder, config: TrainConfig, data: Dataset, role: str) -> dict:
    begun = time.perf_counter()
    if role != UNTRAINED:
        run_epochs(network, encoder, config, data)
    seconds = time.perf_counter() - begun
    return {"epochs": 0 if role == UNTRAINED else config.epochs, "seed": config.seed, "train_seconds": seconds}


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
        "bypass_logits": fed_probabilities(network, encoder, x).logits,
    }


def _data(source: Source, what: Lesson, splits: AuditSplits) -> Dataset:
    relabelled = dataclasses.replace(source, y=what.y)
    return Dataset.from_source(relabelled, Splits(what.train, [], splits.test, pool_size=splits.pool_size))


def _paths(folder: Path, encoding: str, role: str) -> tuple[Path, Path, Path]:
    models = folder / encoding / "models"
    return models / f"{role}.keras", models / f"{role}.json", folder / encoding / "signals" / f"{role}.npz"
