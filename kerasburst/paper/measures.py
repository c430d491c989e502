"""Measure claims: from the finished parts of a reproduction to one figure per seed, with its context."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from kerasburst.intervals import seed_interval
from kerasburst.paper.claims import ACCURACY, AUC, LOSS, MAIN, PROFILE, RISE, SAVING, TRAIN, Claim
from kerasburst.paper.planning import Part
from kerasburst.privacy.matching import AT, NOT_COMPARABLE
from kerasburst.privacy.reading import attack_at, auc_at, failed_controls
from kerasburst.studies.transfer.arms import CONTROL

Found = Sequence[tuple[Part, dict]]  # the finished parts with what they found
Failed = Sequence[tuple[Part, str]]  # parts that could not be made, and why

STRONGEST = "strongest"  # the attack that leads an audit at equal fit
_HARDLY = 0.5  # of the way from chance to the other encoding's accuracy on members: a network below it hardly learnt
_AT = dict(zip(AT, ("at equal test accuracy", "at an equal gap to the members"), strict=True))
NO_LEAK = "the attack finds no members with either encoding: it does not count"


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
        context: where the figure was read, if it has no levels.
        base: the first encoding's AUC by seed, of which the figure is a part; None where it is no matter.
        interval: 95 %, of the single audit that the figure comes from, over its pools or pairs; None where seeds vary.
        spread: standard deviation over seeds and its degrees of freedom, pooled with other encodings'; None for the
            values' own.
        silent: why the figure does not speak for the claim, although there is one; else empty.
        comparable: whether both encodings fit so that they can be compared.
        others: the same by other attacks that find members.
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
    context: str = ""
    base: dict[int, float] | None = None
    interval: tuple[float, float] | None = None
    spread: tuple[float, int] | None = None
    silent: str = ""
    comparable: bool = True
    others: tuple[Series, ...] = ()


def measure(claim: Claim, found: Found, failed: Failed = ()) -> list[Series]:
    """Return a claim's figures from finished parts.

    AUCs are compared at equal fit where the audits have snapshots, and after equal epochs by each protocol's main
    attack at each K.

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
        common = {
            "dataset": dataset,
            "kind": kind,
            "accuracies": {},
            "left_out": tuple(left_out),
            "warnings": tuple(warnings),
        }
        matched = {seed: audit for seed, audit in valid.items() if audit.get("matched")}
        series += [_at_equal_fit(claim, matched, at, common) for at in AT if matched]
        if kind in MAIN:
            for k in sorted({k for _, audit in found for k in audit["config"]["queries"]}):
                series.append(_after_equal_epochs(claim, valid, k, common))
    return series


def _at_equal_fit(claim: Claim, audits: dict[int, dict], at: str, common: dict) -> Series:
    """Return AUC(a) - AUC(b) where both encodings fit equally well, by the strongest attack and by each other."""
    entries: dict[str, dict[int, dict]] = {}
    signs = {(claim.a, claim.b): 1.0, (claim.b, claim.a): -1.0}
    for seed, audit in audits.items():
        for each in audit["matched"]:
            if each["at"] == at and (sign := signs.get((each["first"], each["second"]))):
                comparable = each["verdict"] != NOT_COMPARABLE
                ends = sorted(sign * end for end in each["interval"]) if comparable else None
                turned = {"value": sign * each["difference"], "ends": ends} if comparable else None
                entries.setdefault(each["attack"], {})[seed] = turned and turned | {"common": each["common"]}

    def by(attack: str, **more) -> Series:
        found = {seed: each for seed, each in entries.get(attack, {}).items() if each}
        ends = next(iter(found.values()))["ends"] if len(found) == 1 else None
        return Series(
            **common | more,
            measured=f"{attack}, {_AT[at]}",
            values={seed: each["value"] for seed, each in found.items()},
            levels={},
            interval=None if ends is None else tuple(ends),
        )

    at_end = [audit["curves"][e][-1]["auc_interval"] for audit in audits.values() for e in (claim.a, claim.b)]
    finders = {name for name in entries if any((ends.get(name) or (0.0,))[0] > 0.5 for ends in at_end)}
    shared = [each["common"] for each in entries.get(STRONGEST, {}).values() if each]
    apart = [f"seed {seed}: {NOT_COMPARABLE}" for seed, each in entries.get(STRONGEST, {}).items() if not each]
    low, high = (f"{end([pair[i] for pair in shared]):.1%}" if shared else "" for i, end in enumerate((max, min)))
    return by(
        STRONGEST,
        context=f"{'test accuracies' if at == AT[0] else 'gaps'} from {low} to {high}" if shared else "",
        left_out=(*common["left_out"], *apart),
        silent="" if STRONGEST in finders or not shared else NO_LEAK,
        comparable=bool(shared) or not apart,
        others=tuple(by(name) for name in entries if name in finders - {STRONGEST}),
    )


