"""tensorflow-privacy's attacks on an audit's models as tasks of a fleet.

    ENCODING/tf_privacy/PIECE.json    what was found, and what that depends on

Its trained attacks take about a minute of a core for each slice. So there is one task for each class that is large
enough for them, and one, "all", for the rest: every attack on the entire data set, and the quick ones on the classes.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kerasburst import files
from kerasburst.privacy import tf_privacy
from kerasburst.privacy.figures import Answered
from kerasburst.privacy.plan import AuditConfig
from kerasburst.privacy.result import TFPrivacyAttack, TFPrivacyResult
from kerasburst.privacy.shadow import load_plan
from kerasburst.privacy.signals import stored_key
from kerasburst.privacy.splits import AuditSplits
from kerasburst.study import Task
from kerasburst.validation import InputError


def pieces(labels: np.ndarray, membership: np.ndarray) -> dict[str, list[tuple[int | None, tuple[str, ...]]]]:
    """Give each task's slices and attacks: (class or None, attacks), by the task's name.

    Args:
        labels: of the audited points, `(n,)`.
        membership: in target 0, bool `(n,)`.

    Example:
        >>> found = pieces(np.arange(48) // 24, np.arange(48) % 2)
        >>> {name: [label for label, _ in some] for name, some in found.items()}
        {'all': [None, 0, 1], 'class-0': [0], 'class-1': [1]}
    """
    every, trained = tuple(tf_privacy.ATTACKS), tuple(tf_privacy.TRAINED)
    found = {"all": [(None, every)]}
    for label in np.unique(labels).tolist():
        members = int(membership[labels == label].sum())
        slow = tf_privacy.slow(members, int((labels == label).sum()) - members)
        found["all"].append((label, tuple(name for name in every if not slow or name not in trained)))
        if slow:
            found[f"class-{label}"] = [(label, trained)]
    return found


def tasks(folder: Path, encodings: Iterable[str], labels: np.ndarray, splits: AuditSplits) -> list[Task]:
    """Give the fleet's tasks of an audit whose models have answered.

    Args:
        folder: the audit's directory.
        encodings: names.
        labels: of the audited points, `(n,)`.
        splits: of the audit.
    """
    return [
        Task(
            f"{encoding}/tf-privacy-{piece}",
            "kerasburst.privacy.tf_privacy_tasks:attack_piece",
            {"folder": str(folder), "encoding": encoding, "piece": piece},
        )
        for piece in pieces(labels, splits.targets[0])
        for encoding in encodings
    ]


def is_done(task: Task) -> bool:
    """Tell whether a task's findings are there, and of this audit's answers."""
    folder, encoding, piece = (task.arguments[name] for name in ("folder", "encoding", "piece"))
    try:
        found = files.read_json(_path(Path(folder), encoding, piece))
        return found["key"] == _key(Path(folder), encoding, load_plan(folder)[0])
    except (InputError, KeyError, TypeError):  # absent or damaged: it is computed anew
        return False


def attack_piece(folder: str, encoding: str, piece: str) -> None:
    """Do one task.

    Args:
        folder: the audit's directory.
        encoding: the encoder's name.
        piece: a name of `pieces`.
    """
    place, config = Path(folder), load_plan(folder)[0]
    splits = AuditSplits.load(place / "splits.npz")
    answered = Answered.load(place / encoding, splits)
    evidence = answered.evidence(0, answered.queries, config.train.seed)
    membership = splits.targets[0]
    attacks = [
        attack
        for label, names in pieces(evidence.labels, membership)[piece]
        for attack in tf_privacy.attack_slice(
            evidence.target.logits, evidence.labels, membership, label, attacks=names, seed=config.train.seed
        )
    ]
    path = _path(place, encoding, piece)
    path.parent.mkdir(exist_ok=True)
    found = {"key": _key(place, encoding, config), "attacks": [dataclasses.asdict(attack) for attack in attacks]}
    files.write_json(path, found)


def collect(folder: Path, encoding: str, answered: Answered) -> TFPrivacyResult:
    """Put together what an encoding's tasks found.

    Args:
        folder: the audit's directory.
        encoding: the encoder's name.
        answered: what its models said.
    """
    labels = answered.evidence(0, answered.queries, 0).labels
    rows = [
        TFPrivacyAttack(**{name: tuple(value) if isinstance(value, list) else value for name, value in row.items()})
        for piece in pieces(labels, answered.splits.targets[0])
        for row in files.read_json(_path(folder, encoding, piece))["attacks"]
    ]
    order = list(tf_privacy.ATTACKS)
    rows.sort(key=lambda row: (-1 if row.label is None else row.label, order.index(row.attack)))
    return TFPrivacyResult(
        queries=answered.queries, attacks=tuple(rows), versions=tf_privacy.versions(), limits=tf_privacy.LIMITS
    )


def _key(folder: Path, encoding: str, config: AuditConfig) -> dict:
    """Give all that the findings depend on."""
    beneath = {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "scikit-learn")}
    return {
        "signals": stored_key(folder / encoding / "signals" / "target-0.npz"),
        "seed": config.train.seed,
        "attacks": list(tf_privacy.ATTACKS),
        "versions": tf_privacy.versions() | beneath,
    }


def _path(folder: Path, encoding: str, piece: str) -> Path:
    return folder / encoding / "tf_privacy" / f"{piece}.json"
