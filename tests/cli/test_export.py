"""kerasburst export and predict."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import kerasburst as kb
from tests.cli.conftest import TINY, write_images
from tests.cli.test_bad_input import assert_refused
from tests.eager import eagerly


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train on 6x6 images of bytes for an epoch."""
    folder = tmp_path_factory.mktemp("images")
    options = {"epochs": 1, "num_steps": 3, "queries": 1, "model": "SNNFCNet", "network": {"hidden_units": 4}}
    with eagerly():
        kb.train(kb.TrainConfig(dataset=str(write_images(folder / "mine.npz")), **options), folder / "run")
    return folder / "run"


@pytest.fixture
def run(trained, images, tmp_path):
    images()
    shutil.copytree(trained, tmp_path / "run")
    return "run"


@pytest.mark.thorough
def test_from_a_run_to_predictions(kerasburst, run, tmp_path):
    for module in ("onnxruntime", "ai_edge_litert", "nir"):
        pytest.importorskip(module)
    x = np.load(tmp_path / "mine.npz")["x"][:3]
    np.save(tmp_path / "x.npy", x)
    asked = ("--input", "x.npy", "--queries", "4", "--seed", "7", "--json")
    want = json.loads(kerasburst("predict", run, *asked).out)
    assert want["queries"] == 4 and want["seed"] == 7 and len(want["predictions"]) == 3
    for format in ("savedmodel", "onnx", "litert", "nir"):
        shown = kerasburst("export", run, "--format", format, "--out", f"served/{format}")
        assert shown.code == 0, shown
        assert f"written to served/{format}" in shown.out
        assert json.loads((tmp_path / "served" / format / "manifest.json").read_text())["kind"] == format
        got = json.loads(kerasburst("predict", f"served/{format}", *asked).out)
        for a, b in zip(got["predictions"], want["predictions"], strict=True):
            assert a["class"] == b["class"] and a["logits"] == pytest.approx(b["logits"], abs=1e-4)
    command = (sys.executable, "-c", "from kerasburst_cli.main import main; main()", "predict", "served/onnx", *asked)
    alone = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)  # where nothing else is loaded
    assert json.loads(alone.stdout)["predictions"] == json.loads(kerasburst("predict", *command[4:]).out)["predictions"]
    np.save(tmp_path / "x.npy", x.astype("float32") / 255)  # bytes, or what they are scaled to
    assert json.loads(kerasburst("predict", run, *asked).out)["predictions"][0]["logits"] == pytest.approx(
        want["predictions"][0]["logits"], abs=1e-5
    )


@pytest.mark.thorough
def test_text_and_a_file_of_the_result(kerasburst, run, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 6, 6), "uint8"))
    outcome = kerasburst("predict", run, "--input", "x.npy", "--seed", "3", "--out", "answer.json")
    assert outcome.code == 0 and "spread over K = 16, seed 3" in outcome.out and len(outcome.out.splitlines()) == 3
    assert len(json.loads((tmp_path / "answer.json").read_text())["predictions"]) == 2
    shown = json.loads(kerasburst("export", run, "--out", "models/digits/1", "--json").out)
    assert shown["preprocessing"]["scaling"]["high"] == [255.0] and shown["labels"] == ["0", "1"]
    assert shown["out"] == "models/digits/1" and "step" in shown["signatures"]
    assert (tmp_path / "models" / "digits" / "1" / "saved_model.pb").exists()  # in a folder that was not there


@pytest.mark.thorough
@pytest.mark.usefixtures("eagerly")
def test_a_table(kerasburst, tmp_path):
    assert kerasburst("train", *TINY, "--out", "iris").code == 0
    np.save(tmp_path / "x.npy", [[5.1, 3.5, 1.4, 0.2]])
    shown = kerasburst("predict", "iris", "--input", "x.npy", "--seed", "0")
    assert shown.code == 0 and any(name in shown.out for name in ("setosa", "versicolor", "virginica"))


def test_refusals(kerasburst, run, tmp_path):
    before = sorted(os.listdir(tmp_path))
    np.save(tmp_path / "x.npy", np.zeros((2, 6, 5)))
    assert_refused(kerasburst("export", "absent", "--out", "served"), "absent", "config.json")
    assert_refused(kerasburst("export", run, "--out", "served", "--format", "onxx"), "onxx", "savedmodel")
    assert_refused(kerasburst("export", run), "--out")
    assert_refused(kerasburst("export", run, "--out", "mine.npz"), "out", "is a file")
    assert_refused(kerasburst("export", run, "--out", run), "holds other files")
    assert_refused(kerasburst("predict", run, "--input", "x.npy"), "(n, 6, 6, 1)", "(2, 6, 5)")
    assert_refused(kerasburst("predict", run, "--input", "absent.npy"), "absent.npy", "does not exist")
    assert_refused(kerasburst("predict", run, "--input", "x.npy", "--queries", "0"), "queries", "received 0")
    assert_refused(kerasburst("predict", run, "--input", "x.npy", "--seed", "-1"), "seed", "received -1")
    assert_refused(kerasburst("predict", run, "--input", "x.npy", "--out", "no/where.json"), "--out", "where.json")
    assert_refused(kerasburst("predict", "mine.npz", "--input", "x.npy"), "model", "mine.npz")
    os.unlink(tmp_path / "x.npy")
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.thorough
def test_an_export_is_replaced_by_force_alone(kerasburst, run, tmp_path):
    assert kerasburst("export", run, "--out", "served").code == 0
    assert_refused(kerasburst("export", run, "--out", "served"), "holds an export", "--force")
    outcome = kerasburst("export", run, "--out", "served", "--format", "litert", "--force")
    assert outcome.code == 0
    assert sorted(os.listdir(tmp_path / "served")) == ["manifest.json", "model.tflite"]


@pytest.mark.thorough
@pytest.mark.usefixtures("eagerly")
def test_a_run_with_relu_has_no_nir(kerasburst, images, tmp_path):
    small = ("--epochs", "1", "--num-steps", "2", "--set", "model.filters=2,2", "--set", "model.hidden_units=4")
    assert kerasburst("train", "--dataset", images(), *small, "--out", "run").code == 0
    pytest.importorskip("nir")
    assert_refused(kerasburst("export", "run", "--format", "nir", "--out", "new/nir"), "ReLU", "conv_activation=lif")
    assert not (tmp_path / "new").exists()
