"""Measure claims: from the finished parts of a reproduction to one figure per seed, with its context."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from kerasburst.paper.claims import ACCURACY, AUC, LOSS, MAIN, PROFILE, RISE, SAVING, TRAIN, Claim
from kerasburst.paper.planning import Part
from kerasburst.privacy.result import auc_at, failed_controls
from kerasburst.studies.transfer.arms import CONTROL

Found = Sequence[tuple[Part, dict]]  # the finished parts with what they found
Failed = Sequence[tuple[Part, str]]  # parts that could not be made, and why


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """A claim's figures on one data set, measured one way.

    Args:
        dataset: its name.
        kind: of the parts.
        measured: by what: an attack, a field.
        values: figure by seed.
        levels: mean over seeds by encoding; the figure is their difference.
        queries: K; None where there are none.
        gaps: points of test accuracy, a - b, by seed; None where the figure is not of AUCs.
        member_gaps: likewise, on members.
        accuracies: test accuracy, mean over seeds, by encoding; None alike.
        left_out: seeds that do not count, and why.
        warnings: networks that fell silent or saturated; they count.
        doubts: what the figure alone does not show.
    """

    dataset: str
    kind: str
    measured: str
    values: dict[int, float]
    levels: dict[str, float]
    queries: int | None = None
    gaps: dict[int, float] | None = None
    member_gaps: dict[int, float] | None = None
    accuracies: dict[str, float] | None = None
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def measure(claim: Claim, found: Found, failed: Failed = ()) -> list[Series]:
    """Return a claim's figures from finished parts; for AUCs, by each protocol's main attack at each K.

    Args:
        claim: the claim.
        found: finished parts with their results.
        failed: parts that could not be made: their seeds are left out with the reason.
    """
    by: dict[str, Callable[[Claim, Found, Failed], list[Series]]] = {
        AUC: _aucs,
        ACCURACY: _accuracies,
        LOSS: _losses,
        SAVING: _costs,
        RISE: _costs,
    }
    return by[claim.measure](
        claim,
        [(part, result) for part, result in found if part.kind in claim.kinds],
        [(part, why) for part, why in failed if part.kind in claim.kinds],
    )


def _aucs(claim: Claim, found: Found, failed_parts: Failed) -> list[Series]:
    series = []
    for kind, dataset in dict.fromkeys((part.kind, part.dataset) for part, _ in found):
        valid: dict[int, dict] = {}
        left_out = [f"seed {p.seed}: {why}" for p, why in failed_parts if (p.kind, p.dataset) == (kind, dataset)]
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
            right, by_heart = (
                {e: {s: audit["encodings"][e][name] for s, audit in valid.items()} for e in (claim.a, claim.b)}
                for name in ("test_accuracy", "train_accuracy")
            )
            series.append(
                Series(
                    dataset=dataset,
                    kind=kind,
                    measured=attack,
                    queries=k,
                    values=_less(aucs[claim.a], aucs[claim.b]),
                    levels=_means(aucs),
                    gaps=_points(right[claim.a], right[claim.b]),
                    member_gaps=_points(by_heart[claim.a], by_heart[claim.b]),
                    accuracies=_means(right),
                    left_out=tuple(left_out),
                    warnings=tuple(warnings),
                )
            )
    return series


def _accuracies(claim: Claim, found: Found, failed: Failed) -> list[Series]:
    series = []
    for dataset in dict.fromkeys(part.dataset for part, _ in found):
        missing = [(p, why) for p, why in failed if p.dataset == dataset and p.encoding in (claim.a, claim.b)]
        runs = {e: {p.seed: r for p, r in found if (p.dataset, p.encoding) == (dataset, e)} for e in (claim.a, claim.b)}
        right = {e: {s: run["test_accuracy"] for s, run in each.items()} for e, each in runs.items()}
        warnings = [f"{e}, seed {s}: {text}" for e in runs for s, run in runs[e].items() for text in run["warnings"]]
        series.append(
            Series(
                dataset=dataset,
                kind=TRAIN,
                measured="test accuracy",
                values=_points(right[claim.a], right[claim.b]),
                levels=_means(right),
                left_out=tuple(f"{p.encoding}, seed {p.seed}: {why}" for p, why in missing),
                warnings=tuple(warnings),
            )
        )
    return series


def _losses(claim: Claim, found: Found, failed: Failed) -> list[Series]:
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
                levels={name: float(np.mean(arms[name])) for name in ("scratch", "transfer", CONTROL)},
                warnings=tuple(f"{claim.b}, {text}" for text in arms["warnings"] if not text.startswith(CONTROL)),
                doubts=_carried(arms),
            )
        )
    return series


def _carried(arms: dict) -> tuple[str, ...]:
    """Doubt a transfer that is no better than random features: its small loss then says nothing about the source."""
    ends = arms["over_control_interval"]
    if ends is not None and ends[0] > 0:
        return ()
    over = "" if ends is None else f" ({100 * ends[0]:+.2f} to {100 * ends[1]:+.2f})"
    return (f"not shown to be better than random features: {100 * arms['over_control']:+.2f} points{over}",)


def _costs(claim: Claim, found: Found, failed: Failed) -> list[Series]:
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


def read_cost(profile: dict, encoding: str, field: str) -> float | str:
    """Return a figure of profile.json, or the reason why it is missing.

    Rate coding means deterministic rate coding if that was profiled, since the paper compares costs with it.

    Args:
        profile: the content of profile.json.
        encoding: name of an encoding.
        field: of the figure.

    Example:
        >>> rate = {"wall_s": 2.0, "gpu_power_w": None, "reasons": {"gpu_power_w": "no GPU"}}
        >>> profile = {"encodings": {"rate": rate}}
        >>> read_cost(profile, "rate", "wall_s"), read_cost(profile, "rate", "gpu_power_w")
        (2.0, 'no GPU')
    """
    regular = "rate_regular" if encoding == "rate" else encoding
    found = profile["encodings"].get(regular, profile["encodings"].get(encoding))
    if not isinstance(found, dict):
        return f"{encoding} was not profiled"
    value = found.get(field)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    for reasons in (found.get("reasons"), profile.get("reasons")):
        if isinstance(reasons, dict) and isinstance(reasons.get(field), str):
            return reasons[field]
    return f"the profile has no {field}"


def _less(a: dict[int, float], b: dict[int, float]) -> dict[int, float]:
    """Return a - b, by seed, for the seeds that both have."""
    return {seed: a[seed] - b[seed] for seed in a if seed in b}


def _points(a: dict[int, float], b: dict[int, float]) -> dict[int, float]:
    return {seed: 100 * value for seed, value in _less(a, b).items()}


def _means(figures: dict[str, dict[int, float]]) -> dict[str, float]:
    """Return the means over the seeds that all have, as the difference uses them."""
    common = set.intersection(*(set(values) for values in figures.values()))
    return {name: float(np.mean([values[s] for s in sorted(common)])) for name, values in figures.items() if common}
