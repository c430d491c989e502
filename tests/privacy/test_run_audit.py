"""The audit of a run's network, whole: the target is the run's, its shadows are trained alike."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from kerasburst_cli.main import main

from kerasburst import InputError, Splits, TrainConfig, files, load_model, load_network, records, train
from kerasburst.models.saving import weights_hash
from kerasburst.privacy import lessons, shadow
from kerasburst.privacy.audit import audit
from kerasburst.privacy.audited_run import AuditedRun
from kerasburst.privacy.config import AuditConfig
from kerasburst.privacy.splits import AuditSplits
from kerasburst.training.run_directory import RunReference
from tests.privacy.common import RUN_FLEET, FleetHere, noise

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def fleet():
    with pytest.MonkeyPatch.context() as patch:
        here = FleetHere()
        patch.setattr(RUN_FLEET, here)
        patch.setattr(lessons, "_CANARY_EPOCHS", 40)
        yield here


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run-audit")


@pytest.fixture(scope="module")
def run(folder):
    """A run that knows its training examples by heart: 72 of them, 8 for validation, 112 untouched, 48 for the test."""
    config = TrainConfig(
        dataset=noise(folder / "noise.npz"),
        encoder={"mode": "regular"},
        num_steps=4,
        network={"hidden_units": 128},
        epochs=20,
        batch_size=24,
        learning_rate=0.03,
        train_limit=80,
        validation_split=0.1,
        seed=5,
    )
    result = train(config, folder / "run")
    assert result.train_accuracy > 0.95
    return folder / "run"


@pytest.fixture(scope="module")
def config(run):
    return AuditedRun.load(run).config(shadows=2)


@pytest.fixture(scope="module")
def audited(run, config, folder, fleet):
    out = folder / "audit"
    return audit(config, out), out


def record(out, role):
    return json.loads((out / "rate" / "models" / f"{role}.json").read_text())


def test_the_target_is_the_runs_network(run, audited):
    _, out = audited
    mine = load_network(run).with_encoder(None)
    target = load_model(out / "rate" / "models" / "target-0.keras")
    assert target.encoder is None
    for have, wanted in zip(target.get_weights(), mine.get_weights(), strict=True):
        assert np.array_equal(have, wanted)
    noted = record(out, "target-0")
    assert noted["weights"] == weights_hash(mine) and noted["seed"] == 5 and noted["train_seconds"] is None


def test_it_is_measured_on_the_runs_own_parts_as_the_run_was(run, audited):
    _, out = audited
    result, noted = json.loads((run / "result.json").read_text()), record(out, "target-0")
    # The encoder draws nothing, so that equal examples under an equal scaling give equal figures.
    for name in ("test_accuracy", "train_accuracy", "firing_rates"):
        assert noted[name] == pytest.approx(result[name], rel=1e-6), name
    assert noted["test_examples"] == 48 and noted["train_examples"] == 72 and noted["epochs"] == 20


def test_members_are_the_runs_and_told_apart_from_the_untouched(run, audited):
    result, out = audited
    splits, of_run = AuditSplits.load(out / "splits.npz"), Splits.load(run / "splits.npz")
    assert set(splits.members(0)) < set(of_run.train) and set(splits.non_members(0)) < set(of_run.unused)
    assert set(splits.target_train(0)) == set(of_run.train)
    # Labels are noise: a network knows them of what it has seen, and of nothing else.
    assert result.encodings["rate"].attack("loss", 1).auc > 0.7
    assert result.encodings["rate"].train_examples == 72
    with np.load(out / "scores.npz") as stored:
        member, loss = stored["membership"][0], stored["rate/loss/1"][0]
    assert loss[member].mean() > loss[~member].mean() + 0.5


def test_shadows_are_trained_alike_on_as_many_examples(audited):
    _, out = audited
    plan = json.loads((out / "plan.json").read_text())["trainings"]["rate"]
    expected = {"epochs": 20, "batch_size": 24, "learning_rate": 0.03, "num_steps": 4, "validation_split": 0.0}
    assert {name: plan[name] for name in expected} == expected and plan["network"]["hidden_units"] == 128
    for role in ("shadow-0", "shadow-1"):
        noted = record(out, role)
        assert noted["train_examples"] == 72 and noted["epochs"] == 20 and noted["train_accuracy"] > 0.95
    roles = ("target-0", "shadow-0", "shadow-1", "untrained", "planted")
    assert len({record(out, role)["weights"] for role in roles}) == 5
    untrained = load_model(out / "rate" / "models" / "untrained.keras")
    target = load_model(out / "rate" / "models" / "target-0.keras")
    assert [w.shape for w in untrained.get_weights()] == [w.shape for w in target.get_weights()]


def test_every_control_is_there_and_holds(audited):
    result, _ = audited
    names = ("splits_disjoint", "blind_baseline", "untrained", "permuted_membership", "planted_leak", "weights_differ")
    assert [control.name for control in result.controls] == list(names)
    assert result.valid, [control for control in result.controls if not control.ok]


def test_the_result_says_which_run(run, audited):
    stored = json.loads((audited[1] / "audit.json").read_text())
    assert stored["config"]["run"] == {"path": str(run.resolve()), "weights": weights_hash(load_network(run))}
    assert stored["counts"]["target_train"] == stored["counts"]["shadow_train"] == 72


def test_it_goes_on_from_what_is_there(config, audited, fleet, tmp_path):
    result, out = audited
    copy = shutil.copytree(out, tmp_path / "audit")
    for name in ("audit.json", "rate/models/target-0.keras", "rate/signals/shadow-1.npz", "rate/signals/untrained.npz"):
        (copy / name).unlink()
    fleet.done.clear()
    again = audit(config, copy, resume=True)
    assert sorted(fleet.done) == ["rate/shadow-1", "rate/target-0", "rate/untrained"]
    assert again.encodings == result.encodings and again.controls == result.controls


@pytest.mark.parametrize(
    ("config", "result", "epochs"),
    [
        ({}, {}, 20),
        ({"early_stopping": 3, "epochs": 90}, {"stopped_early": True}, 20),
        ({"keep_best": True}, {"best_epoch": 7}, 7),
        ({"keep_best": True, "early_stopping": 3, "epochs": 90}, {"stopped_early": True, "best_epoch": 17}, 17),
    ],
)
def test_shadows_train_for_the_epochs_that_the_kept_weights_had(run, tmp_path, config, result, epochs):
    place = shutil.copytree(run, tmp_path / "run")
    for name, changes in (("config.json", config), ("result.json", result | {"config": None})):
        (place / name).write_text(json.dumps(json.loads((place / name).read_text()) | changes))
    training = AuditedRun.load(place).config().train
    assert training.epochs == epochs
    assert (training.validation_split, training.early_stopping, training.keep_best) == (0.0, None, False)


def test_the_config_is_the_runs_but_for_what_is_the_audits(run, tmp_path):
    mine = AuditedRun.load(run)
    config = mine.config(queries=(1, 2), members=10)
    assert config.train.seed == 5 and config.train.batch_size == 24 and config.encodings == ("rate",)
    assert config.queries == (1, 2) and config.members == 10 and config.targets == 1
    assert mine.config(seed=9, data_dir="there").train == dataclasses.replace(config.train, seed=9, data_dir="there")
    (tmp_path / "config.json").write_text(json.dumps(records.to_json(config)))
    loaded = records.load(AuditConfig, tmp_path / "config.json")
    assert loaded == config and loaded.run.path == str(run.resolve())
    other = dataclasses.replace(config, run=RunReference(config.run.path, "0" * 64))
    assert other != config


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"targets": 2}, "targets must be 1 in the audit of a run, received 2"),
        ({"protocol": "paper"}, "protocol must be 'audit' in the audit of a run, received 'paper'"),
        ({"encodings": ("rate", "poisson_burst")}, r"encodings must be \('rate',\) in the audit of a run"),
        ({"run": "runs/digits"}, "run must be a RunReference"),
    ],
)
def test_configs_that_contradict_the_run(config, given, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(config, **given)


@pytest.mark.parametrize(
    "value", ["run", {"path": "run"}, {"path": "", "weights": "0" * 64}, {"path": "a", "weights": "x"}]
)
def test_references_that_are_none(value):
    with pytest.raises(InputError, match="run"):
        records.from_json(RunReference, value, "run")


@pytest.fixture
def moved(run, config, audited, tmp_path):
    """The run and its audit, each a copy elsewhere, and the config that says so."""
    place = shutil.copytree(run, tmp_path / "elsewhere")
    out = shutil.copytree(audited[1], tmp_path / "audit")
    return place, out, dataclasses.replace(config, run=dataclasses.replace(config.run, path=str(place)))


def test_a_run_that_has_moved_is_the_same_and_the_command_tells_of_it(moved, audited, fleet, capfd):
    place, out, config = moved
    before = (out / "scores.npz").read_bytes()
    fleet.done.clear()
    with pytest.raises(SystemExit) as end:
        main(["attack", "--resume", "--out", str(out), "--run", str(place)])
    assert end.value.code == 0 and fleet.done == []
    assert (out / "scores.npz").read_bytes() == before
    assert json.loads((out / "audit.json").read_text())["config"]["run"] == records.to_json(config.run)
    told = capfd.readouterr().out
    assert f"audit on noise: 36 members, 36 non-members of the run {place}" in told
    assert "on what it was trained on 100.0 (" in told
    page = (out / "audit.html").read_text().replace("<wbr>", "")  # where a long path may break
    assert str(place) in page and config.run.weights[:16] in page and "its other 36 are in no other part" in page


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_weights(place):
    network = load_network(place)
    network.set_weights([w + 1e-3 for w in network.get_weights()])
    network.save(place / "model.keras")
    return weights_hash(network)


def train_again(place):
    """Change the weights and the record of them, as another training would."""
    edit(place / "result.json", weights=change_weights(place))


def change_config(place):
    edit(place / "config.json", learning_rate=0.5)


def train_otherwise(place):
    change_config(place)
    recorded = json.loads((place / "result.json").read_text())["config"]
    edit(place / "result.json", config=recorded | {"learning_rate": 0.5})


def change_splits(place):
    stored = Splits.load(place / "splits.npz")
    train = np.sort(np.append(stored.train[1:], stored.unused[0]))
    changed = Splits(train, stored.validation, stored.test, pool_size=stored.pool_size)
    changed.save(place / "splits.npz")
    return changed.fingerprint


def split_again(place):
    fingerprint = change_splits(place)
    for name in ("data.json", "result.json"):
        edit(place / name, splits=fingerprint)


def change_data(place):
    edit(place / "data.json", fingerprint="0" * 64)


def lose_splits(place):
    (place / "splits.npz").unlink()


def never_record_splits(place):
    """Leave a run as versions wrote it that kept no splits."""
    lose_splits(place)
    edit(place / "result.json", splits=None)


def unfinish(place):
    edit(place / "config.json", epochs=21)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_weights, "model.keras must be the run's network"),
        (train_again, "run must be the one that the audit was begun with, .*elsewhere has changed"),
        (change_config, "config.json: learning_rate must be 0.03, as in result.json, received 0.5"),
        (train_otherwise, "learning_rate must be that of the run .*elsewhere, 0.5, received 0.03"),
        (change_splits, "splits.npz must be the run's, .*data.json was written with other splits"),
        (split_again, "run must be the one that the audit was begun with, the splits of .*elsewhere have changed"),
        (change_data, "noise has changed"),
        (lose_splits, "splits.npz does not exist, the finished run had it"),
        (never_record_splits, "run must have a record of its splits and their pool's size"),
        (unfinish, "run must be finished, .*elsewhere is not: kerasburst train --resume"),
    ],
)
def test_a_run_that_has_changed_is_refused(moved, fleet, change, message):
    place, out, config = moved
    change(place)
    before = (out / "audit.json").read_bytes()
    with pytest.raises(InputError, match=message):
        audit(config, out, resume=True)
    assert (out / "audit.json").read_bytes() == before


def test_a_task_refuses_a_run_that_has_changed_meanwhile(moved, fleet):
    place, out, config = moved
    files.write_json(out / "config.json", records.to_json(config))
    (out / "rate" / "models" / "target-0.json").unlink()
    train_again(place)
    with pytest.raises(InputError, match="has changed"):
        shadow.train_and_ask(str(out), "rate", "target-0")
    assert not (out / "rate" / "models" / "target-0.json").exists()
