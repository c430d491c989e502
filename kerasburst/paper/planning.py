"""The parts of a reproduction: audits, trainings, a transfer and profiles, each with its directory and its config.

    OUT/equal_fit/DATASET/seed-0        an audit's directory, of arms at equal accuracy, for all seeds
    OUT/audit/DATASET/seed-S            an audit's directory
    OUT/paper/DATASET/seed-S            likewise, by the paper's protocol
    OUT/train/DATASET/ENCODING-seed-S   a run's directory
    OUT/transfer/SOURCE/TARGET          a transfer's directory, for all seeds
    OUT/profile/DATASET/seed-S          a profile's directory

A part is finished if its directory holds a result of this config and this data, whether or not its models are still
there.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerasburst import study as studies
from kerasburst.config import TrainConfig
from kerasburst.data.datasets import availability, known_dataset, load_source
from kerasburst.data.sources import Source
from kerasburst.paper import scales
from kerasburst.paper.claims import AUDIT, ENCODINGS, EQUAL_FIT, PAPER, PROFILE, TRAIN, TRANSFER
from kerasburst.paper.config import ReproduceConfig
from kerasburst.paper.scales import Setting
from kerasburst.privacy.arms import parse_arm
from kerasburst.privacy.audit import AuditStudy
from kerasburst.privacy.config import AuditConfig
from kerasburst.profiling.config import ProfileConfig
from kerasburst.studies.transfer.config import TransferConfig
from kerasburst.studies.transfer.study import TransferStudy
from kerasburst.study import Done, stored_result
from kerasburst.training.task import TrainingPart, stored_run
from kerasburst.validation import InputError

RESULTS = {
    EQUAL_FIT: "audit.json",
    AUDIT: "audit.json",
    PAPER: "audit.json",
    TRAIN: "result.json",
    TRANSFER: "transfer.json",
    PROFILE: "profile.json",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """One piece of a reproduction.

    Args:
        kind: "equal_fit", "audit", "paper", "train", "transfer" or "profile".
        dataset: that it is about; a transfer's target.
        name: of its directory below the reproduction's.
        config: an `AuditConfig`, a resolved `TrainConfig`, or a `TransferConfig`, or a `ProfileConfig`.
        tasks: how many processes it takes.
        seconds: expected, of all of them one after the other.
        data: SHA-256 of each data set, by name.
        encoding: of a training.
        seed: None for a part of all seeds.
    """

    kind: str
    dataset: str
    name: str
    config: Any
    tasks: int
    seconds: float
    data: dict[str, str]
    encoding: str | None = None
    seed: int | None = None

    def to_json(self) -> dict:
        """Return the part's entry in the plan."""
        return {
            "name": self.name,
            "kind": self.kind,
            "dataset": self.dataset,
            "encoding": self.encoding,
            "seed": self.seed,
            "tasks": self.tasks,
            "expected_s": round(self.seconds, 1),
        }

    def result(self, out: Path) -> dict | None:
        """Return its result, or None if there is none of this config and this data."""
        folder = out / self.name
        path = folder / RESULTS[self.kind]
        if not path.exists():
            return None
        if self.kind == TRAIN:
            return stored_run(folder, self.config, *self.data.values())
        return stored_result(path, self.config, self.data.values())

    def begin(self, out: Path) -> studies.Part:
        """Begin the part, or return its result if it is there.

        Raises:
            InputError: if its directory holds another part, or its data does not fit.
        """
        folder = out / self.name
        if self.kind == TRAIN:
            return TrainingPart(self.config, folder, *self.data.values())
        result = self.result(out)
        if result is not None:
            return Done(result)
        if self.kind == TRANSFER:
            study = TransferStudy(self.config, folder)
        else:
            # Both protocols draw the same target where the pool is large enough: the audit, the first, trains it.
            beside = out / self.name.replace(PAPER, AUDIT, 1) if self.kind == PAPER else None
            study = AuditStudy(self.config, folder, beside)
        study.begin(resume=True)
        return study


