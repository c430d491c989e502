"""tensorflow-privacy's attacks on the audit's signals, and what is said without the extra `tf-privacy`."""

import importlib.metadata
import json
import logging
import os
import sys

import numpy as np
import pytest
from kerasburst_cli.main import main

from kerasburst import files, records
from kerasburst.config import TrainConfig
from kerasburst.privacy import tf_privacy, tf_privacy_tasks
from kerasburst.privacy.attacks import lira, loss_scores, modified_entropy_scores
from kerasburst.privacy.audit import audit
from kerasburst.privacy.config import AuditConfig
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.study import Task
from kerasburst.validation import InputError

# Where it is installed it must work: no test is skipped since its import fails.
needs_extra = pytest.mark.skipif(
    not any(importlib.metadata.distributions(name="tensorflow-empirical-privacy")), reason="needs the extra tf-privacy"
)
QUICK = ("threshold", "threshold_entropy", "logistic_regression", "k_nearest_neighbors")


def answers(n, leak, classes=3, queries=(), seed=0):
    """Draw logits of n members and n non-members; `leak` is added to a member's true class."""
    rng = np.random.default_rng(seed)
    labels, membership = rng.integers(0, classes, 2 * n), np.arange(2 * n) < n
    logits = rng.normal(size=(2 * n, *queries, classes))
    logits[membership, ..., :] += leak * np.eye(classes)[labels[membership]].reshape(n, *(1,) * len(queries), classes)
    return logits, labels, membership


def bailey(tp, fp, m, n):
    """Lower 95 % bound of log((tp / m) / (fp / n)), as Bailey 1987 gives it."""
    z, p, q = 1.6448536269514722, tp / m, fp / n
    numerator = 1 - z / 3 * np.sqrt((1 - p) / tp + (1 - q) / fp - z**2 * (1 - p) * (1 - q) / (9 * tp * fp))
    return np.log(p / q * (numerator / (1 - z**2 * (1 - q) / (9 * fp))) ** 3)


@needs_extra
def test_separable_members():
    found = tf_privacy.attack_slice(*answers(40, leak=40), attacks=QUICK)
    assert [row.attack for row in found] == list(QUICK)
    for row in found:
        assert (row.label, row.members, row.non_members, row.skipped) == (None, 40, 40, None)
    for row in found[:2]:
        assert row.auc == 1 and row.attacker_advantage == 1
        # All members found and no false positive, which Bailey's method takes for half of one.
        assert row.epsilon_lower_bound == pytest.approx(bailey(39.5, 0.5, 40, 40), rel=1e-12)
        assert row.epsilon_lower_bound > row.epsilon_by_chance > 0
        assert 0.8 < row.auc_interval[0] < row.auc_interval[1] == 1
        assert row.attacker_advantage_interval[0] < 1 == row.attacker_advantage_interval[1]
    assert all(row.auc > 0.95 for row in found[2:])


@needs_extra
def test_scores_that_know_nothing():
    for row in tf_privacy.attack_slice(*answers(200, leak=0), attacks=QUICK):
        assert row.auc == pytest.approx(0.5, abs=0.1)
        assert row.attacker_advantage < 0.2 and row.attacker_advantage_interval[0] == 0
        assert row.epsilon_lower_bound < row.epsilon_by_chance < 1


@needs_extra
def test_advantage_has_no_direction():
    logits, labels, membership = answers(40, leak=40)
    row = tf_privacy.attack_slice(logits, labels, ~membership, attacks=["threshold"])[0]
    assert row.auc == 0 and row.attacker_advantage == 1 and row.attacker_advantage_interval[1] == 1


@needs_extra
def test_best_of_many_thresholds_is_above_nothing_by_chance():
    """What the stated limit says: above 0 in four of five draws, above "by chance" in one of twenty."""
    draws = np.random.default_rng(1).random((300, 200))
    bounds = np.array([tf_privacy.epsilon_lower_bound(scores[:100], scores[100:]) for scores in draws])
    assert (bounds > 0).mean() == pytest.approx(0.8, abs=0.08)
    assert (bounds > tf_privacy.epsilon_by_chance(100, 100)).mean() == pytest.approx(0.05, abs=0.05)


@needs_extra
@pytest.mark.parametrize("queries", [(), (4,)])
def test_same_signals_as_the_audit(queries):
    logits, labels, membership = answers(60, leak=0.8, queries=queries)
    loss, entropy = tf_privacy.attack_slice(logits, labels, membership, attacks=("threshold", "threshold_entropy"))
    for row, score in ((loss, loss_scores), (entropy, modified_entropy_scores)):
        ours = MembershipScores.from_labels(score(logits, labels), membership)
        assert row.auc == pytest.approx(ours.auc(), abs=1e-12) and row.auc > 0.55
        assert row.auc_interval == pytest.approx(ours.auc_interval())
        assert row.attacker_advantage == pytest.approx(ours.attacker_advantage(), abs=1e-12)


