"""Audit encodings, or a run's network, for membership inference."""

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
from kerasburst.privacy.audited_run import AuditedRun, draw_run_splits
from kerasburst.privacy.config import AuditConfig
from kerasburst.privacy.figures import EncodingModels, Scores, compare, encoding_result, score
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.privacy.result import MAIN_ATTACK, AuditResult, Control
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

    Each model is trained in its own process and saved when it is done, so a killed audit resumes from the finished
    models.

    Args:
        config: what to audit.
        out: the audit's directory.
        resume: continue an unfinished audit in `out`; start one if there is none.
        force: replace an audit in `out`.
        jobs: models trained at the same time; None for the number of cores.
        backend: "loky" for processes on this machine, "dask" or "ray" for a cluster.
        observer: receives the progress; with `tf_privacy`, its attacks report as a second fleet.

    Returns:
        The result, also written to `out`/audit.json. Check `valid` first.

    Raises:
        InputError: for bad input, an audit in `out` without `resume` or `force`, `tf_privacy` without its extra, or a
            run that leaves too few examples unused or has changed since the audit began.
        FleetFailed: if a model could not be trained.
        ClusterLost: if a Dask cluster is lost.
    """
    study = AuditStudy(config, out)
    return study.run(resume=resume, force=force, jobs=jobs, backend=backend, observer=observer)


class AuditStudy(Study):
    """An audit as a study: its models are the tasks.

    Args:
        config: what to audit.
        out: the audit's directory.
        beside: another audit's directory; models that both audits would train alike are taken from it.
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
        """Draw the splits, or read the existing ones, and resolve each encoding's training."""
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
        """Yield the models, then tensorflow-privacy's attacks on them if the config asks for them."""
        yield from super().stages()
        if self.config.tf_privacy:
            labels = self.load()["dataset"].y[self.splits.audited]
            yield Stage(tf_privacy_tasks.tasks(self.out, self.config.encodings, labels, self.splits))

    def is_done(self, task):
        """Return whether a model's answers, or an attack's findings, exist."""
        return (is_done if "role" in task.arguments else tf_privacy_tasks.is_done)(task)

    def conclude(self, sources):
        """Attack, judge the controls, and write scores.npz."""
        config, source, splits = self.config, sources["dataset"], self.splits
        for folder in (path for name in ("models", "signals", "tf_privacy") for path in self.out.glob(f"*/{name}")):
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
            models = EncodingModels.load(self.out / encoding, splits)
            scores[encoding], outcomes = score(models, config)
            encodings[encoding] = dataclasses.replace(
                encoding_result(models, scores[encoding], outcomes, config),
                tf_privacy=tf_privacy_tasks.collect(self.out, encoding, models) if config.tf_privacy else None,
            )
            found += _controls(models, scores[encoding], encoding, config)
        with files.replacing(self.out / "scores.npz") as temporary:
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


def _controls(models: EncodingModels, scores: Scores, encoding: str, config: AuditConfig) -> list[Control]:
    splits, seed = models.splits, config.train.seed
    rows = [models.rows[int(i)] for i in splits.audited]
    untrained = loss_scores(models.answers[UNTRAINED].logits, models.labels[rows])
    _, member = canaries(splits)
    planted = models.answers[PLANTED]
    # phi of the canaries is stored with their random labels; its last step is all that the loss needs.
    leak = MembershipScores.from_labels(planted.phi_trace[..., -1].mean(1), member)
    main = max(key for key in scores if key[0] == MAIN_ATTACK[config.protocol])  # at the largest K
    return [
        controls.chance("untrained", MembershipScores.from_labels(untrained, splits.targets[0]), encoding),
        controls.permuted_membership(scores[main][0], splits.targets[0], encoding, seed),
        controls.planted_leak(leak, encoding),
        controls.weights_differ(models.records, encoding),
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
    """Resolve each encoding's training; the default `epochs` gives as many updates as `train` makes on the pool."""
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
