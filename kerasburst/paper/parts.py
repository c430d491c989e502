"""The parts of a reproduction: audits, trainings, a transfer, profiles, each with its directory and its config.

    OUT/audit/DATASET/seed-S            an audit's directory
    OUT/paper/DATASET/seed-S            likewise, by the paper's protocol
    OUT/train/DATASET/ENCODING-seed-S   a run's directory
    OUT/transfer/SOURCE/TARGET          a transfer's directory, of all seeds
    OUT/profile/DATASET/seed-S          a profile's directory

A part whose result stands in its directory, of this config and this data, is finished, whether or not its models are
still there.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from kerasburst import study as studies
from kerasburst.paper.claims import AUDIT, PAPER, PROFILE, TRAIN, TRANSFER
from kerasburst.privacy.audit import AuditStudy
from kerasburst.studies.transfer.study import TransferStudy
from kerasburst.study import Done, stored_result
from kerasburst.training.task import TrainingPart, stored_run

RESULTS = {
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
        kind: "audit", "paper", "train", "transfer" or "profile".
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
        """Give what the plan says of it."""
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
        """Read its result; None where there is none, or one of another config or other data."""
        folder = out / self.name
        path = folder / RESULTS[self.kind]
        if not path.exists():
            return None
        if self.kind == TRAIN:
            return stored_run(folder, self.config, *self.data.values())
        return stored_result(path, self.config, self.data.values())

    def begin(self, out: Path) -> studies.Part:
        """Give its work: what is left of it, or nothing.

        Raises:
            InputError: where what stands in its directory is another, or its data does not do.
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
