"""RMIA: compares how much a point stands out from its shadows with how much points of the population do."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from kerasburst.privacy.attacks.attack import Attack
from kerasburst.privacy.checks import averaged, signal_arrays
from kerasburst.validation import check_bool, check_float, fail


def rmia(
    target: np.ndarray,
    shadows: np.ndarray,
    membership: np.ndarray,
    population_target: np.ndarray,
    population_shadows: np.ndarray,
    gamma: float = 2.0,
    online: bool = True,
    offline_a: float = 0.3,
) -> np.ndarray:
    """Score points by the robust membership inference attack.

        score(x) = share of z with (p(x) / pbar(x)) / (p(z) / pbar(z)) > gamma,  p = sigmoid(phi)
        online:  pbar = mean of p over all shadows
        offline: pbar = ((1 + a) pbar_out + 1 - a) / 2, pbar_out the mean of p over the OUT shadows

    z runs over the population, which is in no model's training set: all its shadows are OUT. The computation uses
    logarithms and takes O((n + m) log m).

    Args:
        target: phi of the target, `(n,)`, or `(n, K)` for K queries, which are averaged first.
        shadows: phi of N shadows, `(N, n)` or `(N, n, K)`.
        membership: which points are IN which shadow, `(N, n)`.
        population_target: phi of the target on the population, `(m,)` or `(m, K)`.
        population_shadows: phi of the shadows on the population, `(N, m)` or `(N, m, K)`.
        gamma: above 0; a point must stand out gamma times as much. Where confidences saturate, p / pbar is close to
            1 for most points, so that few pairs differ by a factor of 2; audits use 1.
        online: use all shadows; else only OUT shadows.
        offline_a: a, from 0 to 1; with 1, pbar is pbar_out.

    Returns:
        membership scores from 0 to 1, higher for a member, float64 `(n,)`.

    Raises:
        InputError: for bad arguments, or points that are IN no shadow (online) or OUT of none.

    Example:
        >>> shadows = np.array([[2.0, -1.0], [-1.0, 2.0]])
        >>> rmia([3.0, -2.0], shadows, [[1, 0], [0, 1]], [0.0, -1.0], [[0.0, 1.0], [0.0, 1.0]]).tolist()
        [0.5, 0.0]

    References:
        Zarifzadeh et al., Low-Cost High-Power Membership Inference Attacks, 2024.
    """
    gamma = check_float("gamma", gamma, above=0.0)
    online = check_bool("online", online)
    offline_a = check_float("offline_a", offline_a, 0.0, 1.0)
    target, shadows, membership = signal_arrays(target, shadows, membership, need_in=online)
    names = ("population_target", "population_shadows")
    population_target, population_shadows = averaged(population_target, population_shadows, names, 1)
    if len(population_shadows) != len(shadows):
        raise fail("population_shadows", f"of the same {len(shadows)} shadows", f"{len(population_shadows)} shadows")
    used = np.ones_like(membership) if online else ~membership
    everywhere = np.ones(population_shadows.shape, bool)
    a = None if online else offline_a
    ratio_x = _log_ratio(target, shadows, used, a)
    ratio_z = np.sort(_log_ratio(population_target, population_shadows, everywhere, a))
    return np.searchsorted(ratio_z, ratio_x - np.log(gamma), side="left") / len(ratio_z)


def _log_ratio(phi: np.ndarray, shadows: np.ndarray, used: np.ndarray, a: float | None) -> np.ndarray:
    """Return log(p / pbar), with a mean over the shadows used; offline where `a` is given."""
    # A mean needs no bound on phi: p may be as small as exp(-1e4).
    log_mean = logsumexp(np.where(used, _log_sigmoid(shadows), -np.inf), axis=0) - np.log(used.sum(axis=0))
    if a is not None:
        rest = np.log1p(-a) if a < 1.0 else -np.inf
        log_mean = np.logaddexp(np.log1p(a) + log_mean, rest) - np.log(2.0)
    return _log_sigmoid(phi) - log_mean


def _log_sigmoid(phi: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0.0, -phi)


GAMMA = 1.0  # of an audit: where confidences saturate, no point stands out twice as much as another
RMIA = Attack(
    score=lambda e: rmia(*e.phi(), e.membership, *e.population_phi(), gamma=GAMMA),
    needs_population=True,
    bypass=True,
    description="RMIA: the share of population points that a point stands out from",
    parameters={"gamma": GAMMA},
)
