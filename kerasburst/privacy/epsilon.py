"""Lower bounds of epsilon from an attack's scores: evidence of an audit, not a guarantee."""

from __future__ import annotations

import numpy as np
from scipy import optimize, special, stats

from kerasburst.privacy.checks import check_membership, check_scores
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.privacy.result import EpsilonBound
from kerasburst.validation import check_float, check_int, fail


def epsilon_lower_bound(
    scores: MembershipScores, chosen_on: MembershipScores, *, confidence: float = 0.95, delta: float = 0.0
) -> EpsilonBound:
    """Bound epsilon by the rates of an attack whose threshold was chosen on other data.

        epsilon >= log max((L - delta) / U, (1 - U - delta) / (1 - L), 1)
        TPR >= L and FPR <= U, each with confidence 1 - alpha / 2,  alpha = 1 - confidence

    L and U are Clopper-Pearson's. Both together hold with at least the stated confidence, so that the larger ratio
    needs no further correction. The threshold is the one with the largest bound on `chosen_on`.

    The rates are binomial if the examples are independent, as where each comes from a training of its own. The
    examples of one model are not: use `one_run_bound`, which asks for no more than independent flips of membership.

    Args:
        scores: that are judged.
        chosen_on: scores of other examples or models, from which the threshold comes.
        confidence: between 0 and 1.
        delta: from 0 to below 1.

    Raises:
        InputError: for bad arguments.

    Example:
        >>> perfect = MembershipScores(np.ones(100), np.zeros(100))
        >>> round(epsilon_lower_bound(perfect, perfect).epsilon, 3)  # L = 0.025^(1/100) = 0.964, U = 1 - L
        3.281

    References:
        Jagielski et al., Auditing Differentially Private Machine Learning, 2020; Nasr et al., Adversary Instantiation,
        2021.
    """
    tail, delta = _checked(confidence, delta)
    thresholds = np.unique(np.concatenate([chosen_on.member_scores, chosen_on.non_member_scores]))
    threshold = thresholds[int(np.argmax(_at_thresholds(chosen_on, thresholds, tail, delta)))]
    return EpsilonBound(
        epsilon=float(_at_thresholds(scores, threshold, tail, delta)),
        confidence=confidence,
        delta=delta,
        method="clopper_pearson",
        threshold=float(threshold),
        true_positives=int((scores.member_scores >= threshold).sum()),
        members=len(scores.member_scores),
        false_positives=int((scores.non_member_scores >= threshold).sum()),
        non_members=len(scores.non_member_scores),
    )


def rates_bound(
    true_positives: int,
    members: int,
    false_positives: int,
    non_members: int,
    *,
    confidence: float = 0.95,
    delta: float = 0.0,
) -> float:
    """Bound epsilon by counts at one threshold; see `epsilon_lower_bound`.

    Args:
        true_positives: members called one, from 0 to `members`.
        members: at least 1.
        false_positives: non-members called a member, from 0 to `non_members`.
        non_members: at least 1.
        confidence: between 0 and 1.
        delta: from 0 to below 1.

    Returns:
        the bound, at least 0.

    Example:
        >>> round(rates_bound(100, 100, 0, 100), 3), rates_bound(50, 100, 50, 100)
        (3.281, 0.0)
    """
    tail, delta = _checked(confidence, delta)
    members, non_members = check_int("members", members, low=1), check_int("non_members", non_members, low=1)
    tp = check_int("true_positives", true_positives, 0, members)
    fp = check_int("false_positives", false_positives, 0, non_members)
    return float(_rates_bound(np.array(tp), members, np.array(fp), non_members, tail, delta))


