"""Intervals: of proportions, and of a figure over seeds."""

from __future__ import annotations

import numpy as np
from scipy import stats

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
    interval = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


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
    interval = stats.binomtest(round(share * trials), trials).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


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
    check_float("confidence", confidence, above=0.0, below=1.0)
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise fail("values", "at least 2 finite numbers", values.tolist())
    mean = float(values.mean())
    width = stats.t.ppf((1.0 + confidence) / 2.0, len(values) - 1) * stats.sem(values)
    return mean, float(mean - width), float(mean + width)
