"""kerasburst profile."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import kerasburst as kb
from kerasburst import records
from kerasburst.profiling.config import ProfileConfig
from tests.cli.test_bad_input import assert_refused
from tests.profiling.pretend import RUN_FLEET, Pretend
from tests.study.conftest import alive, descendants, wait_for

SMALL = "--dataset iris --num-steps 3 --epochs 1 --set model.hidden_units=4".split()


@pytest.fixture
def profile(kerasburst, monkeypatch):
    """Run the command with a fleet that pretends, and without pictures unless they are asked for."""

    def run(*arguments, fleet=None, figures=False):
        if not figures:
            monkeypatch.setattr("kerasburst.reports.profile.write_report", lambda _: [])
        monkeypatch.setattr(RUN_FLEET, Pretend() if fleet is None else fleet)
        return kerasburst("profile", *arguments)

    return run


def test_table_and_files(profile, tmp_path):
    outcome = profile(*SMALL, "--out", "p", figures=True)
    assert outcome.code == 0 and outcome.err == "", outcome
    assert {path.name for path in (tmp_path / "p").iterdir()} >= {"profile.json", "profile.png", "config.json"}
    for name in ("rate", "rate_regular", "poisson_burst", "delayed_burst"):
        assert re.search(rf"^{name} +90\.0 +0\.500 \(0\.500 to 0\.500\) ", outcome.out, re.MULTILINE), outcome.out
    assert "ratio to rate\n" in outcome.out and "ratio to rate_regular\n" in outcome.out
    assert "GPU W" not in outcome.out and "unknown: gpu_energy_j, " in outcome.out and "no GPU here" in outcome.out
    assert "an estimate" in outcome.out and "Horowitz 2014" in outcome.out


GPU = {
    **{"gpu_power_w": 300.0, "gpu_energy_j": 600.0, "gpu_idle_power_w": 100.0, "gpu_energy_above_idle_j": 400.0},
    **{"gpu_peak_mb": 50.0, "gpu_utilisation_percent": 80.0},
}


@pytest.mark.thorough
def test_a_gpu_and_two_feeds(profile, tmp_path):
    """600 J in 4 passes of 100 examples are 1.5 J an example, 400 J are 1."""
    two = ("--encoding", "rate_regular", "--encoding", "poisson_burst", "--feed", "encoded", "--feed", "pipeline")
    trace = {"gpu": [[0.0, 300.0], [0.05, 300.0]]}
    fleet = Pretend(trace=trace, **GPU)
    outcome = profile(*SMALL, *two, "--window", "25", "--repeats", "1", "--out", "p", fleet=fleet, figures=True)
    assert outcome.code == 0, outcome
    config = records.load(ProfileConfig, tmp_path / "p" / "config.json")
    assert (config.window_s, config.feeds) == (25.0, ("encoded", "pipeline"))
    for name in ("rate_regular", "poisson_burst/encoded"):
        assert re.search(rf"^{name} +300.0 +100.0 +80 +200 +150.00 +1,500.000 +1,000.000", outcome.out, re.MULTILINE)
    for name, base in (("poisson_burst", "rate_regular"), ("poisson_burst/encoded", "rate_regular/encoded")):
        said = f"{name} against {base}: GPU power × 1.000, energy per example × 1.000, energy above idle per example × "
        assert f"{said}1.000; the claim of 10 to 15 % less GPU power: none is saved here" in outcome.out
    assert (tmp_path / "p" / "power.png").exists()


def test_json(profile, tmp_path):
    outcome = profile(*SMALL, "--encoding", "poisson_burst", "--repeats", "1", "--seed", "4", "--out", "p", "--json")
    assert outcome.code == 0
    result = json.loads(outcome.out)
    assert result.pop("out") == "p" and result == json.loads((tmp_path / "p" / "profile.json").read_text())
    one = result["encodings"]["poisson_burst"]
    for name in ("wall_s", "peak_rss_mb", "effective_acs_per_sample", "energy_estimate_j_per_sample"):
        assert one[name] > 0
    for name in ("gpu_power_w", "gpu_energy_j", "gpu_peak_mb"):
        assert one[name] is None and one["reasons"][name]
    assert result["seed"] == 4 and result["repeats"] == 1


def test_one_process_of_a_chosen_network_has_no_spread(profile, tmp_path):
    chosen = ("--model", "RecurrentSNN")
    outcome = profile(*SMALL, *chosen, "--encoding", "rate", "--repeats", "1", "--out", "p")
    assert records.load(ProfileConfig, tmp_path / "p" / "config.json").train.model == "RecurrentSNN"
    assert "1 process of each" in outcome.out and "quartiles" not in outcome.out, outcome.out
    assert "ratio to" not in outcome.out


def test_quiet_and_default_place(profile, tmp_path):
    outcome = profile(*SMALL, "--encoding", "rate", "--quiet")
    assert (outcome.code, outcome.err) == (0, "") and " done in " not in outcome.out and "wall s" in outcome.out
    assert (tmp_path / "runs" / "profile-iris" / "profile.json").exists()
    assert profile(*SMALL, "--encoding", "rate", "--quiet").code == 0
    assert (tmp_path / "runs" / "profile-iris-2" / "profile.json").exists()


def test_stopped_and_gone_on_with(profile, tmp_path):
    stopped = profile(*SMALL, "--repeats", "2", "--out", "p", fleet=Pretend(stop_after=6))
    assert stopped.code == 130
    assert "stopped; go on with: kerasburst profile --resume --out p" in stopped.err
    again = Pretend()
    assert profile("--resume", "--out", "p", fleet=again).code == 0
    assert len(again.did) == 12 - 6
    assert json.loads((tmp_path / "p" / "profile.json").read_text())["config"]["train"]["num_steps"] == 3
    assert_refused(profile(*SMALL, "--out", "p"), "--resume", "--force")
    assert_refused(profile("--resume", "--out", "p", "--repeats", "4"), "repeats differs")
    assert profile(*SMALL, "--encoding", "rate", "--out", "p", "--force").code == 0


REFUSED = {
    "unknown encoding": (["--encoding", "regular"], ["regular", "rate_regular"]),
    "unknown mode": (["--mode", "test"], ["test", "train", "infer"]),
    "no repeats": (["--repeats", "0"], ["repeats", "from 1", "received 0"]),
    "twice the same": (["--encoding", "rate", "--encoding", "rate"], ["encoding", "each once"]),
    "unknown data set": (["--dataset", "digit"], ["did you mean digits?"]),
    "zero epochs": (["--epochs", "0"], ["epochs", "received 0"]),
    "a negative window": (["--window", "-1"], ["--window must", "-1"]),
    "a window that is no number": (["--window", "long"], ["--window", "long"]),
    "unknown feed": (["--feed", "disk"], ["disk", "pipeline", "encoded"]),
    "the same feed twice": (["--feed", "encoded", "--feed", "encoded"], ["feed", "each once"]),
    "too large a train limit": (["--train-limit", "5000"], ["train_limit", "5000", "1438"]),
    "the mode by name": (["--set", "encoder.mode=regular"], ["encoder.mode", "rate_regular"]),
    "misspelt parameter": (["--set", "encoder.margn=2"], ["did you mean margin?"]),
    "a parameter out of range": (["--set", "encoder.margin=10"], ["margin", "below num_steps"]),
    "misspelt network parameter": (["--set", "model.hiden_units=3"], ["did you mean hidden_units?"]),
    "absent data folder": (["--data-dir", "nowhere"], ["data_dir", "nowhere"]),
    "absent npz": (["--dataset", "absent.npz"], ["absent.npz"]),
    "absent run": (["--run", "nowhere"], ["run", "nowhere"]),
    "a run and what it says": (["--run", "x", "--epochs", "2", "--encoding", "rate"], ["--encoding", "--epochs"]),
    "resume without out": (["--resume"], ["--resume", "--out"]),
    "resume and force": (["--resume", "--force", "--out", "x"], ["--resume", "--force"]),
}


@pytest.mark.parametrize("arguments, parts", REFUSED.values(), ids=REFUSED)
def test_refuses(profile, tmp_path, arguments, parts):
    out = () if "--out" in arguments or "--resume" in arguments else ("--out", "p")
    assert_refused(profile(*arguments, *out), *parts)
    assert not list(tmp_path.iterdir())


@pytest.mark.thorough
def test_a_run(profile, tmp_path):
    small = {"dataset": "iris", "num_steps": 3, "epochs": 1, "network": {"hidden_units": 4}, "queries": 1}
    kb.train(kb.TrainConfig(**small, encoder={"mode": "regular"}), tmp_path / "mine")
    outcome = profile("--run", "mine", "--mode", "infer", "--json")
    assert outcome.code == 0, outcome
    result = json.loads(outcome.out)
    assert list(result["encodings"]) == ["rate_regular"] and result["mode"] == "infer"
    assert result["out"] == "runs/profile-mine"
    assert profile("--resume", "--out", "runs/profile-mine").code == 0
    assert_refused(profile("--resume", "--out", "runs/profile-mine", "--seed", "3"), "--seed")
    assert_refused(profile("--resume", "--run", ".", "--out", "runs/profile-mine"), "--run must be the run")


@pytest.mark.slow
def test_in_processes_killed_and_gone_on_with(tmp_path):
    """For real: Ctrl-C in the measurements ends all processes, and what was measured is kept."""
    code = "import sys; from kerasburst_cli.main import main; main(sys.argv[1:])"
    arguments = [*SMALL, "--encoding", "rate", "--encoding", "delayed_burst", "--repeats", "2", "--out", "p"]
    first = tmp_path / "p" / "measurements" / "rate-0.json"

    def start(*words):
        return subprocess.Popen(
            [sys.executable, "-c", code, "profile", *words],
            cwd=tmp_path,
            env=os.environ | {"KERAS_HOME": str(tmp_path / "keras-home")},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's children ignore it
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    process = start(*arguments)
    wait_for(lambda: process.poll() is not None or first.exists(), 300)
    assert process.poll() is None, process.communicate()
    children = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130 and "go on with: kerasburst profile --resume --out p" in err, (out, err)
    assert "Traceback" not in err
    wait_for(lambda: not any(map(alive, children)), 30)
    kept = first.read_bytes(), first.stat().st_mtime_ns

    time.sleep(0.01)
    process = start("--resume", "--out", "p")
    out, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (0, ""), (out, err)
    assert (first.read_bytes(), first.stat().st_mtime_ns) == kept
    result = json.loads((tmp_path / "p" / "profile.json").read_text())
    for name in ("rate", "delayed_burst"):
        one = result["encodings"][name]
        assert len(one["values"]["wall_s"]) == 2 and 0 < one["wall_s"] < 60
        assert one["peak_rss_mb"] > one["peak_rss_increase_mb"] > 0
        assert one["effective_acs_per_sample"] > 0 and one["cost"]["layers"][0]["name"] == "hidden_dense"
    assert set(result["encodings"]["delayed_burst"]["ratios"]) == {"rate"}
    assert not list((tmp_path / "p").rglob(".writing-*"))
