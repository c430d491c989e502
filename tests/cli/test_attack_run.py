"""kerasburst attack --run."""

import dataclasses
import json
import os
import re
import shutil

import pytest

from kerasburst import files, records
from kerasburst.config import TrainConfig
from kerasburst.privacy.arms import parse_arm
from kerasburst.privacy.config import AuditConfig
from kerasburst.validation import InputError
from tests.cli.conftest import TINY
from tests.cli.test_bad_input import assert_refused

pytestmark = pytest.mark.usefixtures("eagerly")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Where runs are kept that several tests copy."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run(kerasburst, tmp_path, trained):
    """Train, once for all tests, on all of iris ("all") or 48 of its 120 training examples ("part")."""

    def make(name):
        if not (trained / name).exists():
            limit = ("--train-limit", "48") if name == "part" else ()
            assert kerasburst("train", *TINY, *limit, "--seed", "3", "--out", trained / name, "--quiet").code == 0
        return shutil.copytree(trained / name, tmp_path / name)

    return make


@pytest.fixture
def stopped_fleet(monkeypatch):
    """Let an audit come as far as its fleet, and no further."""

    def stop(*_, **__):
        raise InputError("the fleet would start")

    monkeypatch.setattr("kerasburst.study.study.run_fleet", stop)
    monkeypatch.setattr("kerasburst.privacy.controls.check_power", lambda *_: "")  # which would warn


@pytest.mark.thorough
def test_an_audit_has_a_name_of_its_own(kerasburst, run, stopped_fleet, tmp_path):
    place = run("part")
    for name in ("attack-part", "attack-part-2"):
        assert_refused(kerasburst("attack", "--run", place, "--queries", "2"), "the fleet would start")
        config = records.load(AuditConfig, tmp_path / "runs" / name / "config.json")
        assert config.run.path == str(place) and config.queries == (2,) and config.encodings == ("rate",)
        assert config.train.seed == 3 and config.train.network["hidden_units"] == 8


@pytest.mark.thorough
def test_a_run_that_left_nothing_is_refused_with_a_limit_that_does(kerasburst, run, stopped_fleet, tmp_path):
    outcome = kerasburst("attack", "--run", run("all"), "--out", "audit")
    assert_refused(outcome, "untouched", "120", "leaves 0", "--train-limit", "attack --dataset")
    assert not (tmp_path / "audit").exists()
    limit = re.search(r"--train-limit (\d+)", outcome.err)[1]
    assert kerasburst("train", *TINY, "--train-limit", limit, "--out", "new", "--quiet").code == 0
    assert_refused(kerasburst("attack", "--run", "new", "--out", "audit"), "the fleet would start")


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--dataset", "iris"], ["--dataset must not be given with --run"]),
        (["--epochs", "2", "--targets", "1"], ["--epochs, --targets must not"]),
        (["--encoding", "rate"], ["--encoding must not"]),
        (["--set", "encoder.gain=1"], ["--set must not"]),
        (["--num-steps", "3"], ["--num-steps"]),
        (["--model", "SNNFCNet"], ["--model"]),
        (["--batch-size", "8"], ["--batch-size"]),
        (["--learning-rate", "1"], ["--learning-rate"]),
        (["--train-limit", "48"], ["--train-limit"]),
        (["--protocol", "paper"], ["protocol", "'audit'", "'paper'"]),
        (["--members", "49"], ["members", "from 4 to", "received 49"]),
        (["--shadows", "3"], ["shadows", "even", "3"]),
        (["--population", "60"], ["--population", "or fewer", "--train-limit"]),
        (["--seed", "-1"], ["seed", "-1"]),
        (["--data-dir", "nowhere", "--out", "part"], ["part", "audit"]),
    ],
)
def test_what_the_run_has_to_say_is_not_said_anew(kerasburst, run, tmp_path, arguments, parts):
    run("part")
    assert_refused(kerasburst("attack", "--run", "part", *arguments), *parts)
    assert os.listdir(tmp_path) == ["part"]


def test_a_private_run_and_audit_choose_jax_by_themselves(kerasburst, run, monkeypatch, tmp_path):
    def chosen():
        raise InputError("JAX is chosen")

    monkeypatch.setattr("kerasburst_cli.cmd_attack.choose_jax", chosen)
    config = records.load(TrainConfig, run("part") / "config.json")
    files.write_json(tmp_path / "part" / "config.json", records.to_json(dataclasses.replace(config, epsilon=8.0)))
    assert_refused(kerasburst("attack", "--run", "part"), "JAX is chosen")
    audit = AuditConfig(train=config, encodings=(), arms=(parse_arm("rate"), parse_arm("private:epsilon=3")))
    for name, each in (("audit", audit), ("of-run", dataclasses.replace(audit, arms=(), encodings=("rate",)))):
        (tmp_path / name).mkdir()
        private = dataclasses.replace(each, train=dataclasses.replace(config, epsilon=None if name == "audit" else 8.0))
        files.write_json(tmp_path / name / "config.json", records.to_json(private))
        assert_refused(kerasburst("attack", "--resume", "--out", name), "JAX is chosen")


def test_what_is_no_run(kerasburst, tmp_path):
    (tmp_path / "file").write_text("mine")
    for name in ("absent", "file"):
        assert_refused(kerasburst("attack", "--run", name), "run must be the directory of a training run", name)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.json").write_text(json.dumps({"format": 1, "kerasburst": "0.1.0"}))
    assert_refused(kerasburst("attack", "--run", "begun"), "begun", "kerasburst train --resume")


@pytest.mark.thorough
def test_going_on(kerasburst, run, stopped_fleet, tmp_path):
    run("part")
    begin = ("--run", "part", "--out", "audit", "--shadows", "4", "--seed", "9")
    assert_refused(kerasburst("attack", *begin), "the fleet would start")
    begun = records.load(AuditConfig, tmp_path / "audit" / "config.json")
    assert begun.train.seed == 9 and begun.shadows == 4 and begun.train.epochs == 2
    for more in ([], ["--run", "part"], ["--run", "part", "--shadows", "4"]):
        assert_refused(kerasburst("attack", "--resume", "--out", "audit", *more), "the fleet would start")
    assert_refused(kerasburst("attack", "--resume", "--out", "audit", "--shadows", "2"), "shadows differs")
    assert_refused(kerasburst("attack", "--resume", "--out", "audit", "--epochs", "2"), "--epochs must not", "of a run")
    (tmp_path / "part").rename(tmp_path / "moved")
    assert_refused(kerasburst("attack", "--resume", "--out", "audit"), "part has no config.json")
    assert_refused(kerasburst("attack", "--resume", "--out", "audit", "--run", "moved"), "the fleet would start")
    assert records.load(AuditConfig, tmp_path / "audit" / "config.json").run.path == str(tmp_path / "moved")
    assert kerasburst("train", "--resume", "--epochs", "3", "--out", "moved", "--quiet").code == 0
    assert_refused(kerasburst("attack", "--resume", "--out", "audit"), "moved has changed")
    other = ("--dataset", "iris", "--encoding", "rate", "--out", "other")
    assert_refused(kerasburst("attack", *other), "the fleet would start")
    assert_refused(kerasburst("attack", "--resume", "--run", "moved", "--out", "other"), "begun without")
