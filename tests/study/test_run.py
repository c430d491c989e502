"""Fleets on this machine: side by side, resumed, retried once."""

import importlib.metadata
import os
import signal

import pytest

from kerasburst.study import FleetFailed, Task, run_fleet
from kerasburst.validation import InputError
from tests.study import work
from tests.study.conftest import wait_for


def test_side_by_side_in_fresh_processes_with_bounded_threads(fleet):
    tasks = [fleet.task(f"t{i}", seconds=0.4, value=i) for i in range(4)]
    fleet.run(tasks, jobs=2, threads=3)
    results = [fleet.read(task.name) for task in tasks]
    assert [result["value"] for result in results] == [0, 1, 4, 9]
    pids = [result["pid"] for result in results]
    assert len(set(pids)) == 4 and os.getpid() not in pids
    for starters in ({result["worker"] for result in results}, {result["parent"] for result in results}):
        assert len(starters) == 2 and os.getpid() not in starters
    assert results[0]["begun"] < results[1]["ended"] and results[1]["begun"] < results[0]["ended"]
    at_once = [sum(a["begun"] <= b["begun"] < a["ended"] for a in results) for b in results]
    assert max(at_once) == 2
    assert all(set(result["threads"].values()) == {"3"} for result in results)
    assert all(result["cwd"] == os.getcwd() for result in results)
    assert fleet.recorder.events[0] == ("start", 4, 0) and fleet.recorder.events[-1] == ("close",)
    assert fleet.recorder.of("started") == [("started", f"t{i}") for i in range(4)]
    assert sorted(fleet.recorder.of("finished")) == [("finished", f"t{i}") for i in range(4)]
    most = running = 0
    for kind, *_ in fleet.recorder.events:
        running += {"started": 1, "finished": -1}.get(kind, 0)
        most = max(most, running)
    assert most == 2


def test_only_what_is_missing_is_run(fleet, monkeypatch):
    monkeypatch.setattr("loky.cpu_count", lambda: 6)
    tasks = [fleet.task(f"t{i}") for i in range(2)]
    (fleet.folder / "t0").write_text("old")
    fleet.run(tasks, jobs=1)
    assert (fleet.folder / "t0").read_text() == "old" and not fleet.runs("t0")
    assert fleet.recorder.of("start", "started") == [("start", 2, 1), ("started", "t1")]
    assert set(fleet.read("t1")["threads"].values()) == {"6"}  # cores // jobs
    before = fleet.read("t1")
    fleet.run(tasks, jobs=1)
    assert fleet.read("t1") == before and fleet.recorder.events[-2:] == [("start", 2, 2), ("close",)]


def test_default_threads_share_the_cores_among_all_tasks_also_when_resumed(fleet, monkeypatch):
    monkeypatch.setattr("loky.cpu_count", lambda: 6)
    tasks = [fleet.task(f"t{i}") for i in range(3)]
    (fleet.folder / "t0").touch()
    (fleet.folder / "t1").touch()
    fleet.run(tasks)
    assert set(fleet.read("t2")["threads"].values()) == {"2"}  # 6 cores // 3 tasks, though one is left


@pytest.mark.thorough
def test_what_one_task_has_compiled_the_next_one_does_not(fleet):
    (fleet.logs / ".compiled").mkdir(parents=True)
    (fleet.logs / ".compiled" / "of-a-killed-fleet").touch()
    fleet.run([fleet.task(f"t{i}", "compile_and_sum") for i in range(3)], jobs=1)
    first, *others = (fleet.read(f"t{i}") for i in range(3))
    assert first["before"] == 0 < first["after"]
    assert others == [{"value": first["value"], "before": first["after"], "after": first["after"]}] * 2
    assert not (fleet.logs / ".compiled").exists()


KEPT_OF = "--tf_xla_persistent_cache_device_types=CPU"


