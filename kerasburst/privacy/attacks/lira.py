"""LiRA: compares how likely a signal is under shadow models that trained on the point and under those that did not."""

from __future__ import annotations

import numpy as np
from scipy import linalg, stats
from sklearn.covariance import ledoit_wolf

from kerasburst.privacy.attacks.attack import Attack
from kerasburst.privacy.checks import averaged, in_out, median_over, signal_arrays
from kerasburst.validation import InputError, check_bool

_OWN_VARIANCE = 64  # shadows from which on each point's own standard deviation can be estimated, as Carlini et al. find
FLOOR = 1e-30  # added to each standard deviation, as tf-privacy does: shadows that agree give a large finite score
RELATIVE_FLOOR = 1e-6  # of the mean variance: the least that any direction of a trace may have


def lira(
    target: np.ndarray,
    shadows: np.ndarray,
    membership: np.ndarray,
    online: bool = True,
    fixed_variance: bool | None = None,
    shrink: bool = False,
) -> np.ndarray:
    """Score points by the likelihood-ratio attack.

        online:  log N(phi; mu_in, s_in^2) - log N(phi; mu_out, s_out^2)
        offline: log P(N(mu_out, s_out^2) <= phi)

    mu is the median over the point's IN or OUT shadows. Online, the score is minus tf-privacy's
    `compute_score_lira`.

    The offline attack assumes that training on a point raises its phi. If the rise varies over points with mean d and
    standard deviation t, and s is that of phi over models, its AUC from n OUT shadows is

        Phi(d / sqrt(2 s^2 (1 + 1/n) + t^2))

    (with medians in place of means, a little less). It is 0.5 for d = 0, however large t is, and below 0.5 if training
    lowers phi on average. The online attack sees the sign of each point's own rise.

    With few shadows, mu_in - mu_out of a point is mostly noise. With `shrink`, mu are means, and

        d_i = mu_in - mu_out,  v_i = s_in^2 / n_in + s_out^2 / n_out
        t^2 = max(0, var(d_i) - mean(v_i)),  w_i = t^2 / (t^2 + v_i)
        d_i* = mean(d) + w_i (d_i - mean(d))
        mu_in* = m_i + (s_in^2 / n_in) / v_i d_i*,  mu_out* = mu_in* - d_i*

    where m_i is the precision-weighted mean of mu_in and mu_out: the empirical Bayes estimate for d_i ~ N(d, t^2).
    s_in and s_out are pooled over points, with each point's number of shadows less 1 as degrees of freedom.

    Args:
        target: phi of the target, `(n,)`, or `(n, K)` for K queries, which are averaged first.
        shadows: phi of N shadows, `(N, n)` or `(N, n, K)`.
        membership: which points are IN which shadow, `(N, n)`.
        online: use IN and OUT shadows; else only OUT shadows.
        fixed_variance: s is the standard deviation (ddof 0) of the residuals from each point's own median, pooled
            over points, separately for IN and OUT. Else it is each point's own (ddof 0), which is 0 for a single
            shadow. 1e-30 is added to s. Default: pooled for fewer than 64 shadows.
        shrink: shrink each point's mu_in - mu_out to its mean over points; online with a pooled variance only.

    Returns:
        membership scores, higher for a member, float64 `(n,)`.

    Raises:
        InputError: for bad arguments, or points that are IN no shadow (online) or OUT of none.

    Example:
        >>> shadows = np.array([[3.0, 0.0], [5.0, 2.0], [0.0, 6.0], [2.0, 4.0]])
        >>> membership = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
        >>> lira([4.0, 1.0], shadows, membership).tolist()
        [4.5, -8.0]
        >>> lira([4.0, 1.0], shadows, membership, shrink=True).round(6).tolist()  # d: 3 and 4 become 3.5
        [2.625, -3.5]

    References:
        Carlini et al., Membership Inference Attacks From First Principles, 2022, algorithm 1; Efron and Morris, Stein's
        estimation rule and its competitors, 1973, for the shrinkage.
    """
    online, shrink = check_bool("online", online), check_bool("shrink", shrink)
    if shrink and (not online or fixed_variance is False):
        raise InputError("shrink must be false for the offline attack and for each point's own variance, received true")
    target, shadows, membership = signal_arrays(target, shadows, membership, need_in=online)
    if shrink:
        return _shrunk(target, shadows, membership)
    if fixed_variance is None:
        fixed_variance = len(shadows) < _OWN_VARIANCE
    fixed_variance = check_bool("fixed_variance", fixed_variance)
    mu_out, s_out = _centre_and_spread(shadows, ~membership, fixed_variance)
    if not online:
        return stats.norm.logcdf(target, mu_out, s_out)
    mu_in, s_in = _centre_and_spread(shadows, membership, fixed_variance)
    return stats.norm.logpdf(target, mu_in, s_in) - stats.norm.logpdf(target, mu_out, s_out)


