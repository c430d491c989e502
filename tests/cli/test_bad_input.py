"""Bad input: one clear line, exit code 2, no traceback, no directory left behind."""

import json
import os

import numpy as np
import pytest

from tests.cli.conftest import TINY

PB, DB = ("--encoding", "poisson_burst"), ("--encoding", "delayed_burst")


def assert_refused(outcome, *parts):
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert outcome.err.startswith("kerasburst: ") and outcome.err.count("\n") == 1, outcome.err
    for part in parts:
        assert part in outcome.err, outcome.err


REFUSED = {
    "unknown encoding": (["--encoding", "burst"], ["burst", "rate", "delayed_burst", "KERASBURST_PLUGINS=MODULE"]),
    "unknown data set": (["--dataset", "digit"], ["dataset", "'digit'", "did you mean digits?"]),
    "unknown model": (["--model", "CNN"], ["CNN", "SNNConvNet", "SNNFCNet"]),
    "unknown option": (["--epoch", "3"], ["--epoch"]),
    "number expected": (["--epochs", "many"], ["--epochs", "many"]),
    "zero steps": (["--num-steps", "0"], ["num_steps", "1", "received 0"]),
    "negative steps": (["--num-steps", "-3"], ["num_steps", "1", "received -3"]),
    "zero epochs": (["--epochs", "0"], ["epochs", "from 1", "received 0"]),
    "zero batch": (["--batch-size", "0"], ["batch_size", "from 1", "received 0"]),
    "zero learning rate": (["--learning-rate", "0"], ["learning_rate", "above 0", "received 0.0"]),
    "learning rate not a number": (["--learning-rate", "nan"], ["learning_rate", "finite", "received nan"]),
    "negative seed": (["--seed", "-1"], ["seed", "received -1"]),
    "zero queries": (["--queries", "0"], ["queries", "from 1", "received 0"]),
    "zero train limit": (["--train-limit", "0"], ["train_limit", "from 1", "received 0"]),
    "too large a train limit": (["--train-limit", "5000"], ["train_limit", "5000", "1438"]),
    "train limit below the classes": (["--train-limit", "7"], ["train_limit", "10", "7"]),
    "validation of everything": (["--validation-split", "1"], ["validation_split", "below 1", "received 1.0"]),
    "early stopping blind": (["--early-stopping", "3"], ["early_stopping", "validation_split"]),
    "keep best blind": (["--keep-best"], ["keep_best", "validation_split"]),
    "assignment without a value": (["--set", "encoder.gain"], ["--set", "SCOPE.NAME=VALUE", "encoder.gain"]),
    "assignment without a scope": (["--set", "gain=2"], ["--set", "SCOPE.NAME=VALUE", "gain=2"]),
    "unknown scope": (["--set", "encodr.gain=2"], ["encoder", "model", "neuron", "did you mean encoder?"]),
    "misspelt encoder parameter": ([*PB, "--set", "encoder.burst_intervall=2"], ["did you mean burst_interval?"]),
    "misspelt neuron parameter": (["--set", "neuron.treshold=2"], ["neuron.treshold", "did you mean threshold?"]),
    "misspelt model parameter": (["--set", "model.hiden_units=2"], ["did you mean hidden_units?"]),
    "another encoder's parameter": (["--set", "encoder.margin=2"], ["encoder.margin", "mode, gain"]),
    "negative gain": (["--set", "encoder.gain=-1"], ["gain", "at least 0", "received -1"]),
    "unknown mode": (["--set", "encoder.mode=random"], ["mode", "bernoulli, regular", "'random'"]),
    "tau above T": ([*PB, "--set", "encoder.burst_interval=11"], ["burst_interval", "num_steps = 10", "received 11"]),
    "fractional tau": ([*PB, "--set", "encoder.burst_interval=2.5"], ["burst_interval", "integer", "received 2.5"]),
    "zero lambda": ([*PB, "--set", "encoder.mean_burst_size=0"], ["mean_burst_size", "above 0", "received 0"]),
    "unknown overflow": ([*PB, "--set", "encoder.overflow=clip"], ["overflow", "truncate, spill", "'clip'"]),
    "unknown intensity map": ([*PB, "--set", "encoder.intensity_map=cubic"], ["intensity_map", "linear", "power"]),
    "margin at T": ([*DB, "--set", "encoder.margin=10"], ["margin", "below num_steps = 10", "received 10"]),
    "silence above 1": ([*DB, "--set", "encoder.silence=1.5"], ["silence", "0 to 1", "received 1.5"]),
    "negative lambda": ([*DB, "--set", "encoder.mean_burst_size=-2"], ["mean_burst_size", "above 0", "-2"]),
    "beta above 1": (["--set", "neuron.beta=1.5"], ["beta", "0 to 1", "received 1.5"]),
    "zero threshold": (["--set", "neuron.threshold=0"], ["threshold", "above 0", "received 0"]),
    "unknown reset": (["--set", "neuron.reset_mechanism=substract"], ["reset_mechanism", "did you mean subtract?"]),
    "unknown surrogate": (["--set", "neuron.surrogate=tanh"], ["surrogate", "fast_sigmoid", "'tanh'"]),
    "bad surrogate slope": (["--set", "neuron.surrogate=fast_sigmoid(slope=-1)"], ["slope", "above 0", "-1"]),
    "unknown surrogate parameter": (["--set", "neuron.surrogate=atan(slope=2)"], ["atan", "slope"]),
    "per neuron without training": (["--set", "neuron.per_neuron=true"], ["per_neuron", "trainable_beta"]),
    "unknown readout": (["--set", "model.readout=max"], ["readout", "last, mean, count", "'max'"]),
    "unknown convolution activation": (["--set", "model.conv_activation=elu"], ["conv_activation", "relu, lif"]),
    "one filter": (["--set", "model.filters=8"], ["filters", "pair", "received 8"]),
    "network for images on a table": (["--dataset", "iris", "--model", "SNNConvNet"], ["height", "width"]),
    "absent data folder": (["--data-dir", "nowhere"], ["data_dir", "nowhere"]),
    "absent npz": (["--dataset", "absent.npz"], ["absent.npz"]),
    "absent config": (["--config", "absent.json"], ["absent.json"]),
    "resume without out": (["--resume"], ["--resume", "--out"]),
    "resume and force": (["--resume", "--force", "--out", "x"], ["--resume", "--force"]),
}


