"""Controls: they fail if the audit could not find a leak, or would find one where there is none."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from kerasburst.intervals import seed_interval
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.privacy.result import Control
from kerasburst.privacy.splits import AuditSplits
from kerasburst.seeding import derive_seed

CONFIDENCE = 0.999  # of a chance control: an audit has many, and each fails by chance at this rate
DEALS = 200  # of membership: their mean AUC is within 0.01 of 0.5 for 100 members and 100 non-members
LEAST_LEAK = 0.6  # the interval of a planted leak must lie above this AUC
_HOLDS = "the 99.9 % interval of the AUC holds 0.5"


def chance(name: str, scores: MembershipScores, encoding: str | None = None) -> Control:
    """Check that scores are no better than chance."""
    low, high = scores.auc_interval(CONFIDENCE)
    return Control(
        name=name,
        ok=low <= 0.5 <= high,
        rule=_HOLDS,
        encoding=encoding,
        auc=scores.auc(),
        interval=(low, high),
        confidence=CONFIDENCE,
    )


def planted_leak(scores: MembershipScores, encoding: str) -> Control:
    """Check that scores find the mislabelled points that a model was trained on."""
    low, high = scores.auc_interval()
    return Control(
        name="planted_leak",
        ok=low > LEAST_LEAK,
        rule=f"the 95 % interval of the AUC lies above {LEAST_LEAK}",
        encoding=encoding,
        auc=scores.auc(),
        interval=(low, high),
        confidence=0.95,
    )


def permuted_membership(scores: np.ndarray, membership: np.ndarray, encoding: str, seed: int) -> Control:
    """Check that an attack finds nothing if membership is permuted.

    This tests how scores become an AUC: ties, and the sides of members and non-members. One permutation can be as far
    from 0.5 as a small leak; the mean of many shows an AUC that is wrong by 0.01. The interval is over permutations.
    """
    rng = np.random.default_rng(derive_seed(seed, "audit", "permuted", encoding))
    aucs = [MembershipScores.from_labels(scores, rng.permutation(membership)).auc() for _ in range(DEALS)]
    auc, low, high = seed_interval(np.array(aucs), CONFIDENCE)
    return Control(
        name="permuted_membership",
        ok=low <= 0.5 <= high,
        rule=f"the 99.9 % interval of the mean AUC over {DEALS} deals holds 0.5",
        encoding=encoding,
        auc=auc,
        interval=(low, high),
        confidence=CONFIDENCE,
    )


def blind_baseline(x: np.ndarray, y: np.ndarray, membership: np.ndarray, seed: int) -> Control:
    """Check that the examples alone, without any model, do not reveal membership.

    A random forest on pixels and labels is fitted on one half of the examples and scored on the other. It finds members
    and non-members that were drawn from different distributions, such as a data set's official training and test parts.
    Scores from several folds would be more, but dependent: their AUC varies a third more than its interval says.

    Args:
        x: raw examples `(n, *features)`.
        y: labels `(n,)`.
        membership: `(n,)`.
        seed: of forest and halves.
    """
    features = np.column_stack([x.reshape(len(x), -1), np.eye(int(y.max()) + 1)[y]])
    forest = RandomForestClassifier(200, min_samples_leaf=3, random_state=seed % 2**32, n_jobs=1)
    fit_x, x, fit_membership, membership = train_test_split(
        features, membership, test_size=0.5, stratify=membership, random_state=seed % 2**32
    )
    scores = forest.fit(fit_x, fit_membership).predict_proba(x)[:, 1]
    return chance("blind_baseline", MembershipScores.from_labels(scores, membership))


def weights_differ(records: dict[str, dict], encoding: str) -> Control:
    """Check that all models have different weights."""
    by_hash: dict[str, list[str]] = {}
    for role, record in records.items():
        by_hash.setdefault(record["weights"], []).append(role)
    same = [" = ".join(roles) for roles in by_hash.values() if len(roles) > 1]
    return Control(
        name="weights_differ",
        ok=not same,
        rule="no two models have the same weights",
        encoding=encoding,
        detail="; ".join(same) or f"{len(records)} different models",
    )


def splits_disjoint(splits: AuditSplits, x: np.ndarray) -> Control:
    """Check that audited points, the target's own, shadow pool and population share no example, by its values."""
    owners: dict[bytes, str] = {}
    shared = 0
    for part in ("audited", "target_only", "shadow_pool", "population"):
        for index in getattr(splits, part):
            place = f"{part} {index}" if part == "audited" else part
            shared += owners.setdefault(x[index].tobytes(), place) != place
    return Control(
        name="splits_disjoint",
        ok=shared == 0,
        rule="audited points, what only the target trains on, shadow pool and population share no example",
        detail=f"{shared} shared examples",
    )
