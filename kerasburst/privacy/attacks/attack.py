"""`Attack`: one attack as an audit runs it, and `Evidence`: what its attacker has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np

from kerasburst.privacy.statistics import phi

OWN_QUERIES = ("dropped", "replayed")  # fields of answers that no query of another attack gives
AT_LARGEST = ("membranes", *OWN_QUERIES)  # fields that an audit stores once, whatever K


@dataclass(frozen=True, eq=False)
class Answers:
    """What one model answered about n points, K times each.

    Args:
        logits: `(n, K, C)`.
        mem: final membrane of the output neurons, `(n, K, C)`.
        phi_trace: phi of the membrane at each step, `(n, K, T)`; None for a model without a trace.
        membranes: the output neurons' membrane at each step, `(n, K, T, C)`; None where it was not kept.
        dropped: logits for D copies of the input with features dropped, `(n, D, C)`, of
            `kerasburst.privacy.signals.collect_dropped`; None where they were not asked for.
        replayed: logits for the very spikes of E training epochs, `(n, E, C)`, of
            `kerasburst.privacy.signals.collect_replay`; None where they were not asked for.
    """

    logits: np.ndarray
    mem: np.ndarray
    phi_trace: np.ndarray
    membranes: np.ndarray | None = None
    dropped: np.ndarray | None = None
    replayed: np.ndarray | None = None

    def first(self, queries: int) -> Answers:
        """Return the answers to the first K queries, and all that have queries of their own."""
        return self._each(lambda name, values: values if name in OWN_QUERIES else values[:, :queries])

    def of(self, rows: np.ndarray) -> Answers:
        """Return the answers about some of the points."""
        return self._each(lambda _, values: values[rows])

    def _each(self, change: Callable[[str, np.ndarray], np.ndarray]) -> Answers:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Answers(**{name: None if each is None else change(name, each) for name, each in values.items()})

    def phi(self, labels: np.ndarray) -> np.ndarray:
        """Return phi of the logits, `(n, K)`; computed once for the same array of labels."""
        known = self.__dict__.get("_phi")
        if known is None or known[0] is not labels:
            known = self.__dict__["_phi"] = labels, phi(self.logits, labels)
        return known[1]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the attacker of one target knows; the target's membership is not part of it.

    Args:
        labels: of the audited points, `(n,)`.
        target: its answers about the audited points.
        reference_labels: of the points that the shadows were asked about, `(r,)`.
        shadows: each shadow's answers about those.
        membership: which of them are IN which shadow, bool `(N, r)`.
        population_labels: of the points that no model trained on, `(m,)`.
        population_target: the target's answers about those; None without such points.
        population_shadows: each shadow's answers about those.
        seed: of what an attack draws.
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
        """Return phi of the target `(n, K)` and of the shadows `(N, n, K)`."""
        return self.target.phi(self.labels), _shadow_phi(self.shadows, self.reference_labels)

    def population_phi(self) -> tuple[np.ndarray, np.ndarray]:
        """Return phi of the target `(m, K)` and of the shadows `(N, m, K)` on the population."""
        labels = self.population_labels
        return self.population_target.phi(labels), _shadow_phi(self.population_shadows, labels)

    def traces(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the traces of phi, mean over queries: the target's `(n, T)` and the shadows' `(N, n, T)`."""
        return self.target.phi_trace.mean(1), np.stack([shadow.phi_trace.mean(1) for shadow in self.shadows])

    def answers(self) -> tuple[Answers, ...]:
        """Return the answers of the target and of the shadows."""
        return (self.target, *self.shadows)

    def shadow_points(self) -> tuple[np.ndarray, np.ndarray]:
        """Return labels and membership of all shadows' points in one row, `(N r,)`."""
        return np.tile(self.reference_labels, len(self.shadows)), self.membership.ravel()

    def on_shadow(self, shadow: int) -> Evidence:
        """Return the evidence of an attack on a shadow in the target's place, by its answers alone."""
        return replace(self, labels=self.reference_labels, target=self.shadows[shadow])


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack as an audit runs it: its score, and where it takes part. The registry has its name.

    Args:
        score: returns membership scores `(n,)`, higher for a member, from `Evidence`.
        threshold: whether the score needs no shadow models: then their own scores choose a threshold, and the
            advantage at that threshold is reported.
        needs_population: whether the score needs points that no model trained on.
        needs: names of the fields of `Answers`, beside logits, that the score needs and that are not always collected:
            "phi_trace", "membranes", "dropped", "replayed". An audit collects the last two only if the attack
            is asked for. It has the last three at its largest K alone.
        least_queries: the least K that the score needs.
        per_class: whether an AUC is reported for each class.
        paper: whether the paper's protocols run it.
        bypass: whether it also runs on the answers to exact spike probabilities, as "bypass_NAME".
        description: what it does, in one sentence or two for a reader of the result.
        parameters: what its score depends on, such as RMIA's gamma. Results that do not state it used gamma 2.

    Example:
        >>> surest = Attack(score=lambda evidence: evidence.target.logits.max(-1).mean(1), threshold=True)
        >>> answers = Answers(np.array([[[3.0, 1.0]], [[0.0, 0.5]]]), None, None)
        >>> surest.score(Evidence([0, 1], answers, [], (), None, [], None, ())).tolist()
        [3.0, 0.5]
    """

    score: Callable[[Evidence], np.ndarray]
    threshold: bool = False
    needs_population: bool = False
    needs: tuple[str, ...] = ()
    least_queries: int = 1
    per_class: bool = False
    paper: bool = False
    bypass: bool = False
    description: str = ""
    parameters: Mapping[str, float] = field(default_factory=dict)

    def applies(self, evidence: Evidence) -> bool:
        """Return whether the evidence has all that the attack needs."""
        there = all(getattr(answers, name) is not None for answers in evidence.answers() for name in self.needs)
        asked = evidence.target.logits.shape[1] >= self.least_queries
        return there and asked and (evidence.population_target is not None or not self.needs_population)

    def shadow_scores(self, evidence: Evidence) -> np.ndarray:
        """Return the scores of a threshold attack on each shadow, `(N, r)`."""
        return np.stack([self.score(evidence.on_shadow(shadow)) for shadow in range(len(evidence.shadows))])


def _shadow_phi(shadows: tuple[Answers, ...], labels: np.ndarray) -> np.ndarray:
    return np.stack([shadow.phi(labels) for shadow in shadows])
