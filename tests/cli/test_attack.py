"""kerasburst attack as a user meets it; models are pretended here, their training has tests of its own."""

import copy
import json
import os

import numpy as np
import pytest
from kerasburst_cli.cmd_attack import summary
from scipy import stats

from kerasburst.privacy.metrics import MembershipScores
from kerasburst.privacy.splits import AuditSplits
from tests.privacy.common import RUN_FLEET, Pretend

# Of 48 and of 54 of 60 examples; the pretended models are right as often.
ACCURACIES = [tuple(stats.binomtest(right, 60).proportion_ci(method="wilson")) for right in (48, 54)]
FILES = {"audit.html", "audit.json", "config.json", "plan.json", "rate", "scores.npz", "splits.npz"}


def audited(tmp_path, out="audit"):
    return json.loads((tmp_path / out / "audit.json").read_text())


def test_an_audit(attack, tmp_path):
    outcome = attack("--out", "deep/audit", figures=True)
    assert outcome.code == 0 and outcome.err == "", outcome
    assert set(os.listdir(tmp_path / "deep" / "audit")) == FILES
    lines = outcome.out.splitlines()
    assert lines[4].startswith("5/5 rate/planted done in")
    assert lines[5] == "audit on data: 60 members, 60 non-members of each target"
    names = "splits_disjoint, blind_baseline, untrained, permuted_membership, planted_leak, weights_differ"
    said = f"valid: All 6 controls hold: {names}."
    assert lines[6] == said and lines[-2] == said
    assert lines[7].startswith("rate leaks: the AUC of lira_online after ") and "the 0.5 of guessing" in lines[7]
    tested, fitted = (f"{100 * low:.1f} to {100 * high:.1f}" for low, high in ACCURACIES)
    assert f"rate: test accuracy 80.0 ({tested}) %, on its members 90.0 ({fitted}) %" in lines
    result = audited(tmp_path, "deep/audit")
    for found in result["encodings"]["rate"]["attacks"]:
        low, high = found["auc_interval"]
        row = f"{found['auc']:.3f} ({low:.3f} to {high:.3f})"  # nothing resolves a TPR at 10 % FPR
        assert [" ".join(line.split()) for line in lines].count(
            " ".join(f"{found['name']} {found['queries']} {row}".split())
        ) == 1
    assert lines[-1] == "written to deep/audit: audit.html, audit.json, scores.npz"
    assert result["valid"] and result["overlap"] is None and result["protocol"] == "audit" and result["notes"] == []
    shy = copy.deepcopy(result)
    next(c for c in shy["controls"] if c["name"] == "planted_leak")["interval"] = [0.4, 0.7]  # of a weak network
    told = summary(shy, "audit").splitlines()
    assert told[1] == told[-2] and told[1].startswith("valid, but no control shows that this audit can find a leak: ")
    found = result["encodings"]["rate"]
    assert found["test_accuracy_interval"] == pytest.approx(ACCURACIES[0], abs=1e-9)
    assert found["train_accuracy_interval"] == pytest.approx(ACCURACIES[1], abs=1e-9)
    for a in found["attacks"]:
        if a["threshold_advantage"] is None:
            assert a["threshold_advantage_interval"] is None
        else:
            low, high = a["threshold_advantage_interval"]
            assert low < a["threshold_advantage"] < high and high - low < 0.4
    # phi leaks 2 standard deviations of the model's noise: averaging takes the encoding's away.
    one, two = (
        next(a for a in result["encodings"]["rate"]["attacks"] if (a["name"], a["queries"]) == ("lira_online", k))
        for k in (1, 2)
    )
    assert 0.7 < one["auc"] < two["auc"] < 0.97


def test_json_alone_is_on_stdout_and_progress_on_stderr(attack, tmp_path):
    outcome = attack("--out", "audit", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out) == {"out": "audit"} | audited(tmp_path)
    assert [line.split()[:3] for line in outcome.err.splitlines()] == [
        [f"{i}/5", f"rate/{role}", "done"]
        for i, role in enumerate(["target-0", "shadow-0", "shadow-1", "untrained", "planted"], 1)
    ]


