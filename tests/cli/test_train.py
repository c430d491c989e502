"""kerasburst train as a user meets it."""

import csv
import errno
import functools
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from kerasburst import files
from kerasburst.training.evaluation import load_network
from kerasburst.training.run_directory import RunDirectory
from tests.cli.conftest import SMALL, TINY

pytestmark = pytest.mark.usefixtures("eagerly")

FILES = {
    "checkpoint.npz",
    "config.json",
    "curves.png",
    "data.json",
    "history.csv",
    "model.keras",
    "result.json",
    "splits.npz",
}


def history(run):
    with open(run / "history.csv") as file:
        return list(csv.DictReader(file))


def weights(run):
    with np.load(run / "checkpoint.npz") as stored:
        return {name: stored[name] for name in stored if name != "history"}


def assert_same_weights(a, b):
    a, b = weights(a), weights(b)
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_run_directory(kerasburst, tmp_path):
    outcome = kerasburst("train", *TINY, "--encoding", "poisson_burst", "--seed", "3", "--out", "deep/run")
    run = tmp_path / "deep" / "run"
    assert outcome.code == 0, outcome
    assert set(os.listdir(run)) == FILES
    assert "epoch 2/2" in outcome.out and "test accuracy" in outcome.out and "deep/run" in outcome.out

    result = json.loads((run / "result.json").read_text())
    assert result["epochs"] == 2 and result["seed"] == 3 and result["test_queries"] == 2
    assert result["test_accuracy"] == pytest.approx(np.mean(result["test_accuracies"]))
    low, high = result["test_accuracy_interval"]
    assert 0 <= low <= result["test_accuracy"] <= high <= 1
    assert result["examples"] == {"train": 120, "validation": 0, "test": 30}
    assert list(result["firing_rates"]) == ["input", "hidden_lif", "output_lif"]
    assert result["versions"]["keras"] == keras.__version__
    assert result["samples_per_second"] > 0 and result["train_seconds"] > 0
    assert 0 <= result["train_accuracy"] <= 1 and result["loss"] > 0

    config = json.loads((run / "config.json").read_text())
    assert config["encoder"]["burst_interval"] == 2 and config["neuron"]["beta"] == 0.95
    assert {"readout": "last", "hidden_units": 8, "neuron": "lif"}.items() <= config["network"].items()
    assert [row["epoch"] for row in history(run)] == ["1", "2"]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")

    network = keras.saving.load_model(run / "model.keras")
    assert network.predict(np.full((3, 4), 0.5, "float32"), verbose=0).shape == (3, 3)


def test_config_redoes_the_run_bit_for_bit_and_json_goes_to_stdout_and_progress_to_stderr(kerasburst, run, tmp_path):
    outcome = kerasburst("train", "--config", "run/config.json", "--out", "again", "--json")
    assert json.loads(outcome.out)["epochs"] == 2
    assert "epoch 2/2" in outcome.err
    assert_same_weights(run, tmp_path / "again")
    a, b = (json.loads((each / "result.json").read_text()) for each in (run, tmp_path / "again"))
    assert a["test_accuracies"] == b["test_accuracies"] and a["loss"] == b["loss"]


@pytest.mark.thorough
def test_default_directory_is_numbered(kerasburst, tmp_path):
    for _ in range(2):
        assert kerasburst("train", *TINY, "--epochs", "1").code == 0
    assert sorted(os.listdir(tmp_path / "runs")) == ["iris-rate", "iris-rate-2"]


