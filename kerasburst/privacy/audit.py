"""Audit encodings, or a run's network, for membership inference: draw, train, ask, attack, judge."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from kerasburst import files, records
from kerasburst.config import TrainConfig, resolve_each
from kerasburst.data.datasets import known_dataset, load_source
from kerasburst.data.sources import Source
from kerasburst.data.splits import make_splits
from kerasburst.privacy import controls, tf_privacy, tf_privacy_tasks
from kerasburst.privacy.attacks import loss_scores
from kerasburst.privacy.audited_run import AuditedRun
from kerasburst.privacy.figures import Answered, Scores, compare, encoding_result, score
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.privacy.plan import AuditConfig
from kerasburst.privacy.result import MAIN_ATTACK, AuditResult, Control
from kerasburst.privacy.run_splits import draw_run_splits
from kerasburst.privacy.shadow import PLANTED, UNTRAINED, canaries, is_done, roles, task
from kerasburst.privacy.splits import AuditSplits, draw_audit_splits
from kerasburst.study import FleetObserver, Stage, Study
from kerasburst.training.result import versions
from kerasburst.training.setup import DEFAULT_EPOCHS, check_fits
from kerasburst.validation import InputError


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

    Each model is trained in a process of its own and saved when it is done: a killed audit resumes from the models that
    are there.

    Args:
        config: what to audit.
        out: the audit's directory.
        resume: go on with an unfinished audit in `out`; begin where there is none.
        force: replace an audit in `out`.
        jobs: models trained side by side; None for the number of cores.
        backend: "loky" for processes on this machine, "dask" or "ray" for a cluster.
        observer: receives the progress; with `tf_privacy`, that of its attacks as a second fleet.

    Returns:
        The result, which stands in `out`/audit.json too. Look at `valid` first.

    Raises:
        InputError: for bad input, an audit in `out` without `resume` or `force`, `tf_privacy` without its extra, a run
            that leaves too few examples untouched or is no longer the one that the audit was begun with.
        FleetFailed: where a model could not be trained.
        ClusterLost: where a Dask cluster is gone.
    """
    study = AuditStudy(config, out)
    return study.run(resume=resume, force=force, jobs=jobs, backend=backend, observer=observer)


class AuditStudy(Study):
    """An audit as a study: its models are the tasks.

    Args:
        config: what to audit.
        out: the audit's directory.
        beside: another audit's directory: models that learn there what they would here are trained once.
    """

    config_class = AuditConfig
    result_name = "audit.json"
    own_names = ("audit.json", "audit.html", "scores.npz", "plan.json", "splits.npz", "config.json")
    own_folders = "models"
    may_differ = ("tf_privacy",)  # tensorflow-privacy's attacks change no model and no answer

    def __init__(self, config: AuditConfig, out: str | Path, beside: Path | None = None):
        super().__init__(config, out)
        self.beside = beside
        self.splits: AuditSplits | None = None

    def load(self):
        """Load the data set."""
        return {"dataset": load_source(self.config.train.dataset, self.config.train.data_dir)}

    def prepare(self, sources):
        """Draw the splits, or read those that are there, and resolve each encoding's training."""
        config, source = self.config, sources["dataset"]
        if config.tf_privacy:
            tf_privacy.check_installed()
        run = None if config.run is None else AuditedRun.load(config.run.path)
        if run is not None:
            run.check(config, source)
        path = self.out / "splits.npz"
        if self.resumed and path.exists():
            self.splits = AuditSplits.load(path)
            if self.splits.pool_size != len(source.y):
                raise InputError(f"dataset must be the data that {path} was drawn from, {source.name} is not")
        else:
            self.splits = _draw(config, source, run)
        if run is not None:
            run.check_splits(self.splits)
        trainings = _trainings(config, source, self.splits)
        return {"trainings": records.to_json(trainings)}

    def write_inputs(self):
        """Write the splits."""
        self.splits.save(self.out / "splits.npz")

    def tasks(self):
        """Return a task for each model, targets first."""
        names = [(role, encoding) for role in roles(self.splits) for encoding in self.config.encodings]
        return tuple(task(self.out, encoding, role, self.beside) for role, encoding in names)

    def stages(self):
        """Yield the models, then, if they are wanted, tensorflow-privacy's attacks on them."""
        yield from super().stages()
        if self.config.tf_privacy:
            labels = self.load()["dataset"].y[self.splits.audited]
            yield Stage(tf_privacy_tasks.tasks(self.out, self.config.encodings, labels, self.splits))

    def is_done(self, task):
        """Return whether a model has answered, or an attack's findings are there."""
        return (is_done if "role" in task.arguments else tf_privacy_tasks.is_done)(task)

    def conclude(self, sources):
        """Attack, judge the controls, and write scores.npz."""
        return judge(self.out, self.config, sources["dataset"], self.splits)


def judge(out: Path, config: AuditConfig, source: Source, splits: AuditSplits) -> AuditResult:
    """Attack the models of an audit that is trained, and write scores.npz."""
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
    return AuditResult(
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
        config=records.to_json(config),
        versions=versions(),
    )


def _controls(answered: Answered, scores: Scores, encoding: str, config: AuditConfig) -> list[Control]:
    splits, seed = answered.splits, config.train.seed
    rows = [answered.rows[int(i)] for i in splits.audited]
    untrained = loss_scores(answered.answers[UNTRAINED].logits, answered.labels[rows])
    _, member = canaries(splits)
    planted = answered.answers[PLANTED]
    # phi of the canaries is stored with their random labels; its last step is all that the loss needs.
    leak = MembershipScores.from_labels(planted.phi_trace[..., -1].mean(1), member)
    main = max(key for key in scores if key[0] == MAIN_ATTACK[config.protocol])  # at the largest K
    return [
        controls.chance("untrained", MembershipScores.from_labels(untrained, splits.targets[0]), encoding),
        controls.permuted_membership(scores[main][0], splits.targets[0], encoding, seed),
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
