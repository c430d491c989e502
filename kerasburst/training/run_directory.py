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
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kerasburst import files, records
from kerasburst.config import TrainConfig
from kerasburst.data.dataset import Dataset
from kerasburst.data.datasets import may_have_moved
from kerasburst.data.sources import Source
from kerasburst.data.splits import Splits
from kerasburst.validation import InputError, check_int, fail, one_line, user_path

try:
    import fcntl
except ImportError:  # not POSIX: nothing keeps two processes from training in one directory
    fcntl = None

# In the order of deletion. config.json is not deleted but replaced: while it stands, the directory is a run's.
_FILES = ("result.json", "model.keras", "curves.png", "checkpoint.npz", "history.csv", "splits.npz", "data.json")


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
        directory = cls(path)
        directory.config()  # a config that cannot be read is refused as that, not as an unfinished run
        if not directory.finished:
            raise InputError(f"run must be finished, {path} is not: kerasburst train --resume --out {path}")
        return directory

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return (self.path / "config.json").exists()

    @property
    def finished(self) -> bool:
        """Whether the run that config.json describes has come to its end."""
        result = self.result()
        return result is not None and (result["epochs"] == self.config().epochs or result["stopped_early"])

    def config(self) -> TrainConfig:
        """Read the run's config.

        Raises:
            InputError: where there is none, or one of another version.
        """
        path = self.path / "config.json"
        if not path.exists():
            raise InputError(f"{self.path} must be a run directory, it has no config.json")
        return records.from_json(TrainConfig, files.read_json(path), str(path))

    def result(self) -> dict | None:
        """Read result.json, or None if the run never finished."""
        return self._read("result.json", ("epochs", "stopped_early"))

    def data(self) -> dict | None:
        """Read data.json, or None if it was never written."""
        return self._read("data.json", ("fingerprint",))

    def splits(self) -> Splits | None:
        """Read splits.npz, or None if it was never written."""
        path = self.path / "splits.npz"
        return Splits.load(path) if path.exists() else None

    def _read(self, name: str, keys: tuple[str, ...]) -> dict | None:
        path = self.path / name
        if not path.exists():
            return None
        value = files.read_json(path)
        if not isinstance(value, dict) or any(key not in value for key in keys):
            raise InputError(f"{path} is damaged: it must be a JSON object with {', '.join(keys)}")
        return value

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
        if fcntl is None:
            yield
            return
        handle = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"out must be free, another process is training in {self.path}") from None
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
        arrays = {f"weight_{i}": v.numpy() for i, v in enumerate(model.weights)}
        arrays |= {f"optimizer_{i}": v.numpy() for i, v in enumerate(model.optimizer.variables)}
        arrays |= {f"best_{i}": v for i, v in enumerate(best or [])}
        with files.replacing(self.path / "checkpoint.npz") as temporary:
            np.savez(temporary, history=np.array(json.dumps(history)), **arrays)
        self.write_history(history)

    def load_checkpoint(self, model) -> tuple[list[dict], list[np.ndarray] | None]:
        """Load the last checkpoint into a built and compiled `model` and its optimiser.

        Returns:
            The history, and the best weights where they were kept. Both empty where there is no checkpoint.

        Raises:
            InputError: where the checkpoint is damaged or belongs to another network.
        """
        path = self.path / "checkpoint.npz"
        if not path.exists():
            return [], None
        with self._opened(path) as stored:
            for prefix, variables in (("weight", model.weights), ("optimizer", model.optimizer.variables)):
                for i, variable in enumerate(variables):
                    variable.assign(stored[f"{prefix}_{i}"])
            best = [stored[f"best_{i}"] for i in range(len(model.weights))] if "best_0" in stored else None
            return json.loads(str(stored["history"])), best

    def finished_epochs(self) -> int:
        """Count the epochs in the last checkpoint.

        Raises:
            InputError: where the checkpoint is damaged.
        """
        path = self.path / "checkpoint.npz"
        if not path.exists():
            return 0
        with self._opened(path) as stored:
            return len(json.loads(str(stored["history"])))

    @contextlib.contextmanager
    def _opened(self, path: Path):
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                yield stored
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            reason = one_line(error, None)
            raise InputError(f"{path} is damaged or of another network ({reason}); --force starts afresh") from None

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
    begun = stored.resolved("", stored.epochs)  # parameters that came with a later version have their defaults
    may_differ = {"epochs", "data_dir"}
    if may_have_moved(filled.dataset, stored.dataset):
        may_differ.add("dataset")
    for name in (field.name for field in dataclasses.fields(TrainConfig) if field.name not in may_differ):
        wanted, have = getattr(filled, name), getattr(begun, name)
        if wanted != have:
            raise InputError(
                f"{name} must be what the run in {directory.path} was begun with, {have!r}, to resume it; "
                f"received {wanted!r}"
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
        if not isinstance(self.path, str) or not self.path:
            raise fail("run", "the path of a run directory", self.path)
        if not isinstance(self.weights, str) or not _SHA256.fullmatch(self.weights):
            raise fail("weights of the run", "a SHA-256 of 64 hex digits", self.weights)
