"""When the fleet's process ends, its tasks end with it; a rerun goes on."""

import os
import signal
from pathlib import Path

import pytest

from tests.study.conftest import alive, descendants, wait_for


def assert_rerun_completes(driver, jobs, done):
    again = driver(jobs=jobs, seconds=0)
    assert again.end() == (0, "")
    assert [again.fleet.read(f"t{i}")["value"] for i in range(4)] == [0, 1, 4, 9]
    assert all(len(again.fleet.runs(name)) == 1 for name in done)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("jobs", [1, 2])
def test_kill_9_of_the_parent_ends_all_and_a_rerun_completes(driver, jobs):
    run = driver(jobs=jobs, seconds=60)
    running = run.wait_until_running(jobs)
    pids = descendants(run.process.pid)
    assert set(running) <= set(pids)
    run.process.kill()
    wait_for(lambda: not any(map(alive, running)), 2)
    wait_for(lambda: not any(map(alive, pids)), 5)
    assert not (run.fleet.folder / "t1").exists()
    assert_rerun_completes(driver, jobs, ["t0"])


@pytest.mark.parametrize("to_all", [True, False])
def test_ctrl_c_ends_all_at_once_without_their_tracebacks(driver, to_all):
    run = driver(jobs=2, seconds=60)
    running = run.wait_until_running(2)
    pids = descendants(run.process.pid)
    if to_all:
        os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does
    else:
        run.process.send_signal(signal.SIGINT)
    wait_for(lambda: not any(map(alive, running)), 2)
    code, err = run.end()
    assert code == -signal.SIGINT and err.count("Traceback") == 1 and err.rstrip().endswith("KeyboardInterrupt")
    wait_for(lambda: not any(map(alive, pids)), 3)


@pytest.mark.parametrize("ignored", [False, True])
def test_ctrl_c_is_nothing_to_a_worker(driver, ignored):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    try:
        run = driver(jobs=1, seconds=60)
        run.wait_until_running(1)
    finally:
        signal.signal(signal.SIGINT, before)
    worker = run.fleet.read("t0")["worker"]
    status = dict(
        line.split(":\t") for line in Path(f"/proc/{worker}/status").read_text().splitlines() if "Sig" in line
    )
    assert int(status["SigBlk"], 16) >> signal.SIGINT - 1 & 1
    assert int(status["SigIgn"], 16) >> signal.SIGINT - 1 & 1 == ignored


def test_a_task_ends_with_the_worker_that_started_it(driver):
    run = driver(jobs=2, seconds=60)
    beside, its = run.wait_until_running(2)
    worker = run.fleet.read("t0")["worker"]  # which then took t2
    assert worker in descendants(run.process.pid)
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not alive(its), 2)
    assert alive(beside)
