"""Bad input for kerasburst attack: one clear line, exit code 2, no traceback, nothing left behind."""

import json
import os
import shutil

import numpy as np
import pytest

from tests.cli.test_bad_input import assert_refused
from tests.privacy.common import RUN_FLEET, Pretend, write_data


@pytest.fixture(autouse=True)
def no_fleet(monkeypatch):
    def never(*_, **__):
        raise AssertionError("a model would have been trained")

    monkeypatch.setattr(RUN_FLEET, never)


PB = ("--encoding", "poisson_burst")
REFUSED = {
    "odd shadows": (["--shadows", "3"], ["shadows", "even", "received 3"]),
    "no shadows": (["--shadows", "0"], ["shadows", "from 2", "received 0"]),
    "no targets": (["--targets", "0"], ["targets", "from 1", "received 0"]),
    "zero queries": (["--queries", "1", "--queries", "0"], ["queries", "from 1", "received 0"]),
    "unknown encoding": (["--encoding", "burst"], ["burst", "rate", "poisson_burst", "delayed_burst"]),
    "an encoding twice": (["--encoding", "rate", "--encoding", "rate"], ["encoding", "each once"]),
    "unknown protocol": (["--protocol", "papers"], ["papers", "paper-overlapping"]),
    "unknown backend": (["--backend", "dusk"], ["dusk", "loky", "dask", "ray"]),
    "unknown data set": (["--dataset", "digit"], ["dataset", "'digit'", "did you mean digits?"]),
    "absent npz": (["--dataset", "absent.npz"], ["absent.npz"]),
    "absent data folder": (["--data-dir", "nowhere"], ["data_dir", "nowhere"]),
    "too many members": (["--members", "700"], ["members must be fewer", "1400", "1438"]),
    "too many for the paper": (["--protocol", "paper", "--members", "400"], ["members must be fewer", "shadow 800"]),
    "too large a population": (["--population", "1400"], ["members must be fewer", "population 1400"]),
    "three members": (["--members", "3"], ["members", "from 4", "received 3"]),
    "one in the population": (["--population", "1"], ["population", "from 2", "received 1"]),
    "zero jobs": (["--jobs", "0"], ["jobs", "from 1", "received 0"]),
    "zero epochs": (["--epochs", "0"], ["epochs", "from 1", "received 0"]),
    "zero steps": (["--num-steps", "0"], ["num_steps", "received 0"]),
    "negative seed": (["--seed", "-1"], ["seed", "received -1"]),
    "too large a train limit": (["--train-limit", "5000"], ["train_limit", "5000"]),
    "assignment without a value": (["--set", "encoder.gain"], ["--set", "SCOPE.NAME=VALUE"]),
    "nobody's parameter": ([*PB, "--set", "encoder.gain=2"], ["encoder.gain is unknown", "burst_interval"]),
    "misspelt parameter": ([*PB, "--set", "encoder.burst_intervall=2"], ["did you mean burst_interval?"]),
    "tau above T": ([*PB, "--set", "encoder.burst_interval=11"], ["burst_interval", "received 11"]),
    "beta above 1": (["--set", "neuron.beta=1.5"], ["beta", "received 1.5"]),
    "network for images on a table": (["--dataset", "iris", "--model", "SNNConvNet"], ["height", "width"]),
    "words for snapshots": (["--snapshots", "a,b"], ["--snapshots must be epochs", "'a,b'"]),
    "no snapshot": (["--snapshots", ""], ["--snapshots must be epochs"]),
    "snapshot zero": (["--snapshots", "0,4"], ["snapshots", "from 1", "received 0"]),
    "a snapshot after the end": (["--epochs", "4", "--snapshots", "2,8"], ["snapshots", "at most the 4 epochs", "8"]),
    "a huge snapshot": (["--snapshots", "9" * 400], ["snapshots"]),
    "unknown arm": (["--arm", "ratee"], ["arm must begin with one of", "did you mean rate?"]),
    "empty arm": (["--arm", ""], ["arm must begin with one of"]),
    "an arm twice": (["--arm", "rate", "--arm", "rate"], ["arm", "a name of its own"]),
    "two arms of one folder": (["--arm", "input_noise:sd=1", "--arm", "input_noise:sd:=1"], ["sd"]),
    "arm without a value": (["--arm", "poisson_burst:gain"], ["--arm must be NAME[:parameter=value,...]"]),
    "an arm's unknown parameter": (["--arm", "poisson_burst:gain=2"], ["gain is unknown", "burst_interval"]),
    "an arm's bad parameter": (["--arm", "poisson_burst:burst_interval=x"], ["burst_interval", "'x'"]),
    "an arm's tau above T": (["--arm", "poisson_burst:burst_interval=11"], ["burst_interval", "received 11"]),
    "a defence's unknown parameter": (["--arm", "input_noise:s=1"], ["s is unknown", "sd"]),
    "a defence's bad parameter": (["--arm", "input_noise:sd=0"], ["input_noise.sd", "above 0", "received 0"]),
    "a defence's word": (["--arm", "label_smoothing:amount=much"], ["label_smoothing.amount", "'much'"]),
    "a defence's null": (["--arm", "weight_decay:amount=none"], ["weight_decay.amount", "None"]),
    "a defence's list": (["--arm", "early_stopping:patience=[1]"], ["early_stopping.patience", "[1]"]),
    "a defence's nan": (["--arm", "input_dropout:rate=nan"], ["input_dropout.rate", "nan"]),
    "a defence on nothing": (["--arm", "input_noise:encoding=burst"], ["encoding must be an encoder", "burst"]),
    "deep JSON": (["--arm", "input_noise:sd=" + "[" * 5000], ["input_noise.sd"]),
    "unknown match": (["--match", "epoch"], ["epoch", "accuracy"]),
    "no pools": (["--pools", "0"], ["pools", "from 1", "received 0"]),
    "too many pools": (["--pools", "60"], ["members"]),
    "odd canaries": (["--canaries", "3"], ["canaries", "even", "received 3"]),
    "too many canaries": (["--canaries", "2000"], ["canaries 2000", "the pool has"]),
    "an attack that always runs": (["--attack", "loss"], ["attack", "input_dropout", "replay"]),
    "unknown attack": (["--attack", "replays"], ["attack", "replay"]),
    "pools of the paper": (["--protocol", "paper", "--pools", "3"], ["pools"]),
    "too few members for the planted leak": (["--members", "5"], ["members must be at least 16 with 10 classes"]),
    "resume without out": (["--resume"], ["--resume", "--out"]),
    "resume and force": (["--resume", "--force", "--out", "x"], ["--resume", "--force", "exclude each other"]),
}


