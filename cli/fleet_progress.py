"""Show a fleet's progress: models done, running, failed, and the time left."""

from __future__ import annotations

import time

from kerasburst_cli.running import say
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from kerasburst.reports.table import duration
from kerasburst.study import FleetObserver


class Tally(FleetObserver):
    """Counts what happens, and estimates the time left; what is shown of it is its subclasses'.

    It may watch fleets one after the other, and counts each anew.
    """

    def __init__(self):
        self._reset(0, 0)

    def _reset(self, total: int, done: int) -> None:
        self.total, self.done = total, done
        self.retried = self.failed = 0
        self._begun: dict[str, float] = {}  # the running tasks
        self._most_running = 1
        self._seconds: list[float] = []  # of those that finished

    @property
    def running(self) -> int:
        """How many tasks run now."""
        return len(self._begun)

    def start(self, total, done):
        """Note how many tasks there are."""
        self._reset(total, done)

    def task_started(self, name):
        """Count a task that runs."""
        self._begun[name] = time.monotonic()
        self._most_running = max(self._most_running, self.running)

    def task_finished(self, name, seconds):
        """Count a task that is done."""
        self._begun.pop(name, None)
        self._seconds.append(seconds)
        self.done += 1

    def task_retried(self, name, reason):
        """Count a task that will start again."""
        self._begun.pop(name, None)
        self.retried += 1

    def task_failed(self, name, reason):
        """Count a task that failed for good."""
        self._begun.pop(name, None)
        self.failed += 1

    def seconds_left(self) -> float | None:
        """Estimate the time left, as if each task took the mean of those that finished; None before the first.

        A task that has run for longer is taken to need as long as the longest so far, and past that a quarter more.
        """
        if not self._seconds:
            return None
        mean, longest, now = sum(self._seconds) / len(self._seconds), max(self._seconds), time.monotonic()
        waiting = self.total - self.done - self.failed - self.running
        ran = [now - begun for begun in self._begun.values()]
        under_way = [next((end - each for end in (mean, longest) if end > each), each / 4) for each in ran]
        return max([(waiting * mean + sum(under_way)) / self._most_running, *under_way])

    def settled(self) -> str:
        """Return how many of all tasks need no more work."""
        return f"{self.done + self.failed:>{len(str(self.total))}}/{self.total}"


class Lines(Tally):
    """One line a task."""

    def __init__(self, to_stderr: bool):
        super().__init__()
        self._err = to_stderr

    def start(self, total, done):
        """Print how much is done already."""
        super().start(total, done)
        if done:
            say(f"{self.settled()} done before", err=self._err)

    def task_finished(self, name, seconds):
        """Print the task's time, and the time left."""
        super().task_finished(name, seconds)
        left = self.total - self.done - self.failed
        ends = f", about {duration(self.seconds_left())} left" if left else ""
        say(f"{self.settled()} {name} done in {seconds:.1f} s{ends}", err=self._err)

    def task_retried(self, name, reason):
        """Print why a task is retried."""
        super().task_retried(name, reason)
        say(f"{self.settled()} {name} failed, to be retried: {reason}", err=self._err)

    def task_failed(self, name, reason):
        """Print why a task failed for good."""
        super().task_failed(name, reason)
        say(f"{self.settled()} {name} {reason}", err=self._err)


class Live(Tally):
    """A bar with what is done, running and failed; failures stay above it."""

    def __init__(self, console: Console):
        super().__init__()
        self._progress = Progress(
            TextColumn("tasks"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            _TimeLeft(self),
            console=console,
            transient=True,
        )
        self._bar: TaskID | None = None

    def start(self, total, done):
        """Open the bar."""
        super().start(total, done)
        if self._bar is not None:
            self._progress.remove_task(self._bar)
        self._bar = self._progress.add_task("tasks", total=total, completed=done, figures="")
        self._progress.start()

    def task_started(self, name):
        """Show one more that runs."""
        super().task_started(name)
        self._show()

    def task_finished(self, name, seconds):
        """Move the bar."""
        super().task_finished(name, seconds)
        self._show()

    def task_retried(self, name, reason):
        """Print why a task is retried above the bar."""
        super().task_retried(name, reason)
        self._print(f"{name} failed, to be retried: {reason}")

    def task_failed(self, name, reason):
        """Print why a task failed above the bar."""
        super().task_failed(name, reason)
        self._print(f"{name} {reason}")

    def close(self):
        """Take the bar away."""
        self._progress.stop()

    def _print(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False)
        self._show()

    def _show(self) -> None:
        figures = f"{self.running} running"
        figures += f"  {self.retried} retried" if self.retried else ""
        figures += f"  {self.failed} failed" if self.failed else ""
        if self._bar is not None:
            self._progress.update(self._bar, completed=self.done, figures=figures)


class _TimeLeft(ProgressColumn):
    def __init__(self, tally: Tally):
        super().__init__()
        self._tally = tally

    def render(self, task) -> Text:
        seconds = self._tally.seconds_left()
        return Text("" if seconds is None else f"about {duration(seconds)} left", style="progress.remaining")


def make_fleet_observer(*, quiet: bool, as_json: bool) -> FleetObserver:
    """Return an observer that shows progress; with JSON on stdout it goes to stderr."""
    if quiet:
        return FleetObserver()
    console = Console(stderr=as_json)
    return Live(console) if console.is_terminal else Lines(to_stderr=as_json)
