"""What the parts of a reproduction say of a claim: one figure a seed, and what stands beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from kerasburst.experiments.claims import ACCURACY, AUC, LOSS, MAIN, PROFILE, RISE, SAVING, TRAIN, Claim
from kerasburst.experiments.parts import Part
from kerasburst.experiments.profiles import read_cost
from kerasburst.transfer.arms import CONTROL

Found = Sequence[tuple[Part, dict]]  # the finished parts with what they found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """A claim's figures on one data set, measured one way.

    Args:
        dataset: its name.
        kind: of the parts.
        measured: by what: an attack, a field.
        values: figure by seed.
        levels: mean over seeds of what the figure is the difference of, by encoding.
        queries: K; None where there are none.
        gaps: points of test accuracy, a - b, by seed; None where the figure is not of AUCs.
        accuracies: test accuracy, mean over seeds, by encoding; None alike.
        left_out: seeds that do not count, and why.
        warnings: networks that fell silent or saturated; they count.
    """

    dataset: str
    kind: str
    measured: str
    values: dict[int, float]
    levels: dict[str, float]
    queries: int | None = None
    gaps: dict[int, float] | None = None
    accuracies: dict[str, float] | None = None
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def measure(claim: Claim, found: Found) -> list[Series]:
    """Give all that finished parts say of a claim; of AUCs the main attack of each protocol at each K.

    Args:
        claim: the claim.
        found: finished parts with their results.
    """
    by: dict[str, Callable[[Claim, Found], list[Series]]] = {
        AUC: _aucs,
        ACCURACY: _accuracies,
        LOSS: _losses,
        SAVING: _costs,
        RISE: _costs,
    }
    return by[claim.measure](claim, [(part, result) for part, result in found if part.kind in claim.kinds])


def failed_controls(audit: dict, encoding: str) -> list[str]:
    """Name the failed controls on which an encoding's figures stand: its own, and those of the data."""
    return [c["name"] for c in audit["controls"] if not c["ok"] and c["encoding"] in (None, encoding)]


def auc_at(audit: dict, encoding: str, attack: str, queries: int) -> float:
    """Give an AUC at K; of a deterministic encoder, which is asked once, at the most that there is."""
    aucs = {a["queries"]: a["auc"] for a in audit["encodings"][encoding]["attacks"] if a["name"] == attack}
    return aucs[max(k for k in aucs if k <= queries)]


def _aucs(claim: Claim, found: Found) -> list[Series]:
    series = []
    for kind, dataset in dict.fromkeys((part.kind, part.dataset) for part, _ in found):
        valid: dict[int, dict] = {}
        left_out = []
        for part, audit in found:
            if (part.kind, part.dataset) != (kind, dataset):
                continue
            failed = {e: failed_controls(audit, e) for e in (claim.a, claim.b)}
            if any(failed.values()):
                names = ", ".join(f"{name} ({e})" for e, each in failed.items() for name in each)
                left_out.append(f"seed {part.seed}: control failed: {names}")
            else:
                valid[part.seed] = audit
        warnings = [
            f"{e}, seed {s}: {text}"
            for e in (claim.a, claim.b)
            for s, audit in valid.items()
            for text in audit["encodings"][e].get("warnings", ())  # audits from before them have none
        ]
        attack = MAIN[kind]
        for k in sorted({k for part, audit in found for k in audit["config"]["queries"]}):
            aucs = {e: {s: auc_at(audit, e, attack, k) for s, audit in valid.items()} for e in (claim.a, claim.b)}
            right = {
                e: {s: audit["encodings"][e]["test_accuracy"] for s, audit in valid.items()} for e in (claim.a, claim.b)
            }
            series.append(
                Series(
                    dataset=dataset,
                    kind=kind,
                    measured=attack,
                    queries=k,
                    values=_less(aucs[claim.a], aucs[claim.b]),
                    levels=_means(aucs),
                    gaps={s: 100 * gap for s, gap in _less(right[claim.a], right[claim.b]).items()},
                    accuracies=_means(right),
                    left_out=tuple(left_out),
                    warnings=tuple(warnings),
                )
            )
    return series


def _accuracies(claim: Claim, found: Found) -> list[Series]:
    series = []
    for dataset in dict.fromkeys(part.dataset for part, _ in found):
        runs = {e: {p.seed: r for p, r in found if (p.dataset, p.encoding) == (dataset, e)} for e in (claim.a, claim.b)}
        right = {e: {s: run["test_accuracy"] for s, run in each.items()} for e, each in runs.items()}
        warnings = [f"{e}, seed {s}: {text}" for e in runs for s, run in runs[e].items() for text in run["warnings"]]
        series.append(
            Series(
                dataset=dataset,
                kind=TRAIN,
                measured="test accuracy",
                values={s: 100 * value for s, value in _less(right[claim.a], right[claim.b]).items()},
                levels=_means(right),
                warnings=tuple(warnings),
            )
        )
    return series


def _losses(claim: Claim, found: Found) -> list[Series]:
    series = []
    for part, result in found:
        arms = result["encodings"][claim.b]
        pairs = zip(result["seeds"], arms["scratch"], arms["transfer"], strict=True)
        series.append(
            Series(
                dataset=f"{result['data']['source']['name']} to {result['data']['target']['name']}",
                kind=part.kind,
                measured="from scratch, transferred",
                values={seed: 100 * (scratch - transfer) for seed, scratch, transfer in pairs},
                levels={name: float(np.mean(arms[name])) for name in ("scratch", "transfer")},
                warnings=tuple(f"{claim.b}, {text}" for text in arms["warnings"] if not text.startswith(CONTROL)),
            )
        )
    return series


def _costs(claim: Claim, found: Found) -> list[Series]:
    series = []
    sign = 1.0 if claim.measure == SAVING else -1.0
    for field in claim.fields:
        for dataset in dict.fromkeys(part.dataset for part, _ in found):
            costs: dict[str, dict[int, float]] = {claim.a: {}, claim.b: {}}
            left_out = []
            for part, profile in found:
                if part.dataset == dataset:
                    read = {e: read_cost(profile, e, field) for e in (claim.a, claim.b)}
                    why = [value for value in read.values() if isinstance(value, str)]
                    if why or not read[claim.a]:
                        left_out.append(f"{field}: {why[0] if why else 'it is 0'}")
                        continue
                    for e, value in read.items():
                        costs[e][part.seed] = value
            a, b = costs[claim.a], costs[claim.b]
            series.append(
                Series(
                    dataset=dataset,
                    kind=PROFILE,
                    measured=field,
                    values={s: sign * 100 * (1 - b[s] / a[s]) for s in a},
                    levels=_means(costs),
                    left_out=tuple(dict.fromkeys(left_out)),
                )
            )
    return series


def _less(a: dict[int, float], b: dict[int, float]) -> dict[int, float]:
    """Give a - b for the seeds that both have."""
    return {seed: a[seed] - b[seed] for seed in a if seed in b}


def _means(figures: dict[str, dict[int, float]]) -> dict[str, float]:
    return {name: float(np.mean(list(values.values()))) for name, values in figures.items() if values}
