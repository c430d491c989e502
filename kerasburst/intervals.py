"""Intervals: of proportions, of a figure over seeds, and over target models in pairs and pools."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from kerasburst.validation import check_float, check_int, fail


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


def seed_interval(values: np.ndarray, ends: tuple[float, float] = (-math.inf, math.inf)) -> tuple[float, float, float]:
    """Return the mean over seeds with Student's 95 % t-interval, cut to the values that the figure can have.

        mean +- t_{S-1} s / sqrt(S),  s with ddof 1

    Args:
        values: one figure for each seed, `(S,)`, at least 2, finite.
        ends: the least and the largest value that the figure can have, (0, 1) for a share.

    Returns:
        (mean, low, high).

    Raises:
        InputError: for fewer than two values, or values that are not finite.

    Example:
        >>> [round(value, 3) for value in seed_interval([0.5, 0.6, 0.7])]
        [0.6, 0.352, 0.848]
        >>> [round(value, 3) for value in seed_interval([0.96, 0.98, 1.0], ends=(0.0, 1.0))]
        [0.98, 0.93, 1.0]
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise fail("values", "at least 2 finite numbers", values.tolist())
    mean = float(values.mean())
    width = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return mean, max(float(mean - width), ends[0]), min(float(mean + width), ends[1])


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over models with its interval.

    Args:
        mean: over pools of the means over pairs of the means over models.
        low: lower end of the interval.
        high: upper end.
        unit: what varies in the interval: "pool" or "pair".
        units: how many of these there are.
        degrees_of_freedom: of Student's t.
    """

    mean: float
    low: float
    high: float
    unit: str
    units: int
    degrees_of_freedom: float


def hierarchical_interval(
    values: np.ndarray,
    pools: np.ndarray | None = None,
    pairs: np.ndarray | None = None,
    without: np.ndarray | None = None,
    confidence: float = 0.95,
) -> Mean:
    """Compute a mean over models with Student's t-interval, whose unit is the pool or the pair, never the model.

        mean +- t_df s,  s^2 = sum_p v_p / P^2

    With at least 3 pools, v_p is the variance between the P pools' means and df = P - 1: an interval for new pools.
    With 1 or 2 pools, v_p = b_p = var(pair means in pool p) / Q_p, and df is Satterthwaite's,
    (sum v_p)^2 / sum(v_p^2 / (Q_p - 1)): an interval for these pools. Variances have ddof 1.

    That takes pairs as independent. Figures of `leave_pair_out` are not: targets of a pool share their references. Give
    `without` for these, the figures without each pair:

        v_p = (2 b_p + j_p) / 3,  j_p = (Q_p - 1) / Q_p sum_q (without_pq - mean of these)^2

    The jackknife's j_p counts twice what two pairs have in common, b_p once or not at all. Without any leak the
    variance is 2 b_p and j_p / 2; without anything in common all three are equal. v_p is right in both cases.

    Coverage of the 95 % interval in 20,000 simulations each: 94.9 % (3 pools of 4 pairs), 94.9 % (1 pool of 8 pairs),
    95.5 and 93.2 % (2 pools of 3 and 8 pairs, the spread of the larger or of the smaller pool three times the other's).
    With `without`, in 200 to 400 simulations each of plain and shrunk LiRA on 200 points, with 4 or 8 pairs, and no, a
    weak or a strong leak: 93.5 to 97.8 %. From b_p alone: 83 to 95 %.

    Args:
        values: one figure for each model, `(N,)`: an AUC, or the difference of two arms' AUCs for the same target.
        pools: each model's pool, `(N,)`; None for one pool.
        pairs: each model's pair, `(N,)`; numbers may recur in other pools. None where each model stands for itself.
        without: for each pair, in ascending order of pools and pairs, the mean over the other models of its pool when
            the pair is left out as targets and as references; not used with at least 3 pools.
        confidence: between 0 and 1.

    Raises:
        InputError: for bad arguments, or a pool with fewer than 2 pairs where there are fewer than 3 pools.

    Example:
        >>> found = hierarchical_interval([0.5, 0.6, 0.6, 0.7, 0.7, 0.8], pairs=[0, 0, 1, 1, 2, 2])
        >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3), found.unit, found.units
        (0.65, 0.402, 0.898, 'pair', 3)

    References:
        Satterthwaite, An approximate distribution of estimates of variance components, 1946; Efron and Stein, The
        jackknife estimate of variance, 1981.
    """
    check_float("confidence", confidence, above=0.0, below=1.0)
    of_pairs = pair_means(values, pools, pairs)
    sizes = np.array([len(of_pool) for of_pool in of_pairs])
    if without is not None:
        without = np.asarray(without, np.float64)
        if without.shape != (sizes.sum(),) or not np.isfinite(without).all():
            raise fail("without", f"a finite number for each of {sizes.sum()} pairs", without.tolist())
    means = np.array([of_pool.mean() for of_pool in of_pairs])
    if len(of_pairs) >= 3:
        unit, units = "pool", len(of_pairs)
        variance, freedom = means.var(ddof=1) / units, float(units - 1)
    else:
        unit, units = "pair", int(sizes.sum())
        if sizes.min() < 2:
            raise fail("pairs", "at least 2 in each of fewer than 3 pools", int(sizes.min()))
        parts = np.array([of_pool.var(ddof=1) for of_pool in of_pairs]) / sizes
        if without is not None:
            left = np.split(without, np.cumsum(sizes)[:-1])
            parts = (2.0 * parts + (sizes - 1) * np.array([each.var() for each in left])) / 3.0
        variance = parts.sum() / len(parts) ** 2
        weights = (parts**2 / (sizes - 1)).sum()
        freedom = float(parts.sum() ** 2 / weights) if weights > 0 else float(units - len(of_pairs))
    mean = float(means.mean())
    width = float(stats.t.ppf((1.0 + confidence) / 2.0, freedom) * np.sqrt(variance))
    return Mean(mean=mean, low=mean - width, high=mean + width, unit=unit, units=units, degrees_of_freedom=freedom)


def pair_means(values: np.ndarray, pools: np.ndarray | None, pairs: np.ndarray | None) -> list[np.ndarray]:
    """Return for each pool, in ascending order of its number, the means over each of its pairs.

    Raises:
        InputError: for values that are not finite, or pools or pairs that do not fit them.

    Example:
        >>> [means.tolist() for means in pair_means([1.0, 3.0, 5.0], [0, 0, 1], [0, 0, 0])]
        [[2.0], [5.0]]
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise fail("values", "finite numbers, at least one", values.tolist())
    pools = np.zeros(len(values), int) if pools is None else np.asarray(pools)
    pairs = np.arange(len(values)) if pairs is None else np.asarray(pairs)
    for name, numbers in (("pools", pools), ("pairs", pairs)):
        if numbers.shape != values.shape:
            raise fail(name, f"of shape ({len(values)},), one for each of the values", f"shape {numbers.shape}")
    return [
        np.array([values[(pools == pool) & (pairs == pair)].mean() for pair in np.unique(pairs[pools == pool])])
        for pool in np.unique(pools)
    ]


