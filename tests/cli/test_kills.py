"""Commands that are killed at random moments and resumed find the same figures, and leave no process and no file.

50 moments take about half an hour on two cores: `pytest -m slow tests/cli/test_kills.py`. KERASBURST_KILLS=N sets their
number, KERASBURST_KILLS_FROM=M the number of the first, KERASBURST_KILLS_LOG=FILE a file for what happened at each.
"""

import contextlib
import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.study.conftest import wait_for

_SMALL = "--num-steps 2 --set model.hidden_units=4 --jobs 2"
COMMANDS = {
    "train": ("--dataset iris --num-steps 2 --set model.hidden_units=4 --epochs 20 --train-limit 48", "result.json"),
    "attack": (
        "--dataset iris --encoding rate --members 20 --population 10 --shadows 2 --queries 1 --epochs 2 " + _SMALL,
        "audit.json",
    ),
    "transfer": (
        "--source iris:0,1 --target iris:1,2 --encoding rate --seeds 1 --source-epochs 2 --target-epochs 2 " + _SMALL,
        "transfer.json",
    ),
    "sweep": ("--dataset iris --param neuron.beta=0.5,0.9 --seeds 1 --epochs 2 " + _SMALL, "sweep.json"),
    "profile": (
        "--dataset iris --encoding rate --repeats 1 --epochs 2 --num-steps 2 --set model.hidden_units=4",
        "profile.json",
    ),
    "reproduce": ("--scale smoke --dataset iris --seeds 1 --jobs 2", "reproduction.json"),
}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_MOMENTS, _FIRST = int(os.environ.get("KERASBURST_KILLS", "50")), int(os.environ.get("KERASBURST_KILLS_FROM", "0"))
# What is measured by a clock or of the machine, by the ends of the fields' names; the rest must be equal.
_MEASURED = (
    "_seconds",
    "seconds",
    "_s",
    "_per_second",
    "_j",
    "_w",
    "_mb",
    "_before",
    "_cores",
    "_ms",
    "interval_method",
    "passes",
)
_MEASURED_PARTS = ("measurements", "regions", "load_average", "ratios", "medians", "versions", "config")


def _hear_signals():
    """Undo what a shell's background job (SIGINT) and nohup (SIGHUP) ignore, and their children after them."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Command:
    """A command in a session of its own, whose processes are known by a variable that they inherit."""

    def __init__(self, name, folder, *more):
        code = "import sys; from kerasburst_cli.main import main; main(sys.argv[1:])"
        self.mark = uuid.uuid4().hex
        self.temporary = folder / "temporary"
        self.temporary.mkdir(exist_ok=True)
        places = {"KERAS_HOME": str(folder / "keras-home"), "TMPDIR": str(self.temporary), "KILL_MARK": self.mark}
        self.errors = folder / "errors"
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, name, *COMMANDS[name][0].split(), "--quiet", "--out", "out", *more],
                cwd=folder,
                env=os.environ | places,
                preexec_fn=_hear_signals,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def processes(self):
        """Return the processes that have the mark: this one and whatever descends from it."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if f"KILL_MARK={self.mark}".encode() in (entry / "environ").read_bytes():
                        found.append(int(entry.name))
        return found

    def end(self):
        code = self.process.wait(timeout=900)
        return code, self.errors.read_text(errors="replace")

    def kill_all(self):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def figures(value):
    """Return a result's JSON without what depends on time, machine and place."""
    if isinstance(value, dict):
        return {
            name: figures(each)
            for name, each in value.items()
            if not name.endswith(_MEASURED) and name not in _MEASURED_PARTS
        }
    return [figures(each) for each in value] if isinstance(value, list) else value


def leftovers(folder):
    return [str(path) for path in folder.rglob("*") if path.name.startswith(".writing-")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a function to a command's figures and its duration when nothing disturbs it."""

    @functools.cache
    def find(name):
        folder = tmp_path_factory.mktemp(name)
        begun = time.monotonic()
        run = Command(name, folder)
        code, err = run.end()
        seconds = time.monotonic() - begun
        assert code in (0, 3) and "Traceback" not in err, err
        assert not os.listdir(run.temporary)
        return figures(json.loads((folder / "out" / COMMANDS[name][1]).read_text())), seconds

    return find


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(_FIRST, _FIRST + _MOMENTS))
def test_what_is_killed_and_resumed_finds_the_same(moment, undisturbed, tmp_path):
    rng = random.Random(moment)
    name = list(COMMANDS)[moment % len(COMMANDS)]
    number = SIGNALS[moment // len(COMMANDS) % len(SIGNALS)]
    expected, seconds = undisturbed(name)
    after_s = rng.uniform(0.05, 1.0) * seconds
    run = Command(name, tmp_path)
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(after_s)
        running = run.process.poll() is None
        run.process.send_signal(number)
        code, err = run.end()
        assert "Traceback" not in err, err
        wait_for(lambda: not run.processes(), 20)
        assert not os.listdir(run.temporary)
    finally:
        run.kill_all()
    again = Command(name, tmp_path, "--resume")
    try:
        code_again, err = again.end()
        assert code_again in (0, 3) and "Traceback" not in err, err
        wait_for(lambda: not again.processes(), 20)
    finally:
        again.kill_all()
    found = figures(json.loads((tmp_path / "out" / COMMANDS[name][1]).read_text()))
    if (log := os.environ.get("KERASBURST_KILLS_LOG")) is not None:
        row = {"moment": moment, "command": name, "signal": number.name, "after_s": round(after_s, 2)}
        row |= {"running": running, "code": code, "same": found == expected}
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    assert found == expected
    assert not leftovers(tmp_path) and not os.listdir(again.temporary)
