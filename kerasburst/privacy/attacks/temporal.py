"""Attacks on the whole trace of phi over time steps, not only on its end."""

from __future__ import annotations

import numpy as np
from scipy import linalg
from sklearn.covariance import ledoit_wolf

from kerasburst.privacy.attacks.checks import averaged, finite, in_out, median_over
from kerasburst.privacy.attacks.lira import FLOOR
from kerasburst.privacy.attacks.svm import SVMScores, svm_scores
from kerasburst.validation import fail

RELATIVE_FLOOR = 1e-6  # of the mean variance: the least that any direction of a trace may have


def temporal_lira(target: np.ndarray, shadows: np.ndarray, membership: np.ndarray) -> np.ndarray:
    """Likelihood-ratio attack on traces, online.

        log N(x; mu_in, S_in) - log N(x; mu_out, S_out),  x = (phi_1, ..., phi_T)

    mu is the median trace over the point's IN or OUT shadows. S is the Ledoit-Wolf estimate of the covariance of
    the residuals from each point's own median, about their mean, pooled over points, IN and OUT apart. Time steps
    without spread (a membrane before the first spike) would make it singular: its eigenvalues are kept at or above
    1e-6 of their mean. With T = 1 it is `lira` with a fixed variance.

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


def temporal_svm(
    traces_train: np.ndarray,
    labels_train: np.ndarray,
    membership_train: np.ndarray,
    traces: np.ndarray,
    labels: np.ndarray,
    *,
    seed: int = 0,
    max_train: int = 4000,
) -> SVMScores:
    """Fit `svm_scores` on flattened traces.

    Args:
        traces_train: of points under the shadow, such as phi `(m, T)` or membranes `(m, T, C)`, queries averaged.
        labels_train: their classes, integers, `(m,)`.
        membership_train: which are IN the shadow, `(m,)`.
        traces: of points under the target, as `traces_train`.
        labels: their classes, `(n,)`.
        seed: as for `svm_scores`.
        max_train: as for `svm_scores`.

    Returns:
        `SVMScores`.

    Raises:
        InputError: for bad arguments.

    Example:
        >>> traces = np.array([[[0.0], [2.0]], [[0.0], [2.1]], [[0.0], [0.0]], [[0.0], [0.1]]])
        >>> result = temporal_svm(traces, [0, 0, 0, 0], [1, 1, 0, 0], traces[1:3], [0, 0])
        >>> np.sign(result.scores).tolist()
        [1.0, -1.0]
    """
    traces_train, traces = finite("traces_train", traces_train), finite("traces", traces)
    for name, array in (("traces_train", traces_train), ("traces", traces)):
        if array.ndim < 2 or array.size == 0:
            raise fail(name, "of shape (n, T, ...), not empty", f"shape {array.shape}")
    if traces.shape[1:] != traces_train.shape[1:]:
        raise fail("traces", f"of shape (n, {', '.join(map(str, traces_train.shape[1:]))})", f"shape {traces.shape}")
    flat_train, flat = (array.reshape(len(array), -1) for array in (traces_train, traces))
    return svm_scores(flat_train, labels_train, membership_train, flat, labels, seed=seed, max_train=max_train)


def _log_density(target: np.ndarray, shadows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Log-density of each point's trace under the Gaussian of the shadows chosen for it, without its constant."""
    centre = median_over(shadows, chosen)
    residuals = (shadows - centre)[chosen]
    covariance, _ = ledoit_wolf(residuals - residuals.mean(axis=0), assume_centered=True)
    variances, directions = linalg.eigh(covariance)
    variances = np.maximum(variances, max(RELATIVE_FLOOR * variances.mean(), FLOOR**2))
    along = (target - centre) @ directions
    return -0.5 * ((along**2 / variances).sum(axis=1) + np.log(variances).sum())