def test_a_run_is_never_overwritten_without_force_and_quiet_keeps_the_result(kerasburst, run, tmp_path):
    before = {name: (run / name).read_bytes() for name in FILES}
    outcome = kerasburst("train", *TINY, "--seed", "5", "--out", "run")
    assert outcome.code == 2 and "--force" in outcome.err and "--resume" in outcome.err
    assert before == {name: (tmp_path / "run" / name).read_bytes() for name in FILES}
    (tmp_path / "run" / "notes.txt").write_text("mine")
    again = ("--config", "run/config.json", "--seed", "5", "--out", "run", "--force", "--quiet")
    outcome = kerasburst("train", *again)
    assert outcome.code == 0 and outcome.out.startswith("test accuracy") and "epoch 1" not in outcome.out
    now, then = json.loads((run / "result.json").read_text()), json.loads(before["result.json"])
    assert (now["seed"], then["seed"]) == (5, 0) and now["loss"] != then["loss"]
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_resume_trains_on_to_the_same_weights(kerasburst, run, tmp_path):
    arguments = (*SMALL, "--encoding", "poisson_burst")
    assert kerasburst("train", *arguments, "--epochs", "4", "--out", "whole", "--resume").code == 0
    first = history(run)
    outcome = kerasburst("train", "--resume", "--epochs", "4", "--out", "run")
    assert outcome.code == 0 and "going on after epoch 2 of 4" in outcome.out
    assert history(run)[:2] == first and len(history(run)) == 4
    assert_same_weights(tmp_path / "whole", run)
    again = kerasburst("train", "--resume", "--out", "run")
    assert again.code == 0 and "is finished" in again.out
    assert json.loads((run / "config.json").read_text())["epochs"] == 4


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["--seed", "4"], ["seed", "0", "4"]),
        (["--encoding", "delayed_burst"], ["encoding", "poisson_burst", "delayed_burst"]),
        (["--set", "neuron.beta=0.5"], ["neuron", "0.5", "0.95"]),
        (["--epochs", "1"], ["epochs", "at least 2", "1"]),
    ],
)
def test_resume_refuses_another_run(kerasburst, run, arguments, parts):
    outcome = kerasburst("train", "--resume", "--out", "run", *arguments)
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert all(part in outcome.err for part in parts), outcome.err


@pytest.mark.thorough
def test_resume_refuses_changed_data(kerasburst, images):
    arguments = ("--dataset", images(), "--num-steps", "2", "--epochs", "1", "--set", "model.hidden_units=4")
    assert kerasburst("train", *arguments, "--out", "run").code == 0
    images(x=np.full((40, 6, 6), 7, "uint8"))
    outcome = kerasburst("train", "--resume", "--epochs", "2", "--out", "run")
    assert outcome.code == 2 and "changed" in outcome.err
    assert "changed" in kerasburst("evaluate", "run").err


def test_damaged_checkpoint(kerasburst, run):
    (run / "checkpoint.npz").write_bytes(b"PK\x03\x04 cut short")
    outcome = kerasburst("train", "--resume", "--epochs", "4", "--out", "run")
    assert outcome.code == 2 and "checkpoint.npz" in outcome.err and "--force" in outcome.err


