"""The membrane attack: one linear discriminant on the whole membrane trace, fitted across the reference models."""

from __future__ import annotations

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from kerasburst.privacy.attacks.attack import Attack, Evidence
from kerasburst.privacy.checks import check_labels, finite, in_out
from kerasburst.validation import fail


def membrane_scores(target: np.ndarray, shadows: np.ndarray, membership: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Score points by a discriminant of the membranes of all output neurons at all steps.

        score(i) = w . (x_i - mean of x_i over all shadows) + b
        w = S^-1 (m_in - m_out)

    x_i has the membrane of the true class at each step, then those of the other classes in descending order of their
    mean over steps and shadows: one order for a point in all models. w is fitted on every shadow's x_i less the mean
    over the other shadows, labelled by that shadow's membership; S is the Ledoit-Wolf estimate of the covariance within
    IN and OUT. The model under attack is never in the fit.

    Args:
        target: membranes of the target, `(n, T, C)`, or `(n, K, T, C)` for K queries, which are averaged first.
        shadows: membranes of N shadows, at least 2, `(N, n, T, C)` or `(N, n, K, T, C)`.
        membership: which points are IN which shadow, `(N, n)`.
        labels: integers from 0 to C - 1, `(n,)`.

    Returns:
        membership scores, higher for a member, float64 `(n,)`.

    Raises:
        InputError: for bad arguments, or points that are IN no shadow or OUT of none.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> half = np.arange(40) < 20
        >>> member = np.stack([half, ~half])
        >>> shadows = rng.normal(size=(2, 40, 3, 2)) + 5 * member[..., None, None] * [1, 0]
        >>> target = rng.normal(size=(40, 3, 2)) + 5 * member[0][:, None, None] * [1, 0]
        >>> scores = membrane_scores(target, shadows, member, np.zeros(40, int))
        >>> bool((scores > 0)[member[0]].mean() > 0.9)
        True

    References:
        Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004.
    """
    target, shadows = finite("target", target), finite("shadows", shadows)
    if target.ndim not in (3, 4) or target.size == 0:
        raise fail("target", "of shape (n, T, C) or (n, K, T, C), not empty", f"shape {target.shape}")
    if shadows.shape[1:] != target.shape or len(shadows) < 2:
        raise fail("shadows", f"of shape (N, {', '.join(map(str, target.shape))}), N >= 2", f"shape {shadows.shape}")
    if target.ndim == 4:
        target, shadows = target.mean(axis=1), shadows.mean(axis=2)
    membership = in_out(membership, shadows.shape[:2], need_in=True)
    labels = check_labels("labels", labels, len(target))
    if labels.min() < 0 or labels.max() >= target.shape[-1]:
        raise fail("labels", f"from 0 to {target.shape[-1] - 1}", int(labels.max()))
    strength = shadows.mean(axis=(0, 2))
    strength[np.arange(len(labels)), labels] = np.inf  # the true class comes first
    order = np.argsort(-strength, axis=1, kind="stable")[:, None]
    target = np.take_along_axis(target, order, axis=2).reshape(len(target), -1)
    shadows = np.take_along_axis(shadows, order[None], axis=3).reshape(*shadows.shape[:2], -1)
    centre = shadows.mean(axis=0)
    # x less the mean of the others is N / (N - 1) times x less the mean of all.
    residuals = (shadows - centre) * len(shadows) / (len(shadows) - 1)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[0.5, 0.5])
    model.fit(residuals.reshape(-1, residuals.shape[-1]), membership.ravel())
    return model.decision_function(target - centre)


def _score(evidence: Evidence) -> np.ndarray:
    shadows = np.stack([shadow.membranes.mean(axis=1) for shadow in evidence.shadows])
    return membrane_scores(evidence.target.membranes.mean(axis=1), shadows, evidence.membership, evidence.labels)


MEMBRANES = Attack(
    score=_score,
    needs=("membranes",),
    description="one linear discriminant on the membranes of all output neurons at all steps, fitted on the shadows",
)