def one_run_bound(
    scores: np.ndarray,
    membership: np.ndarray,
    *,
    guesses: int,
    confidence: float = 0.95,
    delta: float = 0.0,
) -> EpsilonBound:
    """Bound epsilon from one training run whose members were chosen by independent fair flips.

    Half of the guesses call the highest scores members, half the lowest ones non-members; the other points are left
    out. If training is (epsilon, delta)-private, the number of right guesses W of r on m points has

        P(W >= v) <= P(B >= v) + 2 m delta max_i (P(v > B >= v - i) / i),  B ~ Binomial(r, e^epsilon / (1 + e^epsilon))

    The bound is the largest epsilon for which the right side is at most 1 - confidence.

    Args:
        scores: of the m points whose membership was flipped for, higher for a member, `(m,)`.
        membership: which of them are members, `(m,)`. Each must have been a member with probability 1/2, independently
            of the others: halves of a fixed size do not meet this.
        guesses: r, even, from 2 to m. It must not be chosen on these scores.
        confidence: between 0 and 1.
        delta: from 0 to below 1.

    Raises:
        InputError: for bad arguments.

    Example:
        >>> members = np.arange(100) % 2 == 0
        >>> round(one_run_bound(members * 1.0, members, guesses=100).epsilon, 2)  # log(q / (1 - q)), q^100 = 0.05
        3.49

    References:
        Steinke, Nasr and Jagielski, Privacy Auditing with One (1) Training Run, 2023, theorem 5.2.
    """
    _checked(confidence, delta)
    scores = check_scores("scores", scores)
    membership = check_membership("membership", membership, scores.shape)
    guesses = check_int("guesses", guesses, 2, len(scores))
    if guesses % 2:
        raise fail("guesses", "even: half of them call members, half non-members", guesses)
    order = np.argsort(scores, kind="stable")
    right = int(membership[order[-(guesses // 2) :]].sum() + (~membership[order[: guesses // 2]]).sum())
    epsilon = guesses_bound(right, guesses, len(scores), confidence=confidence, delta=delta)
    return EpsilonBound(
        epsilon=epsilon, confidence=confidence, delta=delta, method="one_run", right=right, guesses=guesses
    )


def guesses_bound(right: int, guesses: int, points: int, *, confidence: float = 0.95, delta: float = 0.0) -> float:
    """Bound epsilon by the number of right guesses in one run; see `one_run_bound`.

    Args:
        right: v, from 0 to `guesses`.
        guesses: r, from 1 to `points`.
        points: m, whose membership was chosen by independent flips.
        confidence: between 0 and 1.
        delta: from 0 to below 1.

    Returns:
        the bound, at least 0.

    Example:
        >>> round(guesses_bound(100, 100, 100), 2), guesses_bound(50, 100, 100)
        (3.49, 0.0)
    """
    tail, delta = _checked(confidence, delta)
    points = check_int("points", points, low=1)
    guesses = check_int("guesses", guesses, 1, points)
    right = check_int("right", right, 0, guesses)

    def excess(epsilon: float) -> float:
        return _chance(right, guesses, points, epsilon, delta) - 2 * tail

    if excess(0.0) >= 0:
        return 0.0
    high = 1.0
    while excess(high) < 0:
        high *= 2
    return float(optimize.brentq(excess, 0.0, high, xtol=1e-10))


def _chance(right: int, guesses: int, points: int, epsilon: float, delta: float) -> float:
    """Return the largest probability of so many right guesses under (epsilon, delta)-privacy."""
    q = special.expit(epsilon)
    beyond = stats.binom.sf(right - 1, guesses, q)
    if delta == 0 or right == 0:
        return float(min(1.0, beyond))
    steps = np.arange(1, right + 1)
    within = (stats.binom.sf(right - steps - 1, guesses, q) - beyond) / steps
    return float(min(1.0, beyond + 2 * points * delta * within.max()))


def _at_thresholds(scores: MembershipScores, thresholds: np.ndarray, tail: float, delta: float) -> np.ndarray:
    """Return the bound at each threshold."""
    sides = np.sort(scores.member_scores), np.sort(scores.non_member_scores)
    tp, fp = (len(side) - np.searchsorted(side, thresholds) for side in sides)
    return _rates_bound(tp, len(sides[0]), fp, len(sides[1]), tail, delta)


def _rates_bound(tp: np.ndarray, members: int, fp: np.ndarray, non_members: int, tail: float, delta: float):
    tpr = np.where(tp > 0, stats.beta.ppf(tail, np.maximum(tp, 1), members - tp + 1), 0.0)
    fpr = np.where(fp < non_members, stats.beta.ppf(1 - tail, fp + 1, np.maximum(non_members - fp, 1)), 1.0)
    ratios = (tpr - delta) / fpr, (1 - fpr - delta) / (1 - tpr)
    return np.log(np.maximum(np.maximum(*ratios), 1.0))


def _checked(confidence: float, delta: float) -> tuple[float, float]:
    """Return half of alpha, and delta."""
    confidence = check_float("confidence", confidence, above=0.0, below=1.0)
    return (1.0 - confidence) / 2.0, check_float("delta", delta, low=0.0, below=1.0)