@pytest.mark.compiled
@pytest.mark.thorough
def test_own_images(kerasburst, images, tmp_path):
    arguments = (
        "--epochs",
        "25",
        "--num-steps",
        "4",
        "--batch-size",
        "8",
        "--set",
        "model.filters=4,8",
        "--set",
        "model.hidden_units=16",
    )
    outcome = kerasburst("train", "--dataset", images(), *arguments, "--out", "run", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["test_accuracy"] > 0.9
    assert json.loads((tmp_path / "run" / "config.json").read_text())["model"] == "SNNConvNet"


@pytest.mark.thorough
def test_early_stopping_and_best_weights(kerasburst, tmp_path):
    arguments = [
        "--dataset",
        "wine",
        "--num-steps",
        "3",
        "--learning-rate",
        "0.3",
        "--validation-split",
        "0.25",
        "--early-stopping",
        "3",
    ]
    outcome = kerasburst("train", *arguments, "--keep-best", "--epochs", "60", "--out", "run")
    assert outcome.code == 0
    losses = [float(row["val_loss"]) for row in history(tmp_path / "run")]
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["stopped_early"] and len(losses) < 60
    assert result["best_epoch"] == int(np.argmin(losses)) + 1 == len(losses) - 3
    stored = weights(tmp_path / "run")
    network = keras.saving.load_model(tmp_path / "run" / "model.keras")
    for i, weight in enumerate(network.get_weights()):
        assert np.array_equal(weight, stored[f"best_{i}"])
    assert not np.array_equal(stored["best_0"], stored["weight_0"])
    assert "is finished" in kerasburst("train", "--resume", "--out", "run").out


@pytest.mark.thorough
def test_silent_and_saturated_layers_are_named(kerasburst):
    silent = kerasburst("train", *TINY, "--set", "neuron.threshold=1000", "--out", "silent")
    assert "layer hidden_lif is silent" in silent.err
    everything = ("--set", "encoder.gain=0", "--set", "neuron.threshold=0.000001")
    blind = kerasburst("train", *TINY, *everything, "--out", "blind", "--json")
    assert "layer input is silent" in json.loads(blind.out)["warnings"][0]


def test_a_loss_that_is_no_number_fails_with_one_line(kerasburst, tmp_path):
    outcome = kerasburst("train", *TINY, "--learning-rate", "1e38", "--epochs", "5", "--out", "run")
    assert outcome.code == 1 and "Traceback" not in outcome.err
    assert "loss" in outcome.err and "--learning-rate" in outcome.err


@pytest.mark.thorough
def test_a_full_disk_leaves_the_last_epoch(kerasburst, tmp_path, monkeypatch):
    savez, calls = np.savez, []

    def full(path, **arrays):
        if "history" not in arrays:
            return savez(path, **arrays)
        calls.append(path)
        if len(calls) == 3:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return savez(path, **arrays)

    arguments = (*SMALL, "--epochs", "4")
    monkeypatch.setattr("numpy.savez", full)
    outcome = kerasburst("train", *arguments, "--out", "run")
    assert outcome.code == 1 and "No space left on device" in outcome.err and "Traceback" not in outcome.err
    run = tmp_path / "run"
    assert set(os.listdir(run)) == {"checkpoint.npz", "config.json", "data.json", "history.csv", "splits.npz"}
    assert len(history(run)) == 2
    monkeypatch.setattr("numpy.savez", savez)
    outcome = kerasburst("train", "--resume", "--out", "run")
    assert outcome.code == 0 and "going on after epoch 2 of 4" in outcome.out
    assert kerasburst("train", *arguments, "--out", "undisturbed").code == 0
    assert_same_weights(run, tmp_path / "undisturbed")


def test_a_full_disk_at_the_start(kerasburst, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "write_json", full)
    outcome = kerasburst("train", *TINY, "--out", "deep/run")
    assert outcome.code == 1 and "No space left on device" in outcome.err
    assert os.listdir(tmp_path) == []


def test_tensorboard(kerasburst, tmp_path, monkeypatch):
    with monkeypatch.context() as absent:
        found = importlib.util.find_spec
        absent.setattr("importlib.util.find_spec", lambda name: None if name == "tensorboard" else found(name))
        outcome = kerasburst("train", *TINY, "--tensorboard", "--out", "run")
    assert outcome.code == 2 and "pip install 'kerasburst[tensorboard]'" in outcome.err
    assert os.listdir(tmp_path) == []
    pytest.importorskip("tensorboard")
    assert kerasburst("train", *TINY, "--tensorboard", "--out", "run").code == 0
    assert list((tmp_path / "run" / "tensorboard").rglob("events*"))


# In processes of their own --------------------------------------------------------------------

LONG = (*SMALL, "--encoding", "poisson_burst", "--epochs", "200")


def start(*arguments, cwd):
    code = "import sys; from kerasburst_cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "train", *LONG, *arguments]
    # A shell's background job ignores Ctrl-C and hands that down; what is tested here must not.
    listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, preexec_fn=listen, **pipes)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start("--out", "run", cwd=folder)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert not err.strip(), err
    return folder / "run"


def wait_for_epochs(run, number, process):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if (run / "history.csv").exists() and len(history(run)) >= number:
            return
        time.sleep(0.01)
    if process.poll() is None:
        raise AssertionError(f"no epoch {number} within two minutes")


