"""The same fleet on a Dask and a Ray cluster, for real."""

import importlib
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from kerasburst.study import ClusterLost, FleetFailed
from kerasburst.study.pools import open_dask
from kerasburst.validation import InputError
from tests.study.conftest import alive, descendants, wait_for

# One cluster at a time: Ray gives up on one that takes half a minute to start.
pytestmark = pytest.mark.filterwarnings("ignore")


SCHEDULER = """
import os, sys, time
import distributed

if __name__ == "__main__":
    cluster = distributed.LocalCluster(n_workers=1, processes=False, protocol="tcp", dashboard_address=None)
    with open(sys.argv[1] + ".part", "w") as file:
        file.write(cluster.scheduler_address)
    os.replace(sys.argv[1] + ".part", sys.argv[1])
    time.sleep(600)
"""


@pytest.fixture(params=["dask", "ray"])
def backend(request, monkeypatch):
    pytest.importorskip("distributed" if request.param == "dask" else "ray")
    return request.param


@pytest.fixture(autouse=True)
def no_cluster_but_the_tests_own(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    if "dask" in sys.modules:
        sys.modules["dask"].config.refresh()


@pytest.mark.parametrize("backend, module", [("dask", "distributed"), ("ray", "ray")])
def test_without_the_package_the_pip_line_is_told(fleet, monkeypatch, backend, module):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, backend, None)
    with pytest.raises(InputError, match=rf"^backend {backend} needs: pip install 'kerasburst\[{backend}\]'"):
        fleet.run([fleet.task("t")], backend=backend)
    assert fleet.recorder.events == [] and not fleet.logs.exists()


def test_a_new_local_cluster(fleet, backend):
    tasks = [fleet.task(f"t{i}", seconds=1.0, value=i) for i in range(4)]
    tasks += [fleet.task("once", "fail_first", how="kill")]
    fleet.run(tasks, backend=backend, jobs=2, threads=3)
    results = [fleet.read(f"t{i}") for i in range(4)]
    assert [result["value"] for result in results] == [0, 1, 4, 9]
    pids, workers = ({result[key] for result in results} for key in ("pid", "worker"))
    assert len(pids) == 4 and len(workers) == 2 and os.getpid() not in pids | workers
    assert all(set(result["threads"].values()) == {"3"} for result in results)
    assert all(result["cwd"] == os.getcwd() for result in results)
    at_once = [sum(a["begun"] <= b["begun"] < a["ended"] for a in results) for b in results]
    assert max(at_once) == 2
    assert fleet.recorder.of("retried") == [("retried", "once", "killed by SIGKILL")]
    assert len(fleet.recorder.of("finished")) == 5
    wait_for(lambda: not any(map(alive, workers)), 10)


def test_one_job_has_a_worker_of_the_cluster_too(fleet, backend):
    fleet.run([fleet.task("t")], backend=backend, jobs=1)
    assert fleet.read("t")["worker"] != os.getpid()


def test_a_free_worker_takes_the_next_task(fleet, backend):
    slow = fleet.task("slow", "write_after", other=str(fleet.folder / "t3"))
    fleet.run([slow] + [fleet.task(f"t{i}") for i in range(4)], backend=backend, jobs=2)
    assert not fleet.recorder.of("retried")


def test_failures_and_bad_input_are_told_the_same(fleet, backend):
    tasks = [fleet.task("bad", "fail_always", how="exit"), fleet.task("good")]
    with pytest.raises(FleetFailed, match="bad failed twice: exit status 7"):
        fleet.run(tasks, backend=backend, jobs=2)
    assert fleet.read("good")["value"] == 0
    with pytest.raises(InputError, match="^epochs must be at least 1, received 0$"):
        fleet.run([fleet.task("slow", seconds=60), fleet.task("refused", "refuse")], backend=backend, jobs=2)
    assert len(fleet.runs("slow")) <= 1
    wait_for(lambda: not any(map(alive, fleet.runs("slow"))), 3)


