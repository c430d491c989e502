"""Audit encodings, or a run's network, for membership inference."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kerasburst import files, records
from kerasburst.config import TrainConfig
from kerasburst.data.datasets import known_dataset, load_source
from kerasburst.data.events import Reading
from kerasburst.data.sources import Source
from kerasburst.data.splits import make_splits
from kerasburst.privacy import controls, tf_privacy, tf_privacy_tasks
from kerasburst.privacy.arms import resolve_arms
from kerasburst.privacy.attacks import loss_scores
from kerasburst.privacy.audited_run import AuditedRun, draw_run_splits
from kerasburst.privacy.config import AuditConfig
from kerasburst.privacy.equal_fit import ArmCurve, ArmModels, auc_by_references, canary_result, epsilon_bounds, match
from kerasburst.privacy.figures import EncodingModels, Scores, compare, encoding_result, score
from kerasburst.privacy.lessons import PLANTED, UNTRAINED, load_pools, roles, splits_path
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.privacy.reading import caveats
from kerasburst.privacy.result import MAIN_ATTACK, AuditResult, Control, EncodingResult
from kerasburst.privacy.shadow import default_snapshots, is_done, load_plan, task
from kerasburst.privacy.splits import AuditSplits, draw_audit_splits, half_of, part_pool
from kerasburst.registry import ATTACKS
from kerasburst.seeding import derive_seed
from kerasburst.study import FleetObserver, Stage, Study
from kerasburst.training.result import versions
from kerasburst.training.setup import DEFAULT_EPOCHS, check_fits
from kerasburst.validation import InputError, fail


def audit(
    config: AuditConfig,
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    jobs: int | None = None,
    backend: str = "loky",
    observer: FleetObserver | None = None,
    warn: Callable[[str], None] | None = None,
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
        warn: receives what the result's `notes` will say, before anything is trained.

    Returns:
        The result, also written to `out`/audit.json. Check `valid` first.

    Raises:
        InputError: for bad input, an audit in `out` without `resume` or `force`, `tf_privacy` without its extra, or a
            run that leaves too few examples unused or has changed since the audit began.
        FleetFailed: if a model could not be trained.
        ClusterLost: if a Dask cluster is lost.
    """
    study = AuditStudy(config, out, warn=warn)
    return study.run(resume=resume, force=force, jobs=jobs, backend=backend, observer=observer)


