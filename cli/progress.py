"""Show a training's progress: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from kerasburst_cli.running import raise_lost, say
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kerasburst.training.callbacks import TrainingObserver


class Silent(TrainingObserver):
    """Shows nothing."""

    def epoch(self, row):
        """Let a lost Ctrl-C end the training."""
        raise_lost()


class Lines(TrainingObserver):
    """One line an epoch."""

    def __init__(self, to_stderr: bool):
        self._err = to_stderr
        self._epochs = 0

    def start(self, *, epochs, first_epoch, steps, batch_size):
        """Note how many epochs there are."""
        self._epochs = epochs

    def epoch(self, row):
        """Print the epoch."""
        say(describe(row, self._epochs), err=self._err)
        raise_lost()

    def message(self, text):
        """Print the line."""
        say(text, err=self._err)


class Live(TrainingObserver):
    """A line for each finished epoch above a live bar."""

    wants_batches = True

    def __init__(self, console: Console):
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )
        self._task = None
        self._shown = 0.0

    def start(self, *, epochs, first_epoch, steps, batch_size):
        """Open the bar over all batches."""
        self._epochs, self._steps, self._batch_size = epochs, steps, batch_size
        self._first, self._began = first_epoch, time.perf_counter()
        self._progress.start()
        self._task = self._progress.add_task(
            f"epoch {first_epoch}/{epochs}", total=epochs * steps, completed=(first_epoch - 1) * steps, figures=""
        )

    def batch(self, epoch, step, loss, accuracy):
        """Move the bar, ten times a second at most."""
        now = time.perf_counter()
        if now - self._shown < 0.1:
            return
        self._shown = now
        done = (epoch - 1) * self._steps + step
        rate = (done - (self._first - 1) * self._steps) * self._batch_size / (now - self._began)
        self._progress.update(
            self._task,
            completed=done,
            description=f"epoch {epoch}/{self._epochs}",
            figures=f"loss {loss:.3f}  accuracy {accuracy:.3f}  {rate:,.0f} examples/s",
        )

    def epoch(self, row):
        """Print the epoch above the bar."""
        self._progress.update(self._task, completed=row["epoch"] * self._steps)
        self._progress.console.print(describe(row, self._epochs), highlight=False)
        raise_lost()

    def message(self, text):
        """Print the line above the bar."""
        self._progress.console.print(text, highlight=False)

    def close(self):
        """Take the bar away."""
        self._progress.stop()


def make_observer(*, quiet: bool, as_json: bool):
    """Return an observer that shows progress; with JSON on stdout it goes to stderr."""
    if quiet:
        return Silent()
    console = Console(stderr=as_json)
    return Live(console) if console.is_terminal else Lines(to_stderr=as_json)


def describe(row: dict, epochs: int) -> str:
    """Return an epoch's line."""
    text = f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  loss {row['loss']:.4f}  accuracy {row['accuracy']:.4f}"
    if "val_loss" in row:
        text += f"  validation loss {row['val_loss']:.4f}  accuracy {row['val_accuracy']:.4f}"
    return f"{text}  {row['seconds']:.1f} s"
