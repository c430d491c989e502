"""A Pareto search: the next point by Optuna, and the point that is judged."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kerasburst.seeding import derive_seed
from kerasburst.studies.sweep.result import SweepPoint
from kerasburst.studies.sweep.space import Parameter
from kerasburst.validation import InputError, is_number

TOLERANCE = 0.02  # a point is as accurate as the first one if it loses no more; more is confounded
RULE = (
    f"of the points that lose at most {100 * TOLERANCE:g} points of accuracy against the first one, "
    "that with the lowest mean AUC"
)
_BY_SAMPLER, _AT_RANDOM = 20, 200  # draws for one trial, until one is a configuration that was not tried

Figures = tuple[float, float]  # test accuracy and AUC


def load_optuna():
    """Return the package that searches.

    Raises:
        InputError: where it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise InputError("--search pareto needs Optuna: pip install 'kerasburst[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def next_point(
    parameters: Sequence[Parameter],
    told: Sequence[tuple[Mapping[str, Any], Figures | None]],
    seed: int,
    accepts: Callable[[dict[str, Any]], bool] = lambda point: True,
) -> dict[str, Any] | None:
    """Return the next point to try: a function of what was tried, so that a search that was killed goes on as it would.

    Optuna's multi-objective TPE maximises the accuracy and minimises the AUC; it begins with 10 points at random.

    Args:
        parameters: what is searched.
        told: each point tried so far, with its test accuracy and AUC; None where it has none.
        seed: of the search.
        accepts: returns whether a point is a configuration.

    Returns:
        A point that was not tried; None where none was found, as in a small space that is exhausted.
    """
    optuna = load_optuna()
    spaces = {parameter.label: _distribution(optuna, parameter) for parameter in parameters}
    history = []
    for point, figures in told:
        if (params := _params(parameters, point)) is not None:
            state = optuna.trial.TrialState.FAIL if figures is None else optuna.trial.TrialState.COMPLETE
            history.append(optuna.trial.create_trial(state=state, params=params, distributions=spaces, values=figures))
    tried = {_key(point) for point, _ in told}
    for draw in range(_BY_SAMPLER + _AT_RANDOM):
        stream = derive_seed(seed, "search", len(told), draw)
        samplers = optuna.samplers
        sampler = samplers.TPESampler(seed=stream) if draw < _BY_SAMPLER else samplers.RandomSampler(seed=stream)
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.add_trials(history)
            params = study.ask(spaces).params
        point = {parameter.label: _value(parameter, params[parameter.label]) for parameter in parameters}
        if _key(point) not in tried and accepts(point):
            return point
    return None


def choose(points: Sequence[SweepPoint]) -> int | None:
    """Return the index of the point to judge by `RULE`; None where no point has both figures.

    Where the first point has none, the most accurate one takes its place in the rule.
    """
    both = {i: point.accuracy_and_auc for i, point in enumerate(points) if point.accuracy_and_auc is not None}
    if not both:
        return None
    bar = both[0][0] if 0 in both else max(accuracy for accuracy, _ in both.values())
    return min((i for i in both if both[i][0] >= bar - TOLERANCE - 1e-9), key=lambda i: (both[i][1], -both[i][0], i))


def edges(parameter: Parameter) -> list[Any]:
    """Return the values by which a parameter's range is checked: its ends and one between, or each value of a list."""
    if not parameter.values:
        middle = parameter.low + (parameter.high - parameter.low) * 0.381966
        return [parameter.low, parameter.high, float(f"{middle:.6g}")]
    ordered = all(map(is_number, parameter.values))
    return [parameter.values[0], parameter.values[-1]] if ordered else list(parameter.values)


def _distribution(optuna, parameter: Parameter):
    """Return what Optuna draws: a number, or the place of a value, whose order counts where values are numbers."""
    distributions = optuna.distributions
    if not parameter.values:
        return distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    if parameter.log:
        return distributions.IntDistribution(parameter.values[0], parameter.values[-1], log=True)
    places = range(len(parameter.values))
    if all(map(is_number, parameter.values)) and list(parameter.values) == sorted(parameter.values):
        return distributions.IntDistribution(0, places[-1])
    return distributions.CategoricalDistribution(list(places))


def _value(parameter: Parameter, drawn: Any) -> Any:
    if not parameter.values:
        return min(max(float(f"{drawn:.6g}"), parameter.low), parameter.high)
    return drawn if parameter.log else parameter.values[drawn]


def _params(parameters: Sequence[Parameter], point: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what Optuna would have drawn for a point; None for one outside the space, as the first one may be."""
    found = {}
    for parameter in parameters:
        value = point[parameter.label]
        if parameter.values:
            if value not in parameter.values:
                return None
            found[parameter.label] = value if parameter.log else parameter.values.index(value)
        elif is_number(value) and parameter.low <= value <= parameter.high:
            found[parameter.label] = float(value)
        else:
            return None
    return found


def _key(point: Mapping[str, Any]) -> str:
    return json.dumps({name: float(v) if is_number(v) else v for name, v in point.items()}, sort_keys=True)
