"""The parts of a fleet, each by itself."""

import errno
import json
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kerasburst.study import FleetFailed, FleetObserver, Task
from kerasburst.study import lease as leases
from kerasburst.study.attempt import Surroundings, attempt, read_tail
from kerasburst.study.lease import hold_lease
from kerasburst.study.pools import interrupts_wait, open_loky
from kerasburst.study.task import Outcome
from kerasburst.validation import InputError
from tests.study.conftest import ROOT, Recorder, alive, wait_for

QUICK = os.environ | {"KERASBURST_DEFER_LAYERS": "1"}
ASK = """
import sys
from kerasburst.study.lease import Lease
print(Lease(*sys.argv[1:]).lost())
"""


def lost(lease):
    """Ask from another process."""
    command = [sys.executable, "-c", ASK, lease.path, lease.token, lease.host]
    done = subprocess.run(command, cwd=ROOT, env=QUICK, capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/..", ".a", "a b", "a\n", "é", 3, None])
def test_names_that_are_no_path(name):
    with pytest.raises(InputError, match="^name must be letters, digits"):
        Task(name, "time:sleep", {})


@pytest.mark.parametrize("function", ["time", "time.sleep", ":sleep", "time:", "a..b:c", "a:b:c", "a-b:c", "1a:b", 3])
def test_functions_that_are_no_name(function):
    with pytest.raises(InputError, match="^function must be package.module:function"):
        Task("t", function, {})


@pytest.mark.parametrize("arguments", [{"a": {1}}, {"a": (1, 2)}, {1: 2}, [1], None, {"a": float("nan")}])
def test_arguments_that_json_changes(arguments):
    with pytest.raises(InputError, match="^arguments of t must be a dictionary of JSON values"):
        Task("t", "time:sleep", arguments)


def test_a_lease_is_lost_when_it_is_released_and_when_another_is_held(tmp_path):
    with hold_lease(tmp_path) as first:
        assert first.host == socket.gethostname()
        assert not first.lost() and not lost(first)
    assert first.lost() and lost(first)
    with hold_lease(tmp_path) as second:
        assert first.lost() and not second.lost() and second.token != first.token
    (tmp_path / ".fleet").unlink()
    assert second.lost()


def test_a_lease_is_lost_with_its_lock_though_its_token_stays(tmp_path):
    with hold_lease(tmp_path) as lease:
        pass
    (tmp_path / ".fleet").write_text(lease.token)  # as after kill -9
    assert lease.lost()
    elsewhere = leases.Lease(lease.path, lease.token, "another-machine")  # which does not see locks of this one
    assert not elsewhere.lost()


def test_a_lease_is_one_process(tmp_path):
    with hold_lease(tmp_path):
        with pytest.raises(InputError, match="log_dir must be free"), hold_lease(tmp_path, patience_s=0.1):
            pass


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(leases.fcntl, "flock", refuse)
    with hold_lease(tmp_path) as lease:
        assert lease.host == "" and not lease.lost()
    assert lease.lost()


def test_ctrl_c_waits_for_what_starts_also_where_another_thread_gets_it():
    before, end, reached = signal.signal(signal.SIGINT, signal.default_int_handler), threading.Event(), []
    threading.Thread(target=end.wait).start()  # as rich's, which draws the progress
    try:
        with pytest.raises(KeyboardInterrupt):
            with interrupts_wait():
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.2)
                reached.append(True)
            reached.append("after it, too")
    finally:
        end.set()
        signal.signal(signal.SIGINT, before)
    assert reached == [True]


def test_more_files_may_be_open_where_many_processes_need_them():
    before = _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        with open_loky(20, 20, None):
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(8 * 20 + 512, hard), hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, hard))
        with open_loky(1, 1, None):
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (600, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_an_attempt_that_waited_until_the_fleet_had_ended_touches_no_log(tmp_path):
    with hold_lease(tmp_path) as lease:
        pass
    (tmp_path / "t.log").write_text("another fleet's")
    around = Surroundings(lease, str(tmp_path), os.getcwd(), tuple(sys.path), {})
    outcome = attempt(Task("t", "tests.study.work:write", {"path": str(tmp_path / "t")}), around, False)
    assert outcome.reason == "the fleet has ended" and (tmp_path / "t.log").read_text() == "another fleet's"
    assert not (tmp_path / "t").exists()


class Worker:
    """A process that does tasks, spoken to as an attempt does."""

    def __init__(self, folder, lease):
        command = [sys.executable, "-m", "kerasburst.study.worker", lease.path, lease.token, lease.host]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=ROOT, env=QUICK, text=True, bufsize=1, **pipes)
        self.log = folder / "t.log"

    def begin(self, name, function, **arguments):
        """Give the process id of the task's fork, once it has printed something."""
        self.log.write_text("")
        what = {"name": name, "function": f"tests.study.work:{function}", "arguments": arguments, "log": str(self.log)}
        self.process.stdin.write(json.dumps(what) + "\n")
        fork = int(self.process.stdout.readline())
        wait_for(self.log.read_text, 10)
        return fork

    def comm(self, fork):
        return Path(f"/proc/{fork}/comm").read_text().strip()

    def status(self):
        return int(self.process.stdout.readline())