_DISTINCT = 0.97  # of a pool, at least: an audit leaves duplicates out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The parts of a reproduction, and what was skipped.

    Args:
        parts: in the order in which they are begun.
        skipped: why there are none of a data set, or of a transfer, by its name.
        notes: what must be known of the data, by its name.
    """

    parts: tuple[Part, ...]
    skipped: dict[str, str]
    notes: dict[str, str]

    def seconds(self, jobs: int, out: Path | None = None) -> float:
        """Return the expected seconds of the missing parts: profiles one at a time, all others `jobs` at once."""
        left = [part for part in self.parts if out is None or part.result(out) is None]
        alone = sum(part.seconds for part in left if part.kind == PROFILE)
        return alone + sum(part.seconds for part in left if part.kind != PROFILE) / jobs


def plan_parts(config: ReproduceConfig) -> Plan:
    """Plan a reproduction: which parts its claims need, on which data, seed by seed.

    Args:
        config: what is asked for.

    Returns:
        The plan. A data set that is missing or unusable is skipped, with the reason.

    Raises:
        InputError: where `data_dir` is no folder.
    """
    size = config.size
    wanted = size.datasets if config.datasets is None else config.datasets
    loaded: dict[str, Source] = {}
    skipped: dict[str, str] = {}

    def load(name: str, wanted_by: str) -> bool:
        if name not in loaded and wanted_by not in skipped:
            try:
                loaded[name] = _load(name, config.data_dir)
            except InputError as error:
                skipped[wanted_by] = str(error)
        return name in loaded

    availability("iris", config.data_dir)  # refuses a folder that is none
    parts: list[Part] = []
    for seed in config.seed_list:
        for name in wanted:
            kinds: list[tuple[str, dict, Callable]] = [
                (AUDIT, size.audited, _audit),
                (PAPER, size.audited, _audit),
                (TRAIN, size.trained, _trainings),
            ]
            for kind, settings, make in kinds:
                if kind in config.kinds and name in settings and load(name, name):
                    parts += make(config, kind, loaded[name], name, settings[name], seed)
    for name, setting in size.equal_fit.items() if EQUAL_FIT in config.kinds else ():
        if name in wanted and load(name, name):
            parts.append(_equal_fit(config, loaded[name], name, setting))
    source, target, setting, source_epochs = size.transfer
    if TRANSFER in config.kinds and target in wanted and load(target, target) and load(source, f"{source} to {target}"):
        parts.append(_transfer(config, loaded[source], loaded[target], setting, source_epochs))
    if PROFILE in config.kinds:
        for seed in config.seed_list:
            for name, setting in size.profiled.items():
                if name in wanted and load(name, name):
                    parts.append(_profile(config, loaded[name], name, setting, seed))
    notes = {name: data.note for name, data in loaded.items() if data.note}
    return Plan(parts=tuple(parts), skipped=skipped, notes=notes)


def _load(name: str, data_dir: str | None) -> Source:
    place = availability(name, data_dir)
    if not place.available:
        raise InputError(f"not on this machine: {place.where}")
    return load_source(name, data_dir, download=False)


def _training(config: ReproduceConfig, source: Source, name: str, setting: Setting, seed: int) -> TrainConfig:
    """Return the training of a setting on this data."""
    fields = dict(setting.train)
    if fields.get("train_limit", 0) and fields["train_limit"] >= _sizes(source)[0]:
        del fields["train_limit"]
    return TrainConfig(dataset=name, seed=seed, data_dir=config.data_dir, **fields)


def _audit(config: ReproduceConfig, kind: str, source: Source, name: str, setting: Setting, seed: int) -> list[Part]:
    train, test = _sizes(source)
    pool, shadows, queries = int(_DISTINCT * train), config.size.shadows, config.size.queries
    population = min(setting.population, pool // 5)
    of_audit, of_paper = min(setting.members, (pool - population) // 2), min(setting.members, pool // 4)
    members, population = (of_audit, population) if kind == AUDIT else (of_paper, 0)
    audit = AuditConfig(
        train=_training(config, source, name, setting, seed),
        encodings=ENCODINGS,
        protocol=kind,
        shadows=shadows,
        queries=queries,
        members=members,
        population=population or None,
    )
    count = shadows if kind == AUDIT else 1
    epochs = audit.train.epochs or -(-known_dataset(name).default_epochs * train // members)
    known = kind == PAPER and of_audit == of_paper  # the audit's target is this one's
    seconds = scales.audit_seconds(setting, members, population, epochs, test, count, max(queries), known)
    arms = len(audit.encodings)
    return [_part(kind, source, name, seed, audit, tasks=arms * (1 + count + 2), seconds=arms * seconds)]


def _part(
    kind: str, source: Source, dataset: str, seed: int, config: Any, tasks: int, seconds: float, encoding: str = ""
) -> Part:
    """Return the part of one seed on one data set."""
    run = f"{encoding}-seed-{seed}" if encoding else f"seed-{seed}"
    return Part(
        kind=kind,
        dataset=dataset,
        name=f"{kind}/{_label(dataset)}/{run}",
        config=config,
        tasks=tasks,
        seconds=seconds,
        data={dataset: source.fingerprint},
        encoding=encoding or None,
        seed=seed,
    )


def _equal_fit(config: ReproduceConfig, source: Source, name: str, setting: Setting) -> Part:
    fields = dict(scales.EQUAL_FIT_AUDIT)
    audit = AuditConfig(
        train=_training(config, source, name, setting, 0),
        encodings=(),
        arms=tuple(map(parse_arm, fields.pop("arms"))),
        members=setting.members,
        population=setting.population,
        **fields,
    )
    shadows, arms = audit.pools * audit.shadows, len(audit.arms)
    sizes = audit.members, audit.population, audit.train.epochs, _sizes(source)[1]
    seconds = arms * scales.audit_seconds(setting, *sizes, shadows, max(audit.queries))
    return _part(EQUAL_FIT, source, name, 0, audit, tasks=arms * (1 + shadows + 2), seconds=seconds)


def _trainings(
    config: ReproduceConfig, kind: str, source: Source, name: str, setting: Setting, seed: int
) -> list[Part]:
    train, test = _sizes(source)
    epochs = known_dataset(name).default_epochs
    parts = []
    needed = {e for claim in config.chosen if TRAIN in claim.kinds for e in (claim.a, claim.b)}
    for encoding in [name for name in ENCODINGS if name in needed]:
        given = dataclasses.replace(_training(config, source, name, setting, seed), encoding=encoding)
        training = given.resolved(source.kind, epochs)
        examples = training.train_limit or train
        seconds = scales.training_seconds(setting, examples, training.epochs, examples + training.queries * test)
        parts.append(_part(kind, source, name, seed, training, tasks=1, seconds=seconds, encoding=encoding))
    return parts


def _transfer(
    config: ReproduceConfig, source: Source, target: Source, setting: Setting, source_epochs: int | None
) -> Part:
    size = config.size
    source_name, name = size.transfer[:2]
    training = _training(config, target, name, setting, 0)
    if (training.train_limit or 0) >= _sizes(source)[0]:  # it is of source and target alike
        training = dataclasses.replace(training, train_limit=None)
    transfer = TransferConfig(
        train=training,
        encodings=ENCODINGS,
        source=source_name,
        source_epochs=source_epochs,
        seeds=len(config.seed_list),
    )
    train, test = _sizes(target)
    epochs = training.epochs or known_dataset(name).default_epochs
    of_source = source_epochs or known_dataset(source_name).default_epochs
    examples = training.train_limit or train
    arm = scales.training_seconds(setting, examples, epochs, training.queries * test + min(2000, examples))
    pretraining = scales.training_seconds(setting, training.train_limit or _sizes(source)[0], of_source, 4 * test)
    count = len(transfer.encodings) * len(config.seed_list)
    return Part(
        kind=TRANSFER,
        dataset=name,
        name=f"{TRANSFER}/{_label(source_name)}/{_label(name)}",
        config=transfer,
        tasks=3 * count,
        seconds=count * (3 * arm + pretraining - scales.START_S),
        data={source_name: source.fingerprint, name: target.fingerprint},
    )


def _profile(config: ReproduceConfig, source: Source, name: str, setting: Setting, seed: int) -> Part:
    encodings = ("rate_regular", *(encoding for encoding in ENCODINGS if encoding != "rate"))
    training = _training(config, source, name, setting, seed)
    profile = ProfileConfig(train=training, encodings=encodings, repeats=1)  # seeds are its repeats
    seconds = len(encodings) * scales.PROFILE_S
    return _part(PROFILE, source, name, seed, profile, tasks=len(encodings), seconds=seconds)


def _sizes(source: Source) -> tuple[int, int]:
    """Return the numbers of training and test examples, as they are split."""
    n = len(source.y)
    test = round(n * 0.2) if source.test_start is None else n - source.test_start
    return n - test, test


def _label(dataset: str) -> str:
    """Return a data set's name in a form that folders and tasks can have."""
    return re.sub(r"[^\w.+-]", "_", dataset)
