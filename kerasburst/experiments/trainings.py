"""A training as a fleet's work: one task that trains into a run directory of its own."""

from __future__ import annotations

from pathlib import Path

from kerasburst import files
from kerasburst.config import TrainConfig, same_config
from kerasburst.fleet import Task, Work
from kerasburst.training.fit import train
from kerasburst.training.recorder import TrainingFailed
from kerasburst.training.run_directory import RunDirectory
from kerasburst.validation import InputError

_FAILED = "failed.json"  # beside a run whose loss is not a number: no retry mends it


def plan_training(config: TrainConfig, out: str | Path, data: str) -> Work:
    """Give the work of one training; nothing is written before its task runs.

    Args:
        config: resolved.
        out: the run's directory; an unfinished run there is gone on with.
        data: SHA-256 of its data.

    Returns:
        A work whose `finish` gives what result.json holds, and raises InputError where the loss was not a number.

    Raises:
        InputError: where a run of another config, or of other data, stands in `out`.
    """
    out = Path(out)
    if (out / "config.json").exists():
        directory = RunDirectory(out)
        if not _of(out, config.to_json()):
            raise InputError(f"{out} must hold the run that is planned, it was begun with another config: delete it")
        if (directory.data() or {"fingerprint": data})["fingerprint"] != data:
            raise InputError(f"dataset must be the data that {out} was begun with, {config.dataset} has changed")
    task = Task("train", "kerasburst.experiments.trainings:train_into", {"config": config.to_json(), "out": str(out)})
    return Work((task,), is_done, lambda: read_result(out))


def is_done(task: Task) -> bool:
    """Tell whether a task's run is finished, or has failed for good, with this config."""
    out = Path(task.arguments["out"])
    return _of(out, task.arguments["config"]) and ((out / _FAILED).exists() or RunDirectory(out).finished)


def stored_run(out: Path, config: TrainConfig, data: str) -> dict | None:
    """Read what a run has found; None where it is not finished, or not of this config and this data.

    Args:
        out: the run's directory.
        config: resolved; the data may lie elsewhere.
        data: its SHA-256.
    """
    directory = RunDirectory(out)
    if not _of(out, config.to_json()) or not directory.finished:
        return None
    return directory.result() if (directory.data() or {}).get("fingerprint") == data else None


def _of(out: Path, config: dict) -> bool:
    return (out / "config.json").exists() and same_config(RunDirectory(out).config().to_json(), config)


def train_into(config: dict, out: str) -> None:
    """Train, or go on with what stands in `out`.

    Args:
        config: `TrainConfig.to_json()`.
        out: the run's directory.
    """
    try:
        train(TrainConfig.from_json(config), out, resume=True)
    except TrainingFailed as error:
        files.write_json(Path(out) / _FAILED, {"reason": str(error)})


def read_result(out: Path) -> dict:
    """Read what a finished training found.

    Raises:
        InputError: where its loss was not a number.
    """
    if (out / _FAILED).exists():
        raise InputError(files.read_json(out / _FAILED)["reason"])
    return RunDirectory(out).result()
