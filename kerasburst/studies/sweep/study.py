"""Sweep over parameters: every point a training, or an audit, on every seed; all of them one fleet."""

from __future__ import annotations

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
from kerasburst.study import Done, Ended, FleetFailed, FleetObserver, Part, Study, check_fleet, run_parts, stored_result
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
    """Train, and where AUCs are wanted audit, at every point of a space, into a directory.

    Args:
        config: what to do.
        out: the sweep's directory.
        resume: go on with a sweep in `out`, with more seeds if wanted; begins where there is none.
        force: replace a sweep in `out`.
        jobs: networks trained side by side; None for the number of cores.
        backend: "loky" for processes on this machine, "dask" or "ray" for a cluster.
        observer: is told the progress.

    Returns:
        The result, which stands in `out`/sweep.json too, and the fleet's error where networks could not be trained:
        their figures are absent. A point that is no configuration is listed with its reason.

    Raises:
        InputError: for bad input, a space of which no point is a configuration, or a sweep in `out` without `resume`
            or `force`.
        ClusterLost: where a Dask cluster is there no more.

    Example:
        >>> from kerasburst.config import TrainConfig
        >>> from kerasburst.studies.sweep.space import parse_parameter
        >>> beta = parse_parameter("neuron.beta=0.5,0.9")
        >>> sweep(SweepConfig(train=TrainConfig(dataset="iris"), parameters=(beta,)), "runs/s")  # doctest: +SKIP
    """
    check_fleet(jobs, backend)
    study = SweepStudy(config, out)
    return study.run(resume=resume, force=force, jobs=jobs, backend=backend, observer=observer)


class SweepStudy(Study):
    """A sweep as a study: its points are trainings or audits of their own, which share one fleet.

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
        return {"dataset": load_source(self.config.train.dataset, self.config.train.data_dir)}

    def prepare(self, sources):
        """Tell apart the points that are no configuration."""
        self.reasons = _check_points(self.config, sources["dataset"])
        return {}

    def tasks(self):
        """Return no tasks of its own; those are its parts'."""
        return ()

    def is_done(self, task):
        """Return True; see `tasks`."""
        return True

    def run(self, *, resume=False, force=False, jobs=None, backend="loky", observer=None):
        """Run the parts, and return the result beside the fleet's error, if networks could not be trained."""
        self.begin(resume=resume, force=force)
        source = self.load()["dataset"]
        parts: dict[str, Part] = {}
        self.refused: dict[str, str] = {}
        for name, point, seed in _runs(self.config, self.reasons):
            try:
                parts[name] = _begin(self.config, point, seed, source, self.out / name)
            except InputError as error:  # what only the data can tell
                self.refused[name] = str(error)
        del source
        self.ended = run_parts(parts, log_dir=self.out / "logs", jobs=jobs, backend=backend, observer=observer)
        return self.finish(), self.ended.error

    def conclude(self, sources):
        """Sum up the points over their seeds."""
        return _conclude(self.config, sources["dataset"], self.reasons, self.ended, self.refused, self.out)


def point_name(index: int) -> str:
    """Give the name of a point's folder.

    Example:
        >>> point_name(3)
        'point-0003'
    """
    return f"point-{index:04}"


def _check_points(config: SweepConfig, source: Source) -> dict[int, str]:
    """Tell which points are no configurations, and why."""
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
            check_fits(training, source.num_classes, source.sample_shape)
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


def _runs(config: SweepConfig, reasons: dict[int, str]):
    """Give (name, point, seed) of what is run: every point at one seed before any at the next."""
    for seed in config.seed_list:
        for i, point in enumerate(config.points()):
            if i not in reasons:
                yield f"{point_name(i)}/seed-{seed}", point, seed


def _begin(config: SweepConfig, point: dict, seed: int, source: Source, folder: Path) -> Part:
    training = config.training(point, seed)
    if not config.audited:
        return TrainingPart(training.resolved(source.kind, _default_epochs(config)), folder, source.fingerprint)
    audit = config.audit_of(training)
    stored = stored_result(folder / "audit.json", audit, [source.fingerprint])
    if stored is not None:
        return Done(stored)
    part = AuditStudy(audit, folder)
    part.begin(resume=True)
    return part


def _conclude(
    config: SweepConfig, source: Source, reasons: dict[int, str], ended: Ended, refused: dict[str, str], out: Path
) -> SweepResult:
    points = []
    for i, point in enumerate(config.points()):
        if i in reasons:
            points.append(SweepPoint(values=point, reason=reasons[i]))
            continue
        seeds = []
        for seed in config.seed_list:
            name = f"{point_name(i)}/seed-{seed}"
            if name in ended.results:
                figures = _of_audit if config.audited else _of_training
                seeds.append(figures(records.to_json(ended.results[name]), seed, out / name, config))
            else:
                why = refused.get(name) or ended.failed.get(name, "it was not run")
                seeds.append(SeedFigures(seed=seed, figures={}, reason=why))
        points.append(sum_up(point, seeds))
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


def _of_training(result: dict, seed: int, folder: Path, config: SweepConfig) -> SeedFigures:
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