def check_kills(tmp_path, undisturbed, kills, rng):
    run = tmp_path / "run"
    for kill in range(kills):
        if (run / "result.json").exists():
            break  # a slow start of this test's own: the run was through before the kill
        finished = history(run) if (run / "history.csv").exists() else []
        saved = RunDirectory(run).finished_epochs()
        process = start("--out", "run", "--resume", cwd=tmp_path)
        wait_for_epochs(run, saved + 1, process)
        time.sleep(rng.uniform(0, 1 / kills))
        process.kill()
        out, _ = process.communicate()
        if finished:
            # A kill between the checkpoint and its line of history leaves one epoch more than there are lines.
            assert f"going on after epoch {saved} of 200" in out and saved - len(finished) in (0, 1), out
            assert history(run)[: len(finished)] == finished, f"kill {kill} retrained a finished epoch"
        assert not (run / "result.json").exists() or len(history(run)) == 200
    process = start("--out", "run", "--resume", cwd=tmp_path)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert_same_weights(run, undisturbed)
    drop = ("test_accuracy", "test_loss", "loss", "train_accuracy", "firing_rates", "test_accuracies")
    a, b = (json.loads((r / "result.json").read_text()) for r in (run, undisturbed))
    assert {name: a[name] for name in drop} == {name: b[name] for name in drop}
    assert set(os.listdir(run)) == FILES


@pytest.mark.thorough
def test_kill_and_resume_twice(tmp_path, undisturbed):
    check_kills(tmp_path, undisturbed, 2, np.random.default_rng(7))


@pytest.mark.slow
def test_kill_and_resume_ten_times(tmp_path, undisturbed):
    check_kills(tmp_path, undisturbed, 10, np.random.default_rng(8))


@pytest.mark.thorough
def test_interrupt_says_how_to_go_on(kerasburst, tmp_path):
    process = start("--epochs", "20000", "--out", "run", cwd=tmp_path)
    wait_for_epochs(tmp_path / "run", 2, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "kerasburst train --resume --out run" in err
    epochs = len(history(tmp_path / "run"))
    outcome = kerasburst("train", "--epochs", epochs + 1, "--resume", "--out", "run")
    assert outcome.code == 0 and "going on after epoch" in outcome.out, outcome.err


def test_help_is_light():
    code = "import sys; from kerasburst_cli.main import cli; import kerasburst_cli.main as m\n"
    code += "try: m.main(['--help'])\nexcept SystemExit: pass\n"
    code += "print(sorted(n for n in ('tensorflow', 'keras', 'numpy', 'sklearn', 'rich') if n in sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "train" in out and "datasets" in out
    assert out.splitlines()[-1] == "[]"


@pytest.mark.thorough
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_precision_is_kept_and_resumed(kerasburst, tmp_path, precision):
    for out, epochs in (("whole", 2), ("parts", 1)):
        assert kerasburst("train", *SMALL, "--precision", precision, "--epochs", epochs, "--out", out).code == 0
    assert kerasburst("train", "--resume", "--out", "parts", "--epochs", "2").code == 0
    one, other = (load_network(tmp_path / out) for out in ("whole", "parts"))
    assert one.dtype_policy.name == precision and {v.dtype for v in one.weights} <= {"float32", "uint32"}
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert json.loads((tmp_path / "parts" / "config.json").read_text())["precision"] == precision
    assert one.membrane_trace(np.full((2, 4), 0.5, "float32")).dtype == np.float32


def test_an_unknown_precision(kerasburst):
    outcome = kerasburst("train", *SMALL, "--precision", "bfloat16")
    assert outcome.code == 2 and "mixed_bfloat16" in outcome.err


@pytest.mark.parametrize("option", ["--delta", "--clip"])
def test_options_of_private_training_need_epsilon(option, kerasburst, tmp_path):
    out = kerasburst("train", "--dataset", "iris", f"{option}=0.001", "--out", tmp_path / "new")
    assert out.code == 2 and f"{option} needs --epsilon" in out.err and not (tmp_path / "new").exists()