def _after_equal_epochs(claim: Claim, audits: dict[int, dict], queries: int, common: dict) -> Series:
    """Return AUC(a) - AUC(b) at the end of both trainings, by the protocol's main attack and by each other."""
    both = (claim.a, claim.b)
    right, by_heart = (
        {e: {s: audit["encodings"][e][name] for s, audit in audits.items()} for e in both}
        for name in ("test_accuracy", "train_accuracy")
    )

    def by(attack: str, **more) -> Series:
        aucs = {e: {s: auc_at(audit, e, attack, queries) for s, audit in audits.items()} for e in both}
        return Series(
            **common | more,
            measured=attack,
            queries=queries,
            values=_less(aucs[claim.a], aucs[claim.b]),
            levels=_means(aucs),
            base=aucs[claim.a],
        )

    def finds(attack: str) -> bool:
        return any(_above_chance([attack_at(audit, e, attack, queries) for audit in audits.values()]) for e in both)

    main = MAIN[common["kind"]]
    names = _shared_attacks(audits.values(), both, queries) - {main}
    hardly = _hardly_learnt(audits.values(), by_heart)
    return by(
        main,
        gaps=_points(right[claim.a], right[claim.b]),
        member_gaps=_points(by_heart[claim.a], by_heart[claim.b]),
        accuracies=_means(right),
        silent=hardly or ("" if not audits or finds(main) else NO_LEAK),
        comparable=not hardly,
        others=tuple(by(name) for name in sorted(names) if finds(name)),
    )


def _shared_attacks(audits: Iterable[dict], encodings: Sequence[str], queries: int) -> set[str]:
    """Return the attacks on spikes that every audit ran on all of the encodings at up to so many queries."""
    attacks = [audit["encodings"][e]["attacks"] for audit in audits for e in encodings]
    found = [{a["name"] for a in each if a["queries"] <= queries} for each in attacks]
    return {name for name in set.intersection(*found) if not name.startswith("bypass_")} if found else set()


def _above_chance(attacks: Sequence[dict]) -> bool:
    """Return whether an attack finds members: in the interval over seeds, or over the examples of every seed."""
    if all(each["auc_interval"][0] > 0.5 for each in attacks):
        return bool(attacks)
    return len(attacks) > 1 and seed_interval([each["auc"] for each in attacks])[1] > 0.5


def _hardly_learnt(audits: Iterable[dict], by_heart: dict[str, dict[int, float]]) -> str:
    """Return which encoding's networks hardly learnt their members beside the other's; empty if both did."""
    classes = max((audit["data"]["num_classes"] for audit in audits), default=0)
    over = {e: float(np.mean(list(of.values()))) - 1 / classes for e, of in by_heart.items()} if classes else {}
    less, more = sorted(over, key=lambda e: over[e]) if over else ("", "")
    if not over or over[less] >= _HARDLY * over[more]:
        return ""
    rates = {e: over[e] + 1 / classes for e in over}
    return f"{less} hardly learnt: {rates[less]:.1%} right on its members, {more} {rates[more]:.1%}"


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
        lost = [
            np.subtract(of["scratch"], of["transfer"]) for of in result["encodings"].values() if len(of["scratch"]) > 1
        ]
        # A spread over few seeds is small by chance: that of all encodings stands for each.
        pooled = 100 * math.sqrt(np.mean([each.var(ddof=1) for each in lost])) if lost else None
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
                spread=None if pooled is None else (pooled, sum(len(each) - 1 for each in lost)),
            )
        )
    return series


def _carried(arms: dict) -> tuple[str, ...]:
    """Return how the transferred network compares with random features and with rate coding's transferred network.

    If it is no better than random features, its small loss says nothing about the source.
    """

    def points(name: str) -> str:
        ends = arms.get(f"{name}_interval")
        over = "" if ends is None else f" ({100 * ends[0]:+.2f} to {100 * ends[1]:+.2f})"
        return f"{100 * arms[name]:+.2f} points{over}"

    ends = arms["over_control_interval"]
    carried = ends is not None and ends[0] > 0
    found = [] if carried else [f"not shown to be better than random features: {points('over_control')}"]
    found += [] if arms.get("over_rate") is None else [f"transferred, against rate coding: {points('over_rate')}"]
    return tuple(found)


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
