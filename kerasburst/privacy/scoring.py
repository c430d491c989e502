"""Every attack on one target, from arrays alone.

A new attack is one file in `attacks/`, its test, and one line of `ATTACKS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kerasburst.privacy.attacks import (
    entropy_scores,
    lira,
    loss_scores,
    modified_entropy_scores,
    rmia,
    svm_scores,
    temporal_lira,
    temporal_svm,
)
from kerasburst.privacy.statistics import phi


@dataclass(frozen=True, eq=False)
class Answers:
    """What one model said of n points, asked K times each.

    Args:
        logits: `(n, K, C)`.
        mem: final membrane of the output neurons, `(n, K, C)`.
        phi_trace: phi of the membrane at each step, `(n, K, T)`.
    """

    logits: np.ndarray
    mem: np.ndarray
    phi_trace: np.ndarray

    def first(self, queries: int) -> Answers:
        """Give what the first K queries said."""
        return Answers(self.logits[:, :queries], self.mem[:, :queries], self.phi_trace[:, :queries])

    def of(self, rows: np.ndarray) -> Answers:
        """Give what was said of some of the points."""
        return Answers(self.logits[rows], self.mem[rows], self.phi_trace[rows])


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the attacker of one target holds; never the target's membership.

    Args:
        labels: of the audited points, `(n,)`.
        target: its answers on the audited points.
        reference_labels: of the points that shadows were asked about, `(r,)`.
        shadows: each shadow's answers on those.
        membership: which of them are IN which shadow, `(N, r)`.
        population_labels: of the points that no model trained on, `(m,)`.
        population_target: the target's answers on those; None where there are no such points.
        population_shadows: each shadow's.
        seed: of whatever an attack draws.
    """

    labels: np.ndarray
    target: Answers
    reference_labels: np.ndarray
    shadows: tuple[Answers, ...]
    membership: np.ndarray
    population_labels: np.ndarray
    population_target: Answers | None
    population_shadows: tuple[Answers, ...]
    seed: int = 0

    def phi(self) -> tuple[np.ndarray, np.ndarray]:
        """Give phi of the target `(n, K)` and of the shadows `(N, n, K)`."""
        return phi(self.target.logits, self.labels), self._shadow_phi(self.shadows, self.reference_labels)

    def population_phi(self) -> tuple[np.ndarray, np.ndarray]:
        """Give phi of the target `(m, K)` and of the shadows `(N, m, K)` on the population."""
        labels = self.population_labels
        return phi(self.population_target.logits, labels), self._shadow_phi(self.population_shadows, labels)

    def traces(self) -> tuple[np.ndarray, np.ndarray]:
        """Give the traces of phi, mean over queries: the target's `(n, T)` and the shadows' `(N, n, T)`."""
        return self.target.phi_trace.mean(1), np.stack([shadow.phi_trace.mean(1) for shadow in self.shadows])

    def shadow_points(self) -> tuple[np.ndarray, np.ndarray]:
        """Give labels and membership of all shadows' points in one row, `(N r,)`."""
        return np.tile(self.reference_labels, len(self.shadows)), self.membership.ravel()

    @staticmethod
    def _shadow_phi(shadows: tuple[Answers, ...], labels: np.ndarray) -> np.ndarray:
        return np.stack([phi(shadow.logits, labels) for shadow in shadows])


def _svm(evidence: Evidence) -> np.ndarray:
    labels, membership = evidence.shadow_points()
    shadows = np.concatenate([shadow.mem.mean(1) for shadow in evidence.shadows])
    target = evidence.target.mem.mean(1)
    return svm_scores(shadows, labels, membership, target, evidence.labels, seed=evidence.seed).scores


def _temporal_svm(evidence: Evidence) -> np.ndarray:
    labels, membership = evidence.shadow_points()
    target, shadows = evidence.traces()
    shadows = shadows.reshape(-1, shadows.shape[-1])
    return temporal_svm(shadows, labels, membership, target, evidence.labels, seed=evidence.seed).scores


# On the answers to one set of queries: scores `(n,)`, higher for a member.
THRESHOLD_ATTACKS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "loss": loss_scores,
    "entropy": entropy_scores,
    "modified_entropy": modified_entropy_scores,
}
ATTACKS: dict[str, Callable[[Evidence], np.ndarray]] = {
    "lira_online": lambda e: lira(*e.phi(), e.membership, online=True),
    "lira_offline": lambda e: lira(*e.phi(), e.membership, online=False),
    "rmia": lambda e: rmia(*e.phi(), e.membership, *e.population_phi()),
    "svm": _svm,
    "temporal_lira": lambda e: temporal_lira(*e.traces(), e.membership),
    "temporal_svm": _temporal_svm,
}
PAPER_ATTACKS = ("svm",)
BYPASS_ATTACKS = ("lira_online", "lira_offline", "rmia")


def threshold_scores(name: str, evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Give a threshold attack's scores of the target `(n,)` and of the shadows `(N, r)`."""
    score = THRESHOLD_ATTACKS[name]
    shadows = [score(shadow.logits, evidence.reference_labels) for shadow in evidence.shadows]
    return score(evidence.target.logits, evidence.labels), np.stack(shadows)


def applicable(names: tuple[str, ...] | dict, evidence: Evidence) -> list[str]:
    """Give those attacks that the evidence allows: RMIA needs a population."""
    return [name for name in names if name != "rmia" or evidence.population_target is not None]
