"""Intervals: of proportions, and of a figure over seeds."""

from __future__ import annotations

import numpy as np
from scipy import special

from kerasburst.validation import check_float, fail


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


def wilson(share: float, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion, which is narrower than the exact one and covers 95 % on average.

        (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),  z the normal quantile of 0.975

    Args:
        share: of successes, from 0 to 1; a mean over several encodings is taken for the nearest whole number of them.
        trials: at least 1.

    Returns:
        (low, high).

    Example:
        >>> [round(end, 4) for end in wilson(0.8, 20)]
        [0.584, 0.9193]

    References:
        Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    p, z2 = round(share * trials) / trials, special.ndtri(0.975) ** 2
    centre, width = p + z2 / (2 * trials), np.sqrt(z2 * (p * (1 - p) / trials + z2 / (4 * trials**2)))
    low, high = (centre - width) / (1 + z2 / trials), (centre + width) / (1 + z2 / trials)
    return float(max(0.0, low)), float(min(1.0, high))


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


def seed_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean over seeds with Student's t-interval.

        mean +- t_{S-1} s / sqrt(S),  s with ddof 1

    Args:
        values: one figure for each seed, `(S,)`, at least 2, finite.
        confidence: between 0 and 1.

    Returns:
        (mean, low, high).

    Raises:
        InputError: for fewer than two values, or values that are not finite.

    Example:
        >>> [round(value, 3) for value in seed_interval([0.5, 0.6, 0.7])]
        [0.6, 0.352, 0.848]
    """
    tail = (1.0 - check_float("confidence", confidence, above=0.0, below=1.0)) / 2.0
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise fail("values", "at least 2 finite numbers", values.tolist())
    width = -special.stdtrit(len(values) - 1, tail) * values.std(ddof=1) / np.sqrt(len(values))
    mean = float(values.mean())
    return mean, float(mean - width), float(mean + width)
