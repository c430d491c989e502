"""Keras callbacks of a training, and what they tell an observer."""

from __future__ import annotations

import time

import keras
import numpy as np


class TrainingObserver:
    """Receive a training's progress; every method does nothing unless overridden."""

    wants_batches = False  # whether `batch` is to be called

    def start(self, *, epochs: int, first_epoch: int, steps: int, batch_size: int) -> None:
        """Training begins with epoch number `first_epoch` of `epochs`, each of `steps` batches."""

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """A batch is done; loss and accuracy are the epoch's running means."""

    def epoch(self, row: dict) -> None:
        """An epoch is done and saved; `row` is its line of history.csv."""

    def message(self, text: str) -> None:
        """One line that the user should read."""

    def close(self) -> None:
        """The training has ended, or failed."""


class TrainingFailed(RuntimeError):
    """Training cannot go on: its loss is no longer a number."""


class Watcher(keras.callbacks.Callback):
    """Report each epoch to the observer; alone it is for a worker that records nothing."""

    def __init__(self, config, observer: TrainingObserver, steps: int):
        super().__init__()
        self.config, self.observer, self.steps = config, observer, steps
        self._started = None

    def on_epoch_begin(self, epoch, logs=None):
        """Start the epoch's clock; of several workers the chief decides which epoch is the first."""
        if self._started is None:
            self.observer.start(
                epochs=self.config.epochs,
                first_epoch=epoch + 1,
                steps=self.steps,
                batch_size=self.config.batch_size,
            )
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Report the epoch."""
        self.observer.epoch(_row(epoch, logs, self._started))


class Recorder(Watcher):
    """After each epoch, extend the history, save a checkpoint, inform the observer, and decide whether to stop."""

    def __init__(self, config, directory, observer, history, best, steps):
        super().__init__(config, observer, steps)
        self.directory, self.history, self.best = directory, history, best

    @property
    def best_epoch(self) -> int | None:
        """Number of the epoch with the lowest validation loss, the first of equals."""
        if not self.config.validation_split or not self.history:
            return None
        return min(self.history, key=lambda row: row["val_loss"])["epoch"]

    @property
    def stopped_early(self) -> bool:
        """Whether patience has run out; it depends on the history alone, so that a resumed run agrees."""
        patience = self.config.early_stopping
        return patience is not None and bool(self.history) and len(self.history) - self.best_epoch >= patience

    @property
    def done(self) -> bool:
        """Whether no epoch is left to train."""
        return len(self.history) >= self.config.epochs or self.stopped_early

    def on_epoch_end(self, epoch, logs=None):
        """Record the epoch.

        Raises:
            TrainingFailed: where the loss is not a number.
        """
        row = _row(epoch, logs, self._started)
        if not np.isfinite(row["loss"]):
            raise TrainingFailed(
                f"the loss of epoch {epoch + 1} is {row['loss']}: lower --learning-rate; "
                f"epochs up to {epoch} are kept in {self.directory.path}"
            )
        self.history.append(row)
        if self.config.keep_best and self.best_epoch == row["epoch"]:
            self.best = self.model.get_weights()
        self.directory.save_checkpoint(self.model, self.history, self.best)
        self.observer.epoch(row)
        self.model.stop_training = self.done


class BatchTeller(keras.callbacks.Callback):
    """Report every batch to the observer; a callback of its own, since Keras fetches the losses only if it is used."""

    def __init__(self, observer: TrainingObserver):
        super().__init__()
        self._observer, self._epoch = observer, 0

    def on_epoch_begin(self, epoch, logs=None):
        """Note the epoch's number."""
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        """Report the batch."""
        self._observer.batch(self._epoch, batch + 1, float(logs["loss"]), float(logs["accuracy"]))


def _row(epoch: int, logs: dict, started: float) -> dict:
    """Return an epoch's row of the history."""
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    row = {"epoch": epoch + 1, **{name: float(logs[name]) for name in names if name in logs}}
    return {**row, "seconds": round(time.perf_counter() - started, 4)}