@pytest.fixture
def lease(tmp_path):
    with hold_lease(tmp_path) as lease:
        yield lease


@pytest.fixture
def worker(tmp_path, lease):
    one = Worker(tmp_path, lease)
    with one.process:
        yield one
        one.process.stdin.close()
        assert one.process.wait(5) == 0
        assert one.process.stdout.read() == one.process.stderr.read() == ""


def test_each_task_has_a_fork_of_its_own(worker):
    seen = []
    for _ in range(2):
        fork = worker.begin("deep/announced-by-name", "announce", say="state", seconds=0.3)
        assert worker.comm(fork) == "announced-by-na"  # as top and ps show it
        assert worker.status() == 0
        said = json.loads(worker.log.read_text())
        assert said.pop("pid") == said.pop("session") == fork != worker.process.pid
        assert said.pop("stdin") == "" and said.pop("mark") == 0  # nothing that an earlier task did
        seen.append((fork, *said.values()))
    assert all(one != other for one, other in zip(*seen, strict=True))  # nor the same random numbers


@pytest.mark.parametrize(
    ("function", "how", "status", "line"),
    [
        ("refuse", None, 2, "InputError: epochs must be at least 1, received 0"),
        ("fail_always", "exit", 7, "line before the end"),
        ("fail_always", "kill", -signal.SIGTERM, "line before the end"),
        ("fail_first", "raise", 1, "RuntimeError: only once"),
        ("no_such_function", None, 1, "AttributeError"),
    ],
)
def test_how_a_fork_ends_is_told_and_the_next_goes_on(worker, tmp_path, function, how, status, line):
    worker.begin("t", function, path=str(tmp_path / "t"), **({} if how is None else {"how": how}))
    assert worker.status() == status
    assert line in worker.log.read_text().splitlines()[-1]
    worker.begin("t", "announce", seconds=0)
    assert worker.status() == 0 and worker.log.read_text() == "begun\n"


def test_a_fork_can_be_interrupted(worker):
    os.kill(worker.begin("t", "announce", seconds=60), signal.SIGINT)
    assert worker.status() == -signal.SIGINT


@pytest.mark.parametrize("end", ["lifeline", "kill"])
def test_a_fork_ends_with_its_worker(tmp_path, lease, end):
    worker = Worker(tmp_path, lease)
    with worker.process:
        fork = worker.begin("t", "announce", seconds=60)
        assert alive(fork)
        if end == "lifeline":  # as when the process at the other end is gone
            worker.process.stdout.close()
            worker.process.stdin.close()
        else:
            worker.process.kill()
        wait_for(lambda: not alive(fork), 2)
        assert worker.process.wait(2) == (0 if end == "lifeline" else -signal.SIGKILL)
        assert worker.process.stderr.read() == ""


def test_a_worker_without_a_task_ends_with_the_fleet(tmp_path):
    with hold_lease(tmp_path) as lease:
        worker = Worker(tmp_path, lease)
        worker.begin("t", "announce", seconds=0)
        assert worker.status() == 0
    with worker.process:
        assert worker.process.wait(10) == 0


def test_failures_travel_and_tell():
    failures = [
        Outcome("a", "logs/a.log", 1.0, "exit status 1", "x\ny"),
        Outcome("b", "logs/b.log", 1.0, "exit status 3"),
    ]
    error = FleetFailed(failures)
    assert str(error).splitlines() == [
        "a failed twice: exit status 1; its log logs/a.log ends with",
        "    x",
        "    y",
        "b failed twice: exit status 3; its log logs/b.log is empty",
    ]
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) and copy.failures == failures


def test_tail_is_short_and_readable(tmp_path):
    log = tmp_path / "t.log"
    log.write_bytes(b"\xff" * 20000 + b"\n" + b"".join(b"%d\n" % i for i in range(100)))
    assert read_tail(log).splitlines() == [str(i) for i in range(88, 100)]
    assert read_tail(log, log.stat().st_size - 3) == "99"
    assert read_tail(tmp_path / "none.log") == ""


def test_the_observer_has_all_that_the_recorder_has():
    methods = {name for name in vars(Recorder) if not name.startswith("_")} - {"of"}
    assert methods == {name for name in vars(FleetObserver) if not name.startswith("_")}


def test_what_loky_says_of_a_killed_process_is_not_heard_and_other_warnings_are(monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "always")
    texts = ["resource_tracker: There appear to be 1 leaked semlock objects", "disk is full"]
    with open_loky(1, 1, None) as pool:
        heard = pool.submit(_heard, [f"import warnings; warnings.warn({text!r})" for text in texts]).result()
    assert "resource_tracker" not in heard and "UserWarning: disk is full" in heard
    assert os.environ["PYTHONWARNINGS"] == "always"


def _heard(lines):
    """Return what processes that start as loky's tracker does, from a process of the pool, write to stderr."""
    return "".join(
        subprocess.run([sys.executable, "-c", line], capture_output=True, text=True).stderr for line in lines
    )