@pytest.mark.parametrize("arguments, parts", REFUSED.values(), ids=REFUSED)
def test_attack_refuses(kerasburst, tmp_path, arguments, parts):
    before = sorted(os.listdir(tmp_path))
    dataset = () if "--dataset" in arguments else ("--dataset", "digits")
    out = () if "--out" in arguments or "--resume" in arguments else ("--out", "audit")
    assert_refused(kerasburst("attack", *dataset, *arguments, *out), *parts)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("out", ["file", "file/audit", "/proc/audit"])
def test_out_that_cannot_be_written(kerasburst, tmp_path, out):
    (tmp_path / "file").write_text("mine")
    assert_refused(kerasburst("attack", "--dataset", "iris", "--out", out), "out", out)
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("how", [[], ["--force"], ["--resume"]])
def test_out_with_other_files(kerasburst, tmp_path, how):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("mine")
    assert_refused(kerasburst("attack", "--dataset", "iris", "--out", "thesis", *how), "thesis", "other files")
    assert os.listdir(tmp_path / "thesis") == ["chapter1.tex"]


@pytest.mark.parametrize("how", [[], ["--force"], ["--resume"]])
def test_out_with_a_run_of_train(kerasburst, tmp_path, how):
    (tmp_path / "run").mkdir()
    config = {"format": 1, "kerasburst": "0.1.0", "dataset": "iris"}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    assert_refused(kerasburst("attack", "--dataset", "iris", "--out", "run", *how), "config.json", "audit's config")
    assert json.loads((tmp_path / "run" / "config.json").read_text()) == config


# What is gone on with -----------------------------------------------------------------------------------------------


class Ended(Pretend):
    """Pretends all models, then gets a Ctrl-C."""

    def __call__(self, *arguments, **options):
        super().__call__(*arguments, **options)
        raise KeyboardInterrupt