@pytest.mark.parametrize("arguments, parts", REFUSED.values(), ids=REFUSED)
def test_train_refuses(kerasburst, tmp_path, arguments, parts):
    before = sorted(os.listdir(tmp_path))
    out = () if "--out" in arguments or "--resume" in arguments else ("--out", "run")
    assert_refused(kerasburst("train", *arguments, *out), *parts)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("profile --window -1", "--window must be a finite number from 0 to 86400"),
        ("train --clip=0 --epsilon 1", "--clip must be a finite number above 0"),
        ("transfer --source spam", "source must be one of"),
        ("transfer --target spam", "target must be one of"),
        ("transfer --target-epochs 0", "target_epochs must be an integer from 1"),
    ],
)
def test_an_error_names_the_option_where_the_field_is_called_otherwise(kerasburst, arguments, message):
    assert_refused(kerasburst(*arguments.split(), "--out", "x"), f"kerasburst: {message}")


def _with(x=None, y=None):
    return {name: value for name, value in (("x", x), ("y", y)) if value is not None}


_X, _Y = np.zeros((8, 6, 6), "float32"), np.arange(8) % 2
BAD_ARRAYS = {
    "above 1": (_with(_X + 1.5, _Y), ["0", "1", "1.5"]),
    "below 0": (_with(_X - 0.5, _Y), ["-0.5"]),
    "NaN": (_with(_X * np.nan, _Y), ["finite"]),
    "empty": (_with(_X[:0], _Y[:0]), ["x"]),
    "lengths differ": (_with(_X, _Y[:5]), ["8", "5"]),
    "one class": (_with(_X, _Y * 0), ["class"]),
    "negative labels": (_with(_X, _Y - 1), ["-1"]),
    "labels with a gap": (_with(_X, _Y * 2), ["1"]),
    "fractional labels": (_with(_X, _Y + 0.5), ["integer"]),
    "one-hot labels": (_with(_X, np.eye(2)[_Y]), ["y", "(8, 2)"]),
    "objects": (_with(np.array([{}] * 8, dtype=object), _Y), ["object"]),
    "text": (_with(np.array(["a"] * 8), _Y), ["x"]),
    "too many axes": (_with(np.zeros((8, 2, 2, 2, 2)), _Y), ["(8, 2, 2, 2, 2)"]),
    "too small": (_with(_X[:, :3, :3], _Y), ["4x4"]),
}


