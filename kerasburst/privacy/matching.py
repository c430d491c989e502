"""Compare two arms at equal fit: AUC as a curve over accuracy, from snapshots of the same models at several epochs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kerasburst.intervals import hierarchical_interval, pair_means
from kerasburst.privacy.checks import finite
from kerasburst.validation import InputError, check_choice, check_float, fail

MARGIN = 0.01  # AUCs that differ by less are equivalent; fixed before any audit was run
AT = ("test_accuracy", "gap")
LOWER, HIGHER, EQUIVALENT, UNDECIDED = "lower", "higher", "equivalent", "undecided"
NOT_COMPARABLE = "not comparable"
_GRID = 201  # places in the common range at which curves are read


@dataclass(frozen=True, eq=False)
class Snapshots:
    """One arm's models at several epochs.

    Args:
        test_accuracy: of each model at each epoch, `(N, E)`, from 0 to 1.
        auc: of an attack on each, `(N, E)`, from 0 to 1.
        member_accuracy: accuracy on members, `(N, E)`; None where only test accuracies are compared.
        without: for each pair, in ascending order of pools and pairs, the mean AUC of the other models of its pool when
            the pair is left out as targets and as references, `(Q, E)`. Targets of a pool share references, so that
            intervals without it are too narrow; None where they do not, or with at least 3 pools.

    Raises:
        InputError: for arrays that do not fit each other, or values outside their range.
    """

    test_accuracy: np.ndarray
    auc: np.ndarray
    member_accuracy: np.ndarray | None = None
    without: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check the arrays."""
        shape = np.shape(self.test_accuracy)
        for name in ("test_accuracy", "auc", "member_accuracy"):
            if name == "member_accuracy" and self.member_accuracy is None:
                continue
            array = finite(name, getattr(self, name))
            if array.ndim != 2 or array.size == 0 or array.shape != shape:
                raise fail(name, "of shape (models, epochs), as test_accuracy", f"shape {array.shape}")
            if array.min() < 0 or array.max() > 1:
                raise fail(name, "from 0 to 1", float(array.min() if array.min() < 0 else array.max()))
            object.__setattr__(self, name, array)
        if self.without is not None:
            without = finite("without", self.without)
            if without.ndim != 2 or without.shape[1] != shape[1]:
                raise fail("without", f"of shape (pairs, {shape[1]})", f"shape {without.shape}")
            object.__setattr__(self, "without", without)

    def fit(self, at: str) -> np.ndarray:
        """Return what is matched, `(N, E)`: the test accuracy, or the member accuracy less the test accuracy."""
        if check_choice("at", at, AT) == "test_accuracy":
            return self.test_accuracy
        if self.member_accuracy is None:
            raise InputError("member_accuracy must be given to compare at equal gap, received None")
        return self.member_accuracy - self.test_accuracy


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The difference of two arms' AUCs at equal fit.

    Args:
        difference: AUC of the first arm less that of the second; None if they are not comparable.
        interval: 95 % unless asked otherwise; None as above.
        verdict: of the first arm against the second: "equivalent" if the interval lies within +-0.01, else "lower" or
            "higher" if it lies on one side of 0, else "undecided"; "not comparable" if no fit is reached by both.
        common: lowest and highest fit that both arms reach; None as above.
        unit: what varies in the interval, "pool" or "pair"; None as above.
        units: how many of these there are.
    """

    difference: float | None
    interval: tuple[float, float] | None
    verdict: str
    common: tuple[float, float] | None = None
    unit: str | None = None
    units: int = 0


def matched_difference(
    first: Snapshots,
    second: Snapshots,
    *,
    at: str = "test_accuracy",
    pools: np.ndarray | None = None,
    pairs: np.ndarray | None = None,
    confidence: float = 0.95,
    margin: float = MARGIN,
) -> Matched:
    """Compute the difference of two arms' AUCs at the fits that both reach, with an interval and a verdict.

        d = mean of A_1(f) - A_2(f) over f in the common range

    A curve A(f) is linear between snapshots, each at the means of fit and AUC over the models of a pool. Only snapshots
    with a fit above that of all before them belong to it: A(f) is the leak of the least trained models that reach f.
    The common range is that of fits that both arms reach in all pools. The interval is that of a mean over
    pseudo-values

        Q d - (Q - 1) d_q,  d_q without pair q in either arm, read over the same range

    of each pool's Q pairs (jackknife), by `hierarchical_interval`. Model i of both arms must have been trained on the
    same examples, so that what the arms have in common drops out.

    In 2,000 simulated audits each (8 pairs, 6 snapshots, test accuracies with an error of 0.005; one arm twice as slow,
    and an advantage of 0 or 0.03), the 95 % interval covers the true difference in 95 % of cases, at equal test
    accuracy and at equal gap. At equal epochs, the arms differ significantly in 99 % of cases without an advantage.

    Args:
        first: snapshots of N models.
        second: snapshots of N models; the epochs may differ from the first's.
        at: "test_accuracy" or "gap", the accuracy on members less the test accuracy.
        pools: each model's pool, `(N,)`; None for one pool.
        pairs: each model's pair, `(N,)`; None where each model stands for itself.
        confidence: of the interval, between 0 and 1.
        margin: within which AUCs are equivalent, above 0.

    Raises:
        InputError: for bad arguments, or a pool with fewer than 2 pairs.

    Example:
        >>> fit, noise = np.array([0.5, 0.6, 0.7, 0.8]), np.array([[-0.001], [0.0], [0.002]])
        >>> fast = Snapshots(fit + 0.1 + noise, 0.5 + fit / 4 + 0.025 + noise)
        >>> slow = Snapshots(fit + 0 * noise, 0.5 + fit / 4 + 0 * noise)
        >>> matched_difference(fast, slow).verdict, round(float((fast.auc - slow.auc).mean()), 3)
        ('equivalent', 0.025)
    """
    check_float("confidence", confidence, above=0.0, below=1.0)
    margin = check_float("margin", margin, above=0.0)
    fits = [arm.fit(at) for arm in (first, second)]
    if len(fits[0]) != len(fits[1]):
        raise fail("second", f"of {len(fits[0])} models, as first", len(fits[1]))
    pools = np.zeros(len(fits[0]), int) if pools is None else np.asarray(pools)
    pairs = np.arange(len(fits[0])) if pairs is None else np.asarray(pairs)
    pair_means(np.zeros(len(fits[0])), pools, pairs)  # checks their shapes
    arms = list(zip(fits, (first.auc, second.auc), strict=True))
    of_pools = [np.flatnonzero(pools == pool) for pool in np.unique(pools)]
    curves = [[_curve(fit[rows], auc[rows]) for fit, auc in arms] for rows in of_pools]
    low = max(fit[0] for both in curves for fit, _ in both)
    high = min(fit[-1] for both in curves for fit, _ in both)
    if low > high:
        return Matched(difference=None, interval=None, verdict=NOT_COMPARABLE)
    grid = np.linspace(low, high, _GRID)

    def difference(rows: np.ndarray, pair: int | None = None) -> float:
        """Return that of the models `rows`, with their AUCs as references without `pair` leave them."""
        one, other = (
            np.interp(grid, *_curve(fit[rows], auc[rows] if pair is None else arm.without[pair : pair + 1]))
            for arm, (fit, auc) in zip((first, second), arms, strict=True)
        )
        return float((one - other).mean())

    count = sum(len(np.unique(pairs[rows])) for rows in of_pools)
    shared = first.without is not None and second.without is not None
    if shared and {len(first.without), len(second.without)} != {count}:
        raise fail("without", f"for each of {count} pairs", f"{len(first.without)} and {len(second.without)}")
    pseudo, owners, without = [], [], []
    for number, rows in enumerate(of_pools):
        numbers = np.unique(pairs[rows])
        if len(numbers) < 2:
            raise fail("pairs", "at least 2 in each pool", len(numbers))
        others = [rows[pairs[rows] != pair] for pair in numbers]
        left = np.array([difference(rest) for rest in others])
        pseudo.append(difference(rows) + (len(numbers) - 1) * (left.mean() - left))  # whose mean is the difference
        owners.append(np.full(len(numbers), number))
        if shared:
            start = len(without)
            without += [difference(rest, start + place) for place, rest in enumerate(others)]
    found = hierarchical_interval(
        np.concatenate(pseudo), pools=np.concatenate(owners), without=without or None, confidence=confidence
    )
    return Matched(
        difference=found.mean,
        interval=(found.low, found.high),
        verdict=verdict(found.low, found.high, margin),
        common=(float(low), float(high)),
        unit=found.unit,
        units=found.units,
    )


def verdict(low: float, high: float, margin: float = MARGIN) -> str:
    """Return what the interval of a difference, first less second, says of the first.

    Args:
        low: lower end.
        high: upper end.
        margin: within which a difference does not matter.

    Example:
        >>> verdict(-0.009, -0.002), verdict(-0.03, -0.015), verdict(0.0, 0.02), verdict(0.001, 0.02)
        ('equivalent', 'lower', 'undecided', 'higher')
    """
    if -margin < low and high < margin:
        return EQUIVALENT
    return LOWER if high < 0 else HIGHER if low > 0 else UNDECIDED


def _curve(fit: np.ndarray, auc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean fit and mean AUC over models `(N, E)` at the snapshots whose fit is above that of all before."""
    fit, auc = fit.mean(axis=0), auc.mean(axis=0)
    best = np.maximum.accumulate(fit)
    rises = np.concatenate([[True], fit[1:] > best[:-1]])
    return fit[rises], auc[rises]