@pytest.mark.parametrize("given", [None, "--tf_xla_clustering_debug", "--tf_xla_persistent_cache_directory=/mine"])
def test_where_compiled_code_is_kept(fleet, monkeypatch, given):
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False) if given is None else monkeypatch.setenv("TF_XLA_FLAGS", given)
    fleet.run([fleet.task(f"t{i}", "environment", variable="TF_XLA_FLAGS") for i in range(2)], jobs=1)
    ours = f"--tf_xla_persistent_cache_directory={fleet.logs}/.compiled {KEPT_OF}"
    want = {None: ours, "--tf_xla_clustering_debug": f"--tf_xla_clustering_debug {ours}"}.get(given, given)
    assert fleet.read("t1")["value"] == want and not (fleet.logs / ".compiled").exists()


@pytest.mark.parametrize("mine", [None, "/mine"])
def test_where_jax_keeps_compiled_code(fleet, monkeypatch, mine):
    name = "JAX_COMPILATION_CACHE_DIR"
    monkeypatch.delenv(name, raising=False) if mine is None else monkeypatch.setenv(name, mine)
    fleet.run([fleet.task(f"t{i}", "environment", variable=name) for i in range(2)], jobs=1)
    assert fleet.read("t0")["value"] == (mine or f"{fleet.logs}/.compiled")


@pytest.mark.parametrize("why", ["spaces", "one task", "another release", "no release", "no folder"])
def test_where_no_compiled_code_is_kept(fleet, monkeypatch, why):
    def no_version(name):
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    if why.endswith("release"):
        monkeypatch.setattr("importlib.metadata.version", no_version if why == "no release" else lambda name: "2.99.0")
    if why == "no folder":  # what cannot be made is not needed
        fleet.logs.mkdir()
        (fleet.logs / ".compiled").touch()
    tasks = [fleet.task(f"t{i}", "environment", variable="TF_XLA_FLAGS") for i in range(1 if why == "one task" else 2)]
    fleet.run(tasks, jobs=1, log_dir=fleet.folder / "my logs" if why == "spaces" else fleet.logs)
    assert fleet.read("t0")["value"] is None


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "how, reason",
    [
        ("raise", "exit status 1"),
        ("kill", "killed by SIGKILL"),
        ("kill-parent", "killed by SIGKILL"),
        ("nothing", "it ended, but its result is not there"),
    ],
)
def test_retried_once(fleet, how, reason):
    fleet.run([fleet.task("bad", "fail_first", how=how)], jobs=1)
    assert fleet.read("bad")["value"] == 0
    assert [event[:2] for event in fleet.recorder.events[1:-1]] == [
        ("started", "bad"),
        ("retried", "bad"),
        ("started", "bad"),
        ("finished", "bad"),
    ]
    assert fleet.recorder.of("retried")[0][2] == reason
    log = (fleet.logs / "bad.log").read_text()
    assert log.startswith("about to fail") and "another attempt" in log
    assert ("RuntimeError: only once" in log) == (how == "raise")


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "how, reason",
    [
        ("exit", "exit status 7"),
        ("exit 2", "exit status 2"),
        ("kill", "killed by SIGTERM"),
        ("nothing", "it ended, but its result is not there"),
    ],
)
def test_named_after_the_second_failure_when_the_others_are_done(fleet, how, reason):
    tasks = [fleet.task("deep/bad", "fail_always", how=how), fleet.task("good")]
    (fleet.folder / "deep").mkdir()
    with pytest.raises(FleetFailed) as caught:
        fleet.run(tasks, jobs=1)
    assert fleet.read("good")["value"] == 0 and len(fleet.runs("deep/bad")) == 2
    log = fleet.logs / "deep" / "bad.log"
    for part in ("deep/bad failed twice", reason, str(log), "line before the end"):
        assert part in str(caught.value)
    assert [failure.name for failure in caught.value.failures] == ["deep/bad"]
    assert log.read_text().count("line before the end") == 2
    assert fleet.recorder.of("failed") == [("failed", "deep/bad", f"failed twice: {reason}")]
    assert fleet.recorder.events[-1] == ("close",)