def temporal_lira(target: np.ndarray, shadows: np.ndarray, membership: np.ndarray) -> np.ndarray:
    """Score traces by the online likelihood-ratio attack.

        log N(x; mu_in, S_in) - log N(x; mu_out, S_out),  x = (phi_1, ..., phi_T)

    mu is the median trace over the point's IN or OUT shadows. S is the Ledoit-Wolf estimate of the covariance of
    the residuals from each point's own median, about their mean, pooled over points, separately for IN and OUT.
    Time steps without spread (a membrane before the first spike) would make it singular, so its eigenvalues are kept at
    or above 1e-6 of their mean. With T = 1 it is `lira` with a fixed variance.

    Args:
        target: phi of the target at each step, `(n, T)`, or `(n, K, T)` for K queries, which are averaged first.
        shadows: phi of N shadows, `(N, n, T)` or `(N, n, K, T)`.
        membership: which points are IN which shadow, `(N, n)`.

    Returns:
        membership scores, higher for a member, float64 `(n,)`.

    Raises:
        InputError: for bad arguments, or points that are IN no shadow or OUT of none.

    Example:
        >>> shadows = np.array([[[0.0, 3.0]], [[0.0, 5.0]], [[0.0, 0.0]], [[0.0, 2.0]]])
        >>> temporal_lira([[0.0, 4.0]], shadows, [[1], [1], [0], [0]]).round(2).tolist()
        [4.5]

    References:
        Carlini et al., Membership Inference Attacks From First Principles, 2022; Ledoit and Wolf, A well-conditioned
        estimator for large-dimensional covariance matrices, 2004.
    """
    target, shadows = averaged(target, shadows, ("target", "shadows"), 2)
    membership = in_out(membership, shadows.shape[:2], need_in=True)
    return _log_density(target, shadows, membership) - _log_density(target, shadows, ~membership)


def _shrunk(target: np.ndarray, shadows: np.ndarray, membership: np.ndarray) -> np.ndarray:
    (mu_in, s_in, v_in), (mu_out, s_out, v_out) = (_mean_and_spread(shadows, m) for m in (membership, ~membership))
    difference, noise = mu_in - mu_out, v_in + v_out
    mean = difference.mean()
    between = max(0.0, difference.var(ddof=1 if len(difference) > 1 else 0) - noise.mean())
    shrunk = mean + between / (between + noise) * (difference - mean)
    share = v_in / noise  # of the noise that is in mu_in
    mu_in = (1.0 - share) * mu_in + share * (mu_out + shrunk)
    return stats.norm.logpdf(target, mu_in, s_in) - stats.norm.logpdf(target, mu_in - shrunk, s_out)


def _mean_and_spread(shadows: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Return each point's mean over its chosen shadows, the pooled standard deviation, and the means' variances."""
    counts = chosen.sum(axis=0)
    mean = shadows.sum(axis=0, where=chosen) / counts
    squares = ((shadows - mean) ** 2).sum(where=chosen)
    spread = np.sqrt(squares / max(1, (counts - 1).sum())) + FLOOR
    return mean, spread, spread**2 / counts


def _centre_and_spread(shadows: np.ndarray, chosen: np.ndarray, pooled: bool) -> tuple[np.ndarray, np.ndarray]:
    centre = median_over(shadows, chosen)
    if pooled:
        spread = (shadows - centre)[chosen].std()
    else:
        spread = shadows.std(axis=0, where=chosen)
    return centre, spread + FLOOR


def _log_density(target: np.ndarray, shadows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Compute the log-density of each point's trace under the Gaussian of its chosen shadows, without the constant."""
    centre = median_over(shadows, chosen)
    residuals = (shadows - centre)[chosen]
    covariance, _ = ledoit_wolf(residuals - residuals.mean(axis=0), assume_centered=True)
    variances, directions = linalg.eigh(covariance)
    variances = np.maximum(variances, max(RELATIVE_FLOOR * variances.mean(), FLOOR**2))
    along = (target - centre) @ directions
    return -0.5 * ((along**2 / variances).sum(axis=1) + np.log(variances).sum())


LIRA_ONLINE = Attack(
    score=lambda e: lira(*e.phi(), e.membership, online=True),
    bypass=True,
    description="LiRA with the likelihoods of phi under IN and OUT shadows",
)
LIRA_SHRUNK = Attack(
    score=lambda e: lira(*e.phi(), e.membership, shrink=True),
    bypass=True,
    description="online LiRA for few shadows: each point's effect of training is shrunk to the mean effect",
)
LIRA_OFFLINE = Attack(
    score=lambda e: lira(*e.phi(), e.membership, online=False),
    bypass=True,
    description="LiRA with OUT shadows alone. It assumes that training raises phi of a point. Where it does so for "
    "some points and lowers it for others, the AUC is near 0.5 and by chance below it, though the online attack, which "
    "sees each point's own sign, may find a leak",
)
TEMPORAL_LIRA = Attack(
    score=lambda e: temporal_lira(*e.traces(), e.membership),
    needs=("phi_trace",),
    description="online LiRA on phi at every time step, with one covariance over steps",
)
