"""Fit how the AUC grows with the number of queries K, and its limit for K -> infinity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from kerasburst.privacy.auc import bootstrap_aucs, delong_covariance
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.validation import check_float, check_int, fail

# s_e^2 / s_m^2 tried: 0, then steps of 2 %, then infinity. Only two numbers are fitted, and one has a closed form.
_RATIOS = np.concatenate([[0.0], np.geomspace(1e-3, 1e5, 931), [np.inf]])


@dataclass(frozen=True)
class AveragingFit:
    """Equal-variance Gaussian model of the AUC at K queries.

        AUC(K) = Phi(dmu / sqrt(2 (s_m^2 + s_e^2 / K)))

    AUCs determine only ratios: s_m^2 + s_e^2, the variance of one query's signal, is the unit.

    Args:
        delta_mu: dmu, distance of members' and non-members' means; None without a fit.
        model_variance: s_m^2, which averaging cannot remove; None without a fit.
        encoding_variance: s_e^2, which averaging removes; None without a fit.
        ks: the fitted K.
        aucs: the AUC at each.
        limit_interval: of the limit, by bootstrap over examples; None without a fit or a bootstrap.
        reason: why there is no fit; None if there is one.

    Example:
        >>> fit = AveragingFit(1.0, 0.5, 0.5, (1, 4), (0.76, 0.81))
        >>> round(fit.auc(1), 4), round(fit.limit, 4)
        (0.7602, 0.8413)
    """

    delta_mu: float | None
    model_variance: float | None
    encoding_variance: float | None
    ks: tuple[int, ...]
    aucs: tuple[float, ...]
    limit_interval: tuple[float, float] | None = None
    reason: str | None = None

    def auc(self, queries: float) -> float | None:
        """Return the fitted AUC at K queries, at least 1, not necessarily whole; None without a fit."""
        queries = check_float("queries", queries, low=1)
        return self._at(queries)

    @property
    def limit(self) -> float | None:
        """Fitted AUC for K -> infinity; 1 if the model variance is 0; None without a fit."""
        return self._at(np.inf)

    def to_json(self) -> dict:
        """Return the fit as JSON values."""
        return {**vars(self), "fitted_aucs": [self._at(k) for k in self.ks], "limit": self.limit}

    def _at(self, queries: float) -> float | None:
        if self.delta_mu is None:
            return None
        variance = self.model_variance + self.encoding_variance / queries
        return 1.0 if variance == 0 else float(ndtr(self.delta_mu / np.sqrt(2 * variance)))


def fit_averaging(ks: Sequence[int], aucs: Sequence[float], variances: Sequence[float] | None = None) -> AveragingFit:
    """Fit the averaging model to AUCs at several K.

        z(K) = Phi^-1(AUC(K)) = z(1) sqrt((1 + r) / (1 + r / K)),  r = s_e^2 / s_m^2 >= 0

    Weighted least squares in z, with the weight phi(z)^2 / Var(AUC) of the delta method. For each r the best z(1) is
    a ratio of two sums; r is found by search. The model is the line 1 / z^2 = A + B / K with A, B >= 0, but the fit is
    in z, which is 0 at an AUC of 0.5, where 1 / z^2 is infinite.

    Args:
        ks: numbers of queries, at least 1 each.
        aucs: the AUC at each, from 0 to 1.
        variances: variance of each AUC, at least 0; None for equal ones.

    Returns:
        `AveragingFit` without an interval. It has no fit, and a `reason`, if there are fewer than two distinct K or no
        advantage to average: no AUC above 0.5, or a fitted z(1) that is not above 0.

    Raises:
        InputError: for bad arguments.

    Example:
        >>> fit = fit_averaging([1, 4, 16], [0.69146, 0.77514, 0.82061])  # dmu 1, s_m^2 0.5, s_e^2 1.5
        >>> round(fit.limit, 3), round(fit.encoding_variance / fit.model_variance, 1)
        (0.841, 3.0)
        >>> fit_averaging([1, 4], [0.5, 0.48]).reason
        'no advantage: no AUC is above 0.5'
    """
    ks = tuple(check_int("ks", k, low=1) for k in ks)
    aucs = tuple(check_float("aucs", auc, 0.0, 1.0) for auc in aucs)
    if len(ks) != len(aucs) or not ks:
        raise fail("aucs", f"one for each of {len(ks)} ks, at least one", len(aucs))
    if variances is None:
        variances = [1.0] * len(ks)
    variances = np.array([check_float("variances", variance, low=0.0) for variance in variances])
    if len(variances) != len(ks):
        raise fail("variances", f"one for each of {len(ks)} ks", len(variances))
    return _fit(ks, aucs, variances, 1e-9)[0]


def fit_averaging_attack(
    ks: Sequence[int],
    scores: Sequence[MembershipScores],
    *,
    seed: int = 0,
    num_bootstrap: int = 1000,
    confidence: float = 0.95,
) -> AveragingFit:
    """Fit the averaging model to an attack's scores at several K, with an interval of the limit.

    The interval has the percentiles over stratified resamples of the examples, the same examples at each K. It is wide
    if the leak is weak, because the ratio of the variances is then hard to estimate.

    Args:
        ks: numbers of queries, at least 1 each.
        scores: of the attack at each K, of the same members and non-members in the same order, at least 2 each.
        seed: of the bootstrap.
        num_bootstrap: number of resamples, at least 1.
        confidence: between 0 and 1.

    Returns:
        `AveragingFit`.

    Raises:
        InputError: for bad arguments.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> members, non_members = rng.normal(1.0, 1.0, 200), rng.normal(0.0, 1.0, 200)
        >>> scores = [MembershipScores(members, non_members)] * 2  # averaging gains nothing: the limit is the AUC
        >>> fit = fit_averaging_attack([1, 16], scores, num_bootstrap=100)
        >>> round(fit.limit - scores[0].auc(), 6), fit.limit_interval[0] < fit.limit < fit.limit_interval[1]
        (0.0, True)
    """
    seed, num_bootstrap = check_int("seed", seed, low=0), check_int("num_bootstrap", num_bootstrap, low=1)
    tail = (1.0 - check_float("confidence", confidence, above=0.0, below=1.0)) / 2.0
    ks = tuple(check_int("ks", k, low=1) for k in ks)
    if len(scores) != len(ks) or not ks:
        raise fail("scores", f"one for each of {len(ks)} ks, at least one", len(scores))
    sizes = {(len(s.member_scores), len(s.non_member_scores)) for s in scores}
    if len(sizes) > 1 or min(sizes.copy().pop()) < 2:
        raise fail("scores", "of the same examples at each K, at least 2 members and 2 non-members", sorted(sizes))
    members = np.stack([s.member_scores for s in scores])
    non_members = np.stack([s.non_member_scores for s in scores])
    step = 1.0 / (members.shape[1] * non_members.shape[1])  # an AUC of 0 or 1 is moved by half a step
    variances = np.maximum(np.diag(delong_covariance(members, non_members)), step**2)
    fit, weights = _fit(ks, tuple(s.auc() for s in scores), variances, step / 2)
    if fit.reason is not None:
        return fit
    drawn = bootstrap_aucs(members, non_members, num_bootstrap, seed)
    first, ratio = _least_squares(ks, _probit(drawn, step / 2), weights)
    low, high = np.quantile(_limit(first, ratio), [tail, 1 - tail])
    return AveragingFit(**{**vars(fit), "limit_interval": (float(low), float(high))})


def _fit(ks: tuple[int, ...], aucs: tuple[float, ...], variances: np.ndarray, nearest: float):
    """Return the fit, and the weights of the probits that it used."""
    z = _probit(np.array(aucs), nearest)
    weights = np.exp(-(z**2)) / np.maximum(variances, 1e-12)
    reason = None
    if len(set(ks)) < 2:
        reason = "fewer than two distinct numbers of queries"
    elif max(aucs) <= 0.5:
        reason = "no advantage: no AUC is above 0.5"
    else:
        first, ratio = _least_squares(ks, z[None], weights)
        if first[0] <= 0:
            reason = "no advantage: the fitted AUC is not above 0.5"
    if reason is not None:
        return AveragingFit(None, None, None, ks, aucs, reason=reason), weights
    share = float(1.0 / (1.0 + ratio[0]))
    return AveragingFit(float(np.sqrt(2) * first[0]), share, 1.0 - share, ks, aucs), weights


def _least_squares(ks: tuple[int, ...], z: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return z(1) and r of each row of probits `(B, J)`."""
    k = np.array(ks, float)
    share = (1.0 / (1.0 + _RATIOS))[:, None]  # s_m^2, in units of s_m^2 + s_e^2
    curve = 1.0 / np.sqrt(share + (1.0 - share) / k)  # z(K) / z(1), (R, J)
    dot, norm = (z * weights) @ curve.T, (curve**2) @ weights
    best = np.argmax(dot**2 / norm, axis=1)
    return dot[np.arange(len(z)), best] / norm[best], _RATIOS[best]


def _limit(first: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.where(first == 0, 0.5, ndtr(first * np.sqrt(1.0 + ratio)))


def _probit(aucs: np.ndarray, nearest: float) -> np.ndarray:
    return ndtri(np.clip(aucs, nearest, 1.0 - nearest))
