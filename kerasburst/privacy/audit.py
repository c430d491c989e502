"""Audit encodings, or a run's network, for membership inference: draw, train, ask, attack, judge."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from kerasburst import files
from kerasburst.config import TrainConfig, resolve_each
from kerasburst.data.datasets import known_dataset, load_source
from kerasburst.data.sources import Source
from kerasburst.data.splits import make_splits
from kerasburst.fleet import FleetObserver, Work, check_fleet, run_fleet
from kerasburst.fleet.directory import clear, goes_on
from kerasburst.privacy import controls, tf_privacy, tf_privacy_tasks
from kerasburst.privacy.attacks import loss_scores
from kerasburst.privacy.audited_run import AuditedRun
from kerasburst.privacy.figures import Answered, Scores, compare, encoding_result, score
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.privacy.plan import AuditConfig
from kerasburst.privacy.result import AuditResult, Control
from kerasburst.privacy.run_splits import draw_run_splits
from kerasburst.privacy.shadow import PLANTED, UNTRAINED, canaries, is_done, load_plan, roles, task
from kerasburst.privacy.splits import AuditSplits, draw_audit_splits
from kerasburst.training.fit import DEFAULT_EPOCHS, check_fits
from kerasburst.training.result import versions
from kerasburst.validation import InputError, user_path

_FILES = ("audit.json", "audit.html", "scores.npz", "plan.json", "splits.npz", "config.json")


def audit(
    config: AuditConfig,
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    jobs: int | None = None,
    backend: str = "loky",
    observer: FleetObserver | None = None,
) -> AuditResult:
    """Audit one or several encodings, or a run's network, into a directory.

    Every model is trained in a process of its own, and saved when it is done: what was killed goes on from the
    models that are there.

    Args:
        config: what to audit.
        out: the audit's directory.
        resume: go on with an unfinished audit in `out`; begins where there is none.
        force: replace an audit in `out`.
        jobs: models trained side by side; None for the number of cores.
        backend: "loky" for processes on this machine, "dask" or "ray" for a cluster.
        observer: is told the progress; with `tf_privacy`, of its attacks as a second fleet.

    Returns:
        The result, which stands in `out`/audit.json too. Look at `valid` first.

    Raises:
        InputError: for bad input, an audit in `out` without `resume` or `force`, `tf_privacy` without its extra, a run
            that leaves too few examples untouched or is no longer the one that the audit was begun with.
        FleetFailed: where a model could not be trained.
        ClusterLost: where a Dask cluster is there no more.
    """
    out = user_path("out", out)
    check_fleet(jobs, backend)
    work = plan_audit(config, out, resume=resume, force=force)
    around = {"jobs": jobs, "backend": backend, "observer": observer, "log_dir": out / "logs"}
    run_fleet(work.tasks, is_done=work.is_done, **around)
    if config.tf_privacy:
        splits, (_, trainings) = AuditSplits.load(out / "splits.npz"), load_plan(out)
        source = load_source(config.train.dataset, config.train.data_dir)
        tasks = tf_privacy_tasks.tasks(out, trainings, source.y[splits.audited], splits)
        run_fleet(tasks, is_done=tf_privacy_tasks.is_done, **around)
    return work.finish()


def plan_audit(
    config: AuditConfig, out: str | Path, *, resume: bool = False, force: bool = False, beside: Path | None = None
) -> Work:
    """Begin an audit: check it, draw its splits, write its directory; its models wait for a fleet.

    Args:
        config: what to audit.
        out: the audit's directory.
        resume: as for `audit`.
        force: as for `audit`.
        beside: another audit's directory: models that learn there what they would here are trained once.

    Raises:
        InputError: as `audit`; nothing has been written then.
    """
    out = user_path("out", out)
    if config.tf_privacy:
        tf_privacy.check_installed()
    # tensorflow-privacy's attacks change no model and no answer.
    may_differ = ("tf_privacy",)
    going_on = goes_on(
        out,
        "an audit",
        AuditConfig.load,
        config,
        (out / "audit.json").exists(),
        resume=resume,
        force=force,
        may_differ=may_differ,
    )
    source = load_source(config.train.dataset, config.train.data_dir)
    run = None if config.run is None else AuditedRun.load(config.run.path)
    if run is not None:
        run.check(config, source)
    splits = AuditSplits.load(out / "splits.npz") if going_on and (out / "splits.npz").exists() else None
    if going_on:
        _check_same_data(out, source)
    if splits is None:
        splits = _draw(config, source, run)
    elif splits.pool_size != len(source.y):
        raise InputError(f"dataset must be the data that {out / 'splits.npz'} was drawn from, {source.name} is not")
    if run is not None:
        run.check_splits(splits)
    trainings = _trainings(config, source, splits)
    with files.new_directory("out", out):
        if force and not going_on:
            clear(out, _FILES, folders="models")
        files.write_json(out / "config.json", config.to_json())
        files.remove_leftovers(out)
        splits.save(out / "splits.npz")
        plan = {"data": source.fingerprint, "trainings": {name: t.to_json() for name, t in trainings.items()}}
        files.write_json(out / "plan.json", plan)
    tasks = tuple(task(out, encoding, role, beside) for role in roles(splits) for encoding in trainings)

    def finish() -> AuditResult:  # of many audits in one fleet, none keeps its data till then
        source = load_source(config.train.dataset, config.train.data_dir)
        _check_same_data(out, source)
        return judge(out, config, source, splits)

    return Work(tasks, is_done, finish)


def judge(out: Path, config: AuditConfig, source: Source, splits: AuditSplits) -> AuditResult:
    """Attack the models of an audit that is trained, and write scores.npz and audit.json."""
    for folder in (path for name in ("models", "signals", "tf_privacy") for path in out.glob(f"*/{name}")):
        files.remove_leftovers(folder)
    found: list[Control] = [
        controls.splits_disjoint(splits, source.x),
        controls.blind_baseline(
            source.x[splits.audited], source.y[splits.audited], splits.targets[0], config.train.seed
        ),
    ]
    scores: dict[str, Scores] = {}
    encodings = {}
    for encoding in config.encodings:
        answered = Answered.load(out / encoding, splits)
        scores[encoding], outcomes = score(answered, config)
        encodings[encoding] = dataclasses.replace(
            encoding_result(answered, scores[encoding], outcomes, config),
            tf_privacy=tf_privacy_tasks.collect(out, encoding, answered) if config.tf_privacy else None,
        )
        found += _controls(answered, scores[encoding], encoding, config)
    with files.replacing(out / "scores.npz") as temporary:
        arrays = {f"{e}/{name}/{k}": rows for e, some in scores.items() for (name, k), rows in some.items()}
        np.savez_compressed(temporary, membership=splits.targets, audited=splits.audited, **arrays)
    result = AuditResult(
        valid=all(control.ok for control in found),
        protocol=config.protocol,
        controls=tuple(found),
        encodings=encodings,
        comparisons=compare(scores, splits),
        counts=splits.counts(),
        overlap=None if config.protocol == "audit" else splits.overlap(0, 0),
        data={
            "name": source.name,
            "note": source.note,
            "fingerprint": source.fingerprint,
            "sample_shape": list(source.x.shape[1:]),
            "num_classes": source.num_classes,
        },
        config=config.to_json(),
        versions=versions(),
    )
    files.write_json(out / "audit.json", result.to_json())
    return result


def _controls(answered: Answered, scores: Scores, encoding: str, config: AuditConfig) -> list[Control]:
    splits, seed = answered.splits, config.train.seed
    rows = [answered.rows[int(i)] for i in splits.audited]
    untrained = loss_scores(answered.answers[UNTRAINED].logits, answered.labels[rows])
    _, member = canaries(splits)
    planted = answered.answers[PLANTED]
    # phi of the canaries is stored with their random labels; its last step is all that the loss needs.
    leak = MembershipScores.from_labels(planted.phi_trace[..., -1].mean(1), member)
    attack, k = max(scores, key=lambda key: (key[0] in ("lira_online", "svm"), key[0] == "lira_online", key[1]))
    return [
        controls.chance("untrained", MembershipScores.from_labels(untrained, splits.targets[0]), encoding),
        controls.permuted_membership(scores[attack, k][0], splits.targets[0], encoding, seed),
        controls.planted_leak(leak, encoding),
        controls.weights_differ(answered.records, encoding),
    ]


def _draw(config: AuditConfig, source: Source, run: AuditedRun | None) -> AuditSplits:
    if run is not None:
        return draw_run_splits(
            source,
            run.splits,
            seed=config.train.seed,
            members=config.members,
            shadows=config.shadows,
            population=config.population,
        )
    parts = make_splits(source, config.train.seed, config.train.train_limit)
    return draw_audit_splits(
        source.x,
        parts.train,
        parts.test,
        seed=config.train.seed,
        protocol=config.protocol,
        members=config.members,
        targets=config.targets,
        shadows=config.shadows,
        population=config.population,
    )


def _trainings(config: AuditConfig, source: Source, splits: AuditSplits) -> dict[str, TrainConfig]:
    """Resolve each encoding's training; without `epochs`, as many updates as `train` would make on all of the pool."""
    info = known_dataset(config.train.dataset)
    default = DEFAULT_EPOCHS if info is None else info.default_epochs
    pool = len(source.y) - len(splits.test)
    if config.train.train_limit is not None:
        pool = config.train.train_limit
    members = len(splits.members(0))
    trainings = resolve_each(config.train, config.encodings, source.kind, -(-default * pool // members))
    for training in trainings.values():
        check_fits(training, source.num_classes, source.x.shape[1:])
    return trainings


def _check_same_data(out: Path, source: Source) -> None:
    if not (out / "plan.json").exists():
        return  # killed before any model was trained
    plan = files.read_json(out / "plan.json")
    if not isinstance(plan, dict) or "data" not in plan:
        raise InputError(f"{out / 'plan.json'} must be an audit's plan, it is not: --force begins anew")
    if plan["data"] != source.fingerprint:
        raise InputError(f"dataset must be the data that the audit was begun with, {source.name} has changed")