def test_a_lost_worker_costs_nobody_an_attempt(fleet, backend, monkeypatch):
    started = []
    module, name = ("distributed", "LocalCluster") if backend == "dask" else ("ray", "init")
    start = getattr(importlib.import_module(module), name)
    monkeypatch.setattr(f"{module}.{name}", lambda *args, **options: started.append(name) or start(*args, **options))
    tasks = [fleet.task("bad", "fail_first", how="kill-worker")] + [fleet.task(f"t{i}", value=i) for i in range(3)]
    fleet.run(tasks, backend=backend, jobs=2)
    assert [fleet.read(f"t{i}")["value"] for i in range(3)] == [0, 1, 4]
    assert fleet.read("bad")["value"] == 0
    assert [len(fleet.runs(f"t{i}")) for i in range(3)] == [1, 1, 1]
    error = "KilledWorker" if backend == "dask" else "WorkerCrashedError"
    assert fleet.recorder.of("retried") == [("retried", "bad", f"its worker was lost: {error}")]
    # Ray starts a cluster unasked where a thread asks it for a result after its end, and ends this process with it.
    assert started == [name]


def ray_agent(pid):
    """Tell one of the two processes of Ray's own that notice only after a minute that a killed cluster is gone."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(b"agent" in word.lower() for word in command[:3])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_tasks_end_with_the_fleet(driver, backend, number):
    run = driver(jobs=2, seconds=60, backend=backend)
    running = run.wait_until_running(2)
    pids = [pid for pid in descendants(run.process.pid) if not ray_agent(pid)]
    assert set(running) <= set(pids)
    if number == signal.SIGINT:
        os.killpg(run.process.pid, number)
    else:
        run.process.kill()
    wait_for(lambda: not any(map(alive, running)), 3)
    code, err = run.end()
    assert code == -number
    if number == signal.SIGINT:
        assert err.rstrip().endswith("KeyboardInterrupt"), err
    wait_for(lambda: not any(map(alive, pids)), 30)


def test_a_dask_cluster_that_is_there(fleet, monkeypatch):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        tasks = [fleet.task(f"t{i}", seconds=0.3) for i in range(3)]
        fleet.run(tasks[:1], backend="dask", address=cluster.scheduler_address)
        with monkeypatch.context() as patch:
            import dask

            patch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
            dask.config.refresh()
            fleet.run(tasks[1:2], backend="dask")
        dask.config.refresh()
        with distributed.Client(cluster):
            fleet.run(tasks, backend="dask")
        workers = {worker.pid for worker in (nanny for nanny in cluster.workers.values())}
        assert {fleet.read(f"t{i}")["worker"] for i in range(3)} <= workers
    with pytest.raises(InputError, match="^address must be that of a Dask cluster that answers, received 'tcp://127"):
        fleet.run([fleet.task("t3")], backend="dask", address="tcp://127.0.0.1:9")


def test_a_dask_cluster_that_goes_away(fleet, tmp_path):
    pytest.importorskip("distributed")
    with subprocess.Popen([sys.executable, "-c", SCHEDULER, str(tmp_path / "address")]) as scheduler:
        try:
            wait_for((tmp_path / "address").exists, 60)
            address = (tmp_path / "address").read_text()
            timer = threading.Timer(0, lambda: (wait_for(lambda: fleet.runs("slow"), 60), scheduler.kill()))
            timer.start()
            with pytest.raises(ClusterLost, match="^the cluster was lost: .+; what was done before stays done"):
                fleet.run([fleet.task("slow", seconds=60)], backend="dask", address=address)
        finally:
            scheduler.kill()
    timer.join()
    wait_for(lambda: not any(map(alive, fleet.runs("slow"))), 10)


def test_a_dask_client_that_has_closed_takes_nothing_more():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, processes=False, protocol="tcp", dashboard_address=None) as cluster:
        with open_dask(1, 1, cluster.scheduler_address) as pool:
            assert pool.submit(abs, -3).result(60) == 3
            distributed.default_client().close()
            with pytest.raises(CancelledError, match="^its client is closed$"):
                pool.submit(abs, -3)


def test_a_ray_cluster_that_is_there(fleet):
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        fleet.run([fleet.task(f"t{i}") for i in range(3)], backend="ray")
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    assert all(fleet.read(f"t{i}")["worker"] != os.getpid() for i in range(3))
