"""What each model of an audit trains on and is asked about.

Roles: target-0.., shadow-0.., the controls' untrained and planted, and pool1-shadow-0.. of further pools. A role's seed
and data do not depend on the arm, so arms are compared on the same splits, initial weights and orders. The target of
an audited run is not trained: it is a copy of the run's network.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasburst import records
from kerasburst.config import TrainConfig
from kerasburst.privacy.config import AuditConfig
from kerasburst.privacy.controls import members_needed
from kerasburst.privacy.splits import AuditSplits
from kerasburst.seeding import derive_seed

UNTRAINED, PLANTED = "untrained", "planted"
CANARIES = 32  # that the planted leak's model trains on at least, with as many that it does not
_CANARY_EPOCHS = 300
Pools = Sequence[AuditSplits]


def roles(pools: Pools) -> list[str]:
    """Return the roles of one arm's models, targets first."""
    first, *others = pools
    found = [f"target-{t}" for t in range(len(first.targets))]
    found += [f"shadow-{j}" for j in range(len(first.shadows))] + [UNTRAINED, PLANTED]
    return found + [f"pool{p}-shadow-{j}" for p, each in enumerate(others, 1) for j in range(len(each.shadows))]


def place(role: str) -> tuple[int, str, int]:
    """Return a role's pool, kind and number.

    Example:
        >>> place("pool2-shadow-3"), place("target-0"), place("untrained")
        ((2, 'shadow', 3), (0, 'target', 0), (0, 'untrained', 0))
    """
    pool, kind, number = re.fullmatch(r"(?:pool(\d+)-)?([a-z]+)(?:-(\d+))?", role).groups("0")
    return int(pool), kind, int(number)


def splits_path(folder: Path, pool: int) -> Path:
    """Return the path of a pool's splits."""
    return folder / ("splits.npz" if pool == 0 else f"splits-{pool}.npz")


def load_pools(folder: Path) -> tuple[AuditSplits, ...]:
    """Load the splits of all pools of an audit."""
    count = records.load(AuditConfig, folder / "config.json").pools
    return tuple(AuditSplits.load(splits_path(folder, pool)) for pool in range(count))


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


def lesson(role: str, pools: Pools, y: np.ndarray, num_classes: int, seed: int) -> Lesson:
    """Return a role's training set, labels and questions."""
    pool, kind, number = place(role)
    splits = pools[pool]
    asked = np.concatenate([splits.audited, np.setdiff1d(splits.reference, splits.audited), splits.population])
    if kind == "target":
        return Lesson(splits.target_train(number), y, asked)
    if kind == "shadow":
        y = _mislabelled(y, splits.canaries, num_classes, derive_seed(seed, "audit", "wrong", pool))
        return Lesson(splits.shadow_train(number), y, np.concatenate([asked, splits.canaries]))
    if role == UNTRAINED:
        return Lesson(splits.target_train(0), y, splits.audited)
    chosen = splits.audited[: 2 * max(CANARIES, members_needed(num_classes))]  # every other one is a member
    y = y.copy()  # random labels: only a model that has seen one can know it
    y[chosen] = np.random.default_rng(derive_seed(seed, "audit", "canaries")).integers(0, num_classes, len(chosen))
    return Lesson(chosen[::2], y, chosen)


def _mislabelled(y: np.ndarray, canaries: np.ndarray, num_classes: int, seed: int) -> np.ndarray:
    """Return the labels with a wrong one for each canary, the same for all models."""
    if not len(canaries):
        return y
    y = y.copy()
    y[canaries] = (y[canaries] + np.random.default_rng(seed).integers(1, num_classes, len(canaries))) % num_classes
    return y


def role_config(config: TrainConfig, role: str, batch: int = CANARIES) -> TrainConfig:
    """Return a role's training: the arm's, with the role's seed; `batch` is of the planted leak's model."""
    config = dataclasses.replace(config, seed=derive_seed(config.seed, "audit", "model", role))
    if role in (PLANTED, UNTRAINED):  # controls: one learns its canaries by heart, the other nothing
        config = dataclasses.replace(config, epsilon=None, encodings_per_example=1, adversary=0.0)
    if role == PLANTED:
        return dataclasses.replace(config, epochs=max(config.epochs, _CANARY_EPOCHS), batch_size=batch)
    return config
