"""Sweep over parameters: train or audit every point at every seed, on one fleet."""

from __future__ import annotations

import functools
from pathlib import Path

from kerasburst import files, records
from kerasburst.data.datasets import known_dataset, load_source
from kerasburst.data.sources import Source
from kerasburst.data.splits import make_splits
from kerasburst.privacy.audit import AuditStudy
from kerasburst.privacy.result import auc_at, failed_controls
from kerasburst.privacy.splits import draw_audit_splits
from kerasburst.studies.sweep.config import AUDIT_AUC, METRICS, SweepConfig
from kerasburst.studies.sweep.result import SeedFigures, SweepPoint, SweepResult, parameter_effects, sum_up, with_front
from kerasburst.study import Collection, Done, FleetFailed, FleetObserver, Part, stored_result
from kerasburst.training.result import versions
from kerasburst.training.setup import DEFAULT_EPOCHS, check_fits
from kerasburst.training.task import TrainingPart
from kerasburst.validation import InputError

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
        resume: go on with a sweep in `out`, with more seeds if wanted; begin where there is none.
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

    Args:
        config: what to do.
        out: the sweep's directory.
    """

    config_class = SweepConfig
    result_name = "sweep.json"
    own_names = ("sweep.json", "config.json", "data.json", "plan.json", "pareto.png", *(f"{m}.png" for m in METRICS))
    may_differ = ("seeds",)  # a seed more or less changes no other

    def load(self):
        """Load the data set."""
        train = self.config.train
        return {"dataset": load_source(train.dataset, **train.reading())}

    def prepare(self, sources):
        """Find the points that are no valid configuration."""
        source = sources["dataset"]
        self.reasons = _check_points(self.config, source)
        self.data = {"kind": source.kind, "fingerprint": source.fingerprint}
        return {}

    def parts(self):
        """Yield every point at one seed before any at the next."""
        for seed in self.config.seed_list:
            for index, point in enumerate(self.config.points()):
                if index not in self.reasons:
                    name = part_name(index, seed)
                    yield name, functools.partial(_begin, self.config, point, seed, self.data, self.out / name)

    def conclude(self, sources):
        """Sum up the points over their seeds."""
        config, source = self.config, sources["dataset"]
        points = [
            SweepPoint(values=point, reason=self.reasons[index])
            if index in self.reasons
            else sum_up(point, [self._figures(index, seed) for seed in config.seed_list])
            for index, point in enumerate(config.points())
        ]
        marked, front = with_front(points)
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
            versions=versions(),
        )

    def _figures(self, index: int, seed: int) -> SeedFigures:
        name = part_name(index, seed)
        if name not in self.results:
            return SeedFigures(seed=seed, figures={}, reason=self.failed.get(name, "it was not run"))
        result = records.to_json(self.results[name])
        if self.config.audited:
            return _of_audit(result, seed, self.out / name, self.config)
        return _of_training(result, seed)


def part_name(index: int, seed: int) -> str:
    """Return the folder of a point at a seed.

    Example:
        >>> part_name(3, 0)
        'point-0003/seed-0'
    """
    return f"point-{index:04}/seed-{seed}"


def _check_points(config: SweepConfig, source: Source) -> dict[int, str]:
    """Return why some points are no valid configuration, by index."""
    config.check_names(source.kind)
    epochs = _default_epochs(config)
    # What all points share is refused at once, and not once for each of them.
    config.train.resolved(source.kind, epochs)
    reasons: dict[int, str] = {}
    drawn: set[int | None] = set()  # limits of training sets that splits have been drawn from
    points = config.points()
    for i, point in enumerate(points):
        try:
            training = config.training(point, config.train.seed).resolved(source.kind, epochs)
            shape = source.sample_shape
            if source.recorded:  # events are binned into each point's own steps
                shape = (training.num_steps, *shape[1:])
            check_fits(training, source.num_classes, shape)
            if training.train_limit not in drawn:
                parts = make_splits(source, training.seed, training.train_limit)
                if config.audited:
                    sizes = {"seed": training.seed, "members": config.members, "shadows": config.shadows}
                    draw_audit_splits(source.x, parts.train, parts.test, **sizes)
                drawn.add(training.train_limit)
        except InputError as error:
            reasons[i] = str(error)
    if len(reasons) == len(points):
        raise InputError(f"--param leaves no configuration; the first point: {reasons[0]}")
    return reasons


def _default_epochs(config: SweepConfig) -> int:
    info = known_dataset(config.train.dataset)
    return DEFAULT_EPOCHS if info is None else info.default_epochs


def _begin(config: SweepConfig, point: dict, seed: int, data: dict[str, str], folder: Path) -> Part:
    training = config.training(point, seed)
    if not config.audited:
        return TrainingPart(training.resolved(data["kind"], _default_epochs(config)), folder, data["fingerprint"])
    audit = config.audit_of(training)
    stored = stored_result(folder / "audit.json", audit, [data["fingerprint"]])
    if stored is not None:
        return Done(stored)
    part = AuditStudy(audit, folder)
    part.begin(resume=True)
    return part


def _of_training(result: dict, seed: int) -> SeedFigures:
    figures = {name: result[name] for name in ("test_accuracy", "train_accuracy")}
    return SeedFigures(seed=seed, figures=figures | {"input_firing_rate": result["firing_rates"]["input"]})


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