def test_a_network_that_does_not_work_is_named(attack, tmp_path):
    outcome = attack("--out", "audit", "--encoding", "delayed_burst", "--quiet")
    warning = "layer hidden_lif is silent: it fires 0 spikes per neuron and step"
    assert (outcome.code, outcome.err) == (0, f"warning: delayed_burst: {warning}\n")
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert page.count(f"<b>delayed_burst</b>: {warning}.") == 1 and "<b>rate</b>: " not in page
    counted = attack("--out", "counted", "--set", "model.readout=count", "--quiet")
    assert counted.err == "warning: rate: layer output_lif is silent: it fires 0 spikes per neuron and step\n"


def test_quiet_shows_the_result_alone(attack):
    outcome = attack("--out", "audit", "--quiet")
    assert (outcome.code, outcome.err) == (0, "") and "done in" not in outcome.out and "valid: " in outcome.out


@pytest.mark.thorough
def test_the_same_command_twice_gives_the_same_figures(attack, tmp_path):
    assert attack("--out", "a").code == attack("--out", "b").code == 0
    for name in ("audit.json", "audit.html", "config.json", "plan.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    with np.load(tmp_path / "a" / "scores.npz") as a, np.load(tmp_path / "b" / "scores.npz") as b:
        assert a.files == b.files and all(np.array_equal(a[name], b[name]) for name in a.files)
    assert attack("--out", "c", "--seed", "1").code == 0
    assert (tmp_path / "a" / "audit.json").read_bytes() != (tmp_path / "c" / "audit.json").read_bytes()


@pytest.mark.thorough
def test_default_directory_is_numbered(attack, tmp_path):
    for _ in range(2):
        assert attack("--queries", "1").code == 0
    assert sorted(os.listdir(tmp_path / "runs")) == ["attack-data", "attack-data-2"]


def test_an_audit_is_never_overwritten_without_force(attack, tmp_path):
    assert attack("--out", "audit").code == 0
    before = {name: (tmp_path / "audit" / name).read_bytes() for name in FILES - {"rate"}}
    outcome = attack("--out", "audit", "--seed", "5")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert all(part in outcome.err for part in ("a finished audit", "--resume", "--force"))
    assert before == {name: (tmp_path / "audit" / name).read_bytes() for name in FILES - {"rate"}}
    (tmp_path / "audit" / "notes.txt").write_text("mine")
    assert attack("--out", "audit", "--seed", "5", "--encoding", "poisson_burst", "--force").code == 0
    assert set(os.listdir(tmp_path / "audit")) == FILES | {"poisson_burst", "notes.txt"}
    assert audited(tmp_path)["config"]["train"]["seed"] == 5


class Stopped(Pretend):
    """Pretends two models, then gets a Ctrl-C."""

    def work(self, task):
        if len(self.done) == 2:
            raise KeyboardInterrupt
        super().work(task)


def test_interrupted_it_says_how_to_go_on_and_does(attack, kerasburst, tmp_path, monkeypatch):
    assert attack("--out", "undisturbed", "--seed", "3").code == 0
    outcome = attack("--out", "audit", "--seed", "3", models=Stopped())
    assert outcome.code == 130
    first, *_, last = outcome.err.splitlines()
    assert first.startswith("stopped; go on with: kerasburst ") and last == "kerasburst: interrupted"
    assert set(os.listdir(tmp_path / "audit")) == FILES - {"audit.html", "audit.json", "scores.npz"}
    monkeypatch.setattr(RUN_FLEET, Pretend())
    go_on = first.partition("kerasburst ")[2].split()
    outcome = kerasburst(*go_on)
    assert outcome.code == 0 and outcome.out.startswith("2/5 done before\n3/5 rate/shadow-1 done")
    assert (tmp_path / "audit" / "audit.json").read_bytes() == (tmp_path / "undisturbed" / "audit.json").read_bytes()
    assert kerasburst(*go_on).out.startswith("5/5 done before\naudit on data")


# Controls -----------------------------------------------------------------------------------------------------------


def assert_invalid(outcome, tmp_path, control, encoding="rate"):
    """Assert that this control alone failed, and that it is told everywhere."""
    result = audited(tmp_path)
    assert [c["name"] for c in result["controls"] if not c["ok"]] == [control]
    (failed,) = (c for c in result["controls"] if not c["ok"])
    assert failed["encoding"] == encoding and result["valid"] is False
    assert outcome.code == 3 and "Traceback" not in outcome.err
    first, last = outcome.err.splitlines()
    where = f" ({encoding})" if encoding else ""
    assert first.startswith(f"{control}{where} failed: ") and failed["remedy"]
    assert first.endswith(f"; the rule: {failed['rule']}. What to do: {failed['remedy']}")
    assert last.startswith("invalid: 1 of ") and last.endswith(" controls failed. Use no figure of this audit.")
    assert outcome.out.count(last) == 1 and "lira_online" not in outcome.out  # before all figures, which are not shown
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert "<b>Invalid.</b>" in page and "<b>Valid.</b>" not in page
    (row,) = (row for row in page.split("<tr")[1:] if "FAILED" in row)
    assert control in row
    return failed


def test_an_untrained_model_that_leaks_is_invalid(attack, tmp_path):
    outcome = attack("--out", "audit", models=Pretend(leaks={"planted": 5.0, "untrained": 5.0}))
    assert assert_invalid(outcome, tmp_path, "untrained")["interval"][0] > 0.5


@pytest.mark.parametrize("leak", [0.0, -5.0])
def test_a_planted_leak_that_is_not_found_is_invalid(attack, tmp_path, leak):
    outcome = attack("--out", "audit", models=Pretend(leaks={"planted": leak, "untrained": 0.0}))
    assert assert_invalid(outcome, tmp_path, "planted_leak")["interval"][0] < 0.6


def test_a_target_that_is_its_own_shadow_is_invalid(attack, tmp_path):
    outcome = attack("--out", "audit", models=Pretend(same_weights=("target-0", "shadow-1")))
    assert assert_invalid(outcome, tmp_path, "weights_differ")["detail"] == "target-0 = shadow-1"
    assert ": target-0 = shadow-1;" in outcome.err


class TooHigh(MembershipScores):
    def auc(self):
        return super().auc() + 0.01


def test_an_auc_that_is_wrong_is_invalid(attack, tmp_path, monkeypatch):
    monkeypatch.setattr("kerasburst.privacy.controls.MembershipScores", TooHigh)
    failed = assert_invalid(attack("--out", "audit"), tmp_path, "permuted_membership")
    assert failed["auc"] == pytest.approx(0.51)


def test_each_encoding_is_valid_or_not_by_itself(attack, tmp_path):
    models = Pretend(same_weights=("target-0", "shadow-1"), of=("poisson_burst",))
    outcome = attack("--out", "audit", "--encoding", "poisson_burst", models=models)
    found = audited(tmp_path)["encodings"]
    assert outcome.code == 3 and (found["rate"]["valid"], found["poisson_burst"]["valid"]) == (True, False)
    first, last = outcome.err.splitlines()
    assert first.startswith("weights_differ (poisson_burst) failed: ")
    assert first.endswith(
        "What to do: a model was copied or the seed has no effect: delete the models named and --resume"
    )
    assert last.endswith("Use no figure of poisson_burst. All controls of rate hold.")


def test_a_warning_of_few_members_comes_before_training(attack, tmp_path):
    outcome = attack("--out", "audit", "--members", "40")
    assert outcome.code == 0 and outcome.err.count("warning: with 40 members and 3 classes the control planted") == 1
    assert audited(tmp_path)["notes"][0].startswith("with 40 members")
    outcome = attack("--out", "other", "--members", "8")
    assert outcome.code == 2 and outcome.err.startswith("kerasburst: members must be at least 46 with 3 classes")
    assert not (tmp_path / "other").exists()


def test_members_drawn_otherwise_than_non_members_are_invalid(attack, data, tmp_path):
    assert attack("--out", "audit").code == 0
    members = AuditSplits.load(tmp_path / "audit" / "splits.npz").members(0)
    with np.load(data) as stored:
        x, y = stored["x"], stored["y"]
    x[members, 0] += 0.5
    np.savez(data, x=x, y=y)
    outcome = attack("--out", "audit", "--force")
    assert np.array_equal(AuditSplits.load(tmp_path / "audit" / "splits.npz").members(0), members)
    assert assert_invalid(outcome, tmp_path, "blind_baseline", encoding=None)["auc"] > 0.7


@pytest.mark.thorough
def test_equal_examples_in_two_parts_are_invalid(attack, data, tmp_path, monkeypatch):
    assert attack("--out", "audit").code == 0
    splits = AuditSplits.load(tmp_path / "audit" / "splits.npz")
    with np.load(data) as stored:
        x, y = stored["x"], stored["y"]
    x[splits.population[:3]] = x[splits.audited[:3]]
    np.savez(data, x=x, y=y)
    monkeypatch.setattr("kerasburst.privacy.splits._first_of_equals", lambda x: np.arange(len(x)))
    outcome = attack("--out", "audit", "--force")
    assert assert_invalid(outcome, tmp_path, "splits_disjoint", encoding=None)["detail"] == "3 shared examples"


def test_with_json_an_invalid_audit_is_json_and_exit_code_3(attack, kerasburst, tmp_path, monkeypatch):
    models = Pretend(leaks={"planted": 0.0, "untrained": 5.0})
    outcome = attack("--out", "audit", "--json", "--quiet", models=models)
    assert outcome.code == 3 and json.loads(outcome.out)["valid"] is False
    assert [line.split()[0] for line in outcome.err.splitlines()[:-1]] == ["untrained", "planted_leak"]
    again = kerasburst("attack", "--resume", "--out", "audit")
    assert again.code == 3 and again.out.startswith("5/5 done before\n") and "audit on data" in again.out


def test_each_time_step_has_its_auc_and_interval(attack, tmp_path):
    assert attack("--out", "audit", "--num-steps", "3").code == 0
    found = audited(tmp_path)["encodings"]["rate"]
    with np.load(tmp_path / "audit" / "scores.npz") as stored:
        index, member = stored["audited"], stored["membership"][0]
    with np.load(tmp_path / "audit" / "rate" / "signals" / "target-0.npz") as stored:
        row = {int(i): n for n, i in enumerate(stored["asked"])}
        trace = stored["phi_trace"].mean(axis=1)[[row[int(i)] for i in index]]
    each = [MembershipScores.from_labels(phi, member) for phi in trace.T]
    assert found["auc_by_step"] == pytest.approx([scores.auc() for scores in each])
    np.testing.assert_allclose(found["auc_interval_by_step"], [scores.auc_interval() for scores in each])
    assert len(each) == 3 and len({scores.auc() for scores in each}) == 3


# The paper's protocols ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["paper", "paper-overlapping"])
def test_the_papers_protocols(attack, tmp_path, protocol):
    outcome = attack("--out", "audit", "--protocol", protocol, "--members", "40")
    assert outcome.code == 0, outcome
    result = audited(tmp_path)
    splits = AuditSplits.load(tmp_path / "audit" / "splits.npz")
    shared = len(np.intersect1d(splits.members(0), splits.shadow_train(0)))
    assert (shared == 0) == (protocol == "paper") and result["overlap"] == shared and len(splits.shadows) == 1
    assert f"target and shadow share {shared} training examples" in outcome.out
    attacks = result["encodings"]["rate"]["attacks"]
    assert [(a["name"], a["queries"]) for a in attacks] == [("svm", 1), ("svm", 2)]
    with np.load(tmp_path / "audit" / "scores.npz") as stored, np.load(tmp_path / "data.npz") as arrays:
        scores, member, y = stored["rate/svm/2"][0], stored["membership"][0], arrays["y"][stored["audited"]]

    def auc(of):
        above = scores[of & member][:, None] - scores[of & ~member][None]
        return ((above > 0) + (above == 0) / 2).mean()

    per_class = {str(label): auc(y == label) for label in range(3)}
    assert attacks[1]["auc_per_class"] == pytest.approx(per_class)
    assert attacks[1]["auc_macro"] == pytest.approx(np.mean(list(per_class.values())))
    each = [MembershipScores.from_labels(scores[y == label], member[y == label]).auc_interval() for label in range(3)]
    assert list(attacks[1]["auc_interval_per_class"].values()) == [pytest.approx(ends) for ends in each]
    assert attacks[1]["auc_macro_interval"] == pytest.approx(np.mean(each, axis=0))
    assert attacks[1]["auc"] == pytest.approx(auc(y >= 0)) and attacks[1]["auc"] > 0.65  # all classes pooled
    members = stats.binomtest(36, 40).proportion_ci(method="wilson")
    assert result["encodings"]["rate"]["train_accuracy_interval"] == pytest.approx(tuple(members), abs=1e-9)
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert f"share {shared} of 40 training examples" in page
    assert ("compatibility mode" in page) == (protocol == "paper-overlapping")
