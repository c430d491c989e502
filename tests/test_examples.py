"""Every example runs."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import kerasburst as kb

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def example(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.mark.thorough
def test_compose_layers(example):
    assert example("compose_layers").main(epochs=4) > 0.6


def test_izhikevich_patterns(example):
    spikes = example("izhikevich_patterns").main("picture.png")
    assert len(spikes) == 5 and spikes["fast spiking"] > spikes["regular spiking"] > 3
    assert Path("picture.png").stat().st_size > 10_000


@pytest.mark.thorough
def test_adex_patterns(example):
    times = example("adex_patterns").main("picture.png")
    gaps = {name: np.diff(found) for name, found in times.items()}
    assert len(times) == 5 and np.ptp(gaps["tonic spiking"][2:]) <= 1 and gaps["adaptation"][-1] > 40
    assert Path("picture.png").stat().st_size > 10_000


@pytest.mark.thorough
def test_three_backends(example):
    """What one backend has trained gives the same logits on the others that are installed."""
    ours = example("three_backends").main("digits.keras", epochs=4)
    assert ours["backend"] == keras.backend.backend() and ours["accuracy"] > 0.7
    for other in {"tensorflow", "jax", "torch"} - {ours["backend"]}:
        if importlib.util.find_spec(other) is None:
            continue
        environment = {**os.environ, "KERAS_BACKEND": other}
        command = [sys.executable, str(EXAMPLES / "three_backends.py"), "digits.keras"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        theirs = ast.literal_eval(done.stdout.splitlines()[-1])
        assert theirs["backend"] == other and theirs["accuracy"] == pytest.approx(ours["accuracy"], abs=0.01)
        np.testing.assert_allclose(theirs["logits"], ours["logits"], atol=2e-4)


@pytest.mark.thorough
def test_stream_events(example, tmp_path, capsys):
    """Step by step the network decides as on the steps so far at once."""
    network = kb.SNNConvNet(10, filters=(2, 4), hidden_units=8, seed=0, threshold=0.05)
    network.build((None, 10, 16, 16, 2))
    served = tmp_path / "served"
    kb.export.savedmodel(network, served)
    module = example("stream_events")
    found = module.main(str(served), recordings=2, real_time=False)
    assert 0 < found["latency_ms"] <= found["latency_p95_ms"] and found["accuracy"] in (0.0, 0.5, 1.0)
    assert "of 2 right; latency of a decision: median" in capsys.readouterr().out
    recording = module.simulated()[0][3]
    frames = kb.bin_events(recording, 10, (16, 16), step_us=module.STEP_US)
    trace = network.membrane_trace(np.maximum(frames, 0)[None])[0]
    probabilities, _ = module.stream(module.Decider(served), recording, real_time=False)
    np.testing.assert_allclose(probabilities, keras.ops.softmax(trace, axis=-1), atol=1e-5)


@pytest.mark.thorough
def test_train_from_python(example):
    accuracy = example("train_from_python").main(epochs=12, num_steps=4)
    assert list(accuracy) == ["rate", "poisson_burst", "delayed_burst"]
    assert accuracy["rate"] > 0.8


@pytest.mark.thorough
def test_audit_your_own_model(example):
    found = example("audit_your_own_model").main(shadows=2, epochs=10, queries=2)
    assert list(found) == ["lira", "lira, offline", "rmia"]
    assert all(len(of.member_scores) == len(of.non_member_scores) == 150 for of in found.values())
    assert all(0.3 < of.auc_interval()[0] < of.auc_interval()[1] < 0.8 for of in found.values())


@pytest.mark.thorough
def test_the_readme_from_a_model_of_your_own_to_a_served_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (EXAMPLES.parent / "README.md").read_text(), re.DOTALL)
    names = {}
    for block in blocks:
        exec(block, names)
    served, images = names["served"], names["tf"].random.uniform((2, 8, 8, 1))
    answer = served["seeded"](images=images, seed=names["tf"].constant(7, "int64"), queries=names["tf"].constant(2))
    assert answer["probabilities"].shape == (2, 10) and "step" in served


def test_every_example_is_tested():
    source = Path(__file__).read_text()
    assert all(f'example("{path.stem}")' in source for path in EXAMPLES.glob("*.py"))
