"""Sweep over parameters: train or audit every point at every seed, on one fleet."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kerasburst import files, records
from kerasburst.data.datasets import known_dataset, load_source
from kerasburst.data.splits import make_splits
from kerasburst.privacy.audit import AuditStudy
from kerasburst.privacy.equal_fit import STRONGEST, ArmCurve, ArmModels, match
from kerasburst.privacy.lessons import load_pools
from kerasburst.privacy.reading import auc_at, failed_controls
from kerasburst.privacy.result import Matched
from kerasburst.privacy.splits import draw_audit_splits, half_of
from kerasburst.studies.sweep.config import AUDIT_AUC, METRICS, SweepConfig
from kerasburst.studies.sweep.result import (
    Judged,
    SeedFigures,
    SweepPoint,
    SweepResult,
    estimate,
    paired_difference,
    parameter_effects,
    sum_up,
    with_front,
)
from kerasburst.studies.sweep.search import RULE, choose, edges, load_optuna, next_point
from kerasburst.study import Collection, Done, FleetFailed, FleetObserver, Part, stored_result
from kerasburst.training.result import versions
from kerasburst.training.setup import DEFAULT_EPOCHS, check_fits
from kerasburst.training.task import TrainingPart
from kerasburst.validation import InputError, one_line

_ATTACK = "lira_online"


def sweep(
    config: SweepConfig,
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    jobs: int | None = None,
    backend: str = "loky",
    observer: FleetObserver | None = None,
) -> tuple[SweepResult, FleetFailed | None]:
    """Train at every point of a space, or audit there if AUCs are wanted, into a directory.

    Args:
        config: what to do.
        out: the sweep's directory.
        resume: go on with a sweep in `out`, with more seeds or samples if wanted; begin where there is none.
        force: replace a sweep in `out`.
        jobs: networks trained side by side; None for the number of cores.
        backend: "loky" for processes on this machine, "dask" or "ray" for a cluster.
        observer: receives the progress.

    Returns:
        The result, which `out`/sweep.json holds too, and the fleet's error where networks could not be trained: they
        have no figures. A point that is no configuration is listed with its reason.

    Raises:
        InputError: for bad input, a space of which no point is a configuration, or a sweep in `out` without `resume`
            or `force`.
        ClusterLost: where a Dask cluster is gone.

    Example:
        >>> from kerasburst.config import TrainConfig
        >>> from kerasburst.studies.sweep.space import parse_parameter
        >>> beta = parse_parameter("neuron.beta=0.5,0.9")
        >>> sweep(SweepConfig(train=TrainConfig(dataset="iris"), parameters=(beta,)), "runs/s")  # doctest: +SKIP
    """
    return SweepStudy(config, out).run(resume=resume, force=force, jobs=jobs, backend=backend, observer=observer)


class SweepStudy(Collection):
    """A sweep as a study: each point at each seed is a training or an audit.

    The points of a Pareto search are in trials.json: each is written there before it is run, so that a search that was
    killed goes on with what it had asked for, and does nothing twice.
    """

    config_class = SweepConfig
    result_name = "sweep.json"
    own_names = (
        *("sweep.json", "config.json", "data.json", "plan.json", "trials.json", "pareto.png"),
        *(f"{m}.png" for m in METRICS),
    )
    may_differ = ("seeds", "samples")  # one more or less changes no other

    def load(self):
        """Load the data set."""
        train = self.config.train
        return {"dataset": load_source(train.dataset, **train.reading())}

    def prepare(self, sources):
        """Find the points that are no valid configuration."""
        config, self.source = self.config, sources["dataset"]
        config.check_names(self.source.kind)
        info = known_dataset(config.train.dataset)
        self.epochs = DEFAULT_EPOCHS if info is None else info.default_epochs
        # What all points share is refused at once, and not once for each of them.
        config.train.resolved(self.source.kind, self.epochs)
        self._drawn = set[int | None]()  # limits of training sets that splits have been drawn from
        if config.search == "pareto":
            load_optuna()
            self.points = self._begun_trials()
            self._check_ranges()
        else:
            self.points = config.points()
        self.reasons = {index: reason for index, point in enumerate(self.points) if (reason := self._check(point))}
        if config.search != "pareto" and len(self.reasons) == len(self.points):
            raise InputError(f"--param leaves no configuration; the first point: {self.reasons[0]}")
        return {}

    def _check(self, point: Mapping[str, Any]) -> str:
        """Return why a point is no configuration; nothing where it is one."""
        config, source = self.config, self.source
        try:
            training = config.training(point, config.train.seed).resolved(source.kind, self.epochs)
            shape = source.sample_shape
            if source.recorded:  # events are binned into each point's own steps
                shape = (training.num_steps, *shape[1:])
            check_fits(training, source.num_classes, shape)
            if training.train_limit not in self._drawn:
                parts = make_splits(source, training.seed, training.train_limit)
                if config.audited:
                    sizes = {"seed": training.seed, "members": config.members, "shadows": config.shadows}
                    for half in (0, 1) if config.search == "pareto" else (None,):
                        train, test = (half_of(source.x, each, half) for each in (parts.train, parts.test))
                        draw_audit_splits(source.x, train, test, **sizes)
                self._drawn.add(training.train_limit)
        except InputError as error:
            return str(error)
        return ""

    def _check_ranges(self) -> None:
        """Check that each end of each range is part of a configuration, with the first point or with other ends."""
        start = self.points[0]
        for parameter in self.config.parameters:
            others = [p for p in self.config.parameters if p is not parameter]
            for value in edges(parameter):
                reason = ""
                for rest in itertools.product(*([start[p.label], *edges(p)] for p in others)):
                    point = dict(zip([p.label for p in others], rest, strict=True)) | {parameter.label: value}
                    if not (why := self._check(point)):
                        break
                    reason = reason or why
                else:
                    raise InputError(
                        f"--param {parameter.label} leaves no configuration at {one_line(value, 80)}: {reason}"
                    )

    def _begun_trials(self) -> list[dict[str, Any]]:
        """Return the points of the search that is resumed, or the first one of a new search."""
        path, start = self.out / "trials.json", self.config.start(self.source.kind, self.epochs)
        if not (self.resumed and os.path.lexists(path)):
            return [start]
        points = files.read_json(path)
        names = start.keys()
        if not isinstance(points, list) or not all(isinstance(p, dict) and p.keys() == names for p in points):
            raise InputError(f"{path} must be the search's trials, it is not: --force begins anew")
        return points[: self.config.samples] or [start]

    def rounds(self):
        """Yield all points at once, or one after the other in a search, and then what is judged."""
        if self.config.search != "pareto":
            yield self.parts()
            return
        for index in itertools.count():
            if index == len(self.points) and not self._ask():
                break
            if index not in self.reasons:
                yield [self._part(index, seed, half=0) for seed in self.config.seed_list]
        if chosen := choose(self._summaries()):  # neither none nor the first
            yield [
                self._part(index, seed, half=1)
                for seed in self.config.seed_list
                for index in (chosen, 0)
                if index not in self.reasons
            ]

    def _ask(self) -> bool:
        """Add the search's next point; return False where it is over."""
        if len(self.points) >= self.config.samples:
            return False
        told = [(point.values, point.accuracy_and_auc) for point in self._summaries()]
        point = next_point(self.config.parameters, told, self.config.train.seed, lambda point: not self._check(point))
        if point is None:
            return False
        self.points.append(point)
        files.write_json(self.out / "trials.json", self.points)
        return True

    def _part(self, index: int, seed: int, half: int | None = None) -> tuple[str, Callable[[], Part]]:
        name = folder_name(index, seed, half)
        return name, functools.partial(self._begin, self.points[index], seed, self.out / name, half)

    def _begin(self, point: Mapping[str, Any], seed: int, folder: Path, half: int | None) -> Part:
        training = self.config.training(point, seed)
        if not self.config.audited:
            resolved = training.resolved(self.source.kind, self.epochs)
            return TrainingPart(resolved, folder, self.source.fingerprint)
        audit = self.config.audit_of(training, half)
        stored = stored_result(folder / "audit.json", audit, [self.source.fingerprint])
        if stored is not None:
            return Done(stored)
        part = AuditStudy(audit, folder)
        part.begin(resume=True)
        return part

    def parts(self):
        """Yield every point at one seed before any at the next."""
        for seed in self.config.seed_list:
            for index in range(len(self.points)):
                if index not in self.reasons:
                    yield self._part(index, seed)

    def _summaries(self) -> list[SweepPoint]:
        """Return the points with their figures over seeds."""
        return [
            SweepPoint(values=point, reason=self.reasons[index]) if index in self.reasons else self._sum_up(index)
            for index, point in enumerate(self.points)
        ]

    def _sum_up(self, index: int, half: int | None = None) -> SweepPoint:
        seeds = self.config.seed_list
        return sum_up(self.points[index], [self._figures(folder_name(index, seed, half), seed) for seed in seeds])

    def conclude(self, sources):
        """Sum up the points over their seeds."""
        config, source = self.config, sources["dataset"]
        marked, front = with_front(self._summaries())
        chosen = choose(marked) if config.search == "pareto" else None
        labels = tuple(parameter.label for parameter in config.parameters)
        return SweepResult(
            parameters=labels,
            metrics=config.metrics,
            points=marked,
            front=front,
            effects=parameter_effects(labels, marked, config.metrics) if config.search == "grid" else (),
            attack={"name": _ATTACK, "queries": max(config.queries)} if config.audited else None,
            seeds=config.seed_list,
            data={"name": source.name, "note": source.note, "fingerprint": source.fingerprint},
            config=records.to_json(config),
            versions=versions() | ({"optuna": load_optuna().__version__} if config.search == "pareto" else {}),
            chosen=chosen,
            judged=self._judge(chosen, sum(bool(point.estimates) for point in marked)) if chosen else None,
        )

    def _judge(self, chosen: int, compared: int) -> Judged:
        """Compare the chosen point with the first on the half of the data that chose nothing."""
        point, first = (self._sum_up(index, half=1) for index in (chosen, 0))
        curves = {
            seed: [self._curve(folder_name(index, seed, half=1), seed) for index in (chosen, 0)]
            for seed in self.config.seed_list
        }
        by_seed = {
            str(seed): _at_equal_accuracy(*pair) for seed, pair in curves.items() if pair[0] is not None and pair[1]
        }
        matched = [each.difference for each in by_seed.values() if each.difference is not None]
        return Judged(
            chosen=chosen,
            rule=RULE,
            compared=compared,
            points=(point, first),
            difference={
                metric: found
                for metric in self.config.metrics
                if (found := paired_difference([(point, first)], metric)) is not None
            },
            matched=estimate(matched, ends=(-1.0, 1.0)) if matched else None,
            by_seed=by_seed,
        )

    def _curve(self, name: str, seed: int) -> ArmCurve | None:
        """Return the AUC over accuracy of a finished audit whose models' answers are still there."""
        if name not in self.results:
            return None
        folder = self.out / name
        models = ArmModels.load(folder / self.config.train.encoding, load_pools(folder))
        return None if models is None else models.curve(seed)

    def _figures(self, name: str, seed: int) -> SeedFigures:
        if name not in self.results:
            return SeedFigures(seed=seed, figures={}, reason=self.failed.get(name, "it was not run"))
        result = records.to_json(self.results[name])
        if self.config.audited:
            return _of_audit(result, seed, self.out / name, self.config)
        figures = {name: result[name] for name in ("test_accuracy", "train_accuracy")}
        return SeedFigures(seed=seed, figures=figures | {"input_firing_rate": result["firing_rates"]["input"]})


