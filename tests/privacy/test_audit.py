"""The whole audit on small data: what leaks is found, what does not leak is not, and nothing depends on the way."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from kerasburst import InputError, TrainConfig, files, records, register
from kerasburst.data.datasets import load_source
from kerasburst.privacy import lessons, shadow
from kerasburst.privacy.attacks import Attack
from kerasburst.privacy.audit import AuditStudy, audit
from kerasburst.privacy.config import AuditConfig
from kerasburst.privacy.result import Control
from kerasburst.privacy.splits import AuditSplits
from kerasburst.registry import ATTACKS
from kerasburst.reports.audit import write_report
from tests.privacy.common import RUN_FLEET, FleetHere, Pretend, audit_config, write_data

OWN = {"dropped", "replayed"}  # answers that only the attacks that an audit names need


def leaky(data, **changes):
    """Random labels, which a network can only learn by heart: 120 members, each asked once."""
    options = {"epochs": 120, "hidden_units": 64, "learning_rate": 5e-3, "shadows": 4, "queries": (1,)}
    return audit_config(data, encoder={"mode": "regular"}, members=120, population=60, **options | changes)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Audit a target that has learnt its members by heart."""
    folder = tmp_path_factory.mktemp("planted")
    config = leaky(write_data(folder / "data.npz"), attacks=("input_dropout", "replay"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RUN_FLEET, FleetHere())
        result = audit(config, folder / "audit")
    return folder / "audit", config, result


@pytest.fixture(scope="module")
def pretended(tmp_path_factory):
    """Audit models that only pretend to have learnt."""
    folder = tmp_path_factory.mktemp("pretended")
    config = leaky(write_data(folder / "data.npz"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RUN_FLEET, Pretend())
        result = audit(config, folder / "audit")
    return folder / "audit", config, result


def check_planted(result):
    """Check that each attack finds the leak; give what LiRA finds more of it than the loss."""
    found = result.encodings["rate"]
    assert found.train_accuracy > 0.95 and found.test_accuracy < 0.5  # it has learnt by heart what has no rule
    aucs = {a.name: a.auc for a in found.attacks}
    asked = set(result.config["attacks"])
    always = {name for name, attack in ATTACKS.items() if attack.least_queries == 1 and not set(attack.needs) & OWN}
    assert aucs.keys() >= always | asked and len(always) >= 13
    assert aucs.keys() == {f"{p}{name}" for p in ("", "bypass_") for name in result.attacks} & aucs.keys()
    assert min(aucs.values()) > 0.7, aucs
    assert aucs["lira_online"] > 0.9 and aucs["loss"] > 0.9, aucs
    loss, lira = (found.attack(name, 1).tpr_at_fpr["0.1"] for name in ("loss", "lira_online"))
    assert aucs["lira_online"] > aucs["loss"], aucs
    assert found.attack("loss", 1).threshold_advantage > 0.5
    assert result.valid, [c for c in result.controls if not c.ok]
    return lira - loss


@pytest.mark.thorough
def test_every_attack_finds_a_planted_leak(planted):
    assert check_planted(planted[2]) > 0.1


@pytest.mark.slow
def test_every_attack_finds_a_planted_leak_with_other_seeds(tmp_path):
    gains = []
    for seed in (1, 2, 3):
        config = leaky(write_data(tmp_path / f"{seed}.npz", seed=seed), shadows=8, seed=seed)
        gains.append(check_planted(audit(config, tmp_path / f"audit-{seed}", jobs=2)))
    assert min(gains) > 0 and np.mean(gains) > 0.1, gains  # the loss alone finds 0.6 to 0.89


@pytest.mark.thorough
def test_controls_of_the_planted_leak(planted):
    controls = {control.name: control for control in planted[2].controls}
    assert list(controls) == [
        *("splits_disjoint", "blind_baseline", "untrained", "permuted_membership", "planted_leak", "weights_differ"),
        *("cross_target", "canaries"),
    ]
    for name in ("untrained", "permuted_membership", "blind_baseline", "cross_target"):
        low, high = controls[name].interval
        assert low <= 0.5 <= high and 0.35 < controls[name].auc < 0.65, controls[name]
    assert controls["planted_leak"].auc > 0.8
    assert controls["weights_differ"].detail == "7 different models"


@pytest.mark.usefixtures("eagerly")
def test_a_network_that_diverges_is_refused_and_not_kept(tmp_path):
    config = audit_config(write_data(tmp_path / "data.npz"), members=40, population=20, shadows=2, learning_rate=1e38)
    study = AuditStudy(config, tmp_path / "audit")
    study.begin()
    with pytest.raises(InputError, match="^learning_rate must be lower than 1e\\+38: the network's loss is no longer"):
        FleetHere()([task for task in study.tasks() if task.name == "rate/target-0"], is_done=study.is_done)
    assert not list((tmp_path / "audit").glob("*/*/target-0*"))


class TrainedAgain(Exception):
    """Raised in place of a training."""


@pytest.mark.thorough
def test_what_another_audit_has_trained_alike_is_not_trained_again(tmp_path, monkeypatch):
    trained = []
    run_epochs = shadow.run_epochs
    monkeypatch.setattr(shadow, "run_epochs", lambda *a, **k: trained.append(a[2].seed) or run_epochs(*a, **k))
    monkeypatch.setattr(lessons, "_CANARY_EPOCHS", 1)
    data = write_data(tmp_path / "data.npz")
    config = audit_config(data, members=40, population=20, shadows=2)
    first = tmp_path / "first"

    def run(name, config, *roles, beside=first):
        """Run the tasks of these roles, and return how many models were trained."""
        trained.clear()
        study = AuditStudy(config, tmp_path / name, beside=beside)
        study.begin()
        FleetHere()([task for task in study.tasks() if task.name.partition("/")[2] in roles], is_done=study.is_done)
        return len(trained)

    def answers(name):
        with np.load(tmp_path / name / "rate/signals/target-0.npz") as stored:
            return {field: stored[field].tobytes() for field in stored.files}

    assert run("first", config, "target-0", "planted", beside=None) == 2
    paper = dataclasses.replace(config, protocol="paper", population=None)
    assert run("alone", paper, "target-0", beside=tmp_path / "absent") == 1
    assert run("beside", paper, "target-0", "shadow-0", "planted") == 1  # the shadow
    assert answers("beside") == answers("alone")
    targets = [AuditSplits.load(tmp_path / name / "splits.npz").target_train(0) for name in ("alone", "first")]
    assert np.array_equal(*targets)
    # A target's accuracy is over four encodings, that of other models over one.
    found = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("beside/rate/models/*.json")}
    queries = {role: record["test_queries"] for role, record in found.items()}
    assert {record["training"]["learning_rate"] for record in found.values()} == {config.train.learning_rate}
    assert queries == {"target-0": 4, "shadow-0": 1, "planted": 1}

    # A model that this training would not have given is not used.
    def train_again(*_, **__):
        raise TrainedAgain

    monkeypatch.setattr(shadow, "run_epochs", train_again)
    longer = dataclasses.replace(paper, train=dataclasses.replace(paper.train, epochs=3))
    with pytest.raises(TrainedAgain):
        run("longer", longer, "target-0")
    with pytest.raises(TrainedAgain):
        run("others", dataclasses.replace(paper, members=39), "target-0")
    with np.load(data) as arrays:
        x, y = arrays["x"], arrays["y"]
    np.savez(data, x=1 - x, y=y)  # drawn alike, by its labels
    with pytest.raises(TrainedAgain):
        run("other examples", paper, "target-0")


def test_figures_are_those_of_the_stored_scores(pretended):
    folder, config, result = pretended
    stored = json.loads((folder / "audit.json").read_text())
    assert stored == json.loads(json.dumps(records.to_json(result)))
    record = json.loads((folder / "rate/models/target-0.json").read_text())
    assert stored["encodings"]["rate"]["test_accuracy"] == record["test_accuracy"]
    with np.load(folder / "scores.npz") as arrays:
        scores = {name: arrays[name] for name in arrays.files}
    splits = AuditSplits.load(folder / "splits.npz")
    member = scores["membership"][0]
    assert np.array_equal(scores["audited"][member], splits.members(0)) and member.sum() == 120
    for attack in stored["encodings"]["rate"]["attacks"]:
        of = scores[f"rate/{attack['name']}/{attack['queries']}"][0]
        above = of[member][:, None] - of[~member][None]
        assert attack["auc"] == pytest.approx(((above > 0) + (above == 0) / 2).mean(), abs=1e-12)
        limits = [t for t in [*of, np.inf] if (of[~member] >= t).mean() <= 0.1]
        assert attack["tpr_at_fpr"]["0.1"] == max((of[member] >= t).mean() for t in limits)
        assert attack["tpr_at_fpr"]["0.01"] is None  # 120 non-members do not resolve it
    assert stored["config"] == json.loads(json.dumps(records.to_json(config))) and stored["versions"]["tensorflow"]
    counts = stored["counts"]
    assert counts["members"] == counts["non_members"] == counts["shadow_train"] - counts["canaries"] // 2 == 120
    sizes = [counts[part] for part in ("audited", "population", "shadow_pool", "canaries", "test")]
    assert sizes[:2] == [240, 60] and sum(sizes) == counts["pool"] == 440


def test_judged_again_it_is_the_same_bit_for_bit(pretended, tmp_path):
    folder, config, _ = pretended
    shutil.copytree(folder, tmp_path / "audit")
    before = {name: (folder / name).read_bytes() for name in ("audit.json", "scores.npz")}
    for name in before:
        (tmp_path / "audit" / name).unlink()
    study = AuditStudy(config, tmp_path / "audit")
    study.begin(resume=True)
    assert all(map(study.is_done, study.tasks()))
    study.finish()
    assert {name: (tmp_path / "audit" / name).read_bytes() for name in before} == before


def test_a_model_that_another_training_gave_is_not_done(pretended, tmp_path):
    folder, config, _ = pretended
    shutil.copytree(folder, tmp_path / "audit")
    study = AuditStudy(config, tmp_path / "audit")
    study.begin(resume=True)
    (task,) = (task for task in study.tasks() if task.name == "rate/shadow-0")
    path = tmp_path / "audit" / "rate" / "models" / "shadow-0.json"
    record, training = files.read_json(path), shadow.load_plan(tmp_path / "audit")[1]["rate"]
    assert "training" not in record and study.is_done(task)  # as version 0.2.0 left it
    for learning_rate, done in ((training.learning_rate, True), (2 * training.learning_rate, False)):
        said = records.to_json(dataclasses.replace(training, learning_rate=learning_rate, data_dir="elsewhere"))
        files.write_json(path, {**record, "training": said})
        assert study.is_done(task) is done
    for damaged in ([], {"epochs": "many"}):
        files.write_json(path, {**record, "training": damaged})
        assert not study.is_done(task) and not shadow._trained_as({"training": damaged}, training)


@pytest.mark.thorough
def test_what_was_lost_is_trained_again_to_the_same_scores(planted, tmp_path, monkeypatch):
    folder, config, _ = planted
    here = tmp_path / "audit"
    shutil.copytree(folder, here)
    before = (here / "scores.npz").read_bytes(), (here / "audit.json").read_bytes()
    # As a kill leaves it: one model not trained, one trained and not asked, and files half written.
    (here / "rate" / "models" / "shadow-1.json").unlink()
    (here / "rate" / "signals" / "shadow-2.npz").unlink()
    # And damage that no kill does: a record that is none, and another model's file.
    (here / "rate" / "models" / "shadow-0.json").write_text("[]")
    shutil.copy(here / "rate" / "models" / "shadow-0.keras", here / "rate" / "models" / "target-0.keras")
    (here / "rate" / "signals" / "target-0.npz").unlink()
    (here / "rate" / "models" / ".writing-a.keras").write_bytes(b"half")
    (here / ".writing-b.json").write_text("{")
    for name in ("audit.json", "scores.npz", "plan.json"):
        (here / name).unlink()
    run = FleetHere()
    monkeypatch.setattr(RUN_FLEET, run)
    audit(config, here, resume=True)
    assert run.done == ["rate/target-0", "rate/shadow-0", "rate/shadow-1", "rate/shadow-2"]
    assert ((here / "scores.npz").read_bytes(), (here / "audit.json").read_bytes()) == before
    assert not list(here.rglob(".writing-*"))


def test_changed_data_is_refused(tmp_path, monkeypatch):
    config = leaky(data := write_data(tmp_path / "data.npz"))
    monkeypatch.setattr(RUN_FLEET, Pretend())
    audit(config, tmp_path / "audit")
    kept = {path: path.read_bytes() for path in (tmp_path / "audit").rglob("*") if path.is_file()}
    write_data(data, seed=5)
    with pytest.raises(InputError, match="dataset must be the data that the audit in .* with, data has changed"):
        audit(config, tmp_path / "audit", resume=True)
    assert kept == {path: path.read_bytes() for path in (tmp_path / "audit").rglob("*") if path.is_file()}


@pytest.mark.parametrize("known", [True, False], ids=["plan", "plan of an earlier version"])
def test_splits_of_another_audit_are_refused(pretended, tmp_path, known):
    folder, config, _ = pretended
    here = shutil.copytree(folder, tmp_path / "audit")
    (here / "audit.json").unlink()
    plan = json.loads((here / "plan.json").read_text())
    if not known:
        (here / "plan.json").write_text(json.dumps({key: plan[key] for key in plan if key != "splits"}))
    splits = AuditSplits.load(here / "splits.npz")
    order = np.roll(np.sort(np.r_[splits.audited, splits.test]), 1)  # other examples are audited
    audited, test = order[: len(splits.audited)], order[len(splits.audited) :]
    dataclasses.replace(splits, audited=audited, reference=audited, test=test).save(here / "splits.npz")
    why = "plan.json was written with other splits" if known else "its models were asked about other examples"
    with pytest.raises(InputError, match=f"splits.npz must be the audit's, {why}"):
        audit(config, here, resume=True)


def test_a_record_whose_accuracy_is_no_share_is_refused(pretended, tmp_path):
    folder, config, _ = pretended
    here = shutil.copytree(folder, tmp_path / "audit")
    (here / "audit.json").unlink()
    record = here / "rate" / "models" / "target-0.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "test_accuracy": 93.1}))
    with pytest.raises(InputError, match="target-0.json: test_accuracy must be a finite number from 0 to 1, received"):
        audit(config, here, resume=True)


# Without a leak -----------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_without_a_leak_no_attack_finds_one_in_17_of_20_seeds(tmp_path, monkeypatch):
    data = write_data(tmp_path / "data.npz")
    monkeypatch.setattr(RUN_FLEET, Pretend(leak=0.0))
    monkeypatch.setattr("kerasburst.privacy.controls.blind_baseline", lambda *_: Control(name="", ok=True, rule=""))
    held = {}
    for seed in range(20, 40):
        config = audit_config(data, seed=seed, members=100, population=40, shadows=2, queries=(1,))
        result = audit(config, tmp_path / f"audit-{seed}")
        for attack in result.encodings["rate"].attacks:
            low, high = attack.auc_interval
            held.setdefault(attack.name, []).append(low <= 0.5 <= high)
    assert len(held) >= 10 and all(len(of) == 20 for of in held.values())
    assert min(map(sum, held.values())) >= 17, {name: sum(of) for name, of in held.items()}


# Attacks of others --------------------------------------------------------------------------------------------------


def test_a_registered_attack_is_run_judged_and_reported_like_the_others(tmp_path, monkeypatch):
    def score(evidence):
        return logsumexp(evidence.target.logits, axis=-1).mean(1)  # the energy, with its sign turned

    monkeypatch.setattr(ATTACKS, "_entries", dict(ATTACKS._entries))
    register("attack", "mean_energy", Attack(score=score, threshold=True, per_class=True, bypass=True))
    monkeypatch.setattr(RUN_FLEET, Pretend())
    config = audit_config(write_data(tmp_path / "data.npz"), members=40, population=20, shadows=2, queries=(1, 2))
    found = audit(config, tmp_path / "audit").encodings["rate"]
    names = [a.name for a in found.attacks]
    plain = [name for name in names if not name.startswith("bypass_")]
    assert plain[-2:] == ["mean_energy", "mean_energy"] and names[-1] == "bypass_mean_energy"
    energy = found.attack("mean_energy", 2)
    splits = AuditSplits.load(tmp_path / "audit" / "splits.npz")
    with np.load(tmp_path / "audit/rate/signals/target-0.npz") as stored:
        rows = [stored["asked"].tolist().index(i) for i in splits.audited]
        scores = np.log(np.exp(np.float64(stored["logits"])).sum(-1)).mean(1)[rows]
    assert energy.auc == pytest.approx(roc_auc_score(splits.targets[0], scores))
    assert energy.threshold_advantage is not None and set(energy.auc_per_class) == {"0", "1", "2"}
    assert "mean_energy" in found.averaging
    assert "mean_energy" in write_report(tmp_path / "audit").read_text()


# Event data ---------------------------------------------------------------------------------------------------------

TEMPORAL = {"temporal_lira", "temporal_svm", "membranes"}


class LeakInTheMiddle(Pretend):
    """Models whose phi at the last step tells nothing, and at one step in the middle tells members."""

    def work(self, task):
        super().work(task)
        folder, encoding, role = (task.arguments[name] for name in ("folder", "encoding", "role"))
        path = Path(folder, encoding, "signals", f"{role}.npz")
        config, _ = shadow.load_plan(folder)
        source = load_source(config.train.dataset, **config.train.reading([encoding]))
        lesson = lessons.lesson(role, lessons.load_pools(Path(folder)), source.y, source.num_classes, config.train.seed)
        with np.load(path) as stored:
            arrays = dict(stored)
        member = np.isin(lesson.asked, lesson.train)
        if role not in ("planted", "untrained"):
            arrays["phi_trace"][:, :, 2] += 4.0 * member[:, None]
        np.savez(path, **arrays)


@pytest.mark.thorough
def test_an_attack_that_uses_time_finds_on_events_what_the_others_miss(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.privacy.common.load_source", lambda name: load_source(name, spikes=True, num_steps=5))
    monkeypatch.setattr(RUN_FLEET, LeakInTheMiddle(leak=0.0))
    train = TrainConfig(dataset="moving_digits", encoding="none", num_steps=5, epochs=1, network={"hidden_units": 4})
    config = AuditConfig(train=train, encodings=("none",), members=40, population=20, shadows=8, queries=(1,))
    result = audit(config, tmp_path / "a")
    aucs = {attack.name: attack.auc for attack in result.encodings["none"].attacks}
    assert aucs["temporal_lira"] > 0.85 and abs(aucs["lira_online"] - 0.5) < 0.2, aucs


@pytest.mark.thorough
def test_real_models_of_events_are_asked_over_time(tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, FleetHere())
    train = TrainConfig(
        dataset="moving_digits", num_steps=4, epochs=1, model="SNNFCNet", network={"hidden_units": 4}, train_limit=200
    )
    config = AuditConfig(train=train, encodings=("none",), members=8, population=4, shadows=4, queries=(1,), canaries=0)
    result = audit(config, tmp_path / "a")
    assert TEMPORAL <= {attack.name for attack in result.encodings["none"].attacks}