@needs_extra
def test_loss_and_entropy_are_what_it_computes_itself():
    logits, labels, membership = answers(30, leak=1)
    data = tf_privacy.load("membership_inference_attack.data_structures").AttackInputData(
        logits_train=logits[membership],
        logits_test=logits[~membership],
        labels_train=labels[membership],
        labels_test=labels[~membership],
    )
    np.testing.assert_allclose(-loss_scores(logits, labels)[membership], data.get_loss_train())
    np.testing.assert_allclose(-modified_entropy_scores(logits, labels)[membership], data.get_entropy_train())


@needs_extra
def test_class_slices():
    logits, _, membership = answers(40, leak=1)
    labels = np.select([np.arange(80) % 40 < 20, np.arange(80) % 40 < 31], [0, 1], 2)
    labels[:9] = 1  # class 0: 11 and 20, class 1: 20 and 11, class 2: 9 and 9
    labels[-8:] = 1  # class 2: 9 and 1
    every = {label: tf_privacy.attack_slice(logits, labels, membership, label, attacks=QUICK) for label in range(3)}
    assert [(rows[0].label, rows[0].members, rows[0].non_members) for rows in every.values()] == [
        (0, 11, 20),
        (1, 20, 19),
        (2, 9, 1),
    ]
    ours = MembershipScores.from_labels(loss_scores(logits, labels)[labels == 0], membership[labels == 0])
    assert every[0][0].auc == pytest.approx(ours.auc(), abs=1e-12)
    assert every[0][2].skipped == "needs at least 12 members and 12 non-members, the slice has 11 and 20"
    assert every[0][2].auc is every[0][2].epsilon_lower_bound is every[0][2].attacker_advantage_interval is None
    assert [row.skipped for row in every[1]] == [None] * 4
    assert [row.skipped[:18] for row in every[2]] == ["needs at least 2 m"] * 2 + ["needs at least 12 "] * 2
    assert tf_privacy.attack_slice(logits, labels, membership, 7, attacks=["threshold"])[0].members == 0


@needs_extra
def test_repeatable_and_leaves_no_trace():
    signals = answers(14, leak=0.5)
    np.random.seed(7)
    before, handlers = np.random.get_state(), list(logging.getLogger().handlers)
    first = tf_privacy.attack_slice(*signals, attacks=["mlp"], seed=3)
    after = np.random.get_state()
    assert before[0] == after[0] and before[2:] == after[2:] and np.array_equal(before[1], after[1])
    assert logging.getLogger().handlers == handlers and not hasattr(sys, "skip_tf_privacy_import")
    np.random.random(5)
    assert tf_privacy.attack_slice(*signals, attacks=["mlp"], seed=3) == first
    assert tf_privacy.attack_slice(*signals, attacks=["mlp"], seed=4) != first


@needs_extra
def test_random_forest_whose_grid_half_fails():
    """Warnings are errors here: what the expected half of the fits says is kept back, and nothing else is."""
    row = tf_privacy.attack_slice(*answers(12, leak=40), attacks=["random_forest"])[0]
    assert row.skipped is None and row.auc > 0.9
    with pytest.warns(UserWarning, match="109 fits failed"), tf_privacy._quiet():
        import warnings

        warnings.warn("109 fits failed out of a total of 216.\n109 fits failed with Got 'auto' instead", stacklevel=1)


@needs_extra
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attacks": ["treshold"]}, "did you mean threshold"),
        ({"seed": -1}, "seed must be"),
        ({"membership": np.zeros(5)}, "membership must be of shape"),
        ({"labels": np.full(24, 3)}, "labels must be from 0 to 2"),
    ],
)
def test_bad_arguments(change, message):
    logits, labels, membership = answers(12, leak=0)
    with pytest.raises(InputError, match=message):
        tf_privacy.attack_slice(**({"logits": logits, "labels": labels, "membership": membership} | change))


@needs_extra
@pytest.mark.parametrize("fixed_variance", [True, False])
@pytest.mark.parametrize("num_shadows", [4, 7, 16])
def test_online_lira_is_theirs_with_the_sign_turned(fixed_variance, num_shadows):
    compute_score_lira = tf_privacy.load("membership_inference_attack.advanced_mia").compute_score_lira
    rng = np.random.default_rng(num_shadows)
    membership = rng.random((num_shadows, 40)) < 0.5
    membership[:2], membership[2:4] = True, False
    shadows, target = rng.normal(membership * 1.5, 1.0 + membership), rng.normal(0.5, 1.5, 40)
    sides = [[shadows[membership[:, i] == side, i][:, None] for i in range(40)] for side in (True, False)]
    theirs = compute_score_lira(target[:, None], *sides, option="both", fix_variance=fixed_variance)
    np.testing.assert_allclose(lira(target, shadows, membership, fixed_variance=fixed_variance), -theirs, rtol=1e-9)


