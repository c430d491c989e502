"""kerasburst sweep as a user meets it."""

import json
import os
import signal
import subprocess
import sys

import pytest
from kerasburst_cli.cmd_sweep import summary

from kerasburst.study import ClusterLost
from tests.cli.test_bad_input import assert_refused
from tests.paper.common import RUN_FLEET, PretendAll
from tests.reports.test_sweep import both
from tests.study.conftest import wait_for

SMALL = (
    "--dataset iris --encoding poisson_burst --num-steps 4 --epochs 2 --seeds 2 --set model.hidden_units=4"
).split()
TAU = ("--param", "encoder.burst_interval=1,2,8")
LAMBDA = ("--param", "encoder.mean_burst_size=1:2")


@pytest.fixture
def sweep(kerasburst, monkeypatch):
    def run(*arguments, figures=False, **options):
        if not figures:
            monkeypatch.setattr("kerasburst.reports.sweep.save_sweep_figures", lambda *_: [])
        monkeypatch.setattr(RUN_FLEET, fleet := PretendAll(**options))
        outcome = kerasburst("sweep", *SMALL, *arguments)
        outcome.ran = fleet.ran
        return outcome

    return run


def test_a_grid_in_a_table_and_a_picture(sweep, tmp_path):
    outcome = sweep(*TAU, *LAMBDA, figures=True)
    assert outcome.code == 0 and outcome.err == "", outcome
    out = tmp_path / "runs" / "sweep-iris-poisson_burst"
    assert {"sweep.json", "test_accuracy.png", "config.json", "point-0000"} <= set(os.listdir(out))
    assert "point-0004" not in os.listdir(out)
    lines = outcome.out.splitlines()
    assert lines[-1] == "written to runs/sweep-iris-poisson_burst: sweep.json, test_accuracy.png"
    assert "poisson_burst on iris" in lines and "Means and 95 % over 2 seeds." in lines
    # 0.87 and 0.858: mean 0.864, half 12.7062 * 0.0084853 / sqrt(2) = 0.0762
    rows = [" ".join(line.split()) for line in lines]
    assert "1 1 0.864 (0.788 to 0.940)" in rows and "1 2 0.864 (0.788 to 0.940)" in rows
    # pretended: it knows no tau
    assert "burst interval 1 2 2 +0.000 (+0.000 to +0.000)" in rows
    assert "burst interval 1 8 0 of 2 –" in rows
    assert "mean burst size 1 2 2 of 3 +0.000 (+0.000 to +0.000)" in rows
    invalid = [line for line in lines if "received 8" in line]
    assert len(invalid) == 2 and "burst_interval" in invalid[0]


def test_effects_have_their_sign_and_say_what_they_lack():
    accuracy = {"mean": -0.02, "interval": [-0.05, 0.01], "seeds": 2}
    effect = {"parameter": TAU[1].partition("=")[0], "value": 5, "against": 2, "pairs": 1, "of": 2}
    result = both() | {"seeds": [0, 1, 2], "data": {"name": "iris"}}
    result["config"]["train"] = {"encoding": "poisson_burst"}
    result["effects"] = [effect | {"estimates": {"test_accuracy": accuracy}}]
    text = summary(result, "s", [])
    effect = "burst interval 2 5 1 of 2 -0.020 (-0.050 to +0.010, 2 of 3 seeds)"
    assert effect in [" ".join(line.split()) for line in text.splitlines()]


