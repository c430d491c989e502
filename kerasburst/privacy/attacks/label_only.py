"""The label-only attack: how often a model is right about a point."""

from __future__ import annotations

import numpy as np

from kerasburst.privacy.attacks.attack import Attack
from kerasburst.privacy.statistics import checked


def label_only_scores(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute the share of the K draws of a stochastic encoder that are classified right.

    An attacker who sees predicted classes alone can compute it. With one draw it is 0 or 1.

    Args:
        logits: `(n, C)`, or `(n, K, C)` for K queries; further axes in between are averaged as well. Of equal largest
            logits, the first is the prediction.
        labels: integers from 0 to C - 1, `(n,)`.

    Returns:
        membership scores from 0 to 1, higher for a member, float64 `(n,)`.

    Raises:
        InputError: for logits that are not finite, or labels that do not fit them.

    Example:
        >>> label_only_scores([[[2.0, 1.0], [0.0, 1.0]], [[0.0, 3.0], [1.0, 2.0]]], [0, 1]).tolist()
        [0.5, 1.0]

    References:
        Choquette-Choo et al., Label-Only Membership Inference Attacks, 2021.
    """
    z, labels = checked(logits, labels)
    right = z.argmax(axis=-1) == labels.reshape(-1, *(1,) * (z.ndim - 2))
    return right.reshape(len(z), -1).mean(axis=1)


LABEL_ONLY = Attack(
    score=lambda evidence: label_only_scores(evidence.target.logits, evidence.labels),
    threshold=True,
    description="the share of draws that are classified right: predicted classes alone, no shadows",
)
