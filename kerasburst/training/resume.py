"""Whether a run may be gone on with: the same config, the same data."""

from __future__ import annotations

import dataclasses

from kerasburst import records
from kerasburst.config import TrainConfig
from kerasburst.data.dataset import Dataset
from kerasburst.data.sources import Source
from kerasburst.training.run_directory import RunDirectory
from kerasburst.validation import InputError, check_int


def same_run(config: TrainConfig, directory: RunDirectory) -> TrainConfig:
    """Return the config to go on with: the directory's, with the epochs and the data's place asked for.

    An .npz file may have moved; `check_same_data` tells whether it is still the same.
    """
    stored = directory.config()
    filled = dataclasses.replace(config, epochs=config.epochs or stored.epochs, model=config.model or stored.model)
    filled = filled.resolved("", filled.epochs)  # model and epochs are known: neither default is used
    wanted, have = records.to_json(filled), records.to_json(stored)
    may_differ = ["epochs", "data_dir", "kerasburst"]
    if filled.dataset.lower().endswith(".npz") and stored.dataset.lower().endswith(".npz"):
        may_differ.append("dataset")
    differing = [name for name in wanted if wanted[name] != have[name] and name not in may_differ]
    if differing:
        name = differing[0]
        raise InputError(
            f"{name} must be what the run in {directory.path} was begun with, {have[name]!r}, to resume it; "
            f"received {wanted[name]!r}"
        )
    check_int("epochs", filled.epochs, low=max(1, directory.finished_epochs()))
    return filled


def check_same_data(data: Dataset | Source, directory: RunDirectory) -> None:
    """Check that the data is still what a run was begun with.

    Raises:
        InputError: where its fingerprint differs.
    """
    recorded = directory.data()
    if recorded is not None and recorded["fingerprint"] != data.fingerprint:
        raise InputError(f"dataset must be the data that {directory.path} was begun with, {data.name} has changed")
