"""Compute an encoding's figures from the stored answers of its models."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerasburst import files, records
from kerasburst.intervals import seed_interval, wilson
from kerasburst.privacy.attacks import (
    Answers,
    Evidence,
    ThresholdResult,
    apply_threshold,
    choose_threshold,
    per_class_auc,
)
from kerasburst.privacy.attacks.attack import AT_LARGEST
from kerasburst.privacy.averaging import fit_averaging_attack
from kerasburst.privacy.config import TEST_EXAMPLES, AuditConfig
from kerasburst.privacy.lessons import PLANTED, UNTRAINED, roles
from kerasburst.privacy.metrics import MembershipScores, paired_auc_difference
from kerasburst.privacy.result import AttackResult, Comparison, EncodingResult
from kerasburst.privacy.splits import AuditSplits
from kerasburst.privacy.statistics import phi
from kerasburst.registry import ATTACKS
from kerasburst.training.evaluation import activity_warnings
from kerasburst.validation import InputError, check_float

FPRS = (0.1, 0.01, 0.001)
PRIORS = (0.5, 0.1, 0.01)
_BINS = 40
_BYPASS = "bypass_"  # before the name of an attack on answers to exact spike probabilities


@dataclasses.dataclass(frozen=True, eq=False)
class EncodingModels:
    """One encoding's models: their records and their answers.

    Args:
        splits: of the audit.
        records: of each model, by role.
        labels: of the points that targets and shadows were asked about.
        rows: row of each point by its index in the pool.
        answers: by role.
        bypass: answers to exact spike probabilities, K = 1, by role.
    """

    splits: AuditSplits
    records: dict[str, dict]
    labels: np.ndarray
    rows: dict[int, int]
    answers: dict[str, Answers]
    bypass: dict[str, Answers]

    @classmethod
    def load(cls, folder: Path, splits: AuditSplits) -> EncodingModels:
        """Load an encoding's folder of an audit."""
        records, answers, bypass = {}, {}, {}
        labels = rows = None
        for role in roles((splits,)):
            path = folder / "models" / f"{role}.json"
            if role in (UNTRAINED, PLANTED) and not path.exists():
                continue  # models of one's own have no such controls
            records[role] = files.read_json(path)
            for part in ("train", "test"):
                check_float(f"{path}: {part}_accuracy", records[role].get(f"{part}_accuracy", 0.0), low=0.0, high=1.0)
            with np.load(folder / "signals" / f"{role}.npz", allow_pickle=False) as stored:
                more = {name: stored[name] for name in AT_LARGEST if name in stored}
                answers[role] = Answers(stored["logits"], stored["mem"], stored.get("phi_trace"), **more)
                if "bypass_logits" in stored:
                    fed = stored["bypass_logits"]
                    bypass[role] = Answers(fed, fed, phi(fed, stored["labels"])[..., None])
                if labels is None:  # the first is a target: all roles but the controls have its questions
                    labels, rows = stored["labels"], {int(i): row for row, i in enumerate(stored["asked"])}
        return cls(splits, records, labels, rows, answers, bypass)

    @property
    def queries(self) -> int:
        """The largest K; 1 for a deterministic encoder."""
        return self.answers["target-0"].logits.shape[1]

    def evidence(self, target: int, queries: int | None, seed: int) -> Evidence:
        """Return what the attacker of a target knows from K queries; K = None for the bypass."""
        splits = self.splits
        of = self.bypass if queries is None else {r: a.first(queries) for r, a in self.answers.items()}
        try:
            audited, reference, population = (
                np.array([self.rows[int(i)] for i in part], int)
                for part in (splits.audited, splits.reference, splits.population)
            )
        except KeyError:
            raise InputError("splits.npz must be the audit's, its models were asked about other examples") from None
        shadows = [of[f"shadow-{j}"] for j in range(len(splits.shadows))]
        mine = of[f"target-{target}"]
        return Evidence(
            labels=self.labels[audited],
            target=mine.of(audited),
            reference_labels=self.labels[reference],
            shadows=tuple(shadow.of(reference) for shadow in shadows),
            membership=splits.shadows,
            population_labels=self.labels[population],
            population_target=mine.of(population) if len(population) else None,
            population_shadows=tuple(shadow.of(population) for shadow in shadows) if len(population) else (),
            seed=seed,
        )


Scores = dict[tuple[str, int], np.ndarray]  # of (attack, K): `(targets, n)`
Outcomes = dict[tuple[str, int], list[ThresholdResult]]  # of (attack, K): one for each target


