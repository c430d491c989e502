"""How claims are judged by what was measured, and the rules that hold for every verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from kerasburst.intervals import seed_interval
from kerasburst.paper.claims import AUC, AUDIT, EQUAL_FIT, MAIN, PAPER, Claim
from kerasburst.paper.measures import Failed, Found, Series, measure
from kerasburst.paper.result import AuditedEncoding, ClaimResult, ClaimRow
from kerasburst.paper.rules import (
    CONFOUNDED_POINTS,
    CONTRADICTED,
    MISSED,
    NOT_COMPARABLE,
    NOT_MEASURABLE,
    OPEN,
    SUPPORTED,
    UNDECIDED,
    Verdict,
    judge,
)
from kerasburst.privacy.reading import auc_at, failed_controls

_NOT_RUN = "none of its parts has been run"
# The order in which the ways of measuring a claim speak for it: equal fit first, the paper's weaker attack last.
_SPEAKERS = (EQUAL_FIT, AUDIT, PAPER)


RULES = (
    "Each verdict follows a rule that is written in the program. It uses the 95 % Student's t-interval over seeds of a "
    "difference paired by seed. The limits were fixed before anything was measured. Four rules were added after we saw "
    "the first seeds' results: how data sets are combined; that two equal figures decide nothing; that accuracy on "
    "members also confounds; and the doubts, which change no verdict.",
    "Seven rules were changed on 27 November 2026, after the figures of scale cpu and before the audit at equal fit "
    "was finished: AUCs are judged at equal accuracy where an audit has it; attacks that disagree decide nothing; data "
    "sets without a leak do not count; an encoding whose networks hardly learnt is not compared; differences of AUCs "
    "within ±0.01 support nothing, even if they are surely above 0; losses of transfer have the pooled spread of all "
    "encodings; and the number of seeds to decide is that of a power of 80 % for the smallest difference that matters.",
    "A claim as a whole is judged by the mean over data sets, seed by seed. If more than half of the data sets with "
    "figures have every seed, only those count; otherwise all of them count, on the seeds that they share. The page "
    "says which data sets and seeds decided, and which did not.",
    "A claim on AUCs is decided at equal test accuracy, by the attack that is strongest on other models. Without such "
    "figures it is decided after equal epochs, by online LiRA at the largest K, and without these by the paper's own "
    "attack. If another attack that finds members gives the opposite verdict, the claim is undecided.",
    "A data set on which the attack finds no members with either encoding does not count. It finds members if the "
    "interval over seeds lies above 0.5, or that over examples at every seed. After equal epochs, encodings are not "
    "comparable if the accuracy of one on its members is less than half way from chance to the other's.",
    "AUCs are compared with random (Bernoulli) rate coding, costs with deterministic rate coding. The audit at equal "
    "fit has both.",
    "Two seeds with the same figure decide nothing: coarse figures often agree by chance.",
    "A difference of AUCs is confounded if the encodings' mean accuracies differ by more than "
    f"{CONFOUNDED_POINTS:g} points, on test examples or on members, on any of the data sets: it may come from the fit.",
    "After each verdict, the page names what it does not show: a data set without which it would change, or that alone "
    "gives the opposite verdict; whether the paper's size is met, if the verdict is about the direction alone; parts "
    "that failed; a transfer that is no better than random features.",
    "Figures of an encoding whose controls failed do not count.",
    "Figures of a network that fell silent or saturated count, and the network is named.",
    "There are many intervals: of twenty at 95 %, one misses on average.",
    "Fix the number of seeds in advance. If you look after each seed and stop at the first verdict, you are wrong "
    "more often: without a difference in 13 % of cases by the fifth seed, 20 % by the tenth, 26 % by the twentieth.",
)


def judge_claim(claim: Claim, found: Found, failed: Failed = (), why_not: Sequence[str] = ()) -> ClaimResult:
    """Judge a claim by all that was found.

    Args:
        claim: the claim.
        found: finished parts with their results.
        failed: parts that could not be made, and why.
        why_not: further reasons why parts are missing, for a claim that nothing tells about.
    """
    failed = [(part, why) for part, why in failed if part.kind in claim.kinds]
    series = measure(claim, found, failed)
    rows = tuple(_row(claim, each) for each in series)
    speaking, seeds = _speaking(series)
    spoken_for = _spoken_for(series, speaking, seeds)
    doubts: tuple[str, ...] = ()
    chosen = _chosen(series)
    if seeds:
        verdict = _judge(claim, speaking, seeds)
        doubts = _doubts(claim, verdict, speaking, seeds, failed) + _at_gap(claim, verdict, series, speaking)
    elif chosen and not speaking:
        reason = "; ".join(f"{s.dataset}: {s.silent or NOT_COMPARABLE}" for s in chosen)
        apart = any(not s.comparable for s in chosen)
        verdict = Verdict(verdict=NOT_COMPARABLE if apart else NOT_MEASURABLE, reason=reason)
    elif speaking:
        verdict = Verdict(verdict=NOT_MEASURABLE, reason="no seed counts on every data set")
    else:
        reasons = [reason for each in series for reason in each.left_out]
        reasons = reasons or [*(why for _, why in failed), *why_not] or [_NOT_RUN]
        verdict = Verdict(verdict=NOT_MEASURABLE, reason="; ".join(dict.fromkeys(reasons)))
    return ClaimResult(
        name=claim.name,
        text=claim.text,
        paper=claim.paper,
        figure=claim.figure,
        rule=claim.rule.text,
        spoken_for=spoken_for,
        verdict=verdict,
        doubts=doubts,
        rows=rows,
        by_paper=_by_paper(claim, series),
    )


def _judge(claim: Claim, speaking: Sequence[Series], seeds: Sequence[int]) -> Verdict:
    """Judge by the mean over data sets, seed by seed; attacks that disagree decide nothing."""
    verdict = _by_figures(claim, speaking, seeds)
    opposite = {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED}.get(verdict.verdict)
    against = []
    for first in speaking[0].others if opposite else ():
        same = [[other for other in s.others if other.measured == first.measured] for s in speaking]
        alike = [found[0] for found in same if found and set(seeds) <= set(found[0].values)]
        if len(alike) == len(speaking) and _by_figures(claim, alike, seeds).verdict == opposite:
            against.append(first.measured)
    if not against:
        return verdict
    told = f"attacks disagree: {verdict.verdict} by {speaking[0].measured}, {opposite} by {', '.join(against)}"
    return dataclasses.replace(verdict, verdict=UNDECIDED, reason=told)


def _by_figures(claim: Claim, speaking: Sequence[Series], seeds: Sequence[int]) -> Verdict:
    means = [float(np.mean([s.values[seed] for s in speaking])) for seed in seeds]

    def widest(gaps: Sequence[dict[int, float] | None]) -> list[float] | None:
        # Of any data set: gaps of both signs must not hide each other.
        each = [[by_seed[seed] for seed in seeds] for by_seed in gaps if by_seed is not None]
        return max(each, key=lambda values: abs(float(np.mean(values))), default=None)

    alone = speaking[0] if len(speaking) == 1 else None
    return judge(
        means,
        claim.rule,
        widest([s.gaps for s in speaking]),
        widest([s.member_gaps for s in speaking]),
        spread=alone and alone.spread,
        interval=alone and alone.interval,
    )


def _at_gap(claim: Claim, verdict: Verdict, series: Sequence[Series], speaking: Sequence[Series]) -> tuple[str, ...]:
    """Return the verdict of the same audits at an equal gap to the members, if it differs."""
    first = speaking[0]
    beside = [s for s in series if s.context.startswith("gaps") and s.kind == first.kind and s.values]
    if not first.context or first.context.startswith("gaps") or not beside:
        return ()
    seeds = sorted(set.intersection(*(set(s.values) for s in beside)))
    found = _judge(claim, beside, seeds).verdict if seeds else verdict.verdict
    return () if found == verdict.verdict else (f"at an equal gap to the members: {found}",)


def _by_paper(claim: Claim, series: Sequence[Series]) -> str:
    """Return the difference in percent by the paper's protocol, which asks once."""
    asked = [s for s in series if s.kind == PAPER and s.base and s.comparable]
    once = [s for s in asked if s.queries == min(each.queries for each in asked)]
    seeds = sorted(set.intersection(*(set(s.values) for s in once))) if once else []
    if claim.measure != AUC or len(seeds) < 2:
        return ""
    percent = [float(np.mean([100 * s.values[seed] / s.base[seed] for s in once])) for seed in seeds]
    mean, low, high = seed_interval(percent)
    return (
        f"by the paper's protocol, as the mean of {', '.join(s.dataset for s in once)}: "
        f"{mean:+.1f} % of AUC({claim.a}) ({low:+.1f} to {high:+.1f})"
    )


