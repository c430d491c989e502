"""The dispersion attack: how much a model's confidence varies over draws of a stochastic encoder."""

from __future__ import annotations

import numpy as np

from kerasburst.privacy.attacks.attack import Attack
from kerasburst.privacy.attacks.lira import lira
from kerasburst.privacy.checks import finite
from kerasburst.validation import fail

_LEAST = 1e-6  # added to the variance of phi, which is 0 where all draws have the same answer


def dispersion_scores(target: np.ndarray, shadows: np.ndarray, membership: np.ndarray) -> np.ndarray:
    """Score points by LiRA on the logarithm of the variance of phi over draws.

        x = log(var_k phi_k + 1e-6),  ddof 1

    Training on a point may raise or lower its variance: LiRA, with its shrinkage for few shadows, learns which.

    Args:
        target: phi of the target, `(n, K)` for K of at least 2 queries.
        shadows: phi of N shadows, `(N, n, K)`.
        membership: which points are IN which shadow, `(N, n)`.

    Returns:
        membership scores, higher for a member, float64 `(n,)`.

    Raises:
        InputError: for bad arguments, or points that are IN no shadow or OUT of none.

    Example:
        >>> shadows = np.array([[[0, 2]], [[0, 2.2]], [[0, 6]], [[0, 6.6]]])
        >>> score = dispersion_scores([[1.0, 3.1]], shadows, [[1], [1], [0], [0]])  # as in those that saw the point
        >>> bool(score[0] > 0)
        True
    """
    target, shadows = finite("target", target), finite("shadows", shadows)
    if target.ndim != 2 or target.shape[1] < 2:
        raise fail("target", "of shape (n, K) with K of at least 2", f"shape {target.shape}")
    if shadows.ndim != 3 or shadows.shape[1:] != target.shape:
        raise fail("shadows", f"of shape (N, {', '.join(map(str, target.shape))})", f"shape {shadows.shape}")
    spread, spreads = (np.log(phi.var(axis=-1, ddof=1) + _LEAST) for phi in (target, shadows))
    return lira(spread, spreads, membership, shrink=True)


DISPERSION = Attack(
    score=lambda evidence: dispersion_scores(*evidence.phi(), evidence.membership),
    least_queries=2,
    description="LiRA on the variance of phi over draws of the encoder",
)
