"""What a sweep found: points, effects and the Pareto front, as frozen dataclasses that become sweep.json."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasburst.intervals import seed_interval
from kerasburst.privacy.result import Matched
from kerasburst.studies.sweep.config import AUDIT_AUC, TEST_ACCURACY

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure over seeds.

    Args:
        mean: over those that have it.
        interval: 95 %, Student's t; None for fewer than two.
        seeds: how many have it.
    """

    mean: float
    interval: Interval | None
    seeds: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeedFigures:
    """A point's figures at one seed.

    Args:
        seed: the seed.
        figures: by metric; a metric that this seed has not is absent.
        auc_by_queries: AUC of online LiRA by K; None without an audit that is valid.
        failed_controls: of its audit.
        reason: why this seed does not count: the loss was not a number, a control failed; else empty.
    """

    seed: int
    figures: dict[str, float]
    auc_by_queries: dict[str, float] | None = None
    failed_controls: tuple[str, ...] = ()
    reason: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """One point.

    Args:
        values: of the parameters, by label.
        reason: why it is no configuration, and was not run; else empty.
        seeds: by seed.
        estimates: by metric, those that any seed has that counts.
        auc_by_queries: AUC over seeds, by K; None without audits.
        on_front: whether no other point is as accurate and leaks as little; None without audits.
    """

    values: dict[str, Any]
    reason: str = ""
    seeds: tuple[SeedFigures, ...] = ()
    estimates: dict[str, Estimate] = dataclasses.field(default_factory=dict)
    auc_by_queries: dict[str, Estimate] | None = None
    on_front: bool | None = None

    @property
    def accuracy_and_auc(self) -> tuple[float, float] | None:
        """Mean test accuracy and mean AUC; None where it lacks one of them."""
        if not {TEST_ACCURACY, AUDIT_AUC} <= set(self.estimates):
            return None
        return self.estimates[TEST_ACCURACY].mean, self.estimates[AUDIT_AUC].mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effect:
    """The effect of one value of a parameter, compared with the parameter's first value that has figures.

    Args:
        parameter: its label.
        value: the value.
        against: that first value.
        pairs: of points with figures that are alike but for the parameter.
        of: pairs that the grid has.
        estimates: by metric: the difference, paired by seed and averaged over the pairs.
    """

    parameter: str
    value: Any
    against: Any
    pairs: int
    of: int
    estimates: dict[str, Estimate]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """The point that a Pareto search chose and the first one, audited on the half of the data that chose nothing.

    Args:
        chosen: index of the point.
        rule: by which it was chosen.
        compared: points that it was chosen from.
        points: the chosen one and the first one, with their new figures.
        difference: chosen less first, by metric, paired by seed.
        matched: the AUC's difference at equal test accuracy by the strongest attack, over the seeds whose accuracies
            meet; None where none do.
        by_seed: that difference at each seed, with its verdict.
    """

    chosen: int
    rule: str
    compared: int
    points: tuple[SweepPoint, SweepPoint]
    difference: dict[str, Estimate]
    matched: Estimate | None
    by_seed: dict[str, Matched]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepResult:
    """All figures of a sweep.

    Args:
        parameters: labels of what is varied, in order.
        metrics: that were asked for.
        points: each, in the order of the search.
        front: indices of the points on the Pareto front, by their mean accuracy; empty without audits.
        effects: of each parameter's values; empty for a random search.
        attack: that the AUC is of, with K; None without audits.
        seeds: the seeds.
        data: name, note and fingerprint.
        config: all it takes to do it again.
        versions: of what the figures depend on.
        chosen: index of the point that a Pareto search chose; None for another search, or without figures.
        judged: its figures on other data; None as above, or where it is the first point.
        format: of this file.
    """

    parameters: tuple[str, ...]
    metrics: tuple[str, ...]
    points: tuple[SweepPoint, ...]
    front: tuple[int, ...]
    effects: tuple[Effect, ...]
    attack: dict | None
    seeds: tuple[int, ...]
    data: dict
    config: dict
    versions: dict[str, str]
    format: int = 1
    chosen: int | None = None
    judged: Judged | None = None


def estimate(values: Sequence[float], ends: tuple[float, float] = (0.0, 1.0)) -> Estimate:
    """Return the mean over seeds with its interval.

    Args:
        values: one for each seed, at least one.
        ends: the least and the largest value that the figure can have; a share's by default.

    Example:
        >>> estimate([0.5]).interval, round(estimate([0.5, 0.6, 0.7]).mean, 3)
        (None, 0.6)
    """
    interval = seed_interval(values, ends=ends)[1:] if len(values) > 1 else None
    return Estimate(mean=float(np.mean(values)), interval=interval, seeds=len(values))