def test_pieces_cover_every_slice_and_attack_once():
    labels = np.repeat([0, 1, 2], [24, 23, 1])
    pieces = tf_privacy_tasks.pieces(labels, np.arange(48) % 2 == 0)
    assert list(pieces) == ["all", "class-0"]
    done = [(label, attack) for some in pieces.values() for label, attacks in some for attack in attacks]
    assert sorted(done, key=str) == sorted([(s, a) for s in (None, 0, 1, 2) for a in tf_privacy.ATTACKS], key=str)


def test_nothing_is_done_before_it_began(tmp_path):
    task = Task("rate/tf-privacy-all", "time:sleep", {"folder": str(tmp_path), "encoding": "rate", "piece": "all"})
    assert not tf_privacy_tasks.is_done(task)


@pytest.fixture
def absent(monkeypatch):
    for name in {"tensorflow_privacy", *(name for name in sys.modules if name.startswith("tensorflow_privacy."))}:
        monkeypatch.setitem(sys.modules, name, None)


LINE = "tf_privacy needs: pip install 'kerasburst[tf-privacy]' ("


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    """Run the command in an empty folder; gives the exit code, and what it wrote to stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        return exit.value.code or 0, *capfd.readouterr()

    return run


def test_command_without_the_extra(absent, run, tmp_path):
    code, out, err = run("attack", "--dataset", "iris", "--tf-privacy", "--out", "audit")
    assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith("kerasburst: " + LINE)
    assert os.listdir(tmp_path) == []


def test_functions_without_the_extra(absent, tmp_path):
    config = AuditConfig(train=TrainConfig(dataset="iris"), tf_privacy=True)
    with pytest.raises(InputError) as refused:
        audit(config, tmp_path / "audit")
    assert str(refused.value).startswith(LINE) and os.listdir(tmp_path) == []
    with pytest.raises(InputError, match="needs: pip install"):
        tf_privacy.attack_slice(*answers(12, leak=0))


def test_config_of_an_audit_begun_before(tmp_path):
    config = AuditConfig(train=TrainConfig(dataset="iris"), encodings=("rate",))
    value = records.to_json(config)
    assert value.pop("tf_privacy") is False
    files.write_json(tmp_path / "config.json", value)
    assert records.load(AuditConfig, tmp_path / "config.json") == config
    with pytest.raises(InputError, match="tf_privacy must be true or false"):
        AuditConfig(train=TrainConfig(dataset="iris"), tf_privacy="yes")


TINY = (
    *("attack", "--dataset", "iris", "--encoding", "rate", "--num-steps", 3, "--set", "model.hidden_units=8"),
    *("--epochs", 2, "--shadows", 2, "--queries", 2, "--members", 20),
)


@needs_extra
def test_audit_that_gets_it_later(run, tmp_path):
    """One audit, gone on with: without it, with it, without it. No model is trained a second time."""
    code, out, _ = run(*TINY, "--out", "audit")
    assert code in (0, 3) and "tensorflow-privacy" not in out  # so small an audit may fail its controls
    audited = tmp_path / "audit"
    assert json.loads((audited / "audit.json").read_text())["encodings"]["rate"]["tf_privacy"] is None
    models = {path: path.stat().st_mtime_ns for path in (audited / "rate" / "models").iterdir()}
    config = json.loads((audited / "config.json").read_text())
    del config["tf_privacy"]  # as an audit of an older version has it
    (audited / "config.json").write_text(json.dumps(config))

    code, out, _ = run("attack", "--resume", "--tf-privacy", "--out", "audit")
    shown = "AUC by tensorflow-privacy: threshold 0." in out
    assert code == (0 if shown else 3)  # an audit that fails its controls shows no figures; audit.json has them
    found = json.loads((audited / "audit.json").read_text())
    encoding = found["encodings"]["rate"]
    theirs = encoding["tf_privacy"]
    assert found["config"]["tf_privacy"] is True and theirs["queries"] == 2
    assert theirs["limits"] == list(tf_privacy.LIMITS) and theirs["versions"] == tf_privacy.versions()
    entire = {row["attack"]: row for row in theirs["attacks"] if row["label"] is None}
    assert list(entire) == list(tf_privacy.ATTACKS) and all(row["skipped"] is None for row in entire.values())
    ours = {attack["name"]: attack["auc"] for attack in encoding["attacks"]}
    assert entire["threshold"]["auc"] == pytest.approx(ours["loss"])
    assert entire["threshold_entropy"]["auc"] == pytest.approx(ours["modified_entropy"])
    by_class = [row for row in theirs["attacks"] if row["label"] is not None]
    assert [row["label"] for row in by_class] == sorted([0, 1, 2] * 6)
    assert sum(row["members"] for row in by_class if row["attack"] == "threshold") == 20
    page = (audited / "audit.html").read_text()
    assert "<h2>tensorflow-privacy's attacks</h2>" in page and "one of twenty such draws" in page
    assert {path: path.stat().st_mtime_ns for path in (audited / "rate" / "models").iterdir()} == models

    code, out, _ = run("attack", "--resume", "--no-tf-privacy", "--out", "audit")
    assert code in (0, 3) and "tensorflow-privacy" not in out
    assert "tensorflow-privacy" not in (audited / "audit.html").read_text()