def test_bad_input_is_not_retried_and_ends_the_others(fleet):
    tasks = [fleet.task("slow", seconds=60), fleet.task("bad", "refuse")]
    with pytest.raises(InputError, match="^epochs must be at least 1, received 0$"):
        fleet.run(tasks, jobs=2)
    assert len(fleet.runs("bad")) == 1 and not (fleet.folder / "slow").exists()
    assert not fleet.recorder.of("retried") and fleet.recorder.events[-1] == ("close",)


def test_bad_input_of_one_need_not_end_the_others(fleet):
    tasks = [fleet.task("bad", "refuse"), fleet.task("good", value=3), fleet.task("dead", "fail_always", how="exit")]
    with pytest.raises(FleetFailed) as caught:
        fleet.run(tasks, jobs=1, refusal_ends_all=False)
    assert fleet.read("good")["value"] == 9 and len(fleet.runs("bad")) == 1 and len(fleet.runs("dead")) == 2
    refusal = "was refused: epochs must be at least 1, received 0"
    assert fleet.recorder.of("failed")[0] == ("failed", "bad", refusal)
    assert str(caught.value).startswith(f"bad {refusal}\ndead failed twice: exit status 7; its log ")


def test_a_second_attempt_waits_until_the_others_have_ended(fleet):
    tasks = [fleet.task("bad", "fail_first", how="kill"), fleet.task("slow", seconds=0.7), fleet.task("t")]
    fleet.run(tasks, jobs=2)
    assert fleet.read("bad")["begun"] > fleet.read("slow")["ended"]


def test_a_lost_worker_costs_nobody_an_attempt(fleet):
    tasks = [fleet.task("bad", "fail_first", how="kill-worker")] + [fleet.task(f"t{i}", value=i) for i in range(3)]
    fleet.run(tasks, jobs=2)
    assert [fleet.read(f"t{i}")["value"] for i in range(3)] == [0, 1, 4]
    assert fleet.recorder.of("retried") == [("retried", "bad", "its worker was lost: TerminatedWorkerError")]
    assert len(fleet.recorder.of("finished")) == 4


def test_a_task_that_always_ends_its_worker_is_given_up_and_the_one_beside_it_goes_on(fleet):
    tasks = [fleet.task("bad", "fail_always", how="kill-worker"), fleet.task("slow", seconds=1), fleet.task("t")]
    told = "was given up: its worker was lost 3 times: TerminatedWorkerError"
    with pytest.raises(FleetFailed, match=f"^bad {told}; its log "):
        fleet.run(tasks, jobs=2)
    assert len(fleet.runs("bad")) == 3 and len(fleet.runs("slow")) == 1 and len(fleet.runs("t")) == 1
    assert fleet.recorder.of("retried", "failed") == [
        ("retried", "bad", "its worker was lost: TerminatedWorkerError"),
        ("retried", "bad", "its worker was lost 2 times: TerminatedWorkerError"),
        ("failed", "bad", told),
    ]


def test_nothing_but_lost_workers_ends_the_fleet_before_all_is_tried(fleet):
    tasks = [fleet.task(f"bad{i}", "fail_always", how="kill-worker") for i in range(5)]
    with pytest.raises(FleetFailed, match="^bad2 was given up: its worker was lost: TerminatedWorkerError; its log "):
        fleet.run(tasks, jobs=1)
    assert sum(len(fleet.runs(task.name)) for task in tasks) == 3
    assert fleet.recorder.events[-1] == ("close",)


def test_lost_workers_among_others_that_come_back_end_nothing(fleet):
    tasks = [fleet.task(f"bad{i}", "fail_first", how="kill-worker") for i in range(3)]
    fleet.run([one for i in range(3) for one in (tasks[i], fleet.task(f"t{i}"))], jobs=1)
    assert all(fleet.read(f"bad{i}")["value"] == 0 for i in range(3))
    assert len(fleet.recorder.of("retried")) == 3


