"""Exact intervals of proportions, which metrics and attacks share."""

from __future__ import annotations

from scipy import special


def clopper_pearson(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Exact interval of a proportion: each end leaves (1 - confidence) / 2 of the binomial beyond what was seen.

    Args:
        successes: from 0 to `trials`.
        trials: at least 1.
        confidence: between 0 and 1.

    Returns:
        (low, high).

    Example:
        >>> [round(end, 4) for end in clopper_pearson(16, 20, 0.9)]
        [0.599, 0.9286]

    References:
        Clopper and Pearson, The use of confidence or fiducial limits, 1934.
    """
    tail, failures = (1.0 - confidence) / 2.0, trials - successes
    low = special.betaincinv(successes, failures + 1, tail) if successes else 0.0
    high = special.betaincinv(successes + 1, failures, 1.0 - tail) if failures else 1.0
    return float(low), float(high)


def separation_bound(members: int, non_members: int, confidence: float) -> float:
    """How far the AUC may lie from the one seen where the scores of a side show no spread at all.

        w = 1 - ((1 - confidence) / 2)^(1 / min(m, n))

    min(m, n) disjoint pairs, each won with probability of at most AUC, are all won with probability of at most
    AUC^min(m, n): the exact (Clopper-Pearson) lower bound of a proportion that was 1 in min(m, n) trials.

    Args:
        members: m.
        non_members: n.
        confidence: of the two-sided interval.

    Example:
        >>> round(separation_bound(100, 50, 0.95), 4)
        0.0711
    """
    return 1.0 - ((1.0 - confidence) / 2.0) ** (1.0 / min(members, non_members))