def _doubts(
    claim: Claim, verdict: Verdict, speaking: Sequence[Series], seeds: Sequence[int], failed: Failed
) -> tuple[str, ...]:
    """Return what a verdict hides."""
    doubts = []
    if verdict.size == MISSED or (verdict.size is not None and verdict.verdict == SUPPORTED):
        state = {OPEN: "not decided", MISSED: "refuted"}.get(verdict.size, verdict.size)
        doubts.append(f"the paper's size of {claim.rule.size_text} is {state}")
    for each in speaking if len(speaking) > 1 else ():
        without = _judge(claim, [s for s in speaking if s is not each], seeds).verdict
        if without != verdict.verdict:
            doubts.append(f"without {each.dataset}: {without}")
        alone = _judge(claim, [each], seeds).verdict
        if alone in (SUPPORTED, CONTRADICTED) and alone != verdict.verdict and verdict.verdict != UNDECIDED:
            doubts.append(f"on {each.dataset} alone: {alone}")
    doubts += [text for each in speaking for text in each.doubts]
    lost = dict.fromkeys(part.dataset for part, _ in failed)
    doubts += [f"parts on {', '.join(lost)} could not be made"] if lost else []
    return tuple(dict.fromkeys(doubts))


def _row(claim: Claim, series: Series) -> ClaimRow:
    seeds = sorted(series.values)
    if not series.comparable:
        verdict = Verdict(verdict=NOT_COMPARABLE, reason=series.silent)
    elif seeds:
        verdict = _judge(claim, [series], seeds)
    else:
        reason = "; ".join(series.left_out) or "no seed has both encodings"
        verdict = Verdict(verdict=NOT_MEASURABLE, reason=reason)
    return ClaimRow(
        dataset=series.dataset,
        kind=series.kind,
        measured=series.measured,
        queries=series.queries,
        values={str(seed): series.values[seed] for seed in seeds},
        levels=series.levels,
        accuracies=series.accuracies,
        left_out=series.left_out,
        warnings=series.warnings,
        doubts=series.doubts + ((series.silent,) if series.silent and series.comparable else ()),
        verdict=verdict,
        context=series.context,
    )


