"""The replay attack: whether a model knows the very spikes that it was trained on."""

from __future__ import annotations

import numpy as np

from kerasburst.privacy.attacks.attack import Answers, Attack, Evidence
from kerasburst.privacy.attacks.lira import temporal_lira
from kerasburst.privacy.statistics import phi


def replay_signal(replayed: np.ndarray, fresh: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean phi for the spikes of training, and that for fresh ones, float64 `(n, 2)`.

    A model that has memorised spikes, not only the example, answers the first more surely than the second.

    Args:
        replayed: logits for the spikes of E epochs, `(n, E, C)`.
        fresh: logits for K fresh encodings, `(n, K, C)`.
        labels: integers from 0 to C - 1, `(n,)`.

    Example:
        >>> replay_signal([[[3.0, 0.0], [1.0, 0.0]]], [[[1.0, 0.0]]], [0]).tolist()
        [[2.0, 1.0]]
    """
    return np.stack([phi(replayed, labels).mean(axis=1), phi(fresh, labels).mean(axis=1)], axis=1)


def _replay(evidence: Evidence) -> np.ndarray:
    def signal(answers: Answers, labels: np.ndarray) -> np.ndarray:
        return replay_signal(answers.replayed, answers.logits, labels)

    shadows = [signal(shadow, evidence.reference_labels) for shadow in evidence.shadows]
    return temporal_lira(signal(evidence.target, evidence.labels), np.stack(shadows), evidence.membership)


REPLAY = Attack(
    score=_replay,
    needs=("replayed",),
    description="LiRA on phi for the very spikes of training beside phi for fresh ones. The attacker knows the "
    "training's seed and the row that each point would have in the training set: a bound on what a published seed "
    "gives away",
)
