"""What a fleet's progress looks like on a terminal and in a file."""

import io

import pytest
from rich.console import Console

from kerasburst.study import FleetObserver

fleet_progress = pytest.importorskip("kerasburst_cli.fleet_progress")


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(fleet_progress, "time", clock)
    return clock


def play(observer, clock):
    """Play 8 tasks of which 2 were done, two at a time: the second fails once, the third twice."""
    observer.start(total=8, done=2)
    observer.task_started("shadow-0")
    observer.task_started("shadow-1")
    clock.now += 40
    observer.task_finished("shadow-0", 40.0)
    observer.task_started("shadow-2")
    clock.now += 20
    observer.task_retried("shadow-1", "killed by SIGKILL")
    observer.task_started("shadow-3")
    observer.task_failed("shadow-2", "failed twice: exit status 1")


def test_time_left_by_hand(clock):
    tally = fleet_progress.Tally()
    tally.start(total=8, done=2)
    tally.task_started("a")
    tally.task_started("b")
    assert tally.seconds_left() is None
    clock.now += 40
    tally.task_finished("a", 40.0)
    tally.task_started("c")
    # mean 40: b has run for as long, and is given a quarter more; c has 40 to go, and 8 - 3 done - 2 running = 3 wait:
    # (10 + 40 + 3 * 40) / 2 at once
    assert tally.seconds_left() == pytest.approx(85)
    clock.now += 20
    assert tally.seconds_left() == pytest.approx((15 + 20 + 120) / 2)  # c has 20 to go; b is late, by a quarter of 60
    tally.task_finished("b", 60.0)  # mean 50; c has 30 to go, 3 wait
    assert tally.seconds_left() == pytest.approx((30 + 150) / 2)
    clock.now += 32
    assert tally.seconds_left() == pytest.approx((8 + 150) / 2)  # c has run 52, past the mean, and the longest took 60
    assert (tally.done, tally.running, tally.retried, tally.failed) == (4, 1, 0, 0)


def test_the_last_task_is_not_halved(clock):
    tally = fleet_progress.Tally()
    tally.start(total=3, done=0)
    tally.task_started("a")
    tally.task_started("b")
    clock.now += 10
    tally.task_finished("a", 10.0)
    tally.task_finished("b", 10.0)
    tally.task_started("c")
    assert tally.seconds_left() == pytest.approx(10)


@pytest.mark.parametrize("to_stderr", [False, True])
def test_lines(clock, capfd, to_stderr):
    observer = fleet_progress.make_fleet_observer(quiet=False, as_json=to_stderr)
    play(observer, clock)
    clock.now += 20
    for name in ("shadow-3", "shadow-1", "shadow-4", "shadow-5"):
        observer.task_finished(name, 40.0)
    observer.close()
    out, err = capfd.readouterr()
    assert (out if to_stderr else err) == ""
    assert (err if to_stderr else out).splitlines() == [
        "2/8 done before",
        "3/8 shadow-0 done in 40.0 s, about 85 s left",  # 1 runs, late by a quarter of 40, 4 wait: 170 / 2
        "3/8 shadow-1 failed, to be retried: killed by SIGKILL",
        "4/8 shadow-2 failed twice: exit status 1",
        "5/8 shadow-3 done in 40.0 s, about 60 s left",  # 3 wait
        "6/8 shadow-1 done in 40.0 s, about 40 s left",
        "7/8 shadow-4 done in 40.0 s, about 20 s left",
        "8/8 shadow-5 done in 40.0 s",
    ]


def test_live(clock):
    file = io.StringIO()
    observer = fleet_progress.Live(Console(file=file, force_terminal=True, width=120, color_system=None))
    play(observer, clock)
    observer._progress.refresh()
    clock.now += 10000
    observer._progress.refresh()
    observer.close()
    shown = file.getvalue()
    assert "3/8" in shown and "1 running  1 retried  1 failed" in shown and "left" in shown
    assert "shadow-1 failed, to be retried: killed by SIGKILL" in shown
    assert "shadow-2 failed twice: exit status 1" in shown


def test_quiet(capfd, clock):
    observer = fleet_progress.make_fleet_observer(quiet=True, as_json=False)
    assert type(observer) is FleetObserver
    play(observer, clock)
    assert capfd.readouterr() == ("", "")


def test_close_without_start():
    file = io.StringIO()
    fleet_progress.Live(Console(file=file, force_terminal=True)).close()
    assert "done" not in file.getvalue()


def test_fleets_one_after_the_other(clock, capfd):
    tally = fleet_progress.Tally()
    play(tally, clock)
    tally.start(total=3, done=1)
    assert (tally.total, tally.done, tally.running, tally.retried, tally.failed) == (3, 1, 0, 0, 0)
    assert tally.seconds_left() is None  # the first fleet's tasks are of another kind
    file = io.StringIO()
    observer = fleet_progress.Live(Console(file=file, force_terminal=True, width=120, color_system=None))
    play(observer, clock)
    observer.close()
    shown_before = len(file.getvalue())
    observer.start(total=3, done=1)
    observer.task_started("rate/tf-privacy-all")
    observer._progress.refresh()
    observer.close()
    assert "1/3" in file.getvalue()[shown_before:] and "3/8" not in file.getvalue()[shown_before:]
