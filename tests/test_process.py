import sys
import time

import pytest

from kerasburst.process import Worker, WorkerFailed
from kerasburst.profiling.measurement import start_worker
from tests.profiling.test_measurement import FAKE


@pytest.fixture
def worker(tmp_path):
    workers = []

    def start(**options):
        worker = Worker(FAKE)
        workers.append(worker)
        worker.ask("build", work="x", options={"step_s": 0.5, "log": str(tmp_path / "log"), **options})
        return worker

    yield start
    for worker in workers:
        worker.end()


def test_asked_and_answered(worker):
    one = worker()
    assert one.ask("run", steps=4) == {"seconds": 2.0, "extra_mj": 2.0}
    assert one.ask("peak") == {"peak_rss_mb": 12.5}


def test_a_work_that_fails(worker):
    with pytest.raises(WorkerFailed, match="^ValueError: not any more$"):
        worker(fails_at=1).ask("run", steps=1)


def test_a_process_that_ends(worker):
    with pytest.raises(WorkerFailed, match="^exit status 3: out of luck$"):
        worker(dies_at=1).ask("run", steps=1)


def test_a_process_that_is_killed(worker):
    with pytest.raises(WorkerFailed, match="^killed by SIGKILL$"):
        worker(killed_at=1).ask("run", steps=1)


def test_a_process_that_hangs(worker):
    one = worker(sleeps_at=1)
    begun = time.perf_counter()
    with pytest.raises(WorkerFailed, match=r"no answer within 0\.2 s"):
        one.ask("run", timeout_s=0.2, steps=1)
    assert one._process.returncode is not None and time.perf_counter() - begun < 50


def test_a_command_that_does_not_exist():
    with pytest.raises(WorkerFailed, match="/nowhere/python does not start: No such file"):
        Worker(("/nowhere/python",))


def test_threads_are_set_where_libraries_look():
    code = "import os, json; print(json.dumps({'ok': True, 'n': os.environ['OMP_NUM_THREADS']}))"
    with start_worker((sys.executable, "-c", code), threads=3) as one:
        assert one.ask("peak") == {"n": "3"}


def test_an_environment_without_kerasburst_is_a_reason():
    with Worker((sys.executable, "-c", "import no_such_library")) as one:
        with pytest.raises(WorkerFailed, match="exit status 1: ModuleNotFoundError: No module named 'no_such_library'"):
            one.ask("peak")
