"""The commands under KERAS_BACKEND=jax and torch, in processes of their own, against TensorFlow; what is refused."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from kerasburst_cli.main import COMMANDS

from tests.cli.test_bad_input import assert_refused

BACKENDS = [name for name in ("jax", "torch") if importlib.util.find_spec(name) is not None]
SMALL = (
    "--dataset digits --train-limit 300 --epochs 1 --num-steps 4 --set model.filters=4,8 --set model.hidden_units=32"
)
TABLE = "--dataset iris --encoding rate --epochs 1 --num-steps 3 --set model.hidden_units=8"
ASKED = "--input x.npy --queries 3 --seed 4 --json"
CARRIED = "--source digits:0-4 --target digits:5-9 --source-epochs 1 --target-epochs 1 --num-steps 3"
CODE = """
import contextlib, io, json, sys
from kerasburst_cli.main import main

said = []
for line in sys.argv[1:]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(line.split())
        except SystemExit as end:
            said.append([end.code or 0, out.getvalue(), err.getvalue()])
print(json.dumps(said))
"""


def kb(backend, folder, *lines, code=0):
    """Run commands under a backend in one process; return the output of each, or the error of one that is to fail."""
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-c", CODE, *lines]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert [each[0] for each in said] == [code] * len(lines), said
    return [each[2] if code else each[1] for each in said]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_backend_is_one_line(kerasburst, monkeypatch, name):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    assert_refused(kerasburst(name), "KERAS_BACKEND", "tensorflow, jax, torch", "received 'theano'")


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_tensorflow_s_says_so(kerasburst, monkeypatch, tmp_path, backend):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    outcome = kerasburst("reproduce", "--out", "out")
    assert_refused(outcome, f"KERAS_BACKEND must be tensorflow or unset for this command, received {backend}")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module", params=BACKENDS)
def run(request, tmp_path_factory):
    """A training on real digits on one backend: the backend, and the folder that holds its `run` and some digits."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp(request.param)
    kb(request.param, folder, f"train {SMALL} --encoding poisson_burst --queries 2 --out run --quiet")
    np.save(folder / "x.npy", (load_digits().images[:5, ..., None] / 16).astype("float32"))
    return request.param, folder


@pytest.fixture(scope="module")
def answers(run):
    """What `evaluate` and `predict` say of the run, by backend: on its own and on TensorFlow."""
    backend, folder = run
    lines = "evaluate run --queries 2 --json", f"predict run {ASKED}"
    return {name: [json.loads(said) for said in kb(name, folder, *lines)] for name in (backend, "tensorflow")}


@pytest.mark.thorough
def test_evaluate_says_what_tensorflow_says(run, answers):
    backend, folder = run
    ours, theirs = (answers[name][0] for name in (backend, "tensorflow"))
    trained = json.loads((folder / "run" / "result.json").read_text())
    assert ours["accuracies"] == trained["test_accuracies"] and backend in trained["versions"]
    assert theirs["accuracies"] == pytest.approx(ours["accuracies"], abs=0.01)  # a tie may fall otherwise
    assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-3)


@pytest.mark.thorough
def test_predict_and_exports_agree(run, answers):
    """The run on its own backend and on TensorFlow, and its SavedModel, which is written under either."""
    backend, folder = run
    kb(backend, folder, "export run --out served")
    (served,) = kb(backend, folder, f"predict served {ASKED}")
    found = [answers[backend][1], answers["tensorflow"][1], json.loads(served)]
    for name in ("probabilities", "spreads", "logits"):
        values = [[each[name] for each in answer["predictions"]] for answer in found]
        for other in values[1:]:
            np.testing.assert_allclose(other, values[0], atol=1e-4, err_msg=name)
    assert np.std(values[0]) > 1e-3
    # From Python in such a process, where the command would see to it, it is one line.
    code = "from kerasburst.export.exporting import export_run; export_run('run', 'no')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert f"export must run with Keras on TensorFlow, which writes the files, received {backend}" in done.stderr
    assert not (folder / "no").exists()


@pytest.mark.thorough
def test_strategies_are_refused(run):
    backend, folder = run
    (error,) = kb(backend, folder, f"train {TABLE} --strategy mirrored --out no", code=2)
    assert len(error.splitlines()) == 1 and "strategy must be left out while Keras runs on" in error
    assert not (folder / "no").exists()


@pytest.mark.thorough
def test_profile(run):
    backend, folder = run
    mode = {"jax": "train", "torch": "infer"}[backend]
    kb(backend, folder, f"profile {TABLE} --mode {mode} --repeats 1 --out profile --quiet")
    found = json.loads((folder / "profile" / "profile.json").read_text())
    assert backend in found["versions"]
    (one,) = found["encodings"].values()
    assert one["wall_s"] > 0 and one["effective_acs_per_sample"] > 0


@pytest.mark.thorough
def test_bench_compares_with_tensorflow(run):
    backend, folder = run
    size = "--batch-size 2 --num-steps 2 --threads 1 --repeats 1"
    works = "--work fc_train --work encode_poisson_burst"
    both = f"--keras-backend tensorflow --keras-backend {backend}"
    kb(backend, folder, f"bench {works} {both} {size} --out bench --quiet")
    measured = json.loads((folder / "bench" / "bench.json").read_text())["measurements"]
    assert [m["label"] for m in measured] == ["kerasburst", f"kerasburst on {backend}"] * 2
    assert all(m["reason"] is None and m["step_ms_median"] > 0 for m in measured)
    assert all((backend in m["versions"]) == m["label"].endswith(backend) for m in measured)


@pytest.mark.slow
def test_studies(run):
    backend, folder = run
    kb(backend, folder, f"sweep {TABLE} --param encoder.gain=0.5,1.0 --seeds 1 --out sweep --quiet")
    assert len(json.loads((folder / "sweep" / "sweep.json").read_text())["points"]) == 2
    kb(backend, folder, f"transfer {CARRIED} --encoding rate --seeds 2 --out transfer --quiet")
    assert (folder / "transfer" / "transfer.json").exists()
    few = "--members 60 --population 30 --shadows 2 --queries 1 --queries 2"
    kb(backend, folder, f"attack --dataset digits --encoding rate {few} --num-steps 3 --out audit --quiet")
    assert backend in json.loads((folder / "audit" / "audit.json").read_text())["versions"]