@pytest.fixture
def begun(attack, tmp_path):
    """An audit whose models are all there, and its scores not yet."""
    assert attack("--out", "audit", models=Ended()).code == 130
    assert not (tmp_path / "audit" / "audit.json").exists()
    return tmp_path / "audit"


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


OTHERS = {
    "seed": (["--seed", "4"], ["train differs"]),
    "queries": (["--queries", "3"], ["queries differs"]),
    "shadows": (["--shadows", "4"], ["shadows differs"]),
    "encoding": (["--encoding", "poisson_burst"], ["encodings differs"]),
    "members and protocol": (["--members", "30", "--protocol", "paper"], ["protocol, members differs"]),
    "parameter": (["--set", "neuron.beta=0.5"], ["train differs"]),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("arguments, parts", OTHERS.values(), ids=OTHERS)
def test_resume_refuses_another_audit(kerasburst, begun, arguments, parts):
    before = files_of(begun)
    assert_refused(kerasburst("attack", "--resume", "--out", "audit", *arguments), "begun with", *parts)
    assert files_of(begun) == before


def _replace(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value))


DAMAGED = {
    "config cut short": ("config.json", lambda p: _replace(p, '{"format": 1, ')),
    "config of another kind": ("config.json", lambda p: _replace(p, [1])),
    "config of another format": ("config.json", lambda p: _replace(p, json.loads(p.read_text()) | {"format": 9})),
    "config without queries": ("config.json", lambda p: _replace(p, json.loads(p.read_text()) | {"queries": 4})),
    "config without encodings": ("config.json", lambda p: _replace(p, json.loads(p.read_text()) | {"encodings": 3})),
    "config of a strange training": ("config.json", lambda p: _replace(p, json.loads(p.read_text()) | {"train": 3})),
    "plan cut short": ("plan.json", lambda p: _replace(p, '{"trainings": ')),
    "plan of another kind": ("plan.json", lambda p: _replace(p, [])),
    "splits cut short": ("splits.npz", lambda p: p.write_bytes(p.read_bytes()[:100])),
    "splits without an array": ("splits.npz", lambda p: np.savez(p, audited=[1])),
    "splits that overlap": ("splits.npz", lambda p: _overlap(p)),
}


def _overlap(path):
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["population"] = arrays["audited"][:5]
    np.savez(path, **arrays)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name, damage", DAMAGED.values(), ids=DAMAGED)
def test_resume_of_a_damaged_audit(kerasburst, begun, name, damage):
    damage(begun / name)
    before = files_of(begun)
    assert_refused(kerasburst("attack", "--resume", "--out", "audit"), name)
    assert files_of(begun) == before


def test_resume_with_changed_data(kerasburst, begun, data):
    before = files_of(begun)
    write_data(data, n=300, features=6, seed=1)
    assert_refused(kerasburst("attack", "--resume", "--out", "audit"), "dataset", "data has changed")
    data.unlink()
    assert_refused(kerasburst("attack", "--resume", "--out", "audit"), "data.npz")
    assert files_of(begun) == before


RECORDS = {
    "cut short": ("models/shadow-1.json", lambda p: _replace(p, '{"role": ')),
    "of another kind": ("models/shadow-1.json", lambda p: _replace(p, [])),
    "without its weights": ("models/shadow-1.json", lambda p: _replace(p, {"role": "shadow-1"})),
    "no signals": ("signals/shadow-1.npz", lambda p: p.unlink()),
    "signals cut short": ("signals/shadow-1.npz", lambda p: p.write_bytes(p.read_bytes()[:200])),
}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name, damage", RECORDS.values(), ids=RECORDS)
def test_a_damaged_model_is_done_anew(kerasburst, begun, monkeypatch, name, damage):
    damage(begun / "rate" / name)
    run = Pretend()
    monkeypatch.setattr(RUN_FLEET, run)
    assert kerasburst("attack", "--resume", "--out", "audit").code == 0
    assert run.done == ["rate/shadow-1"]


def test_a_damaged_audit_begins_anew_with_force(attack, begun):
    (begun / "splits.npz").write_bytes(b"")
    shutil.rmtree(begun / "rate" / "signals")
    assert attack("--out", "audit", "--force").code == 0
    assert json.loads((begun / "audit.json").read_text())["valid"]