def test_auc_and_front(sweep, tmp_path):
    audit = "--dataset breast_cancer --metric audit_auc --members 40 --shadows 2 --queries 1 --queries 2".split()
    outcome = sweep(
        *audit, "--param", "encoder.burst_interval=1,2", "--seeds", "1", "--num-steps", "3", "--out", "s", figures=True
    )
    assert outcome.code == 0, outcome
    found = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert found["metrics"] == ["test_accuracy", "audit_auc"] and found["front"]
    assert "AUC, lira_online, K = 2" in outcome.out and "on the front" in outcome.out
    lines = outcome.out.splitlines()
    heads, *rows = lines[next(i for i, line in enumerate(lines) if "AUC, lira_online" in line) :]
    assert heads.split()[-4:] == ["K", "=", "1", "Pareto"]  # beside the largest
    first = found["points"][0]["auc_by_queries"]
    assert rows[0].split()[2:4] == [f"{first[k]['mean']:.3f}" for k in ("2", "1")]
    assert (tmp_path / "s" / "pareto.png").exists() and (tmp_path / "s" / "audit_auc.png").exists()


def test_failed_controls_are_exit_code_3(sweep, monkeypatch):
    monkeypatch.setattr("kerasburst.privacy.lessons.members_needed", lambda num_classes: 16)  # it follows from:
    monkeypatch.setattr("kerasburst.privacy.controls.LEAST_LEAK", 1.5)  # which no planted leak can reach
    monkeypatch.setattr("kerasburst.privacy.controls.check_power", lambda *_: "")
    audit = "--dataset breast_cancer --metric audit_auc --members 40 --shadows 2 --seeds 1".split()
    outcome = sweep(*audit, "--param", "encoder.burst_interval=1,2", "--out", "s", "--quiet")
    assert (outcome.code, outcome.err) == (3, "controls of 2 audits failed: those seeds do not count\n")


def test_json_alone_is_on_stdout(sweep, tmp_path):
    outcome = sweep(*LAMBDA, "--out", "s", "--json")
    shown = json.loads(outcome.out)
    assert shown.pop("out") == "s" and shown == json.loads((tmp_path / "s" / "sweep.json").read_text())


def test_interrupted_it_says_how_to_go_on(sweep, kerasburst, monkeypatch):
    outcome = sweep(*LAMBDA, "--out", "s", stop_after=1)
    assert outcome.code == 130 and "go on with: kerasburst sweep --resume --out s" in outcome.err
    assert_refused(sweep(*LAMBDA, "--out", "s"), "an unfinished sweep", "--resume", "--force")
    monkeypatch.setattr(RUN_FLEET, fleet := PretendAll())
    assert kerasburst("sweep", "--resume", "--out", "s").code == 0 and len(fleet.ran) == 3
    assert_refused(sweep("--param", "encoder.mean_burst_size=5", "--out", "s", "--resume"), "parameters differs")
    assert_refused(kerasburst("sweep", "--resume", "--out", "s", "--num-steps", "5"), "train differs")
    monkeypatch.setattr(RUN_FLEET, fleet := PretendAll())
    assert kerasburst("sweep", "--resume", "--out", "s", "--seeds", "3").code == 0 and len(fleet.ran) == 2


def test_a_cluster_that_is_lost_is_one_line_and_no_defect(kerasburst, monkeypatch):
    def lose(tasks, **around):
        raise ClusterLost("its scheduler does not answer")

    monkeypatch.setattr(RUN_FLEET, lose)
    outcome = kerasburst("sweep", *SMALL, *LAMBDA, "--out", "s", "--quiet")
    assert (outcome.code, outcome.out) == (1, "")
    told = "the cluster was lost: its scheduler does not answer; what was done before stays done, --resume goes on"
    assert outcome.err.startswith(f"kerasburst: {told}") and len(outcome.err.splitlines()) == 1
    monkeypatch.setattr(RUN_FLEET, PretendAll())
    assert kerasburst("sweep", "--resume", "--out", "s").code == 0


def test_a_run_that_fails_is_told_after_the_rest(sweep, tmp_path):
    outcome = sweep(*LAMBDA, "--out", "s", fail="point-0000/seed-1")
    assert outcome.code == 1 and "point-0000/seed-1/train failed twice: killed by SIGKILL" in outcome.err
    assert "1 of 2 seeds" in outcome.out and (tmp_path / "s" / "sweep.json").exists()


