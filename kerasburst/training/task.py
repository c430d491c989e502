"""A training as a part of a study: one task that trains into a run directory of its own."""

from __future__ import annotations

from pathlib import Path

from kerasburst import files, records
from kerasburst.config import TrainConfig, same_config
from kerasburst.study import Task
from kerasburst.training.callbacks import TrainingFailed
from kerasburst.training.fit import train
from kerasburst.training.run_directory import RunDirectory
from kerasburst.validation import InputError

_FAILED = "failed.json"  # beside a run whose loss is not a number: no retry mends it


class TrainingPart:
    """A training that waits for a fleet, into a run directory of its own; nothing is written before its task runs.

    Args:
        config: resolved.
        out: the run's directory; an unfinished run there is resumed.
        data: SHA-256 of its data.

    Raises:
        InputError: where a run of another config, or of other data, stands in `out`, or files of several runs.
    """

    def __init__(self, config: TrainConfig, out: str | Path, data: str):
        self.config, self.out = config, Path(out)
        if (self.out / "config.json").exists():
            if not _of(self.out, config):
                raise InputError(
                    f"{out} must hold the run that is planned, it was begun with another config: delete it"
                )
            directory = RunDirectory(self.out)
            directory.check()
            begun = directory.data()
            if begun is not None and begun.fingerprint != data:
                raise InputError(f"dataset must be the data that {out} was begun with, {config.dataset} has changed")

    def tasks(self) -> tuple[Task]:
        """Return the one task."""
        arguments = {"config": records.to_json(self.config), "out": str(self.out)}
        return (Task("train", "kerasburst.training.task:train_into", arguments),)

    def is_done(self, task: Task) -> bool:
        """Return whether the run is finished, or has failed for good, with this config."""
        return _of(self.out, self.config) and ((self.out / _FAILED).exists() or RunDirectory(self.out).finished)

    def finish(self) -> dict:
        """Return what result.json holds.

        Raises:
            InputError: where the loss was not a number.
        """
        if (self.out / _FAILED).exists():
            raise InputError(files.read_json(self.out / _FAILED)["reason"])
        return records.to_json(RunDirectory(self.out).result())


def stored_run(out: Path, config: TrainConfig, data: str) -> dict | None:
    """Return what result.json of a run holds; None where it is not finished, or not of this config and this data.

    Args:
        out: the run's directory.
        config: resolved; the data may lie elsewhere.
        data: its SHA-256.

    Raises:
        InputError: for files of several runs.
    """
    directory = RunDirectory(out)
    if not _of(out, config) or not directory.finished:
        return None
    directory.check()
    begun = directory.data()
    return records.to_json(directory.result()) if begun is not None and begun.fingerprint == data else None


def _of(out: Path, config: TrainConfig) -> bool:
    return (out / "config.json").exists() and same_config(RunDirectory(out).config(), config)


def train_into(config: dict, out: str) -> None:
    """Train, or resume the run in `out`.

    Args:
        config: a `TrainConfig` as JSON values.
        out: the run's directory.
    """
    try:
        train(records.from_json(TrainConfig, config), out, resume=True)
    except TrainingFailed as error:
        files.write_json(Path(out) / _FAILED, {"reason": str(error)})
