"""The directory of a training run: what is in it, and when each file is written.

    config.json      what the run is; written first
    splits.npz       which examples train, validate and test
    data.json        the data's fingerprint, scaling and class names
    checkpoint.npz   weights, optimiser and history after the last finished epoch
    history.csv      one line an epoch
    model.keras      the trained network with its encoder inside
    curves.png       loss and accuracy over the epochs
    result.json      the figures; written last, so that its presence means finished

Every file is written to a temporary name and renamed: a killed run leaves the old one or the new one.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerasburst import files, records
from kerasburst.config import TrainConfig, differing_fields
from kerasburst.data.dataset import Dataset
from kerasburst.data.datasets import DATASETS, may_have_moved
from kerasburst.data.derived import split_classes
from kerasburst.data.readers import load_npz
from kerasburst.data.scaling import Scaling
from kerasburst.data.sources import Source
from kerasburst.data.splits import Splits
from kerasburst.registry import STUDIES
from kerasburst.training.result import TrainResult
from kerasburst.validation import InputError, check_int, fail, path_text, shown, user_path

# In the order of deletion. config.json is not deleted but replaced: while it stands, the directory is a run's.
_FILES = ("result.json", "model.keras", "curves.png", "checkpoint.npz", "history.csv", "splits.npz", "data.json")


@dataclasses.dataclass(frozen=True)
class DataRecord:
    """What data.json says of a run's data; see `kerasburst.data.dataset.Dataset`.

    Args:
        where: the place that it was read from.
        splits: SHA-256 (hex) of the run's splits; None of a run of version 0.1.

    Raises:
        InputError: where the fields do not fit each other.
    """

    name: str
    where: str
    kind: str
    sample_shape: tuple[int, ...]
    num_classes: int
    class_names: tuple[str, ...]
    scaling: Scaling
    fingerprint: str
    note: str = ""
    splits: str | None = None

    def __post_init__(self):
        """Check what others rely on."""
        if len(self.class_names) != self.num_classes:
            raise fail("class_names", f"one for each of {self.num_classes} classes", self.class_names)
        if self.scaling.feature_shape != self.sample_shape:
            raise fail("scaling", f"of features {self.sample_shape}", self.scaling.feature_shape)


@dataclasses.dataclass(frozen=True)
class _Epoch:
    """A row of the history in a checkpoint."""

    epoch: int
    loss: float
    accuracy: float
    seconds: float
    val_loss: float | None = None
    val_accuracy: float | None = None


class RunDirectory:
    """Read and write a run's files; the run may be absent, unfinished or finished.

    Args:
        path: the directory; it need not exist.

    Raises:
        InputError: where `path` is a file, or a directory that holds something other than a run.
    """

    def __init__(self, path: str | Path):
        self.path = user_path("out", path)
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"out must be a directory, {self.path} is a file")
        if self.path.is_dir() and not self.exists and any(not files.is_leftover(p) for p in self.path.iterdir()):
            raise InputError(f"out must be new, empty or a run directory; {self.path} holds other files")

    @classmethod
    def of_finished(cls, run: str | Path) -> RunDirectory:
        """Open the directory of a finished run, to start from its network.

        Raises:
            InputError: where `run` is no run directory, or its run is not finished.
        """
        path = user_path("run", run)
        if not (path / "config.json").exists():
            raise InputError(f"run must be the directory of a training run, {path} has no config.json")
        study = next((name for name in STUDIES if (path / f"{name}.json").exists()), None)
        if study and not (path / "result.json").exists():
            raise InputError(f"run must be the directory of a training run, {path} holds {study}.json of a study")
        directory = cls(path)
        directory.check()  # files that cannot be read are refused as that, not as an unfinished run
        if not directory.finished:
            raise InputError(f"run must be finished, {path} is not: kerasburst train --resume --out {path}")
        return directory

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return os.path.lexists(self.path / "config.json")

    @property
    def finished(self) -> bool:
        """Whether the run that config.json describes has come to its end."""
        result = self.result()
        return result is not None and (result.epochs == self.config().epochs or result.stopped_early)

    def config(self) -> TrainConfig:
        """Read the run's config.

        Raises:
            InputError: where there is none, or one of another version.
        """
        path = self.path / "config.json"
        if not path.exists():
            raise InputError(f"{self.path} must be a run directory, it has no config.json")
        return records.load(TrainConfig, path)

    def result(self) -> TrainResult | None:
        """Read result.json, or None if the run never finished."""
        return self._read(TrainResult, "result.json")

    def data(self) -> DataRecord | None:
        """Read data.json, or None if it was never written."""
        return self._read(DataRecord, "data.json")

    def splits(self) -> Splits | None:
        """Read splits.npz, or None if it was never written."""
        path = self.path / "splits.npz"
        return Splits.load(path) if os.path.lexists(path) else None

    def _read(self, cls, name: str):
        path = self.path / name
        return records.load(cls, path) if os.path.lexists(path) else None

    def check(self) -> None:
        """Check that the files that are there belong to one run.

        Raises:
            InputError: for files of different runs, by the names of file and field.
        """
        config, data, result, splits = self.config(), self.data(), self.result(), self.splits()
        begun, ended = self.path / "config.json", self.path / "result.json"
        for name in ("epochs", "model") if data or result else ():
            if getattr(config, name) is None:
                raise InputError(f"{begun}: {name} must be that of the run that was begun, received null")
        if data is not None:
            name, classes = split_classes(config.dataset)
            named = str(name) + ("" if classes is None else f":{','.join(map(str, classes))}")
            if name in DATASETS and data.name != named:
                raise InputError(f"{begun}: dataset must be {data.name}, as in data.json, received {config.dataset!r}")
        for name, found in (("data.json", data), ("splits.npz", splits)):
            if found is None and result is not None and result.splits is not None:
                raise InputError(f"{self.path / name} does not exist, the finished run had it")
        if splits is not None:
            for path, recorded in ((self.path / "data.json", data), (ended, result)):
                if recorded is not None and recorded.splits not in (None, splits.fingerprint):
                    raise InputError(
                        f"{self.path / 'splits.npz'} must be the run's, {path} was written with other splits"
                    )
        if result is None:
            return
        if result.config is not None:
            self._must_agree(config, result.config, "result.json")
        if result.seed != config.seed:
            raise InputError(f"{begun}: seed must be {result.seed}, as in result.json, received {config.seed}")
        if data is not None and data.num_classes != result.num_classes:
            raise InputError(
                f"{ended}: num_classes must be {data.num_classes}, as in data.json, received {result.num_classes}"
            )
        if splits is not None:
            sizes = {part: len(getattr(splits, part)) for part in ("train", "validation", "test")}
            if dict(result.examples) != sizes:
                raise InputError(
                    f"{ended}: examples must be {sizes}, as in splits.npz, received {dict(result.examples)}"
                )

    def _must_agree(self, config: TrainConfig, recorded: TrainConfig, name: str) -> None:
        """Check that a file of this run was written with the run's config, but for what may change."""
        for field in differing_fields(config, recorded):
            moved = field == "dataset" and may_have_moved(config.dataset, recorded.dataset)
            if field not in ("epochs", "data_dir") and not moved:
                field, have, want = first_difference(field, getattr(config, field), getattr(recorded, field))
                raise InputError(
                    f"{self.path / 'config.json'}: {field} must be {shown(want)}, as in {name}, received {shown(have)}"
                )

    def check_ours(self) -> None:
        """Check that the files are kerasburst's own before they are replaced.

        Raises:
            InputError: where config.json is some other program's.
        """
        value = files.read_json(self.path / "config.json")
        if not isinstance(value, dict) or not {"format", "kerasburst"} <= set(value):
            raise InputError(f"out must be new, empty or a run directory; {self.path} holds another program's files")

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Create the directory and keep other processes from training in it.

        Raises:
            InputError: where the place cannot be written to, or another process trains there.
        """
        with files.new_directory("out", self.path), self._locked():
            files.remove_leftovers(self.path)
            yield

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except OSError:  # a folder cannot be opened on Windows, which has no such locks either
            yield
            return
        try:
            if files.lock(handle) is False:
                raise InputError(f"out must be free, another process is training in {self.path}")
            yield
        finally:
            os.close(handle)

    def begin(self, config: TrainConfig) -> None:
        """Write the config."""
        files.write_json(self.path / "config.json", records.to_json(config))

    def clear(self) -> None:
        """Delete the run's own files, the result first, and nothing else."""
        for name in _FILES:
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.path / "tensorboard", ignore_errors=True)

    # The checkpoint -------------------------------------------------------------------------------

    def save_checkpoint(self, model, history: list[dict], best: list[np.ndarray] | None) -> None:
        """Write weights, optimiser state and history after an epoch, then history.csv."""
        groups = {"weight": model.weights, "optimizer": model.optimizer.variables, "seed": _seeds(model)}
        arrays = {f"{name}_{i}": np.asarray(v) for name, group in groups.items() for i, v in enumerate(group)}
        arrays |= {f"best_{i}": v for i, v in enumerate(best or [])}
        config = json.dumps(records.to_json(self.config()))
        with files.replacing(self.path / "checkpoint.npz") as temporary:
            np.savez(temporary, history=np.array(json.dumps(history)), config=np.array(config), **arrays)
        self.write_history(history)

    def load_checkpoint(self, model) -> tuple[list[dict], list[np.ndarray] | None]:
        """Load the last checkpoint into a built and compiled `model` and its optimiser.

        Returns:
            The history, and the best weights where they were kept. Both empty where there is no checkpoint.

        Raises:
            InputError: where the checkpoint is damaged or belongs to another run.
        """
        stored = self._stored(lambda names: names)
        if stored is None:
            return [], None
        history = self._history(stored)
        if "config" in stored:
            path = f"{self._checkpoint}: config"
            config = records.from_json(TrainConfig, files.parse_json(str(stored["config"]), path), path)
            self._must_agree(self.config(), config, "checkpoint.npz")
        groups = [("weight", model.weights), ("optimizer", model.optimizer.variables)]
        if "seed_0" in stored:  # not of earlier versions
            groups.append(("seed", _seeds(model)))
        given = len(groups)
        if "best_0" in stored:
            groups.append(("best", model.weights))
        for prefix, variables in groups:
            for i, variable in enumerate(variables):
                self._check_array(f"{prefix}_{i}", stored.get(f"{prefix}_{i}"), tuple(variable.shape))
        for prefix, variables in groups[:given]:
            for i, variable in enumerate(variables):
                variable.assign(stored[f"{prefix}_{i}"])
        best = [stored[f"best_{i}"] for i in range(len(model.weights))] if "best_0" in stored else None
        return history, best

    def _check_array(self, name: str, array: np.ndarray | None, shape: tuple[int, ...]) -> None:
        if array is None or array.shape != shape:
            have = "nothing" if array is None else array.shape
            raise InputError(
                f"{self._checkpoint} is damaged or of another network: {name} must be of shape {shape}, received "
                f"{have}; --force starts afresh"
            )
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise InputError(f"{self._checkpoint} is damaged: {name} must hold finite numbers; --force starts afresh")

    def finished_epochs(self) -> int:
        """Count the epochs in the last checkpoint.

        Raises:
            InputError: where the checkpoint is damaged.
        """
        stored = self._stored(lambda names: [name for name in names if name == "history"])
        return 0 if stored is None else len(self._history(stored))

    @property
    def _checkpoint(self) -> Path:
        return self.path / "checkpoint.npz"

    def _stored(self, choose) -> dict[str, np.ndarray] | None:
        """Return arrays of the checkpoint by name; None where there is none."""
        if not os.path.lexists(self._checkpoint):
            return None
        try:
            return load_npz(self._checkpoint, choose)
        except InputError as error:
            raise InputError(f"{error}: it is damaged; --force starts afresh") from None

    def _history(self, stored: dict[str, np.ndarray]) -> list[dict]:
        where = f"{self._checkpoint}: history"
        rows = files.parse_json(str(stored.get("history")), where)
        if not isinstance(rows, list) or not rows:
            raise fail(where, "a list of epochs", rows)
        for i, row in enumerate(rows):
            epoch = records.from_json(_Epoch, row, where)
            if epoch.epoch != i + 1 or not math.isfinite(epoch.loss):
                raise InputError(f"{where} must be of epochs 1, 2, ... with finite losses, received {shown(row)}")
        return rows

    def write_history(self, history: list[dict]) -> None:
        """Replace history.csv."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        files.write_text(self.path / "history.csv", text.getvalue())


def same_run(config: TrainConfig, directory: RunDirectory) -> TrainConfig:
    """Return the config of a run that is resumed: the directory's, with the epochs and the data's place asked for.

    Data named by its path may have moved; `check_same_data` checks that it is still the same.

    Raises:
        InputError: where `config` asks for another run, or for fewer epochs than are done.
    """
    stored = directory.config()
    filled = dataclasses.replace(config, epochs=config.epochs or stored.epochs, model=config.model or stored.model)
    filled = filled.resolved("", filled.epochs)  # model and epochs are known: neither default is used
    may_differ = {"epochs", "data_dir"} if stored.epsilon is None else {"data_dir"}  # the noise is for so many epochs
    if may_have_moved(filled.dataset, stored.dataset):
        may_differ.add("dataset")
    for name in differing_fields(filled, stored):
        if name not in may_differ:
            what, have, want = first_difference(name, getattr(filled, name), getattr(stored, name))
            raise InputError(
                f"{what} must be what the run in {directory.path} was begun with, {want!r}, to resume it; received "
                f"{have!r}"
            )
    check_int("epochs", filled.epochs, low=max(1, directory.finished_epochs()))
    return filled


def first_difference(name: str, one: Any, other: Any) -> tuple[str, Any, Any]:
    """Return the name of a field that differs and both values; of parameters, the first that differs.

    Example:
        >>> first_difference("neuron", {"beta": 0.9, "threshold": 1.0}, {"beta": 0.9})
        ('neuron.threshold', 1.0, None)
    """
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            if one.get(key) != other.get(key):
                return f"{name}.{key}", one.get(key), other.get(key)
    return name, one, other


def _seeds(model) -> list:
    """Return the states of the random generators inside a model, which say what it draws next."""
    return [each.state for layer in model._flatten_layers() for each in layer._seed_generators]


def check_same_data(data: Dataset | Source, directory: RunDirectory) -> None:
    """Check that the data is still what a run was begun with.

    Raises:
        InputError: where its fingerprint differs.
    """
    recorded = directory.data()
    if recorded is not None and recorded.fingerprint != data.fingerprint:
        raise InputError(f"dataset must be the data that {directory.path} was begun with, {data.name} has changed")


_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class RunReference:
    """A training run by its weights, and where it was last.

    Two are equal where the weights are: a run that has moved is the same run.

    Args:
        path: the run's directory.
        weights: SHA-256 (hex) of the trained network's weights.

    Raises:
        InputError: for a path or a hash that is none.

    Example:
        >>> RunReference("runs/digits-rate", "0" * 64) == RunReference("elsewhere", "0" * 64)
        True
    """

    path: str = dataclasses.field(compare=False)
    weights: str

    def __post_init__(self):
        """Check both."""
        object.__setattr__(self, "path", path_text("run", self.path, "the path of a run directory"))
        if not isinstance(self.weights, str) or not _SHA256.fullmatch(self.weights):
            raise fail("weights of the run", "a SHA-256 of 64 hex digits", self.weights)
