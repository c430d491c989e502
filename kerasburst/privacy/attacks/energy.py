"""The energy attack: how much evidence a model sees for all classes together."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from kerasburst.privacy.attacks.attack import Attack
from kerasburst.privacy.checks import check_scores, finite
from kerasburst.validation import fail


def energy_scores(logits: np.ndarray) -> np.ndarray:
    """Compute the negative free energy of the mean logits over queries.

        -E = log sum_c exp(z_c),  z = the mean over the K queries

    Args:
        logits: `(n, C)`, or `(n, K, C)` for K queries, with C of at least 2; further axes in between are averaged as
            well.

    Returns:
        membership scores, higher for a member, float64 `(n,)`.

    Raises:
        InputError: for logits that are not finite, or of another shape.

    Example:
        >>> energy_scores([[[0.0, 0.0], [2.0, 2.0]], [[3.0, -1.0], [-1.0, 3.0]]]).round(3).tolist()
        [1.693, 1.693]

    References:
        Liu et al., Energy-based Out-of-distribution Detection, 2020.
    """
    z = finite("logits", logits)
    if z.ndim < 2 or z.size == 0 or z.shape[-1] < 2:
        raise fail("logits", "of shape (n, ..., C) with n of at least 1 and C of at least 2", f"shape {z.shape}")
    mean = z.reshape(len(z), -1, z.shape[-1]).mean(axis=1)
    return check_scores("scores", logsumexp(mean, axis=-1))


ENERGY = Attack(
    score=lambda evidence: energy_scores(evidence.target.logits),
    threshold=True,
    description="a threshold on the log-sum-exp of the logits",
)