def _speaking(series: Sequence[Series]) -> tuple[list[Series], list[int]]:
    """Return the series and the seeds that decide a claim: the first measure that has figures, at the largest K.

    A data set that lacks seeds would take them from all: it stays out, unless half of the data sets would.
    """
    chosen = [s for s in _chosen(series) if not s.silent and s.values]
    if not chosen:
        return [], []
    seeds = set().union(*(s.values for s in chosen))
    whole = [s for s in chosen if set(s.values) == seeds]
    if 2 * len(whole) > len(chosen):
        return whole, sorted(seeds)
    return chosen, sorted(set(chosen[0].values).intersection(*(s.values for s in chosen)))


def _chosen(series: Sequence[Series]) -> list[Series]:
    """Return the series of the first way of measuring that has figures, at the largest K: some may be silent."""
    told = [each for each in series if each.values or not each.comparable]
    ways = dict.fromkeys((s.kind, s.measured) for s in told)
    if not ways:
        return []
    order = {kind: place for place, kind in enumerate(_SPEAKERS)}
    way = min(ways, key=lambda way: order.get(way[0], len(order)))  # the first of equals: in the claim's order
    chosen = [s for s in told if (s.kind, s.measured) == way]
    largest = max((s.queries for s in chosen if s.queries is not None), default=None)
    return [s for s in chosen if s.queries == largest]


def _spoken_for(series: Sequence[Series], speaking: Sequence[Series], seeds: Sequence[int]) -> str:
    if not speaking:
        return ""
    first = speaking[0]
    alike = [s for s in series if (s.kind, s.measured, s.queries) == (first.kind, first.measured, first.queries)]
    silent = [
        f"{s.dataset} ({s.silent or f'seeds that count: {_listed(s.values)}'})" for s in alike if s not in speaking
    ]
    at = "" if first.queries is None else f" at K = {first.queries}"
    return f"{first.kind}: {first.measured}{at}; {', '.join(s.dataset for s in speaking)}; seeds {_listed(seeds)}" + (
        f"; without {', '.join(silent)}" if silent else ""
    )


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(seeds))) or "none"


def audited(found: Found) -> tuple[AuditedEncoding, ...]:
    """Put AUC beside accuracy, for each data set, protocol and encoding.

    Args:
        found: finished parts with their results.
    """
    rows = []
    audits = [(part, result) for part, result in found if part.kind in MAIN]
    for kind, dataset in dict.fromkeys((part.kind, part.dataset) for part, _ in audits):
        mine = {p.seed: r for p, r in audits if (p.kind, p.dataset) == (kind, dataset)}
        encodings = dict.fromkeys(e for result in mine.values() for e in result["encodings"])
        ks = sorted({k for result in mine.values() for k in result["config"]["queries"]})
        for encoding in encodings:
            failed = {s: failed_controls(r, encoding) for s, r in mine.items()}
            valid = [s for s in mine if not failed[s]]
            aucs = {k: {s: auc_at(mine[s], encoding, MAIN[kind], k) for s in valid} for k in ks}
            rows.append(
                AuditedEncoding(
                    dataset=dataset,
                    kind=kind,
                    encoding=encoding,
                    attack=MAIN[kind],
                    aucs={str(k): {str(s): auc for s, auc in each.items()} for k, each in aucs.items()},
                    auc_intervals={
                        str(k): seed_interval(list(each.values()), ends=(0.0, 1.0)) if len(each) > 1 else None
                        for k, each in aucs.items()
                    },
                    test_accuracies={str(s): mine[s]["encodings"][encoding]["test_accuracy"] for s in valid},
                    train_accuracies={str(s): mine[s]["encodings"][encoding]["train_accuracy"] for s in valid},
                    failed={str(s): ", ".join(names) for s, names in failed.items() if names},
                )
            )
    return tuple(rows)