class AuditStudy(Study):
    """An audit as a study: its models are the tasks.

    Args:
        config: what to audit.
        out: the audit's directory.
        beside: another audit's directory; models that both audits would train alike are taken from it.
        warn: as for `audit`.
    """

    config_class = AuditConfig
    result_name = "audit.json"
    own_names = (
        *("audit.json", "audit.html", "scores.npz", "plan.json", "splits.npz", "config.json"),
        *(f"splits-{pool}.npz" for pool in range(1, 100)),
    )
    own_folders = "models"
    may_differ = ("tf_privacy",)  # tensorflow-privacy's attacks change no model and no answer

    def __init__(
        self,
        config: AuditConfig,
        out: str | Path,
        beside: Path | None = None,
        warn: Callable[[str], None] | None = None,
    ):
        super().__init__(config, out)
        self.beside, self._warn = beside, warn
        self.pools: tuple[AuditSplits, ...] = ()
        self.notes: tuple[str, ...] = ()

    def load(self):
        """Load the data set."""
        train, arms = self.config.train, self.config.compared.values()
        return {"dataset": load_source(train.dataset, **train.reading([arm.encoding for arm in arms]))}

    def prepare(self, sources):
        """Draw the splits, or read the existing ones, and resolve each encoding's training."""
        config, source = self.config, sources["dataset"]
        if config.tf_privacy:
            tf_privacy.check_installed()
        run = None if config.run is None else AuditedRun.load(config.run.path)
        if run is not None:
            run.check(config, source)
        if self.resumed and os.path.lexists(splits_path(self.out, 0)):
            self.pools = load_pools(self.out)
            if self.pools[0].pool_size != len(source.y):
                path = splits_path(self.out, 0)
                raise InputError(f"dataset must be the data that {path} was drawn from, {source.name} is not")
        else:
            self.pools = _draw(config, source, run)
        if run is not None:
            run.check_splits(self.pools[0])
        members = int(self.pools[0].targets[0].sum())
        self.notes = tuple(filter(None, [controls.check_power(members, source.num_classes), _augmentation(config)]))
        trainings = _trainings(config, source, self.pools[0])
        plan = {"trainings": records.to_json(trainings), "splits": self._of_splits()}
        begun = self._plan()
        arms, asked = begun.get("trainings", dict(trainings)), begun.get("snapshots", [])
        if not isinstance(arms, dict) or set(arms) != set(trainings):
            raise fail(f"trainings in {self.out / 'plan.json'}", f"those of config.json, {', '.join(trainings)}", arms)
        if not isinstance(asked, list) or not all(type(epoch) is int and epoch > 0 for epoch in asked):
            raise fail(f"snapshots in {self.out / 'plan.json'}", "numbers of epochs", asked)
        if snapshots := self._snapshots(next(iter(trainings.values())).epochs):
            plan["snapshots"] = snapshots
        return plan

    def _of_splits(self) -> list[str]:
        """Return the fingerprints of the splits, which must be those in the plan, if that knows them."""
        found = [splits.fingerprint for splits in self.pools]
        if self._plan().get("splits", found) != found:
            raise InputError(f"{splits_path(self.out, 0)} must be the audit's, plan.json was written with other splits")
        return found

    def _plan(self) -> dict:
        """Return the plan of the audit that is resumed, or none."""
        path = self.out / "plan.json"
        return files.read_json(path) if self.resumed and os.path.lexists(path) else {}

    def _snapshots(self, epochs: int) -> list[int]:
        """Return the epochs after which models are asked; none by the paper's protocols and in older audits."""
        if plan := self._plan():
            return plan.get("snapshots", [])
        if self.config.protocol != "audit" or self.config.shadows < 4:
            return []
        return sorted({*(self.config.snapshots or default_snapshots(epochs)), epochs})

    def write_inputs(self):
        """Write the splits, and warn."""
        for note in self.notes if self._warn and not self.resumed else ():
            self._warn(note)
        for pool, splits in enumerate(self.pools):
            splits.save(splits_path(self.out, pool))

    def tasks(self):
        """Return a task for each model, targets first."""
        names = [(role, arm) for role in roles(self.pools) for arm in self.config.compared]
        return tuple(task(self.out, arm, role, self.config, self.beside) for role, arm in names)

    def stages(self):
        """Yield the models, then tensorflow-privacy's attacks on them if the config asks for them."""
        yield from super().stages()
        if self.config.tf_privacy:
            splits = self.pools[0]
            labels = self.load()["dataset"].y[splits.audited]
            yield Stage(tf_privacy_tasks.tasks(self.out, self.config, labels, splits))

    def is_done(self, task):
        """Return whether a model's answers, or an attack's findings, exist."""
        return (is_done if "role" in task.arguments else tf_privacy_tasks.is_done)(task)

    def guarantees(self) -> dict[str, tuple[float, float]]:
        """Return the epsilon and delta of each arm that is trained with differential privacy."""
        trainings = load_plan(self.out)[1]
        return {name: (each.epsilon, each.delta) for name, each in trainings.items() if each.epsilon is not None}

    def conclude(self, sources):
        """Attack, judge the controls, and write scores.npz."""
        config, source, splits = self.config, sources["dataset"], self.pools[0]
        for folder in (path for name in ("models", "signals", "tf_privacy") for path in self.out.glob(f"*/{name}")):
            files.remove_leftovers(folder)
        arms, guarantees = config.compared, self.guarantees()
        confidence = controls.confidence(len(arms))
        seed = config.seed
        found: list[Control] = [
            controls.splits_disjoint(self.pools, source.x),
            controls.blind_baseline(
                np.asarray(source.x[splits.audited]), source.y[splits.audited], splits.targets[0], seed, confidence
            ),
        ]
        scores: dict[str, Scores] = {}
        encodings: dict[str, EncodingResult] = {}
        curves: dict[str, ArmCurve] = {}
        for name, arm in arms.items():
            models = EncodingModels.load(self.out / arm.folder, splits)
            scores[name], outcomes = score(models, config)
            mine = _controls(models, scores[name], name, config, confidence)
            canaries, epsilon, by_references = None, (), ()
            certified, delta = guarantees.get(name, (None, 0.0))
            every = ArmModels.load(self.out / arm.folder, self.pools)
            if every is not None:
                curves[name] = every.curve(seed)
                mine.append(controls.cross_target(every.cross_scores(seed), name, confidence))
                canaries = canary_result(every, seed)
                by_references = auc_by_references(every, seed)
                epsilon = epsilon_bounds(every, curves[name], config.flips, seed, delta)
                mine += [] if canaries is None else [controls.canaries(canaries, name)]
            found += mine
            encodings[name] = dataclasses.replace(
                encoding_result(models, scores[name], outcomes),
                tf_privacy=tf_privacy_tasks.collect(self.out / arm.folder, models) if config.tf_privacy else None,
                canaries=canaries,
                epsilon=epsilon,
                certified_epsilon=certified,
                by_references=by_references,
                valid=all(control.ok for control in (*found[:2], *mine)),
            )
        with files.replacing(self.out / "scores.npz") as temporary:
            arrays = {f"{e}/{name}/{k}": rows for e, some in scores.items() for (name, k), rows in some.items()}
            np.savez_compressed(temporary, membership=splits.targets, audited=splits.audited, **arrays)
        found = [c if c.ok else dataclasses.replace(c, remedy=controls.REMEDY[c.name]) for c in found]
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
                "chance": float(np.bincount(source.y[splits.test]).max() / len(splits.test)),
            },
            config=records.to_json(config),
            versions=versions(),
            curves={name: curve.points() for name, curve in curves.items()},
            matched=match(curves) if config.match == "accuracy" else (),
            false_alarms=controls.FALSE_ALARMS,
            notes=self.notes,
            attacks={
                name: {"description": ATTACKS[name].description, "parameters": dict(ATTACKS[name].parameters)}
                for name in ATTACKS
                if any(name == attack.name for each in encodings.values() for attack in each.attacks)
            },
        )
        return dataclasses.replace(result, notes=(*caveats(records.to_json(result)), *self.notes))


