"""Run tensorflow-privacy's attacks on an audit's models as tasks of a fleet.

    ENCODING/tf_privacy/PIECE.json    the findings, and the key of what they depend on

Its trained attacks take about a minute of a core for each slice. So each class that is large enough for them has a
task, and the task "all" does the rest: every attack on the entire data set, and the quick attacks on the classes.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from pathlib import Path

import numpy as np

from kerasburst import files, records
from kerasburst.privacy import tf_privacy
from kerasburst.privacy.config import AuditConfig
from kerasburst.privacy.figures import EncodingModels
from kerasburst.privacy.result import TFPrivacyAttack, TFPrivacyResult
from kerasburst.privacy.shadow import load_plan
from kerasburst.privacy.signals import stored_key
from kerasburst.privacy.splits import AuditSplits
from kerasburst.study import Task
from kerasburst.validation import InputError


def pieces(labels: np.ndarray, membership: np.ndarray) -> dict[str, list[tuple[int | None, tuple[str, ...]]]]:
    """Return each task's slices and attacks: (class or None, attacks), by the task's name.

    Args:
        labels: of the audited points, `(n,)`.
        membership: in target 0, bool `(n,)`.

    Example:
        >>> found = pieces(np.arange(48) // 24, np.arange(48) % 2 == 0)
        >>> {name: [label for label, _ in some] for name, some in found.items()}
        {'all': [None, 0, 1], 'class-0': [0], 'class-1': [1]}
    """
    every, trained = tuple(tf_privacy.ATTACKS), tuple(tf_privacy.TRAINED)
    found = {"all": [(None, every)]}
    for label in np.unique(labels).tolist():
        side = membership[labels == label]
        slow = min(side.sum(), (~side).sum()) >= tf_privacy.LEAST_TRAINED
        found["all"].append((label, tuple(name for name in every if not slow or name not in trained)))
        if slow:
            found[f"class-{label}"] = [(label, trained)]
    return found


def tasks(folder: Path, config: AuditConfig, labels: np.ndarray, splits: AuditSplits) -> list[Task]:
    """Return the tasks for an audit whose models have answered.

    Args:
        folder: the audit's directory.
        config: of the audit.
        labels: of the audited points, `(n,)`.
        splits: of the audit.
    """
    return [
        Task(
            f"{arm.folder}/tf-privacy-{piece}",
            "kerasburst.privacy.tf_privacy_tasks:attack_piece",
            {"folder": str(folder), "encoding": arm.name, "piece": piece},
        )
        for piece in pieces(labels, splits.targets[0])
        for arm in config.compared.values()
    ]


def is_done(task: Task) -> bool:
    """Return whether a task's findings exist and belong to this audit's answers."""
    folder, encoding, piece = (task.arguments[name] for name in ("folder", "encoding", "piece"))
    try:
        config = load_plan(folder)[0]
        place = Path(folder) / config.compared[encoding].folder
        return files.read_json(_path(place, piece))["key"] == _key(place, config)
    except (InputError, KeyError, TypeError):  # missing or damaged: computed again
        return False


def attack_piece(folder: str, encoding: str, piece: str) -> None:
    """Run one task.

    Args:
        folder: the audit's directory.
        encoding: the arm's name.
        piece: a name of `pieces`.
    """
    config = load_plan(folder)[0]
    place = Path(folder) / config.compared[encoding].folder
    splits = AuditSplits.load(Path(folder) / "splits.npz")
    models = EncodingModels.load(place, splits)
    evidence = models.evidence(0, models.queries, config.train.seed)
    membership = splits.targets[0]
    attacks = [
        attack
        for label, names in pieces(evidence.labels, membership)[piece]
        for attack in tf_privacy.attack_slice(
            evidence.target.logits, evidence.labels, membership, label, attacks=names, seed=config.train.seed
        )
    ]
    path = _path(place, piece)
    path.parent.mkdir(exist_ok=True)
    found = {"key": _key(place, config), "attacks": [dataclasses.asdict(attack) for attack in attacks]}
    files.write_json(path, found)


def collect(place: Path, models: EncodingModels) -> TFPrivacyResult:
    """Collect the findings of an encoding's tasks.

    Args:
        place: the arm's folder in the audit.
        models: of the arm.
    """
    labels = models.evidence(0, models.queries, 0).labels
    rows = [
        records.from_json(TFPrivacyAttack, row, piece)
        for piece in pieces(labels, models.splits.targets[0])
        for row in files.read_json(_path(place, piece))["attacks"]
    ]
    order = list(tf_privacy.ATTACKS)
    rows.sort(key=lambda row: (-1 if row.label is None else row.label, order.index(row.attack)))
    return TFPrivacyResult(
        queries=models.queries, attacks=tuple(rows), versions=tf_privacy.versions(), limits=tf_privacy.LIMITS
    )


def _key(place: Path, config: AuditConfig) -> dict:
    """Return everything that the findings depend on."""
    beneath = {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "scikit-learn")}
    return {
        "signals": stored_key(place / "signals" / "target-0.npz"),
        "seed": config.train.seed,
        "attacks": list(tf_privacy.ATTACKS),
        "versions": tf_privacy.versions() | beneath,
    }


def _path(place: Path, piece: str) -> Path:
    return place / "tf_privacy" / f"{piece}.json"