REFUSED = {
    "no parameter": ([], ["--param", "at least once"]),
    "no values": (["--param", "encoder.burst_interval"], ["--param", "SCOPE.NAME=VALUES"]),
    "an unknown scope": (["--param", "encodr.burst_interval=2"], ["--param", "encoder, neuron, model, train"]),
    "a misspelt name": (["--param", "encoder.burst_intervall=2"], ["did you mean burst_interval?"]),
    "another encoder's": (["--param", "encoder.margin=2"], ["encoder.margin is unknown"]),
    "no name of the training": (["--param", "train.encoding=rate"], ["--param train", "num_steps"]),
    "downwards": (["--param", "encoder.burst_interval=4:1"], ["must run upwards"]),
    "no steps": (["--param", "neuron.beta=0.5:0.9"], ["must have steps in a grid", "--search random"]),
    "nothing valid": (["--param", "encoder.burst_interval=8:9"], ["leaves no configuration", "burst_interval"]),
    "unknown metric": ([*TAU, "--metric", "accuracy"], ["metric must be one of test_accuracy"]),
    "unknown data": ([*TAU, "--dataset", "digit"], ["did you mean digits?"]),
    "no seeds": ([*TAU, "--seeds", "0"], ["seeds", "received 0"]),
    "no samples": ([*TAU, "--samples", "0"], ["samples", "received 0"]),
    "odd shadows": ([*TAU, "--shadows", "3"], ["shadows must be even"]),
    "too many members": ([*TAU, "--metric", "audit_auc", "--members", "100"], ["no configuration", "members"]),
    "zero epochs": ([*TAU, "--epochs", "0"], ["epochs", "received 0"]),
    "two kinds of search": ([*TAU, "--search", "grid", "--search", "neuron.beta=0.5:0.9"], ["--search", "one kind"]),
    "an unknown search": ([*TAU, "--search", "best"], ["search must be one of grid, random, pareto"]),
    "log in a grid": (["--param", "encoder.mean_burst_size=1:6:log"], ["without log in a grid"]),
    "zero jobs": ([*TAU, "--jobs", "0"], ["jobs", "received 0"]),
    "resume without out": ([*TAU, "--resume"], ["--resume", "--out"]),
    "resume and force": ([*TAU, "--resume", "--force", "--out", "s"], ["exclude each other"]),
}


@pytest.mark.parametrize("arguments, parts", REFUSED.values(), ids=REFUSED)
def test_sweep_refuses(sweep, tmp_path, arguments, parts):
    assert_refused(sweep(*arguments, stop_after=0), *parts)
    assert os.listdir(tmp_path) == []


def test_a_search_without_its_package_is_one_line(sweep, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    outcome = sweep("--search", "encoder.burst_interval=1:3", "--trials", "3", stop_after=0)
    assert_refused(outcome, "--search pareto needs Optuna: pip install 'kerasburst[search]'")
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_killed_and_gone_on_with(tmp_path):
    code = "import sys; from kerasburst_cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "sweep", *SMALL, *LAMBDA, "--seeds", "1", "--jobs", "1", "--out", "s"]
    first = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL)
    done = tmp_path / "s" / "point-0000" / "seed-0" / "result.json"
    wait_for(lambda: first.poll() is not None or done.exists(), 120)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    time = done.stat().st_mtime_ns
    assert not (tmp_path / "s" / "sweep.json").exists()
    subprocess.run([*command, "--resume"], cwd=tmp_path, check=True, timeout=300)
    assert done.stat().st_mtime_ns == time
    points = json.loads((tmp_path / "s" / "sweep.json").read_text())["points"]
    assert points[0]["estimates"]["test_accuracy"]["mean"] == json.loads(done.read_text())["test_accuracy"]
    assert points[1]["estimates"]["test_accuracy"]["seeds"] == 1
