"""onnxruntime against Keras, given the same spikes."""

import os

import numpy as np
import pytest

from kerasburst.export import onnx
from kerasburst.validation import InputError

from .common import KINDS, RESETS, composed, logits_of_keras, make, spikes
from .test_composed import after_encoder, draw

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")


def run(folder, x):
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    return session.run(["logits", "trace"], {"spikes": x})


READOUTS = ["last", "mean", "count"]


@pytest.mark.sampled(9)
@pytest.mark.parametrize(  # every two of them together once
    ("kind", "reset", "readout"),
    [(kind, reset, READOUTS[2 * (i + j) % 3]) for i, kind in enumerate(KINDS) for j, reset in enumerate(RESETS)],
)
def test_parity(kind, reset, readout, tmp_path):
    network = make(kind, reset_mechanism=reset, readout=readout, beta=0.8, threshold=0.7)
    manifest = onnx(network, tmp_path / "onnx")
    for n in (1, 4):
        x = spikes(kind, n)
        logits, trace = run(tmp_path / "onnx", x)
        want, want_trace = logits_of_keras(network, x)
        np.testing.assert_allclose(logits, want, atol=1e-4)
        np.testing.assert_allclose(trace, want_trace, atol=1e-4)
    assert manifest["signatures"]["encoded"]["inputs"]["spikes"]["shape"] == [None, *x.shape[1:]]
    assert sorted(os.listdir(tmp_path / "onnx")) == ["manifest.json", "model.onnx"]


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["fc", "lif"])
def test_parameters_of_each_neuron_an_even_kernel_and_any_number_of_steps(kind, tmp_path):
    extra = {} if kind == "fc" else {"kernel_size": 2}
    trained = {"trainable_beta": True, "trainable_threshold": True, "per_neuron": True}
    network = make(kind, False, steps=None, **trained, **extra)
    onnx(network, tmp_path / "onnx")
    for steps in (3, 70):
        x = spikes(kind, steps=steps)
        np.testing.assert_allclose(run(tmp_path / "onnx", x)[0], logits_of_keras(network, x)[0], atol=1e-4)


@pytest.mark.thorough
def test_a_users_own_model(tmp_path):
    model = composed()
    onnx(model, tmp_path / "onnx")
    for n in (1, 4):
        x = draw((n, 8, 8, 8, 1))
        np.testing.assert_allclose(run(tmp_path / "onnx", x)[0], after_encoder(model)(x), atol=1e-4)


def test_refusals(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="must compute in float32 for onnx, received bfloat16"):
        onnx(make(dtype="mixed_bfloat16"), tmp_path / "onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError) as error:
        onnx(make(), tmp_path / "onnx")
    assert str(error.value) == "onnx is not installed: pip install 'kerasburst[onnx]'"
    assert os.listdir(tmp_path) == []
