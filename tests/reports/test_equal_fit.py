"""The head of an audit's page, from figures made by hand."""

import copy
from pathlib import Path

import numpy as np
import pytest

from kerasburst.reports import equal_fit, palette
from kerasburst.reports.audit import headline
from kerasburst.reports.view import Item


def point(epoch, accuracy, auc):
    return {
        "epoch": epoch,
        "test_accuracy": accuracy,
        "test_accuracy_interval": [accuracy - 0.01, accuracy + 0.01],
        "member_accuracy": 0.95,
        "queries": 4,
        "models": 9,
        "auc": {"strongest": auc, "loss": auc - 0.05},
        "auc_interval": {"strongest": [auc - 0.02, auc + 0.02], "loss": [auc - 0.07, auc - 0.03]},
        "tpr_at_1_fpr": {"loss": None},
        "strongest": "loss",
    }


def difference(first, second, value, verdict, attack="strongest", at="test_accuracy"):
    none = value is None
    return {
        **{"first": first, "second": second, "at": at, "attack": attack, "verdict": verdict},
        "difference": value,
        "interval": None if none else [value - 0.01, value + 0.01],
        "common": None if none else [0.6, 0.8],
    }


AUDIT = {
    "config": {"train": {}, "arms": [{}], "targets": 1},
    "encodings": {"mine": {}, "plain noise": {}, "other": {}},
    "controls": [{"name": "splits_disjoint", "ok": True, "encoding": None}],
    "curves": {
        "mine": [point(2, 0.6, 0.55), point(8, 0.9, 0.65)],
        "plain noise": [point(2, 0.55, 0.52), point(8, 0.8, 0.6)],
        "other": [point(2, 0.3, 0.52), point(8, 0.5, 0.6)],
    },
    "matched": [
        difference("mine", "plain noise", 0.03, "higher"),
        difference("mine", "plain noise", -0.03, "lower", attack="loss"),
        difference("mine", "plain noise", 0.03, "equivalent", at="gap"),
        difference("mine", "other", None, "not comparable"),
        difference("plain noise", "other", 0.5, "higher"),
    ],
}


def test_each_arm_is_compared_with_the_first_in_one_sentence():
    assert equal_fit.sentence(AUDIT) == (
        "At equal test accuracy, plain noise leaks less than mine: AUC mine − plain noise +0.030 (+0.020 to +0.040); "
        "other cannot be compared with mine, no test accuracy is reached by both. Other attacks disagree: plain noise "
        "leaks more than mine by loss. At an equal gap (accuracy on members less test accuracy), however, "
        "plain noise leaks as much as mine: AUC mine − plain noise +0.030 (+0.020 to +0.040)."
    )


def test_a_page_has_a_line_for_each_arm_and_one_for_each_disagreement():
    assert equal_fit.lines(AUDIT) == [
        "plain noise leaks less than mine: AUC mine − plain noise +0.030 (+0.020 to +0.040).",
        "other cannot be compared with mine, no test accuracy is reached by both.",
        "Other attacks disagree: plain noise leaks more than mine by loss.",
        "At an equal gap (accuracy on members less test accuracy), however, plain noise leaks as much as mine: "
        "AUC mine − plain noise +0.030 (+0.020 to +0.040).",
    ]
    two = {**AUDIT, "curves": {name: AUDIT["curves"][name] for name in ("mine", "other")}}
    assert equal_fit.lines(two) == [equal_fit.sentence(two)]
    one = {**AUDIT, "curves": {"mine": AUDIT["curves"]["mine"]}}
    assert equal_fit.lines(one) == [] and equal_fit.sentence(one) == ""
    undecided = {**AUDIT, "matched": [difference("mine", name, 0.0, "undecided") for name in ("plain noise", "other")]}
    assert [line.partition(" leaks")[0] for line in equal_fit.lines(undecided)] == [
        "It is undecided whether plain noise",
        "It is undecided whether other",
    ]


