"""What a parameter does: differences that are paired by seed, over the other parameters' values in a grid."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasburst.studies.sweep.result import Effect, Estimate, SeedFigures, SweepPoint, estimate


def parameter_effects(
    labels: Sequence[str], points: Sequence[SweepPoint], metrics: Sequence[str]
) -> tuple[Effect, ...]:
    """Compare each value of each parameter with the parameter's first that any figure stands for.

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
            found = {metric: _difference(pairs, metric) for metric in metrics}
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
