"""The parts of a fleet, each by itself."""

import errno
import json
import pickle
import signal
import socket
import subprocess
import sys

import pytest

from kerasburst.fleet import FleetFailed, FleetObserver, Task
from kerasburst.fleet import lease as leases
from kerasburst.fleet.attempt import read_tail
from kerasburst.fleet.failure import Outcome
from kerasburst.fleet.lease import hold_lease
from kerasburst.validation import InputError
from tests.fleet.conftest import ROOT, Recorder

ASK = """
import sys
from kerasburst.fleet.lease import Lease
print(Lease(*sys.argv[1:]).lost())
"""


def lost(lease):
    """Ask from another process."""
    arguments = [sys.executable, "-c", ASK, lease.path, lease.token, lease.host]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "True"


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


def worker(function, arguments):
    process = subprocess.Popen(
        [sys.executable, "-m", "kerasburst.fleet.worker", "t"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        text=True,
    )
    process.stdin.write(json.dumps({"function": function, "arguments": arguments}) + "\n")
    process.stdin.flush()
    return process


def test_the_worker_ends_with_its_lifeline(tmp_path):
    with worker("tests.fleet.work:announce", {"seconds": 60}) as process:
        assert process.stdout.readline() == "begun\n"
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(2) == 1


def test_the_worker_has_nothing_to_read_and_can_be_interrupted(tmp_path):
    with worker("tests.fleet.work:announce", {"seconds": 60, "say": "stdin"}) as process:
        assert process.stdout.readline() == "''\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(2) == -signal.SIGINT


def test_the_worker_does_not_start_without_a_task():
    command = [sys.executable, "-m", "kerasburst.fleet.worker", "t"]
    ended = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, b"", b"")


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