def test_a_narrow_range_that_both_arms_reach_is_said_where_it_is_used():
    wide, narrow = AUDIT["matched"][0], {**AUDIT["matched"][2], "common": [0.0641, 0.0652]}
    both = "mine and plain noise both reach only gaps of 6.4 to 6.5 %: this says little of the rest of their curves."
    assert equal_fit.sentence({**AUDIT, "matched": [wide, narrow]}).endswith(both)
    agreeing = {**narrow, "verdict": wide["verdict"]}  # the sentence does not mention the gap then
    assert "both reach" not in equal_fit.sentence({**AUDIT, "matched": [wide, agreeing]})
    narrow = {**wide, "common": [0.6, 0.605]}
    both = "mine and plain noise both reach only test accuracies of 60.0 to 60.5 %"
    assert both in equal_fit.sentence({**AUDIT, "matched": [narrow]})


@pytest.mark.parametrize(
    "verdict, said",
    [
        ("lower", "other leaks more than mine: AUC mine − other -0.002"),
        ("equivalent", "other leaks as much as mine: AUC mine − other -0.002 (-0.012 to +0.008)"),
        ("undecided", "it is undecided whether other leaks more or less than mine: AUC mine − other -0.002"),
    ],
)
def test_the_sentence_speaks_of_the_second_arm(verdict, said):
    audit = {**AUDIT, "curves": {name: AUDIT["curves"][name] for name in ("mine", "other")}}
    audit["matched"] = [difference("mine", "other", -0.002, verdict)]
    assert f"At equal test accuracy, {said}" in equal_fit.sentence(audit)
    (row,) = equal_fit.tables(audit)[0].rows  # the same direction and sign as in the sentence
    assert row[0].text == "mine − other" and row[3].line.startswith("-0.002 (-0.012 to +0.008)")


def test_what_agrees_or_is_undecided_elsewhere_is_no_disagreement():
    audit = {**AUDIT, "curves": {name: AUDIT["curves"][name] for name in ("mine", "other")}}
    same = [difference("mine", "other", 0.03, "higher", at=at) for at in ("test_accuracy", "gap")]
    weaker = difference("mine", "other", 0.0, "undecided", attack="loss")
    assert equal_fit.sentence({**audit, "matched": [*same, weaker]}) == (
        "At equal test accuracy, other leaks less than mine: AUC mine − other +0.030 (+0.020 to +0.040)."
    )
    undecided = difference("mine", "other", 0.0, "undecided")
    found = equal_fit.sentence({**audit, "matched": [undecided, same[1], {**weaker, "verdict": "lower"}]})
    assert "Other attacks disagree: other leaks more than mine by loss. At an equal gap" in found
    assert found.endswith("other leaks less than mine: AUC mine − other +0.030 (+0.020 to +0.040).")


def test_the_line_of_a_page_of_many_results_ends_with_it():
    found = {**AUDIT, "encodings": {}, "data": {"name": "mine"}, "protocol": "audit", "curves": AUDIT["curves"]}
    line = headline(Item(kind="audit", path=Path("a"), label="", link="", value=found, config={}))
    assert line.startswith("mine, audit: valid; ") and "AUC mine − plain noise +0.030" in line


def test_one_arm_has_an_answer_and_is_not_compared():
    audit = {**AUDIT, "curves": {"mine": AUDIT["curves"]["mine"]}, "encodings": {"mine": {}}, "matched": []}
    leaks = "mine leaks: the AUC of the strongest attack after 8 epochs is 0.650 (0.630 to 0.670), above the 0.5 of "
    assert equal_fit.answers(audit) == [leaks + "guessing (mean over all 9 models, test accuracy 90.0 %)."]
    assert equal_fit.sentence(audit) == "" and "lower arm" not in equal_fit.drawing(audit).caption
    assert [table.title for table in equal_fit.tables(audit)] == ["Every epoch"]
    own = {**audit, "config": {"arms": ["mine"], "targets": 1}}
    (said,) = equal_fit.answers(own)
    assert "strongest attack at the last of 8 snapshots is 0.650" in said
    assert equal_fit.tables(own)[0].head[1] == "snapshot" and "at a snapshot" in equal_fit.drawing(own).caption


@pytest.mark.parametrize(
    "interval, said",
    [
        (
            [0.49, 0.6],
            "No leak was found in mine: the AUC of the strongest attack after 1 epoch is 0.550 (0.490 to 0.600), not ",
        ),
        (None, "It is not known whether mine leaks: the AUC of the strongest attack after 1 epoch is 0.550, too few"),
    ],
)
def test_an_arm_is_only_said_to_leak_if_the_interval_is_above_a_guess(interval, said):
    last = {**point(1, 0.9, 0.55), "auc_interval": {"strongest": interval}}
    (answer,) = equal_fit.answers({**AUDIT, "curves": {"mine": [last]}, "encodings": {"mine": {}}})
    assert answer.startswith(said)


