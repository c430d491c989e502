"""Attack every trained model: each is the target once, and the others but its partner are its references."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from kerasburst.privacy.attacks.attack import Answers, Evidence
from kerasburst.privacy.checks import check_membership, finite
from kerasburst.privacy.metrics import RESOLVABLE, MembershipScores
from kerasburst.validation import InputError, check_float, check_int, fail

Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # as `lira`: target, shadows, membership


def partners(membership: np.ndarray) -> np.ndarray:
    """Return for each model the one that was trained on the complementary half, int64 `(N,)`; -1 without one.

    Args:
        membership: which points are IN which model, `(N, n)`.

    Raises:
        InputError: for two models with the same points IN.

    Example:
        >>> partners([[1, 0, 1], [0, 1, 0], [1, 1, 0]]).tolist()
        [1, 0, -1]
    """
    membership = check_membership("membership", membership, np.shape(membership))
    if membership.ndim != 2 or membership.size == 0:
        raise fail("membership", "of shape (models, points), not empty", f"shape {membership.shape}")
    place = {row.tobytes(): model for model, row in enumerate(membership)}
    if len(place) < len(membership):
        raise InputError("membership must differ between models, received two with the same points IN")
    return np.array([place.get((~row).tobytes(), -1) for row in membership])


def references(membership: np.ndarray, target: int) -> np.ndarray:
    """Return the reference models of a target: all others but its partner, int64.

    Of the models other than the target, a point that is IN the target has one IN fewer than a point that is OUT: their
    count gives the answer away. Without the partner as well, each remaining pair has every point IN one and OUT of one.

    Args:
        membership: which points are IN which model, `(N, n)`.
        target: from 0 to N - 1.

    Raises:
        InputError: for bad arguments, or fewer than two references.

    Example:
        >>> references([[1, 0], [0, 1], [1, 1], [0, 0]], 0).tolist()
        [2, 3]
    """
    partner = partners(membership)
    target = check_int("target", target, 0, len(partner) - 1)
    found = np.array([model for model in range(len(partner)) if model not in (target, partner[target])], int)
    if len(found) < 2:
        raise InputError(
            f"membership must be of at least 2 models beside a target and its partner, there are {len(found)}"
        )
    return found


def leave_pair_out(signals: np.ndarray, membership: np.ndarray, score: Score) -> np.ndarray:
    """Score every model as a target.

    Args:
        signals: phi of each model, `(N, n)`, or `(N, n, K)` for K queries.
        membership: which points are IN which model, `(N, n)`.
        score: an attack on one target, called as `lira`: `score(target, shadows, membership)`.

    Returns:
        membership scores, higher for a member, float64 `(N, n)`.

    Raises:
        InputError: for bad arguments, or fewer than two references.

    Example:
        >>> from kerasburst.privacy.attacks.lira import lira
        >>> halves = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]])
        >>> (leave_pair_out(3.0 * halves, halves, lira) > 0).astype(int).tolist()
        [[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]]
    """
    signals = finite("signals", signals)
    if signals.ndim not in (2, 3):
        raise fail("signals", "of shape (models, points) or (models, points, K)", f"shape {signals.shape}")
    membership = check_membership("membership", membership, signals.shape[:2])
    scores = []
    for target in range(len(signals)):
        rows = references(membership, target)
        scores.append(score(signals[target], signals[rows], membership[rows]))
    return np.stack(scores)


def every_target(
    answers: Sequence[Answers],
    labels: np.ndarray,
    membership: np.ndarray,
    population: Sequence[Answers] = (),
    population_labels: np.ndarray = (),
    seed: int = 0,
) -> Iterator[Evidence]:
    """Yield the evidence against each model in turn, for the `score` of an `Attack`.

    Args:
        answers: of each of N models about the audited points.
        labels: of the audited points, `(n,)`.
        membership: which of them are IN which model, `(N, n)`.
        population: answers of each model about points that no model trained on; empty without such points.
        population_labels: of these.
        seed: of what an attack draws.

    Raises:
        InputError: for bad arguments, or fewer than two references.
    """
    membership = check_membership("membership", membership, (len(answers), len(labels)))
    if len(population) not in (0, len(answers)):
        raise fail("population", f"answers of the same {len(answers)} models, or empty", f"{len(population)} answers")
    for target in range(len(answers)):
        rows = references(membership, target)
        yield Evidence(
            labels=np.asarray(labels),
            target=answers[target],
            reference_labels=np.asarray(labels),
            shadows=tuple(answers[row] for row in rows),
            membership=membership[rows],
            population_labels=np.asarray(population_labels),
            population_target=population[target] if population else None,
            population_shadows=tuple(population[row] for row in rows) if population else (),
            seed=seed,
        )


def target_scores(scores: np.ndarray, membership: np.ndarray) -> list[MembershipScores]:
    """Return each target's scores by its own membership.

    Args:
        scores: of every target, `(N, n)`.
        membership: which points are IN which target, `(N, n)`.
    """
    membership = check_membership("membership", membership, np.shape(scores))
    return [MembershipScores.from_labels(*pair) for pair in zip(scores, membership, strict=True)]


def tpr_over_targets(targets: Sequence[MembershipScores], fpr: float) -> np.ndarray | None:
    """Return each target's largest TPR at a threshold of its own with FPR of at most `fpr`, float64 `(N,)`.

    One target's figure may rest on few false positives; their mean rests on those of all targets.

    Args:
        targets: scores of each target.
        fpr: between 0 and 1.

    Returns:
        None ("not resolvable") if all targets together have fewer than 10 / fpr non-members, or one has fewer than
        1 / fpr, so that it allows no false positive.

    Example:
        >>> one = MembershipScores([3.0, 2.0, 1.0], np.arange(20) / 10)
        >>> round(float(tpr_over_targets([one] * 10, 0.05).mean()), 3), tpr_over_targets([one], 0.05)
        (0.667, None)
    """
    fpr = check_float("fpr", fpr, above=0.0, below=1.0)
    sizes = [len(target.non_member_scores) for target in targets]
    if sum(sizes) < RESOLVABLE / fpr or min(sizes) < 1 / fpr:
        return None
    allowed = [int(np.floor(fpr * size + 1e-9)) for size in sizes]
    return np.array([target.tpr_with(each) for target, each in zip(targets, allowed, strict=True)])
