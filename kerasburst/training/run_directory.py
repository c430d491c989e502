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

import csv
import errno
import io
import json
import zipfile
from pathlib import Path

import numpy as np

from kerasburst import files
from kerasburst.config import TrainConfig
from kerasburst.validation import InputError

# In the order of deletion: while config.json stands, the directory is still known for a run's.
_FILES = (
    "result.json",
    "model.keras",
    "curves.png",
    "checkpoint.npz",
    "history.csv",
    "splits.npz",
    "data.json",
    "config.json",
)


class RunDirectory:
    """Read and write a run's files; knows whether the run is absent, unfinished or finished.

    Args:
        path: the directory; it need not exist.

    Raises:
        InputError: where `path` is a file, or a directory that holds something other than a run.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).expanduser()
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"out must be a directory, {self.path} is a file")
        if self.path.is_dir() and not self.exists and any(not files.is_leftover(p) for p in self.path.iterdir()):
            raise InputError(f"out must be new, empty or a run directory; {self.path} holds other files")

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
        return TrainConfig.from_json(files.read_json(path), str(path))

    def result(self) -> dict | None:
        """Read result.json, or None if the run never finished."""
        path = self.path / "result.json"
        return files.read_json(path) if path.exists() else None

    def begin(self, config: TrainConfig) -> None:
        """Create the directory and write the config.

        Raises:
            InputError: where the place cannot be written to.
        """
        created = [p for p in (self.path, *self.path.parents) if not p.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            files.remove_leftovers(self.path)
            files.write_json(self.path / "config.json", config.to_json())
        except OSError as error:
            for path in created:
                if path.is_dir() and not any(path.iterdir()):
                    path.rmdir()
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENOENT):
                raise InputError(
                    f"out must be a directory that can be written, {self.path}: {error.strerror}"
                ) from None
            raise

    def clear(self) -> None:
        """Delete the run's own files, the result first, and nothing else."""
        for name in _FILES:
            (self.path / name).unlink(missing_ok=True)

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
        """Put the last checkpoint into a built, compiled `model`.

        Returns:
            The history, and the best weights where they were kept. Both empty where there is no checkpoint.

        Raises:
            InputError: where the checkpoint is damaged or belongs to another network.
        """
        path = self.path / "checkpoint.npz"
        if not path.exists():
            return [], None
        model.optimizer.build(model.trainable_variables)
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                for prefix, variables in (("weight", model.weights), ("optimizer", model.optimizer.variables)):
                    for i, variable in enumerate(variables):
                        variable.assign(stored[f"{prefix}_{i}"])
                best = [stored[f"best_{i}"] for i in range(len(model.weights))] if "best_0" in stored else None
                return json.loads(str(stored["history"])), best
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path} is damaged or of another network ({reason}); --force starts afresh") from None

    def write_history(self, history: list[dict]) -> None:
        """Replace history.csv."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        files.write_text(self.path / "history.csv", text.getvalue())
