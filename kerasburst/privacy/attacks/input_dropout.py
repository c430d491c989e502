"""The input-dropout attack: how sure a model stays when features of the input are dropped."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from kerasburst.privacy.attacks.attack import Attack, Evidence
from kerasburst.privacy.attacks.lira import lira
from kerasburst.privacy.statistics import phi


def dropout_signal(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute phi of the mean probability over copies of the input with dropped features.

        log(P / (1 - P)),  P = mean_d p_d(y)

    Args:
        logits: `(n, D, C)`.
        labels: integers from 0 to C - 1, `(n,)`.

    Returns:
        float64 `(n,)`.

    Example:
        >>> dropout_signal(np.log([[[0.9, 0.1], [0.7, 0.3]]]), [0]).round(4).tolist()  # P = 0.8
        [1.3863]

    References:
        Guan et al., On the Privacy Risks of Spiking Neural Networks, arXiv 2502.13191, 2025.
    """
    values = phi(logits, labels)
    right, wrong = -np.logaddexp(0.0, -values), -np.logaddexp(0.0, values)  # log p and log(1 - p)
    return logsumexp(right, axis=1) - logsumexp(wrong, axis=1)


def _dropout(evidence: Evidence) -> np.ndarray:
    target = dropout_signal(evidence.target.dropped, evidence.labels)
    shadows = [dropout_signal(shadow.dropped, evidence.reference_labels) for shadow in evidence.shadows]
    return lira(target, np.stack(shadows), evidence.membership, shrink=True)


INPUT_DROPOUT = Attack(
    score=_dropout,
    needs=("dropped",),
    description="LiRA on the mean confidence over copies of the input with features dropped at random",
)
