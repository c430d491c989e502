"""Sweep over parameters: every point a training, or an audit, on every seed; all of them one fleet."""

from __future__ import annotations

from pathlib import Path

from kerasburst import files
from kerasburst.data.datasets import known_dataset, load_source
from kerasburst.data.sources import Source
from kerasburst.data.splits import make_splits
from kerasburst.experiments.audit_json import auc_at, failed_controls
from kerasburst.experiments.effects import parameter_effects
from kerasburst.experiments.finishing import Ended, run_and_finish
from kerasburst.experiments.stored import stored_result
from kerasburst.experiments.sweep_plan import AUDIT_AUC, METRICS, SweepConfig
from kerasburst.experiments.sweep_result import SeedFigures, SweepPoint, SweepResult, sum_up, with_front
from kerasburst.experiments.trainings import plan_training
from kerasburst.fleet import FleetFailed, FleetObserver, Work, check_fleet
from kerasburst.fleet.directory import clear, goes_on
from kerasburst.privacy.audit import plan_audit
from kerasburst.privacy.splits import draw_audit_splits
from kerasburst.training.fit import DEFAULT_EPOCHS, check_fits
from kerasburst.training.result import versions
from kerasburst.validation import InputError, user_path

_ATTACK = "lira_online"
_FILES = ("sweep.json", "config.json", "data.json", "pareto.png", *(f"{metric}.png" for metric in METRICS))


def run_sweep(
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
        >>> from kerasburst.experiments.space import parse_parameter
        >>> beta = parse_parameter("neuron.beta=0.5,0.9")
        >>> run_sweep(SweepConfig(train=TrainConfig(dataset="iris"), parameters=(beta,)), "runs/s")  # doctest: +SKIP
    """
    out = user_path("out", out)
    check_fleet(jobs, backend)
    again = {"resume": resume, "force": force, "may_differ": ("seeds",)}  # a seed more or less changes no other
    going_on = goes_on(out, "a sweep", SweepConfig.load, config, (out / "sweep.json").exists(), **again)
    source = load_source(config.train.dataset, config.train.data_dir)
    reasons = _check_points(config, source)
    data = {"fingerprint": source.fingerprint}
    if going_on and (out / "data.json").exists() and files.read_json(out / "data.json") != data:
        raise InputError(f"dataset must be the data that the sweep in {out} was begun with, {source.name} has changed")
    with files.new_directory("out", out):
        if force and not going_on:
            clear(out, _FILES)
        files.write_json(out / "config.json", config.to_json())
        files.write_json(out / "data.json", data)
        files.remove_leftovers(out)
    works: dict[str, Work] = {}
    refused: dict[str, str] = {}
    for name, point, seed in _runs(config, reasons):
        try:
            works[name] = _begin(config, point, seed, source, out / name)
        except InputError as error:  # what only the data can tell
            refused[name] = str(error)
    ended = run_and_finish(works, log_dir=out / "logs", jobs=jobs, backend=backend, observer=observer)
    result = _finish(config, source, reasons, ended, refused, out)
    return result, ended.error


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


def _begin(config: SweepConfig, point: dict, seed: int, source: Source, folder: Path) -> Work:
    training = config.training(point, seed)
    if not config.audited:
        return plan_training(training.resolved(source.kind, _default_epochs(config)), folder, source.fingerprint)
    audit = config.audit_of(training)
    stored = stored_result(folder / "audit.json", audit, [source.fingerprint])
    if stored is not None:
        return Work((), lambda task: True, lambda: stored)
    work = plan_audit(audit, folder, resume=True)
    return Work(work.tasks, work.is_done, lambda: work.finish().to_json())


def _finish(
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
                seeds.append(figures(ended.results[name], seed, out / name, config))
            else:
                why = refused.get(name) or ended.failed.get(name, "it was not run")
                seeds.append(SeedFigures(seed=seed, figures={}, reason=why))
        points.append(sum_up(point, seeds))
    marked, front = with_front(points)
    labels = tuple(parameter.label for parameter in config.parameters)
    result = SweepResult(
        parameters=labels,
        metrics=config.metrics,
        points=marked,
        front=front,
        effects=parameter_effects(labels, marked, config.metrics) if config.search == "grid" else (),
        attack={"name": _ATTACK, "queries": max(config.queries)} if config.audited else None,
        seeds=config.seed_list,
        data={"name": source.name, "note": source.note, "fingerprint": source.fingerprint},
        config=config.to_json(),
        versions=versions(),
    )
    files.write_json(out / "sweep.json", result.to_json())
    return result


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