@pytest.mark.parametrize("arrays, parts", BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_bad_npz(kerasburst, images, tmp_path, arrays, parts):
    path = images(**arrays)
    assert_refused(kerasburst("train", "--dataset", path, "--out", "run"), *parts)
    assert os.listdir(tmp_path) == [path.name]


def test_npz_without_the_arrays(kerasburst, tmp_path):
    np.savez(tmp_path / "other.npz", pictures=_X, labels=_Y)
    assert_refused(kerasburst("train", "--dataset", "other.npz"), "other.npz", "pictures")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_corrupt_npz(kerasburst, tmp_path, content):
    (tmp_path / "corrupt.npz").write_bytes(content)
    assert_refused(kerasburst("train", "--dataset", "corrupt.npz"), "corrupt.npz")
    assert os.listdir(tmp_path) == ["corrupt.npz"]


def test_absent_data_set_says_what_to_put_where(kerasburst, tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("keras.datasets.mnist.load_data", offline)
    (tmp_path / "data").mkdir()
    outcome = kerasburst("train", "--dataset", "mnist", "--data-dir", "data")
    assert_refused(outcome, "mnist.npz", "x_train", "--data-dir", "KERASBURST_DATA")


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_out_that_cannot_be_written(kerasburst, tmp_path, out):
    (tmp_path / "file").write_text("mine")
    assert_refused(kerasburst("train", *TINY, "--out", out), "out", "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_out_with_other_files(kerasburst, tmp_path, force):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("mine")
    assert_refused(kerasburst("train", *TINY, "--out", "thesis", *force), "thesis", "other files")
    assert os.listdir(tmp_path / "thesis") == ["chapter1.tex"]


def _config(**changes):
    return {"format": 1, "kerasburst": "0.1.0", "dataset": "iris", **changes}


BAD_CONFIGS = {
    "another version": (_config(format=99), ["format 1", "99"]),
    "unknown field": (_config(epoch=3), ["epoch", "did you mean epochs?"]),
    "bad value": (_config(batch_size="large"), ["batch_size", "'large'"]),
    "a list": ([1], ["JSON object"]),
}


@pytest.mark.parametrize("value, parts", BAD_CONFIGS.values(), ids=BAD_CONFIGS)
@pytest.mark.parametrize("how", ["--config", "--resume", "evaluate"])
def test_config_of_another_kind(kerasburst, tmp_path, value, parts, how):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(value))
    arguments = {
        "--config": ["train", "--config", "run/config.json", "--out", "new"],
        "--resume": ["train", "--resume", "--out", "run"],
        "evaluate": ["evaluate", "run"],
    }[how]
    assert_refused(kerasburst(*arguments), "config.json" if value != _config(batch_size="large") else "", *parts)
    assert os.listdir(tmp_path) == ["run"] and os.listdir(tmp_path / "run") == ["config.json"]


def test_config_that_is_not_json(kerasburst, tmp_path):
    (tmp_path / "config.json").write_text("{")
    assert_refused(kerasburst("train", "--config", "config.json"), "config.json", "JSON")


def test_evaluate_refuses_what_is_no_finished_run(kerasburst, tmp_path):
    assert_refused(kerasburst("evaluate", "absent"), "absent", "config.json")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.json").write_text(json.dumps(_config()))
    assert_refused(kerasburst("evaluate", "begun"), "begun", "--resume")


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["--index", "359"], ["index", "0 to 358", "359"]),
        (["--feature", "64"], ["feature", "0 to 63", "64"]),
        (["--draws", "0"], ["draws", "1", "0"]),
        (["--set", "neuron.beta=0.5"], ["encoder.NAME=VALUE", "neuron.beta"]),
        (["--num-steps", "0"], ["num_steps", "1", "0"]),
    ],
)
def test_encode_refuses(kerasburst, tmp_path, arguments, parts):
    assert_refused(kerasburst("encode", *arguments, "--out", "picture"), *parts)
    assert os.listdir(tmp_path) == []


def test_misspelt_command(kerasburst):
    assert_refused(kerasburst("trian"), "trian", "did you mean train?")
