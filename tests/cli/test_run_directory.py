"""What a run directory withstands."""

import json
import os

import numpy as np
import pytest

import kerasburst as kb
from kerasburst.neurons.surrogate import ATan
from kerasburst.training.run_directory import RunDirectory
from tests.cli.conftest import SMALL, TINY

pytestmark = pytest.mark.usefixtures("eagerly")


def test_force_spares_another_programs_folder(kerasburst, tmp_path):
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "bert" / "history.csv").write_text("mine")
    outcome = kerasburst("train", *TINY, "--out", "bert", "--force")
    assert outcome.code == 2 and "another program's files" in outcome.err
    assert (tmp_path / "bert" / "history.csv").read_text() == "mine"


def test_the_recorded_splits_are_the_truth_and_one_process_trains_at_a_time(kerasburst, run, monkeypatch):
    before = json.loads(kerasburst("evaluate", run, "--queries", "2", "--json").out)
    others = kb.Splits(range(100), [], range(100, 107), pool_size=150)  # as another version might draw
    monkeypatch.setattr("kerasburst.training.setup.make_splits", lambda *_: others)
    after = json.loads(kerasburst("evaluate", run, "--queries", "2", "--json").out)
    assert before == after and before["examples"] == 30
    with RunDirectory(run).claimed():  # whoever opens the folder anew meets the lock, in this process, too
        outcome = kerasburst("train", "--resume", "--epochs", "3", "--out", run)
        assert outcome.code == 2 and "another process" in outcome.err
    assert kerasburst("train", "--resume", "--epochs", "3", "--out", run).code == 0
    assert len(kb.Splits.load(run / "splits.npz").test) == 30


def test_a_line_of_history_lost_to_a_kill_comes_back(kerasburst, run):
    whole = (run / "history.csv").read_text()
    (run / "result.json").unlink()
    (run / "history.csv").write_text("".join(whole.splitlines(keepends=True)[:2]))
    assert kerasburst("train", "--resume", "--out", run).code == 0
    assert (run / "history.csv").read_text() == whole


@pytest.mark.thorough
def test_splits_are_recorded_even_if_the_first_attempt_died_before(kerasburst, run):
    for name in os.listdir(run):
        if name != "config.json":
            (run / name).unlink()
    assert kerasburst("train", "--resume", "--out", run).code == 0
    assert len(kb.Splits.load(run / "splits.npz").test) == 30


def test_evaluate_refuses_a_run_that_goes_on(kerasburst, run):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "epochs": 9}))
    outcome = kerasburst("evaluate", run)
    assert outcome.code == 2 and "--resume" in outcome.err


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name, content", [("result.json", "{}"), ("data.json", "{}"), ("model.keras", "no archive")])
def test_damaged_files_are_named(kerasburst, run, name, content):
    (run / name).write_text(content)
    outcome = kerasburst("evaluate", run)
    assert outcome.code == 2 and name in outcome.err and outcome.err.count("\n") == 1


@pytest.mark.thorough
def test_config_for_another_data_set(kerasburst, run, tmp_path):
    outcome = kerasburst("train", "--config", run / "config.json", "--dataset", "wine", "--epochs", "1", "--out", "new")
    assert outcome.code == 0
    config = RunDirectory(tmp_path / "new").config()
    assert (config.dataset, config.model, config.network["hidden_units"]) == ("wine", "SNNFCNet", 1000)
    assert config.encoding == "poisson_burst" and config.num_steps == 3


@pytest.mark.thorough
def test_configs_from_python(tmp_path):
    config = kb.TrainConfig(
        dataset="iris",
        num_steps=np.int64(3),
        epochs=1.0,
        batch_size=16.0,
        network={"hidden_units": np.int32(8)},
        neuron={"surrogate": ATan(3.0)},
    )
    kb.train(config, tmp_path / "run")
    again = RunDirectory(tmp_path / "run").config()
    assert (again.num_steps, again.epochs, again.batch_size, again.network["hidden_units"]) == (3, 1, 16, 8)
    network = kb.load_model(tmp_path / "run" / "model.keras")
    assert network.hidden_lif.surrogate == ATan(3.0)
    with pytest.raises(kb.InputError, match="JSON"):
        kb.train(kb.TrainConfig(dataset="iris", network={"hidden_units": {1, 2}}), tmp_path / "other")
    assert os.listdir(tmp_path) == ["run"]


@pytest.mark.parametrize(
    "arguments, part",
    [
        (["--encoding", "rate", "--encoding", "poisson_burst"], "given once"),
        (["--epochs", "9" * 400], "epochs"),
        (["--batch-size", "1" + "0" * 23], "batch_size"),
        (["--set", "model.hidden_units=" + "9" * 400], "hidden_units"),
        (["--set", "encoder.gain=" + "9" * 400], "gain"),
        (["--data-dir", "~nosuchuser/x"], "data_dir"),
        (["--out", "o" * 300], "out"),
        (["--out", "/dev/null/x"], "out"),
    ],
)
def test_odd_arguments(kerasburst, tmp_path, arguments, part):
    out = () if "--out" in arguments else ("--out", "run")
    outcome = kerasburst("train", *SMALL, *out, *arguments)
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and part in outcome.err, outcome
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_half_written_is_swept(run):
    (run / ".writing-x7.json").write_text("{")
    with RunDirectory(run).claimed():
        assert not (run / ".writing-x7.json").exists() and (run / "config.json").exists()


@pytest.mark.parametrize("out", ["/dev/null/x", "full"])
def test_encode_writes_to_a_new_place_only(kerasburst, tmp_path, out):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    outcome = kerasburst("encode", "--draws", "2", "--out", out)
    assert outcome.code == 2 and "out must be" in outcome.err
    assert os.listdir(tmp_path / "full") == ["notes.txt"]