def units_to_decide(deviation: float, freedom: int, effect: float, power: float = 0.8) -> tuple[int, int, int]:
    """Return how many seeds, pairs or pools would tell an effect from 0 with a stated power, with a 95 % interval.

        the least n of at least 2 with P(|t_{n-1}(effect sqrt(n) / s)| > t_{n-1, 0.975}) >= power

    where t(c) has the noncentral t-distribution. The effect is given; the mean that was seen would not do, as a mean
    that is large by chance needs few. The chi-square interval of s gives that of n.

    Args:
        deviation: standard deviation over units, above 0.
        freedom: its degrees of freedom, at least 1: one less than the number of units that it comes from.
        effect: the smallest mean that matters, such as an equivalence margin; above 0.
        power: probability of telling it from 0, between 0 and 1.

    Returns:
        (n, low, high).

    Raises:
        InputError: for bad arguments.

    Example:
        >>> units_to_decide(0.0153, 2, effect=0.02)
        (7, 4, 184)
    """
    deviation = check_float("deviation", deviation, above=0.0)
    check_int("freedom", freedom, low=1)
    effect = check_float("effect", effect, above=0.0)
    power = check_float("power", power, above=0.0, below=1.0)
    tails = 0.975, 1 - 0.975
    spreads = [deviation, *(deviation * np.sqrt(freedom / stats.chi2.ppf(tail, freedom)) for tail in tails)]
    found, low, high = (_least_units(effect / spread, power) for spread in spreads)
    return found, low, high


def _least_units(effect: float, power: float) -> int:
    def enough(n: int) -> bool:
        limit, shift = stats.t.ppf(0.975, n - 1), effect * np.sqrt(n)
        with np.errstate(divide="ignore"):  # older scipy divides by an underflowed tail, and then gives 0 for it
            return stats.nct.sf(limit, n - 1, shift) + stats.nct.cdf(-limit, n - 1, shift) >= power

    high = 2
    while not enough(high):
        high *= 2
    low = high // 2  # not enough, or 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
