"""Training shared between devices and between processes, each for real."""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from kerasburst.config import TrainConfig
from kerasburst.training.fit import train

# 108 examples in batches of 107: the last batch has one, so that a replica of two gets none of it.
OPTIONS = {
    "dataset": "iris",
    "encoding": "poisson_burst",
    "num_steps": 4,
    "batch_size": 107,
    "validation_split": 0.1,
    "queries": 1,
    "seed": 5,
    "network": {"hidden_units": 8},
}
EPOCHS = 16


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The first epochs of one process with the whole batch."""
    out = tmp_path_factory.mktemp("single") / "run"
    train(TrainConfig(**OPTIONS, epochs=3), out)
    return history(out)


def history(run):
    with open(run / "history.csv") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def assert_same_curve(one, other):
    for mine, its in zip(one[:3], other[:3], strict=True):
        for name in ("loss", "val_loss"):
            assert mine[name] == pytest.approx(its[name], rel=1e-4)
        for name in ("epoch", "accuracy", "val_accuracy"):
            assert mine[name] == pytest.approx(its[name], abs=1e-6)


MIRRORED = """
import sys, tensorflow as tf
cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from kerasburst.config import TrainConfig
from kerasburst.training.fit import train
options = eval(sys.argv[1])
assert train(TrainConfig(**options, epochs=3), "run", strategy="mirrored").replicas == 2
result = train(TrainConfig(**options, epochs=1, precision="mixed_float16"), "float16", strategy="mirrored")
assert result.loss < 5, result
"""


@pytest.mark.thorough
def test_two_devices_train_as_one(single, tmp_path):
    subprocess.run([sys.executable, "-c", MIRRORED, repr(OPTIONS)], cwd=tmp_path, check=True, timeout=300)
    assert_same_curve(history(tmp_path / "run"), single)


class Workers:
    """Two `kerasburst train --strategy multi_worker` on this machine."""

    def __init__(self, folder, *arguments, differing=()):
        with socket.socket() as one, socket.socket() as two:
            for each in (one, two):
                each.bind(("localhost", 0))
            self.addresses = [f"localhost:{each.getsockname()[1]}" for each in (one, two)]
        self.processes = [
            self._start(folder, rank, [*arguments, *(differing if rank else ())]) for rank in range(len(self.addresses))
        ]

    def _start(self, folder, rank, arguments):
        task = {"cluster": {"worker": self.addresses}, "task": {"type": "worker", "index": rank}}
        (folder / str(rank)).mkdir(exist_ok=True)
        code = "import sys; from kerasburst_cli.main import main; main(sys.argv[1:])"
        fixed = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items() if name != "network"]
        command = [sys.executable, "-c", code, "train", "--strategy=multi_worker", "--set=model.hidden_units=8"]
        return subprocess.Popen(
            [*command, *fixed, f"--epochs={EPOCHS}", "--out=run", *arguments],
            cwd=folder / str(rank),
            env={**os.environ, "TF_CONFIG": json.dumps(task)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self):
        """Wait for both: exit code, output and errors of each."""
        ended = [(process.communicate(timeout=300), process.returncode) for process in self.processes]
        return [(code, out, err) for (out, err), code in ended]


@pytest.mark.thorough
def test_two_processes_train_as_one_and_a_killed_worker_is_named_and_the_run_resumes(single, tmp_path):
    workers = Workers(tmp_path)
    run = tmp_path / "0" / "run"
    deadline = time.monotonic() + 300
    while not (run / "history.csv").exists() or len(history(run)) < 3:
        assert time.monotonic() < deadline and all(process.poll() is None for process in workers.processes)
        time.sleep(0.01)
    workers.processes[1].kill()
    (code, _, err), (killed, _, _) = workers.end()
    assert code == 1 and killed == -signal.SIGKILL
    assert (
        f"worker 1 ({workers.addresses[1]}) has gone in epoch" in err and "--resume" in err and "Traceback" not in err
    )
    before = history(run)
    assert_same_curve(before, single)
    assert not (run / "result.json").exists()

    ended = Workers(tmp_path, "--resume").end()
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert f"going on after epoch {len(before)} of {EPOCHS}" in ended[0][1]
    assert "worker 0 of 2" in ended[0][1] and "test accuracy" in ended[0][1]
    assert re.search(rf"epoch +{len(before) + 1}/{EPOCHS} ", ended[1][1]) and "the chief" in ended[1][1]
    assert os.listdir(tmp_path / "1") == []  # the chief alone writes
    after = history(run)
    assert after[: len(before)] == before and len(after) == EPOCHS
    result = json.loads((run / "result.json").read_text())
    assert result["loss"] < before[0]["loss"] and result["replicas"] == 2
    with np.load(run / "checkpoint.npz") as stored:
        assert int(stored["optimizer_0"]) == 2 * EPOCHS  # steps, none of them trained twice


@pytest.mark.thorough
def test_workers_with_different_options_refuse_each_other(tmp_path):
    ended = Workers(tmp_path, differing=["--learning-rate=0.01"]).end()
    for code, _, err in ended:
        assert code == 2 and "config must be the same on every worker, worker 1" in err, ended
    assert os.listdir(tmp_path / "0") == os.listdir(tmp_path / "1") == []
