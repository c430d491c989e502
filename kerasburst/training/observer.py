"""What a training tells while it runs."""

from __future__ import annotations


class TrainingObserver:
    """Receives a training's progress; every method does nothing unless overridden."""

    wants_batches = False  # whether `batch` is to be called

    def start(self, *, epochs: int, first_epoch: int, steps: int, batch_size: int) -> None:
        """Training begins with epoch number `first_epoch` of `epochs`, each of `steps` batches."""

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """A batch is done; loss and accuracy are the epoch's running means."""

    def epoch(self, row: dict) -> None:
        """An epoch is done and saved; `row` is its line of history.csv."""

    def message(self, text: str) -> None:
        """Something that a reader should know, one line."""

    def close(self) -> None:
        """The training has ended, or failed."""