def score(models: EncodingModels, config: AuditConfig) -> tuple[Scores, Outcomes]:
    """Run every attack on every target at every K.

    Returns:
        Scores `(targets, n)` by (attack, K), and the results at the threshold that the shadows chose.
    """
    paper = config.protocol != "audit"
    attacks = {name: attack for name, attack in ATTACKS.items() if attack.paper or not paper}
    outcomes: Outcomes = {}
    found: dict[tuple[str, int], list[np.ndarray]] = {}
    splits, seed = models.splits, config.seed
    for target, membership in enumerate(splits.targets):
        for k in [k for k in config.queries if k <= models.queries] or [models.queries]:
            evidence = models.evidence(target, k, seed)
            for name, attack in attacks.items():
                if not attack.applies(evidence) or (k < models.queries and set(attack.needs) & set(AT_LARGEST)):
                    continue
                scores = attack.score(evidence)
                found.setdefault((name, k), []).append(scores)
                if attack.threshold:
                    limit = choose_threshold(attack.shadow_scores(evidence), evidence.membership)
                    outcomes.setdefault((name, k), []).append(apply_threshold(scores, membership, limit))
        if not paper and models.bypass:
            evidence = models.evidence(target, None, seed)
            for name, attack in attacks.items():
                if attack.bypass and attack.applies(evidence):
                    found.setdefault((_BYPASS + name, 1), []).append(attack.score(evidence))
    return {key: np.stack(values) for key, values in found.items()}, outcomes


def encoding_result(models: EncodingModels, scores: Scores, outcomes: Outcomes) -> EncodingResult:
    """Compute the figures of one encoding."""
    splits = models.splits
    targets = [models.records[f"target-{t}"] for t in range(len(splits.targets))]
    shadows = [models.records[f"shadow-{j}"] for j in range(len(splits.shadows))]
    labels = models.evidence(0, 1, 0).labels
    attacks = []
    for (name, k), rows in sorted(scores.items(), key=lambda item: (_order(item[0][0]), item[0][1])):
        more = _at_threshold(outcomes[name, k]) if (name, k) in outcomes else {}
        if ATTACKS[name.removeprefix(_BYPASS)].per_class:
            more |= _by_class(rows, labels, splits.targets)
        attacks.append(_attack_result(name, k, _of_targets(rows, splits), more))
    traces, steps = [models.answers[f"target-{t}"].phi_trace for t in range(len(targets))], []
    if traces[0] is not None:
        trace_phi = np.stack([trace.mean(1) for trace in traces])
        audited = [models.rows[int(i)] for i in splits.audited]
        steps = [_of_targets(trace_phi[:, audited, step], splits) for step in range(trace_phi.shape[-1])]
    tested, fitted = (float(np.mean([r[name] for r in targets])) for name in ("test_accuracy", "train_accuracy"))
    of_shadows, test_examples = float(np.mean([r["test_accuracy"] for r in shadows])), targets[0]["test_examples"]
    return EncodingResult(
        test_accuracy=tested,
        test_accuracy_interval=wilson(tested, test_examples),
        test_accuracies=tuple(r["test_accuracy"] for r in targets),
        train_accuracy=fitted,
        train_accuracy_interval=wilson(fitted, min(targets[0]["train_examples"], TEST_EXAMPLES)),
        test_examples=test_examples,
        shadow_test_accuracy=of_shadows,
        shadow_test_accuracy_interval=wilson(of_shadows, test_examples),
        epochs=targets[0]["epochs"],
        train_examples=targets[0]["train_examples"],
        attacks=tuple(attacks),
        averaging=_averaging(scores, splits),
        auc_by_step=tuple(float(np.mean([scores.auc() for scores in step])) for step in steps),
        auc_interval_by_step=tuple(_mean_ends([scores.auc_interval() for scores in step]) for step in steps),
        warnings=tuple(
            dict.fromkeys(
                text for r in targets for text in activity_warnings(r["firing_rates"], r.get("readout", "last"))
            )
        ),
        phi=_histograms(models),
    )


def compare(scores: dict[str, Scores], splits: AuditSplits) -> tuple[Comparison, ...]:
    """Compare encodings on the same members, for each attack, at each K that either has."""
    names = list(scores)
    found = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            for attack, k in dict.fromkeys([*scores[a], *scores[b]]):
                # A deterministic encoder is asked once; more queries would add nothing.
                most = [max((q for name, q in scores[e] if name == attack and q <= k), default=None) for e in (a, b)]
                if None in most:
                    continue
                pairs = zip(
                    *(_of_targets(scores[e][attack, q], splits) for e, q in zip((a, b), most, strict=True)),
                    strict=True,
                )
                each = np.array([paired_auc_difference(*pair) for pair in pairs])
                mean = each.mean(0)
                found.append(
                    Comparison(
                        attack=attack,
                        queries=k,
                        a=a,
                        b=b,
                        difference=float(mean[0]),
                        interval=(float(mean[1]), float(mean[2])),
                        interval_over_targets=_over_targets(each[:, 0], -1.0),
                    )
                )
    return tuple(found)


