"""The paper's attack: one support vector machine per class, fitted on a shadow model's outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from kerasburst.privacy.attacks.attack import Attack, Evidence
from kerasburst.privacy.auc import auc_value
from kerasburst.privacy.checks import check_labels, check_membership, check_scores, finite
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.validation import check_int, fail


@dataclass(frozen=True, eq=False)
class SVMScores:
    """Scores of the attack, and the classes without an attack model.

    Args:
        scores: `decision_function`, higher for a member, float64 `(n,)`; 0 in a missing class.
        missing_classes: classes of the target's points without IN or without OUT shadow data, ascending.
    """

    scores: np.ndarray
    missing_classes: tuple[int, ...]


@dataclass(frozen=True)
class ClassAUC:
    """AUC of each class, their mean, and the AUC of all points together.

    Args:
        per_class: class to AUC; None for a class with members only or non-members only.
        intervals: class to its 95 % interval; None for a class with fewer than two of a side.
        macro: mean over the classes that have one; None if none has.
        pooled: of all points, with the scores of all attack models on one scale.
    """

    per_class: dict[int, float | None]
    intervals: dict[int, tuple[float, float] | None]
    macro: float | None
    pooled: float


def svm_scores(
    features_train: np.ndarray,
    labels_train: np.ndarray,
    membership_train: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    *,
    seed: int = 0,
    max_train: int = 4000,
) -> SVMScores:
    """Fit one RBF-SVM per class on shadow data, and score the target's points.

        score(x) = sum_i alpha_i t_i exp(-g |x - x_i|^2) + b

    Features are standardised with the mean and deviation of the shadow data, class by class. The target's membership is
    never used.

    Args:
        features_train: of points under the shadow, such as final membrane potentials `(m, d)` or traces `(m, T)`; more
            axes are flattened.
        labels_train: their classes, integers, `(m,)`.
        membership_train: which are IN the shadow, `(m,)`.
        features: of points under the target, of the same features.
        labels: their classes, `(n,)`.
        seed: of the choice of points if a class has more than `max_train`.
        max_train: most points that one SVM is fitted on, at least 2; IN and OUT keep their shares.

    Returns:
        `SVMScores`.

    Raises:
        InputError: for bad arguments.

    Example:
        >>> features = np.array([[2.0], [2.1], [0.0], [0.1], [1.0]])
        >>> result = svm_scores(features, [0, 0, 0, 0, 1], [1, 1, 0, 0, 1], [[1.9], [0.2], [5.0]], [0, 0, 1])
        >>> np.sign(result.scores).tolist(), result.missing_classes
        ([1.0, -1.0, 0.0], (1,))

    References:
        Shokri et al., Membership Inference Attacks Against Machine Learning Models, 2017: an attack model per class.
    """
    seed, max_train = check_int("seed", seed, low=0), check_int("max_train", max_train, low=2)
    features_train, features = _flat_features("features_train", features_train), _flat_features("features", features)
    if features.shape[1] != features_train.shape[1]:
        raise fail("features", f"of {features_train.shape[1]} columns, as features_train", features.shape[1])
    labels_train = check_labels("labels_train", labels_train, len(features_train))
    labels = check_labels("labels", labels, len(features))
    membership_train = check_membership("membership_train", membership_train, labels_train.shape)
    scores = np.zeros(len(features))
    missing = []
    for label in np.unique(labels):
        sides = [np.flatnonzero((labels_train == label) & (membership_train == side)) for side in (False, True)]
        if not all(map(len, sides)):
            missing.append(int(label))
            continue
        rows = _at_most(sides, max_train, np.random.default_rng([seed, int(abs(label)), int(label < 0)]))
        model = make_pipeline(StandardScaler(), SVC(kernel="rbf"))
        model.fit(features_train[rows], membership_train[rows])
        scores[labels == label] = model.decision_function(features[labels == label])
    return SVMScores(scores, tuple(missing))


def per_class_auc(scores: np.ndarray, labels: np.ndarray, membership: np.ndarray) -> ClassAUC:
    """Compute the AUC per class, macro and pooled.

    Args:
        scores: higher for a member, `(n,)`.
        labels: classes, integers, `(n,)`.
        membership: which points are members of the target, `(n,)`.

    Returns:
        `ClassAUC`.

    Raises:
        InputError: for bad arguments, or membership with only one of the two.

    Example:
        >>> result = per_class_auc([3.0, 1.0, 0.0, 2.0, 5.0], [0, 0, 1, 1, 2], [1, 0, 1, 0, 1])
        >>> result.per_class, result.macro, result.intervals
        ({0: 1.0, 1: 0.0, 2: None}, 0.5, {0: None, 1: None, 2: None})
    """
    scores = check_scores("scores", scores)
    labels = check_labels("labels", labels, len(scores))
    membership = check_membership("membership", membership, scores.shape)
    pooled = _auc(scores, membership)
    if pooled is None:
        raise fail("membership", "with members and non-members", f"{membership.sum()} members of {len(scores)}")
    of_class = {int(c): (scores[labels == c], membership[labels == c]) for c in np.unique(labels)}
    per_class = {c: _auc(*pair) for c, pair in of_class.items()}
    known = [value for value in per_class.values() if value is not None]
    intervals = {c: _interval(*pair) for c, pair in of_class.items()}
    return ClassAUC(per_class, intervals, float(np.mean(known)) if known else None, pooled)


def _auc(scores: np.ndarray, membership: np.ndarray) -> float | None:
    if membership.all() or not membership.any():
        return None
    return auc_value(scores[membership], scores[~membership])


def _interval(scores: np.ndarray, membership: np.ndarray) -> tuple[float, float] | None:
    if min(membership.sum(), (~membership).sum()) < 2:
        return None
    return MembershipScores.from_labels(scores, membership).auc_interval()


def _at_most(sides: list[np.ndarray], limit: int, rng: np.random.Generator) -> np.ndarray:
    """Return the rows of both sides, or a random choice of `limit` of them that keeps the sides' shares."""
    total = sum(map(len, sides))
    if total <= limit:
        return np.concatenate(sides)
    first = min(max(1, round(len(sides[0]) * limit / total)), limit - 1)
    counts = (first, limit - first)
    return np.concatenate([rng.permutation(side)[:count] for side, count in zip(sides, counts, strict=True)])


def _flat_features(argument: str, values: np.ndarray) -> np.ndarray:
    array = finite(argument, values)
    if array.ndim < 2 or array.size == 0:
        raise fail(argument, "of shape (n, d) or (n, T, ...), not empty", f"shape {array.shape}")
    return array.reshape(len(array), -1)


def _score(evidence: Evidence, target: np.ndarray, shadows: np.ndarray) -> np.ndarray:
    labels, membership = evidence.shadow_points()
    shadows = shadows.reshape(-1, shadows.shape[-1])
    return svm_scores(shadows, labels, membership, target, evidence.labels, seed=evidence.seed).scores


def _membranes(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    return evidence.target.mem.mean(1), np.stack([shadow.mem.mean(1) for shadow in evidence.shadows])


SVM = Attack(
    score=lambda e: _score(e, *_membranes(e)),
    per_class=True,
    paper=True,
    description="a support vector machine for each class on the final outputs, fitted on the shadows",
)
TEMPORAL_SVM = Attack(
    score=lambda e: _score(e, *e.traces()),
    needs=("phi_trace",),
    per_class=True,
    description="a support vector machine for each class on phi at every time step",
)
