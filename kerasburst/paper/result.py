"""What a reproduction found: each claim with the paper's figure, ours, and a verdict; becomes reproduction.json."""

from __future__ import annotations

import dataclasses

from kerasburst.paper.rules import Verdict


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """A claim on one data set, measured one way.

    Args:
        dataset: its name.
        kind: of the parts: "equal_fit", "audit", "paper", "train", "transfer" or "profile".
        measured: an attack, or what was measured.
        queries: K; None where there are none.
        values: figure by seed.
        levels: mean over seeds by encoding (AUCs, accuracies, costs); the figure is their difference.
        accuracies: test accuracy beside AUCs, mean over seeds, by encoding; else None.
        left_out: seeds that do not count, and why.
        warnings: networks that fell silent or saturated; they count.
        doubts: what the verdict does not show.
        verdict: on this row alone.
        context: where the figure was read, if it has no levels.
    """

    dataset: str
    kind: str
    measured: str
    queries: int | None
    values: dict[str, float]
    levels: dict[str, float]
    accuracies: dict[str, float] | None
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]
    doubts: tuple[str, ...]
    verdict: Verdict
    context: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """A claim and its verdict.

    Args:
        name: the claim's.
        text: what is claimed.
        paper: its size there.
        figure: what the figures are.
        rule: of the verdicts.
        spoken_for: which rows speak for it, on which seeds, and which do not: by seed, the mean of their figures.
        verdict: on it.
        doubts: what the verdict does not show: of the paper's size, of a data set on which it hinges or that is
            against it, of seeds that could not be made.
        rows: by data set, way of measuring and K.
        by_paper: of AUCs, the difference in percent of the first, as the paper gives it, by its own protocol.
    """

    name: str
    text: str
    paper: str
    figure: str
    rule: str
    spoken_for: str
    verdict: Verdict
    doubts: tuple[str, ...]
    rows: tuple[ClaimRow, ...]
    by_paper: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditedEncoding:
    """AUC and accuracy of one encoding over the seeds, always together.

    Args:
        dataset: its name.
        kind: protocol, "audit" or "paper".
        encoding: its name.
        attack: the protocol's main one.
        aucs: by K: by seed.
        auc_intervals: by K: mean and 95 % interval over seeds; None for one seed.
        test_accuracies: by seed.
        train_accuracies: by seed.
        failed: seeds whose figures do not count, with the controls that failed.
    """

    dataset: str
    kind: str
    encoding: str
    attack: str
    aucs: dict[str, dict[str, float]]
    auc_intervals: dict[str, tuple[float, float, float] | None]
    test_accuracies: dict[str, float]
    train_accuracies: dict[str, float]
    failed: dict[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reproduction:
    """All that reproduction.json holds.

    Args:
        scale: "smoke", "cpu" or "full".
        note: what the scale is for.
        complete: whether nothing of the plan is left to do.
        claims: each with its verdict.
        audits: AUC and accuracy of each audit.
        plan: the parts, each with its state ("finished", "failed" or "not run") and why.
        skipped: why there are no parts of a data set, or of a transfer, by its name.
        notes: what must be known of the data, by its name.
        rules: what holds for every verdict.
        config: all it takes to do it again.
        versions: software that the parts were made with, each set once; parts may come from several machines.
        format: of this file.
    """

    scale: str
    note: str
    complete: bool
    claims: tuple[ClaimResult, ...]
    audits: tuple[AuditedEncoding, ...]
    plan: tuple[dict, ...]
    skipped: dict[str, str]
    notes: dict[str, str]
    rules: tuple[str, ...]
    config: dict
    versions: tuple[dict[str, str], ...]
    format: int = 1