def _attack_result(name: str, k: int, targets: list[MembershipScores], more: dict) -> AttackResult:
    aucs = [scores.auc() for scores in targets]
    return AttackResult(
        name=name,
        queries=k,
        auc=float(np.mean(aucs)),
        auc_interval=_mean_ends([scores.auc_interval() for scores in targets]),
        auc_per_target=tuple(aucs),
        auc_interval_over_targets=_over_targets(aucs),
        attacker_advantage=float(np.mean([scores.attacker_advantage() for scores in targets])),
        attacker_advantage_interval=_mean_ends([scores.attacker_advantage_interval() for scores in targets]),
        tpr_at_fpr={f"{fpr:g}": _mean([scores.tpr_at_fpr(fpr) for scores in targets]) for fpr in FPRS},
        tpr_at_fpr_interval={
            f"{fpr:g}": _mean_ends([scores.tpr_at_fpr_interval(fpr) for scores in targets]) for fpr in FPRS
        },
        ppv={f"{prior:g}": _mean([scores.ppv(prior, FPRS[0]) for scores in targets]) for prior in PRIORS},
        ppv_interval={
            f"{prior:g}": _mean_ends([scores.ppv_interval(prior, FPRS[0]) for scores in targets]) for prior in PRIORS
        },
        **more,
    )


def _of_targets(rows: np.ndarray, splits: AuditSplits) -> list[MembershipScores]:
    return [MembershipScores.from_labels(row, mask) for row, mask in zip(rows, splits.targets, strict=True)]


def _at_threshold(outcomes: list[ThresholdResult]) -> dict:
    return {
        "threshold_advantage": float(np.mean([outcome.attacker_advantage for outcome in outcomes])),
        "threshold_advantage_interval": _mean_ends([outcome.attacker_advantage_interval() for outcome in outcomes]),
    }


def _by_class(rows: np.ndarray, labels: np.ndarray, targets: np.ndarray) -> dict:
    each = [per_class_auc(row, labels, mask) for row, mask in zip(rows, targets, strict=True)]
    classes = sorted({c for one in each for c in one.per_class})
    return {
        "auc_per_class": {str(c): _mean([one.per_class.get(c) for one in each], skip=True) for c in classes},
        "auc_interval_per_class": {str(c): _mean_ends([one.intervals.get(c) for one in each]) for c in classes},
        "auc_macro": _mean([one.macro for one in each]),
        "auc_macro_interval": _mean_ends(
            [one.intervals[c] for one in each for c, value in one.per_class.items() if value is not None] or [None]
        ),
    }


def _averaging(scores: Scores, splits: AuditSplits) -> dict[str, dict]:
    """Fit AUC(K) of target 0 for each attack that ran at several K."""
    fits = {}
    for name in dict.fromkeys(name for name, _ in scores):
        ks = sorted(k for attack, k in scores if attack == name)
        if len(ks) > 1:
            rows = [_of_targets(scores[name, k], splits)[0] for k in ks]
            fits[name] = records.to_json(fit_averaging_attack(ks, rows))
    return fits


def _histograms(models: EncodingModels) -> dict[str, tuple[float, ...]]:
    splits = models.splits
    evidence = models.evidence(0, models.queries, 0)
    values = phi(evidence.target.logits, evidence.labels).mean(1)
    edges = np.histogram_bin_edges(values, _BINS)
    counts = {
        side: np.histogram(values[mask], edges)[0]
        for side, mask in (("members", splits.targets[0]), ("non_members", ~splits.targets[0]))
    }
    return {"edges": tuple(map(float, edges)), **{side: tuple(map(float, c)) for side, c in counts.items()}}


def _order(name: str) -> tuple[bool, int]:
    return name.startswith(_BYPASS), list(ATTACKS).index(name.removeprefix(_BYPASS))


def _mean(values: Sequence[float | None], skip: bool = False) -> float | None:
    if skip:
        values = [value for value in values if value is not None]
    return None if not values or None in values else float(np.mean(values))


def _mean_ends(intervals: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    return None if None in intervals else tuple(float(end) for end in np.mean(intervals, axis=0))


def _over_targets(values: Sequence[float], least: float = 0.0) -> tuple[float, float] | None:
    return seed_interval(np.asarray(values), ends=(least, 1.0))[1:] if len(values) >= 3 else None
