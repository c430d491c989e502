"""The area under the ROC curve: its value, variance and bootstrap draws. The callers check the scores."""

from __future__ import annotations

import numpy as np

_CHUNK = 2_000_000  # resampled scores held at once


def placements(members: np.ndarray, non_members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of the other side that each score beats, ties for half; in O(n log n) by sorting.

    Args:
        members: scores `(m,)`.
        non_members: scores `(n,)`.

    Returns:
        for each member the share of non-members below it `(m,)`, and for each non-member the share of members
        above it `(n,)`. The mean of either is the AUC.

    Example:
        >>> [part.tolist() for part in placements(np.array([1.0, 3.0]), np.array([0.0, 1.0]))]
        [[0.75, 1.0], [1.0, 0.75]]

    References:
        Sun and Xu, Fast Implementation of DeLong's Algorithm, 2014.
    """
    return _share_below(members, non_members), 1.0 - _share_below(non_members, members)


def auc_value(members: np.ndarray, non_members: np.ndarray) -> float:
    """Return P(member's score > non-member's) + P(equal) / 2.

    Args:
        members: scores `(m,)`.
        non_members: scores `(n,)`.

    Example:
        >>> auc_value(np.array([1.0, 3.0]), np.array([0.0, 1.0]))
        0.875
    """
    return float(placements(members, non_members)[0].mean())


def delong_covariance(members: np.ndarray, non_members: np.ndarray) -> np.ndarray:
    """Compute DeLong's covariance of the AUCs of several scores of the same examples.

        S = cov(placements of members) / m + cov(placements of non-members) / n

    Args:
        members: scores `(J, m)`, m of at least 2.
        non_members: scores `(J, n)`, n of at least 2.

    Returns:
        float64 `(J, J)`.

    Example:
        >>> delong_covariance(np.array([[1.0, 3.0]]), np.array([[0.0, 1.0]])).tolist()
        [[0.03125]]

    References:
        DeLong et al., Comparing the Areas under Two or More Correlated ROC Curves, 1988.
    """
    pairs = [placements(a, b) for a, b in zip(members, non_members, strict=True)]
    sides = (np.stack([pair[side] for pair in pairs]) for side in (0, 1))
    return sum(np.atleast_2d(np.cov(side)) / side.shape[1] for side in sides)


def bootstrap_aucs(members: np.ndarray, non_members: np.ndarray, num_samples: int, seed: int) -> np.ndarray:
    """Compute the AUCs of stratified bootstrap samples: members and non-members are resampled separately.

    Args:
        members: scores `(J, m)`; one resample of examples serves all J.
        non_members: scores `(J, n)`.
        num_samples: B, number of resamples.
        seed: of the resamples.

    Returns:
        float64 `(B, J)`.

    Example:
        >>> bootstrap_aucs(np.array([[2.0, 3.0]]), np.array([[0.0, 1.0]]), 3, seed=0).tolist()
        [[1.0], [1.0], [1.0]]
    """
    m, n = members.shape[1], non_members.shape[1]
    codes = [np.unique(np.concatenate([a, b]), return_inverse=True) for a, b in zip(members, non_members, strict=True)]
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK // (m + n))
    out = np.empty((num_samples, len(codes)))
    for start in range(0, num_samples, chunk):
        size = min(chunk, num_samples - start)
        drawn = rng.integers(m, size=(size, m)), rng.integers(n, size=(size, n))
        for j, (values, inverse) in enumerate(codes):
            row = np.arange(size)[:, None] * len(values)
            at = np.bincount((inverse[m:][drawn[1]] + row).ravel(), minlength=size * len(values))
            at = at.reshape(size, -1).astype(np.int32)
            beaten = 2 * at.cumsum(axis=1, dtype=np.int32) - at  # twice: those below, and half of those at a score
            out[start : start + size, j] = beaten.ravel()[inverse[:m][drawn[0]] + row].mean(axis=1) / (2 * n)
    return out


def _share_below(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    ordered = np.sort(others)
    below, up_to = (np.searchsorted(ordered, scores, side) for side in ("left", "right"))
    return (below + up_to) / (2 * len(others))