@pytest.mark.parametrize(
    "interval, said",
    [
        (
            [0.45, 0.55],
            "It is not known whether mine leaks once it has learnt: the AUC of the strongest attack after 1 ",
        ),
        ([0.55, 0.65], "mine leaks: "),
    ],
)
def test_a_network_that_has_not_learnt_is_not_said_to_hide_its_members(interval, said):
    last = {**point(1, 0.5, 0.5), "auc_interval": {"strongest": interval}}
    arm = {"test_accuracy_interval": [0.4, 0.6], "train_accuracy_interval": [0.45, 0.6]}
    audit = {**AUDIT, "curves": {"mine": [last]}, "encodings": {"mine": arm}, "data": {"chance": 0.5}}
    (answer,) = equal_fit.answers(audit)
    assert answer.startswith(said) and ("no better than always giving the same" in answer) == (interval[0] < 0.5)


def test_an_attack_that_is_the_wrong_way_round_is_no_sign_of_privacy():
    last = {**point(1, 0.9, 0.3), "auc_interval": {"strongest": [0.2, 0.4]}}
    (answer,) = equal_fit.answers({**AUDIT, "curves": {"mine": [last]}, "encodings": {"mine": {}}})
    assert answer.startswith("It is not known whether mine leaks: ") and "members score lower" in answer


def test_targets_alone_answer_where_there_is_no_curve():
    loss, main = ({"name": n, "auc": 0.7, "auc_interval": [0.6, 0.8]} for n in ("loss", "lira_online"))
    arm = {"attacks": [main, loss], "test_accuracy": 0.8, "epochs": 30}
    audit = {**AUDIT, "curves": {}, "matched": [], "encodings": {"mine": arm}, "protocol": "audit"}
    leaks = "mine leaks: the AUC of lira_online after 30 epochs is 0.700 (0.600 to 0.800), above the 0.5 of guessing "
    assert equal_fit.answers(audit) == [leaks + "(test accuracy 80.0 %)."]


def test_arms_whose_controls_failed_and_audits_without_curves_are_left_out():
    audit = copy.deepcopy(AUDIT)
    audit["controls"].append({"name": "canaries", "ok": False, "encoding": "plain noise"})
    assert "plain noise" not in equal_fit.sentence(audit) + " ".join(equal_fit.answers(audit))
    assert [label for _, label in equal_fit.drawing(audit).legend] == ["mine", "other"]
    assert all("plain noise" not in row[0].text for table in equal_fit.tables(audit) for row in table.rows)
    older = {"controls": [], "config": {"train": {}}}  # of an earlier version
    assert equal_fit.sentence(older) == "" and equal_fit.drawing(older) is None and equal_fit.tables(older) == []


def test_a_curve_with_its_band_for_each_arm(monkeypatch):
    kept = []
    monkeypatch.setattr(equal_fit, "svg", lambda figure, name: kept.append(figure.axes[0]) or palette.svg(figure, name))
    drawing = equal_fit.drawing(AUDIT)
    (axes,) = kept
    assert [label for _, label in drawing.legend] == list(AUDIT["curves"])
    lines = [line for line in axes.lines if line.get_marker() != "None"]
    assert np.allclose([line.get_xdata() for line in lines], [[60, 90], [55, 80], [30, 50]])
    assert lines[0].get_ydata().tolist() == [0.55, 0.65]
    assert len(axes.collections) == 3
    ends = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (ends.min(), ends.max()) == pytest.approx((0.53, 0.67))


def test_every_difference_and_every_point_is_in_the_tables():
    differences, points = equal_fit.tables(AUDIT)
    assert len(differences.rows) == 5 and len(points.rows) == 6
    assert [cell.line for cell in differences.rows[0]] == [
        *("mine − plain noise", "test accuracy", "strongest", "+0.030 (+0.020 to +0.040)", "60.0 to 80.0", "higher"),
    ]
    assert points.head[4:6] == ("AUC, strongest", "AUC, loss")
