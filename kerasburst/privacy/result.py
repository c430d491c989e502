"""What an audit found: frozen dataclasses that become audit.json."""

from __future__ import annotations

import dataclasses

Interval = tuple[float, float]

LEAST_LEAK = 0.6  # the interval of a planted leak must lie above this AUC

# The attack whose AUC represents an audit, by protocol.
MAIN_ATTACK = {"audit": "lira_online", "paper": "svm", "paper-overlapping": "svm"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttackResult:
    """One attack on one encoding's targets, at one K.

    Args:
        name: of the attack; "bypass_..." feeds the encoder's exact probabilities to the network.
        queries: K, encodings of each example that the attacker saw.
        auc: mean over the targets; it may be below 0.5.
        auc_interval: 95 %, over examples: DeLong's for one target; for several the mean of their ends, which
            takes the targets' errors as fully dependent.
        auc_per_target: one for each target.
        auc_interval_over_targets: 95 %, Student's t, for at least 3 targets; else None.
        attacker_advantage: max(TPR - FPR), mean over targets; the threshold is chosen on the scores themselves.
        attacker_advantage_interval: 95 %, conservative.
        tpr_at_fpr: TPR by FPR ("0.1", "0.01", "0.001"), mean over targets; None if not resolvable.
        tpr_at_fpr_interval: 95 %, over examples; None as above.
        ppv: share of members among those called one at a FPR of 0.1, by prior ("0.5", "0.1", "0.01").
        ppv_interval: 95 %, over examples; None if the TPR is not resolvable.
        threshold_advantage: TPR - FPR at the threshold that shadows alone chose; None for attacks without one.
        threshold_advantage_interval: 95 %, over examples; None as above.
        auc_per_class: of the SVMs, mean over targets; None for other attacks.
        auc_interval_per_class: 95 %, over examples; None for a class with fewer than 2 of a side in a target.
        auc_macro: mean of `auc_per_class`.
        auc_macro_interval: 95 %, mean of the classes' ends, which takes their errors as fully dependent; None if
            a class of the mean has none.
    """

    name: str
    queries: int
    auc: float
    auc_interval: Interval
    auc_per_target: tuple[float, ...]
    auc_interval_over_targets: Interval | None
    attacker_advantage: float
    attacker_advantage_interval: Interval
    tpr_at_fpr: dict[str, float | None]
    tpr_at_fpr_interval: dict[str, Interval | None]
    ppv: dict[str, float | None]
    ppv_interval: dict[str, Interval | None]
    threshold_advantage: float | None = None
    threshold_advantage_interval: Interval | None = None
    auc_per_class: dict[str, float | None] | None = None
    auc_interval_per_class: dict[str, Interval | None] | None = None
    auc_macro: float | None = None
    auc_macro_interval: Interval | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TFPrivacyAttack:
    """One of tensorflow-privacy's attacks on one slice; its figures are None if it was skipped.

    Args:
        attack: "threshold", "threshold_entropy", "logistic_regression", "mlp", "random_forest" or
            "k_nearest_neighbors".
        label: class of the slice; None for the entire data set.
        members: of the slice.
        non_members: of the slice.
        skipped: why it was not run; None if it ran.
        auc: it may be below 0.5.
        auc_interval: 95 %, DeLong's over examples, from its scores.
        attacker_advantage: max |TPR - FPR|, whichever the direction.
        attacker_advantage_interval: 95 %, conservative.
        epsilon_lower_bound: the best threshold's, in nats; None if there is none. A bound below 0 says nothing.
        epsilon_by_chance: what that bound exceeds in 5 % of draws of random scores.
    """

    attack: str
    label: int | None
    members: int
    non_members: int
    skipped: str | None = None
    auc: float | None = None
    auc_interval: Interval | None = None
    attacker_advantage: float | None = None
    attacker_advantage_interval: Interval | None = None
    epsilon_lower_bound: float | None = None
    epsilon_by_chance: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TFPrivacyResult:
    """What tensorflow-privacy finds on target 0 of an encoding.

    Args:
        queries: K; the attacks see the means over these.
        attacks: the entire data set first, then class by class.
        versions: of its packages.
        limits: of what its figures mean.
    """

    queries: int
    attacks: tuple[TFPrivacyAttack, ...]
    versions: dict[str, str]
    limits: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReferencesPoint:
    """AUCs of the attacks that use references, with so many of them: what more shadow models would add.

    Args:
        references: models that the attacker of each target has, whole pairs.
        auc: by attack: mean over models, each a target, at the last snapshot.
        auc_interval: by attack: 95 %, over pairs of models in pools, taken as independent; None for fewer than two.
    """

    references: int
    auc: dict[str, float]
    auc_interval: dict[str, Interval | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpsilonBound:
    """A lower bound of epsilon, in nats.

    Args:
        epsilon: the bound; 0 if the scores show nothing.
        confidence: with which it holds.
        delta: of (epsilon, delta)-differential privacy.
        method: "clopper_pearson", by the rates at a threshold, which takes the examples of a model as independent; or
            "one_run", which only assumes that their membership was chosen by independent flips.
        threshold: scores of at least this were called members; None for guesses of one run.
        true_positives: members called one, by "clopper_pearson"; else None, as the next three.
        members: of the target.
        false_positives: non-members called a member.
        non_members: of the target.
        right: right guesses, by "one_run"; else None, as the next.
        guesses: of membership.
    """

    epsilon: float
    confidence: float
    delta: float = 0.0
    method: str
    threshold: float | None = None
    true_positives: int | None = None
    members: int | None = None
    false_positives: int | None = None
    non_members: int | None = None
    right: int | None = None
    guesses: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Epsilon(EpsilonBound):
    """What target 0's scores show of epsilon: evidence, never a guarantee.

    Args:
        attack: the strongest on other models. Threshold and number of guesses were chosen on these, too.
    """

    attack: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodingResult:
    """One encoding's targets: their accuracy and their leak.

    Args:
        test_accuracy: mean over targets, each a mean over encodings of the test examples.
        test_accuracy_interval: 95 %, Wilson's over the test examples.
        test_accuracies: one for each target.
        train_accuracy: mean over targets, on what they train on, 2,000 examples at most, audited members first.
        train_accuracy_interval: 95 %, Wilson's over these examples.
        test_examples: number of test examples.
        shadow_test_accuracy: mean over shadows, each on one encoding.
        shadow_test_accuracy_interval: 95 %, Wilson's over the test examples.
        epochs: of training.
        train_examples: examples that a target trains on; in the audit of a run more than the audited members.
        attacks: every attack at every K.
        averaging: AUC(K) fitted, by attack.
        auc_by_step: AUC of phi at each time step, at the largest K, mean over targets.
        auc_interval_by_step: 95 %, over examples.
        warnings: targets' layers that are silent or saturated.
        phi: phi of target 0 at the largest K, `{"members": [...], "non_members": [...]}`, histogram counts over
            `edges`.
        tf_privacy: tensorflow-privacy's figures; None unless the config asks for them.
        valid: whether its own controls and those of the data hold.
        canaries: what became of the mislabelled points; None without any.
        epsilon: lower bounds of epsilon.
        certified_epsilon: what private training guarantees; None without it. A bound above it is an error somewhere.
        by_references: AUCs by the number of references.
    """

    test_accuracy: float
    test_accuracy_interval: Interval
    test_accuracies: tuple[float, ...]
    train_accuracy: float
    train_accuracy_interval: Interval
    test_examples: int
    shadow_test_accuracy: float
    shadow_test_accuracy_interval: Interval
    epochs: int
    train_examples: int
    attacks: tuple[AttackResult, ...]
    averaging: dict[str, dict]
    auc_by_step: tuple[float, ...]
    auc_interval_by_step: tuple[Interval, ...]
    warnings: tuple[str, ...]
    phi: dict[str, tuple[float, ...]]
    tf_privacy: TFPrivacyResult | None = None
    valid: bool = True
    canaries: CanaryResult | None = None
    epsilon: tuple[Epsilon, ...] = ()
    certified_epsilon: float | None = None
    by_references: tuple[ReferencesPoint, ...] = ()

    def attack(self, name: str, queries: int) -> AttackResult:
        """Return the figures of an attack at K queries."""
        return next(a for a in self.attacks if (a.name, a.queries) == (name, queries))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Control:
    """A check that must hold for the audit to be valid.

    Args:
        name: "untrained", "permuted_membership", "planted_leak", "blind_baseline", "weights_differ",
            "splits_disjoint", "cross_target", "canaries".
        ok: whether it holds.
        rule: what must hold.
        encoding: None for a control of the data alone.
        auc: None for controls without one.
        interval: of the AUC, over examples, for permuted membership over permutations; None without an AUC.
        confidence: of the interval.
        detail: the finding of a control without an AUC, or what its AUC does not say.
        remedy: what to do where it fails; else empty.
    """

    name: str
    ok: bool
    rule: str
    encoding: str | None = None
    auc: float | None = None
    interval: Interval | None = None
    confidence: float | None = None
    detail: str = ""
    remedy: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One arm's models at one epoch, each the target of every attack that needs no trace.

    Args:
        epoch: of training.
        test_accuracy: mean over models, on the test part.
        test_accuracy_interval: 95 %, over pairs of models in pools; None for fewer than two.
        member_accuracy: mean over models, on their audited members.
        queries: K, encodings of each example that the attacker saw.
        models: targets that the means are over.
        auc: by attack: mean over models. "strongest" is for each pair the attack with the highest mean on the others.
        auc_interval: by attack: 95 %, over pairs of models in pools; None for fewer than two.
        tpr_at_1_fpr: by attack: TPR at a FPR of 1 %, mean over models; None if not resolvable.
        strongest: the attack that most pairs choose.
    """

    epoch: int
    test_accuracy: float
    test_accuracy_interval: Interval | None
    member_accuracy: float
    queries: int
    models: int
    auc: dict[str, float]
    auc_interval: dict[str, Interval | None]
    tpr_at_1_fpr: dict[str, float | None]
    strongest: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Matched:
    """The difference AUC(first) - AUC(second) where both arms fit equally well.

    Args:
        first: an arm.
        second: another.
        at: what is equal: "test_accuracy", or "gap" (accuracy on members less that on the test part).
        attack: name of the attack; "strongest" for each pair's own.
        difference: mean over the range that both arms reach; None without one.
        interval: 95 %, over pairs of models in pools; None without a difference.
        verdict: "lower", "higher", "equivalent", "undecided" or "not comparable", of the first arm's AUC.
        common: lowest and highest of what is equal that both arms reach; None without any.
    """

    first: str
    second: str
    at: str
    attack: str
    difference: float | None
    interval: Interval | None
    verdict: str
    common: Interval | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CanaryResult:
    """What models know of the points that they trained on with a wrong label, and which attacks find them.

    Args:
        canaries: their number; each model trains on half.
        known_by_members: share of wrong labels that models give to the canaries they trained on.
        known_by_others: the same of canaries that they did not train on.
        learnt: whether the models have learnt them by heart: the interval of the difference lies above 0.
        auc: by attack: mean over models.
        auc_interval: by attack: 95 %, over pairs of models in pools; None for fewer than two.
        blind: attacks that do not find them though they are learnt: their AUCs say nothing of this arm's privacy.
    """

    canaries: int
    known_by_members: float
    known_by_others: float
    learnt: bool
    auc: dict[str, float]
    auc_interval: dict[str, Interval | None]
    blind: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """The difference AUC(a) - AUC(b) of one attack on two encodings with the same members, mean over targets.

    Args:
        attack: name of the attack.
        queries: K of both; a deterministic encoder is asked once at any K.
        a: an encoding.
        b: another.
        difference: AUC(a) - AUC(b).
        interval: 95 %, over examples, paired; mean of the ends over targets.
        interval_over_targets: 95 %, Student's t, for at least 3 targets; else None.
    """

    attack: str
    queries: int
    a: str
    b: str
    difference: float
    interval: Interval
    interval_over_targets: Interval | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditResult:
    """The audit: audit.json holds these fields.

    Args:
        valid: whether every control holds. That they can find a leak is only shown if `notes` does not deny it.
        protocol: "audit", "paper" or "paper-overlapping".
        controls: each control.
        encodings: by name.
        comparisons: between encodings.
        counts: sizes of the parts.
        overlap: examples that target 0 and shadow 0 both train on, by the paper's protocols; None otherwise.
        data: name, note, fingerprint and shape of the data, and `chance`, the accuracy on the test part of a model that
            always answers its most frequent class.
        config: the audit's config.
        versions: of the software that the figures depend on.
        format: of this file.
        curves: for each arm, accuracies and AUCs of its models at each snapshot.
        matched: differences between arms that fit equally well.
        false_alarms: upper bound of the share of sound audits in which some control fails by chance.
        notes: remarks that a reader of the figures needs.
        attacks: what each attack of the audit does, and its parameters, by name.
    """

    valid: bool
    protocol: str
    controls: tuple[Control, ...]
    encodings: dict[str, EncodingResult]
    comparisons: tuple[Comparison, ...]
    counts: dict[str, int]
    overlap: int | None
    data: dict
    config: dict
    versions: dict[str, str]
    format: int = 1
    curves: dict[str, tuple[CurvePoint, ...]] = dataclasses.field(default_factory=dict)
    matched: tuple[Matched, ...] = ()
    false_alarms: float | None = None
    notes: tuple[str, ...] = ()
    attacks: dict[str, dict] = dataclasses.field(default_factory=dict)