def test_the_log_of_a_lost_attempt_stays(fleet):
    fleet.run([fleet.task("bad", "fail_first", how="kill-worker")], jobs=1)
    log = (fleet.logs / "bad.log").read_text()
    assert log.startswith("about to fail") and "another attempt" in log


def test_a_result_is_asked_for_only_where_there_may_be_one(fleet):
    asked = []

    def is_done(task):
        asked.append(task.name)
        return fleet.is_done(task)

    run_fleet([fleet.task("bad", "fail_first", how="raise")], is_done=is_done, log_dir=fleet.logs, jobs=1)
    assert asked == ["bad", "bad"]  # before the first attempt, and after the second


def test_a_task_imports_from_where_this_process_does(fleet, tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine.py").write_text("def touch(path):\n    open(path, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("raise RuntimeError('no module of the working directory is to be imported')")
    fleet.run([Task("t", "mine:touch", {"path": str(tmp_path / "t")})], jobs=1)
    assert (tmp_path / "t").exists()


@pytest.mark.parametrize("mine", [None, "1"])
def test_what_keeps_workers_from_the_working_directory_is_kept_from_tasks(fleet, monkeypatch, mine):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    if mine is not None:
        monkeypatch.setenv("PYTHONSAFEPATH", mine)
    fleet.run([fleet.task("t", "environment", variable="PYTHONSAFEPATH")], jobs=1)
    assert work.read(fleet.folder / "t") == {"value": mine}
    assert os.environ.get("PYTHONSAFEPATH") == mine


def test_relative_log_dir_is_made(fleet, monkeypatch):
    monkeypatch.chdir(fleet.folder)
    fleet.run([fleet.task("t")], jobs=1, log_dir="a/b")
    assert (fleet.folder / "a" / "b" / "t.log").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"jobs": 0}, "jobs must be an integer from 1 to 2147483647, received 0"),
        ({"jobs": 1.5}, "jobs must be an integer from 1 to 2147483647, received 1.5"),
        ({"threads": 0}, "threads must be an integer of at least 1, received 0"),
        ({"backend": "dusk"}, "backend must be one of loky, dask, ray, received 'dusk'; did you mean dask"),
        ({"address": "tcp://there:8786"}, "address must be left out with backend loky"),
        ({"log_dir": ""}, "log_dir must be a path, received ''"),
        ({"log_dir": "/dev/null/logs"}, "log_dir must be a"),
    ],
)
def test_bad_arguments(fleet, options, message):
    with pytest.raises(InputError, match="^" + message):
        fleet.run([fleet.task("t")], **options)
    assert not fleet.runs("t")


def test_bad_tasks(fleet):
    with pytest.raises(InputError, match="names that differ, received t twice"):
        fleet.run([fleet.task("t"), fleet.task("t")])
    with pytest.raises(InputError, match="tasks must be Task objects, received 't'"):
        run_fleet(["t"], is_done=bool, log_dir=fleet.logs)


def test_kill_9_of_one_process_ends_the_same(driver):
    run = driver(jobs=2, seconds=0.8)
    os.kill(run.wait_until_running(2)[0], signal.SIGKILL)
    assert run.end() == (0, "")
    assert [run.fleet.read(f"t{i}")["value"] for i in range(4)] == [0, 1, 4, 9]
    assert sorted(len(run.fleet.runs(f"t{i}")) for i in range(4)) == [1, 1, 1, 2]


def test_a_second_fleet_in_the_same_place_is_refused(driver):
    run = driver(jobs=1, seconds=60)
    run.wait_until_running(1)
    with pytest.raises(InputError, match="log_dir must be free, another process runs a fleet in"):
        run.fleet.run([run.fleet.task("t1")], jobs=1)
    assert len(run.fleet.runs("t1")) == 1
    wait_for(lambda: run.process.poll() is None, 1)
    assert work.read(run.fleet.folder / "t0")["value"] == 0