def folder_name(index: int, seed: int, half: int | None = None) -> str:
    """Return the folder of a point at a seed, or of its audit on the half of the data that chose nothing, half 1.

    Example:
        >>> folder_name(3, 0), folder_name(3, 0, half=1)
        ('point-0003/seed-0', 'judged-0003/seed-0')
    """
    return f"{'judged' if half == 1 else 'point'}-{index:04}/seed-{seed}"


def _at_equal_accuracy(one: ArmCurve, other: ArmCurve) -> Matched:
    found = match({"chosen": one, "first": other})
    return next(each for each in found if (each.attack, each.at) == (STRONGEST, "test_accuracy"))


def _of_audit(result: dict, seed: int, folder: Path, config: SweepConfig) -> SeedFigures:
    encoding = config.train.encoding
    found = result["encodings"][encoding]
    figures = {name: found[name] for name in ("test_accuracy", "train_accuracy")}
    record = folder / encoding / "models" / "target-0.json"
    if record.exists():  # a finished audit is one without its models, too
        rates = files.read_json(record).get("firing_rates", {})
        figures |= {"input_firing_rate": rates["input"]} if "input" in rates else {}
    failed = failed_controls(result, encoding)
    if failed:
        reason = f"control failed: {', '.join(failed)}"
        return SeedFigures(seed=seed, figures=figures, failed_controls=tuple(failed), reason=reason)
    aucs = {str(k): auc_at(result, encoding, _ATTACK, k) for k in config.queries}
    figures[AUDIT_AUC] = aucs[str(max(config.queries))]
    return SeedFigures(seed=seed, figures=figures, auc_by_queries=aucs)
