"""`SweepConfig`: what a sweep is, before anything is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from kerasburst.config import TrainConfig, set_parameters
from kerasburst.parameters import default_network, parameters
from kerasburst.privacy.config import AuditConfig
from kerasburst.studies.sweep.space import MOST_POINTS, Parameter, grid, sample
from kerasburst.validation import InputError, check_choice, check_int, fail, suggestion

AUDIT_AUC, TEST_ACCURACY = "audit_auc", "test_accuracy"
METRICS = (TEST_ACCURACY, "train_accuracy", "input_firing_rate", AUDIT_AUC)
SEARCHES = ("grid", "random", "pareto")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Everything that `kerasburst sweep` needs to repeat a sweep.

    Args:
        train: what every point shares: data, encoding, training; its seed is the first one.
        parameters: what is varied, each once.
        metrics: out of "test_accuracy", "train_accuracy", "input_firing_rate" and "audit_auc"; the last brings the
            first with it.
        seeds: number of seeds, at least 1.
        search: "grid" for every combination, "random" for `samples` of them, "pareto" for a search by Optuna for points
            of high test accuracy and low attack AUC: one half of the data chooses, the other judges the point chosen.
        samples: points of a random search, or trials of a Pareto search, of which the first is `train` as it is; at
            least 1.
        shadows: N, of the audits.
        queries: K, of the audits.
        members: of the audits; None for a share of the pool.

    Raises:
        InputError: for a value outside its range.

    Example:
        >>> margin = Parameter("encoder", "margin", (2, 4))
        >>> SweepConfig(train=TrainConfig(encoding="delayed_burst"), parameters=(margin,)).points()
        [{'encoder.margin': 2}, {'encoder.margin': 4}]
    """

    FORMAT: ClassVar[int] = 1
    WHAT: ClassVar[str] = "a sweep"

    train: TrainConfig
    parameters: tuple[Parameter, ...]
    metrics: tuple[str, ...] = (TEST_ACCURACY,)
    seeds: int = 3
    search: str = "grid"
    samples: int = 20
    shadows: int = 4
    queries: tuple[int, ...] = (1, 4)
    members: int | None = None

    def __post_init__(self):
        """Check every value that needs no data."""
        if not isinstance(self.train, TrainConfig):
            raise fail("train", "a TrainConfig", self.train)
        if not self.parameters:
            raise fail("--param", "given at least once", "none")
        labels = [parameter.label for parameter in self.parameters]
        if len(set(labels)) < len(labels):
            raise fail("--param", "given once for each parameter", ", ".join(labels))
        for name in self.metrics:
            check_choice("metric", name, METRICS)
        if not self.metrics:
            raise fail("metric", f"one or more of {', '.join(METRICS)}", "none")
        wanted = {*self.metrics, *([AUDIT_AUC] if self.search == "pareto" else [])}
        wanted |= {TEST_ACCURACY} if AUDIT_AUC in wanted else set()
        object.__setattr__(self, "metrics", tuple(name for name in METRICS if name in wanted))
        object.__setattr__(self, "parameters", tuple(self.parameters))
        check_int("seeds", self.seeds, low=1, high=1000)
        check_choice("search", self.search, SEARCHES)
        check_int("samples", self.samples, low=1, high=MOST_POINTS)
        object.__setattr__(self, "queries", self.audit_of(self.train).queries)  # checked and sorted there
        if self.search == "pareto":
            if "train.train_limit" in labels:
                raise fail("--param", "what leaves the splits alone, which all trials share", "train.train_limit")
        else:
            self.points()

    @property
    def audited(self) -> bool:
        """Whether each point is an audit, and not a training alone."""
        return AUDIT_AUC in self.metrics

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(range(self.train.seed, self.train.seed + self.seeds))

    def points(self) -> list[dict[str, Any]]:
        """Return the points of a grid or a random search, each a value by parameter."""
        chosen = (
            grid(self.parameters) if self.search == "grid" else sample(self.parameters, self.samples, self.train.seed)
        )
        return [dict(zip([p.label for p in self.parameters], point, strict=True)) for point in chosen]

    def training(self, point: Mapping[str, Any], seed: int) -> TrainConfig:
        """Return a point's training.

        Raises:
            InputError: for a value outside its range.
        """
        fields, assignments = {}, []
        for parameter in self.parameters:
            if parameter.scope == "train":
                fields[parameter.name] = point[parameter.label]
            else:
                assignments.append((parameter.scope, parameter.name, point[parameter.label]))
        return set_parameters(dataclasses.replace(self.train, seed=seed, **fields), assignments)

    def start(self, kind: str, epochs: int) -> dict[str, Any]:
        """Return the values that `train` has, the first point of a Pareto search.

        Args:
            kind: the data set's, "image" or "tabular".
            epochs: the data set's own.
        """
        resolved = self.train.resolved(kind, epochs)
        given = {"encoder": resolved.encoder, "neuron": resolved.neuron, "model": resolved.network}
        return {
            p.label: getattr(self.train, p.name) if p.scope == "train" else given[p.scope][p.name]
            for p in self.parameters
        }

    def audit_of(self, training: TrainConfig, half: int | None = None) -> AuditConfig:
        """Return the audit of a point's training, on one half of the data or on all."""
        return AuditConfig(
            train=training,
            encodings=(training.encoding,),
            shadows=self.shadows,
            queries=self.queries,
            members=self.members,
            half=half,
        )

    def check_names(self, kind: str) -> None:
        """Check that every parameter exists, whatever its values.

        Args:
            kind: the data set's, "image" or "tabular".

        Raises:
            InputError: for one that the encoder, neuron or network does not have.
        """
        network = self.train.model or default_network(kind)
        owners = {
            "encoder": parameters("encoder", self.train.encoding),
            "neuron": parameters("neuron", self.train.neuron_name),
            "model": parameters("model", network),
        }
        for parameter in self.parameters:
            known = owners.get(parameter.scope)
            if known is not None and parameter.name not in known:
                raise InputError(
                    f"--param {parameter.label} is unknown: {parameter.scope} has {', '.join(known)}"
                    + suggestion(parameter.name, known)
                )
