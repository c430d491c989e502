import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kerasburst.study import FleetObserver, Task, run_fleet
from tests.study import work

ROOT = Path(__file__).parents[2]


class Recorder(FleetObserver):
    def __init__(self):
        self.events = []

    def start(self, total, done):
        self.events.append(("start", total, done))

    def task_started(self, name):
        self.events.append(("started", name))

    def task_finished(self, name, seconds):
        assert 0 < seconds < 300
        self.events.append(("finished", name))

    def task_retried(self, name, reason):
        self.events.append(("retried", name, reason))

    def task_failed(self, name, reason):
        self.events.append(("failed", name, reason))

    def close(self):
        self.events.append(("close",))

    def of(self, *kinds):
        return [event for event in self.events if event[0] in kinds]


class Fleet:
    """Tasks whose results are files in one folder."""

    def __init__(self, folder):
        self.folder = folder
        self.logs = folder / "logs"
        self.recorder = Recorder()

    def task(self, name, function="write", **arguments):
        return Task(name, f"tests.study.work:{function}", {"path": str(self.folder / name)} | arguments)

    def is_done(self, task):
        return Path(task.arguments["path"]).exists()

    def run(self, tasks, **options):
        options = {"log_dir": self.logs, "observer": self.recorder} | options
        run_fleet(tasks, is_done=self.is_done, **options)

    def read(self, name):
        return work.read(self.folder / name)

    def runs(self, name):
        path = self.folder / f"{name}.runs"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.fixture
def fleet(tmp_path):
    return Fleet(tmp_path)


SCRIPT = """
import sys
from pathlib import Path
from tests.study.conftest import Fleet

if __name__ == "__main__":
    fleet = Fleet(Path(sys.argv[1]))
    tasks = [fleet.task(f"t{i}", seconds=float(sys.argv[3]) if i else 0.0, value=i) for i in range(4)]
    fleet.run(tasks, jobs=int(sys.argv[2]), backend=sys.argv[4])
"""


class Driver:
    """A process of its own that runs a fleet of t0 .. t3, which all but t0 take `seconds`."""

    def __init__(self, folder, jobs, seconds, backend="loky"):
        script = folder / "driver.py"
        script.write_text(SCRIPT)
        self.fleet = Fleet(folder)
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(folder), str(jobs), str(seconds), backend],
            env=os.environ | {"PYTHONPATH": str(ROOT), "KERASBURST_DEFER_LAYERS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_until_running(self, count):
        """Wait until t0 is done and `count` others run; give their process ids."""
        wait_for(lambda: (self.fleet.folder / "t0").exists() and len(self._running()) == count, 120)
        return self._running()

    def _running(self):
        return [pid for i in (1, 2, 3) for pid in self.fleet.runs(f"t{i}") if alive(pid)]

    def end(self):
        """Wait for the process; give its exit code and what it printed on stderr."""
        _, err = self.process.communicate(timeout=300)
        return self.process.returncode, err


@pytest.fixture
def driver(tmp_path):
    started = []

    def start(**options):
        started.append(Driver(tmp_path, **options))
        return started[-1]

    yield start
    for driver in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.process.pid, signal.SIGKILL)
        driver.process.communicate()


def descendants(pid):
    """Give the ids of a process' children, theirs, and so on."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, of in parents.items() if of == parent]
    return found[1:]


def alive(pid):
    """Tell whether a process runs; one that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(condition, seconds):
    """Wait so many seconds of an idle machine: longer where others wait for its processors."""
    deadline = time.monotonic() + seconds * (1 + 2 * os.getloadavg()[0] / os.cpu_count())
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
