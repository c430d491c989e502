"""What a parameter does: differences that are paired by seed, over the other parameters' values in a grid."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasburst.experiments.sweep_result import Effect, Estimate, SeedFigures, SweepPoint, estimate


def parameter_effects(
    labels: Sequence[str], points: Sequence[SweepPoint], metrics: Sequence[str]
) -> tuple[Effect, ...]:
    """Compare each value of each parameter with the parameter's first.

    Seeds share data, splits and initialisation, so that a difference within a seed is surer than the difference of two
    means. At each seed it is averaged over all pairs of points that are alike but for the parameter; a seed at which
    one of them has no figure is left out, so that no pair weighs more at one seed than at another.

    Args:
        labels: of the parameters.
        points: of a grid.
        metrics: of the figures.

    Returns:
        By parameter and value; those without a pair of configurations are absent.

    Example:
        >>> def point(beta, *accuracies):
        ...     seeds = [SeedFigures(seed=i, figures={"test_accuracy": a}) for i, a in enumerate(accuracies)]
        ...     return SweepPoint(values={"neuron.beta": beta}, seeds=tuple(seeds))
        >>> points = point(0.5, 0.7, 0.8), point(0.9, 0.75, 0.85)
        >>> (effect,) = parameter_effects(["neuron.beta"], points, ["test_accuracy"])
        >>> effect.value, effect.against, round(effect.estimates["test_accuracy"].mean, 3)
        (0.9, 0.5, 0.05)
    """
    runs = {_key(point.values): point for point in points if not point.reason}
    effects = []
    for label in labels:
        values = list({json.dumps(point.values[label]): point.values[label] for point in runs.values()}.values())
        for value in values[1:]:
            pairs = [
                (point, runs[other])
                for point in runs.values()
                if point.values[label] == value and (other := _key({**point.values, label: values[0]})) in runs
            ]
            found = {metric: _difference(pairs, metric) for metric in metrics} if pairs else {}
            estimates = {metric: each for metric, each in found.items() if each is not None}
            if estimates:
                effects.append(
                    Effect(parameter=label, value=value, against=values[0], pairs=len(pairs), estimates=estimates)
                )
    return tuple(effects)


def _key(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), sort_keys=True)


def _difference(pairs: Sequence[tuple[SweepPoint, SweepPoint]], metric: str) -> Estimate | None:
    by_seed: dict[int, list[float]] = {}
    for point, other in pairs:
        mine, its = _figures(point.seeds, metric), _figures(other.seeds, metric)
        for seed in mine.keys() & its.keys():
            by_seed.setdefault(seed, []).append(mine[seed] - its[seed])
    whole = [float(np.mean(each)) for _, each in sorted(by_seed.items()) if len(each) == len(pairs)]
    return estimate(whole) if whole else None


def _figures(seeds: Sequence[SeedFigures], metric: str) -> dict[int, float]:
    return {each.seed: each.figures[metric] for each in seeds if not each.reason and metric in each.figures}