def sum_up(values: Mapping[str, Any], seeds: Sequence[SeedFigures]) -> SweepPoint:
    """Summarise one point over its seeds; accuracies and AUCs use the same seeds.

    Args:
        values: of the parameters.
        seeds: its figures.
    """
    counted = [each for each in seeds if not each.reason]
    names = dict.fromkeys(name for each in counted for name in each.figures)
    ks = dict.fromkeys(k for each in counted for k in each.auc_by_queries or {})
    return SweepPoint(
        values=dict(values),
        seeds=tuple(seeds),
        estimates={name: estimate([s.figures[name] for s in counted if name in s.figures]) for name in names},
        auc_by_queries={k: estimate([s.auc_by_queries[k] for s in counted if s.auc_by_queries]) for k in ks} or None,
    )


def with_front(points: Sequence[SweepPoint]) -> tuple[tuple[SweepPoint, ...], tuple[int, ...]]:
    """Mark the points on the Pareto front of mean accuracy against mean AUC.

    Returns:
        the points, and the indices of those on it, the most accurate first.
    """
    both = [point.accuracy_and_auc for point in points]
    front = pareto_front(both)
    marked = [
        point if pair is None else dataclasses.replace(point, on_front=i in front)
        for i, (point, pair) in enumerate(zip(points, both, strict=True))
    ]
    return tuple(marked), tuple(sorted(front, key=lambda i: -both[i][0]))


def parameter_effects(
    labels: Sequence[str], points: Sequence[SweepPoint], metrics: Sequence[str]
) -> tuple[Effect, ...]:
    """Compare each value of each parameter with the parameter's first value that has figures.

    Seeds share data, splits and initialisation, so that a difference within a seed is surer than the difference of two
    means. At each seed it is averaged over the pairs of points that are alike but for the parameter; pairs without any
    figure are left out, and then seeds that lack one of the others: no pair weighs more at one seed than at another.

    Args:
        labels: of the parameters.
        points: of a grid.
        metrics: of the figures.

    Returns:
        By parameter and value. Where no pair has figures there are no estimates.

    Example:
        >>> def point(beta, *accuracies):
        ...     seeds = [SeedFigures(seed=i, figures={"test_accuracy": a}) for i, a in enumerate(accuracies)]
        ...     return SweepPoint(values={"neuron.beta": beta}, seeds=tuple(seeds))
        >>> points = point(0.5, 0.7, 0.8), point(0.9, 0.75, 0.85)
        >>> (effect,) = parameter_effects(["neuron.beta"], points, ["test_accuracy"])
        >>> effect.value, effect.against, round(effect.estimates["test_accuracy"].mean, 3)
        (0.9, 0.5, 0.05)
    """
    counting = {_key(point.values): point for point in points if not all(each.reason for each in point.seeds)}
    effects = []
    for label in labels:
        values = list({json.dumps(point.values[label]): point.values[label] for point in points}.values())
        first = next((v for v in values if any(point.values[label] == v for point in counting.values())), None)
        for value in values[values.index(first) + 1 :] if counting else []:
            of = [point.values for point in points if point.values[label] == value]
            keys = [(_key(each), _key({**each, label: first})) for each in of]
            pairs = [(counting[one], counting[other]) for one, other in keys if one in counting and other in counting]
            found = {metric: paired_difference(pairs, metric) for metric in metrics}
            effects.append(
                Effect(
                    parameter=label,
                    value=value,
                    against=first,
                    pairs=len(pairs),
                    of=len(of),
                    estimates={metric: each for metric, each in found.items() if each is not None},
                )
            )
    return tuple(effects)


def _key(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), sort_keys=True)


def paired_difference(pairs: Sequence[tuple[SweepPoint, SweepPoint]], metric: str) -> Estimate | None:
    """Return the mean over seeds of a metric's difference within pairs; None where no seed has all pairs."""
    by_seed: dict[int, list[float]] = {}
    for point, other in pairs:
        mine, its = _figures(point.seeds, metric), _figures(other.seeds, metric)
        for seed in mine.keys() & its.keys():
            by_seed.setdefault(seed, []).append(mine[seed] - its[seed])
    whole = [float(np.mean(each)) for _, each in sorted(by_seed.items()) if len(each) == len(pairs)]
    return estimate(whole, ends=(-1.0, 1.0)) if whole else None


def _figures(seeds: Sequence[SeedFigures], metric: str) -> dict[int, float]:
    return {each.seed: each.figures[metric] for each in seeds if not each.reason and metric in each.figures}


def pareto_front(points: Sequence[tuple[float, float] | None]) -> list[int]:
    """Return the points that no other beats: no other is at least as accurate, leaks no more, and is better in one.

    Args:
        points: (accuracy, AUC) each, higher and lower being better; None for a point without both.

    Returns:
        Indices, in ascending order; equal points are on the front together.

    Example:
        >>> pareto_front([(0.9, 0.6), (0.8, 0.5), (0.8, 0.6), None])
        [0, 1]
    """
    known = [(i, point) for i, point in enumerate(points) if point is not None]

    def beaten(accuracy: float, auc: float) -> bool:
        return any((a >= accuracy and b <= auc) and (a > accuracy or b < auc) for _, (a, b) in known)

    return [i for i, point in known if not beaten(*point)]