def _controls(
    models: EncodingModels, scores: Scores, encoding: str, config: AuditConfig, confidence: float
) -> list[Control]:
    splits, seed = models.splits, config.seed
    main = max(key for key in scores if key[0] == MAIN_ATTACK[config.protocol])  # at the largest K
    found = [
        controls.permuted_membership(scores[main][0], splits.targets[0], encoding, seed),
        controls.weights_differ(models.records, encoding),
    ]
    if UNTRAINED not in models.answers:
        return found
    rows = [models.rows[int(i)] for i in splits.audited]
    untrained = loss_scores(models.answers[UNTRAINED].logits, models.labels[rows])
    planted = models.answers[PLANTED]
    # phi of the canaries is stored with their random labels; its last step is all that the loss needs.
    known = planted.phi_trace[..., -1].mean(1)
    leak = MembershipScores.from_labels(known, np.arange(len(known)) % 2 == 0)
    return [
        controls.chance("untrained", MembershipScores.from_labels(untrained, splits.targets[0]), encoding, confidence),
        found[0],
        controls.planted_leak(leak, encoding, models.records[PLANTED]["train_accuracy"]),
        found[1],
    ]


def _augmentation(config: AuditConfig) -> str:
    """Return the note that members were seen augmented, or nothing."""
    reading = Reading.of(config.train.data)
    if not reading.augments:
        return ""
    changes = ", ".join(f"data.{name}={getattr(reading, name)}" for name in ("flip", "crop") if getattr(reading, name))
    return f"members were seen augmented in training ({changes}); the attacker asks about them as they are"


def _draw(config: AuditConfig, source: Source, run: AuditedRun | None) -> tuple[AuditSplits, ...]:
    seed = config.train.seed
    sizes = {name: getattr(config, name) for name in ("members", "shadows", "population", "canaries")}
    if run is not None:
        return (draw_run_splits(source, run.splits, seed=seed, **sizes),)
    sizes |= {name: getattr(config, name) for name in ("protocol", "targets", "flips")}
    parts = make_splits(source, seed, config.train.train_limit)
    train, test = (half_of(source.x, each, config.half) for each in (parts.train, parts.test))
    pools = part_pool(source.x, train, config.pools, seed)
    seeds = [seed, *(derive_seed(seed, "audit", "pool", pool) for pool in range(1, len(pools)))]
    drawn = zip(pools, seeds, strict=True)
    return tuple(draw_audit_splits(source.x, pool, test, seed=own, **sizes) for pool, own in drawn)


def _trainings(config: AuditConfig, source: Source, splits: AuditSplits) -> dict[str, TrainConfig]:
    """Resolve each arm's training; the default `epochs` gives as many updates as `train` makes on the pool."""
    info = known_dataset(config.train.dataset)
    default = DEFAULT_EPOCHS if info is None else info.default_epochs
    pool = len(source.y) // (1 if config.half is None else 2) - len(splits.test)
    if config.train.train_limit is not None:
        pool = config.train.train_limit
    members = len(splits.members(0))
    default = config.snapshots[-1] if config.snapshots else -(-default * pool // config.pools // members)
    trainings = resolve_arms(tuple(config.compared.values()), config.train, source.kind, default)
    for training in trainings.values():
        check_fits(training, source.num_classes, source.x.shape[1:])
    return trainings
