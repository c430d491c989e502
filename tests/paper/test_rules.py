import math

import pytest

from kerasburst.paper.rules import AUC_RULE, Region, above, below, between, judge
from kerasburst.privacy.matching import MARGIN
from kerasburst.validation import InputError


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.001, 0.2, "supported"),
        (0.001, 0.009, "not supported"),  # above 0, and too small to matter
        (0.001, 0.0101, "supported"),
        (-0.2, -0.001, "contradicted"),
        (-0.009, -0.001, "not supported"),
        (-0.01, 0.01, "not supported"),  # the ends count in
        (0.0, 0.01, "not supported"),  # 0 itself is not above 0
        (0.0, 0.0, "not supported"),
        (-0.011, 0.01, "undecided"),
        (0.0, 0.011, "undecided"),
        (-0.3, 0.3, "undecided"),
    ],
)
def test_the_auc_rule(low, high, verdict):
    assert AUC_RULE.verdict(low, high) == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-3.0, 4.9, "supported"),
        (5.1, 9.0, "contradicted"),
        (4.0, 5.0, "undecided"),
        (5.0, 6.0, "undecided"),
        (4.0, 6.0, "undecided"),
    ],
)
def test_the_rule_of_a_bound(low, high, verdict):
    assert below(5.0).verdict(low, high) == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.5, 4.5, "supported"),
        (2.0, 3.0, "supported"),
        (-2.0, 1.4, "contradicted"),
        (4.6, 9.0, "contradicted"),
        (1.0, 2.0, "undecided"),
        (4.0, 5.0, "undecided"),
        (-9.0, 9.0, "undecided"),
    ],
)
def test_the_rule_of_a_range(low, high, verdict):
    assert between(1.5, 4.5).verdict(low, high) == verdict


def test_the_margin_is_that_of_audits_at_equal_fit():
    assert AUC_RULE.effect == MARGIN and AUC_RULE.regions[0] == Region("not supported", -MARGIN, MARGIN)


def test_rules_say_themselves():
    assert AUC_RULE.text == (
        "95 % interval over seeds: not supported if within ±0.01, supported if above 0, contradicted if below 0, "
        "else undecided"
    )
    assert below(5.0, " points").text == (
        "95 % interval over seeds: supported if below 5 points, contradicted if above 5 points, else undecided"
    )
    assert "supported if from 1.5 to 4.5 %, contradicted if below 1.5 % or above 4.5 %" in between(1.5, 4.5, " %").text
    assert above(1.0, 0.5).regions[2] == Region("not supported", 0.5, 1.5)


def test_two_seeds_by_hand():
    # mean 0.03, s = 0.0141421, se = 0.01, t_1(0.975) = 12.7062: 0.03 +- 0.127062
    found = judge([0.02, 0.04], AUC_RULE)
    assert found.verdict == "undecided" and found.seeds == 2 and found.figure == pytest.approx(0.03)
    assert found.interval == pytest.approx((0.03 - 0.127062, 0.03 + 0.127062), abs=1e-6)
    # s / 0.01 = 1.41: a t-test of 80 % power for an effect of 0.707 s takes 18 (G*Power), whatever the mean
    assert found.seeds_to_decide == 18 and "about 18 seeds" in found.reason
    assert judge([0.10, 0.12], AUC_RULE).seeds_to_decide == 18
    # s may be 0.4463 of what was seen: chi-square of 1 at 0.975 is 5.0239; and 31.9 times that: past 10,000
    assert found.seeds_to_decide_interval == (6, 10_000) and "(6 to more than 10,000) would tell" in found.reason
    assert found.accuracy_gap is None and not found.confounded


def test_three_seeds_by_hand():
    # mean 0.03, s = 0.01, t_2(0.975) s / sqrt(3) = 4.302653 * 0.0057735 = 0.0248414
    found = judge([0.02, 0.03, 0.04], AUC_RULE)
    assert found.verdict == "supported" and found.interval == pytest.approx((0.0051586, 0.0548414), abs=1e-6)
    assert found.reason == "" and found.seeds_to_decide is None and not found.confounded
    assert judge([-0.02, -0.03, -0.04], AUC_RULE).verdict == "contradicted"
    # mean 0, s = 0.001, half 0.00248
    assert judge([-0.001, 0.0, 0.001], AUC_RULE).verdict == "not supported"


def test_a_gap_in_accuracy_confounds_and_does_not_decide():
    at_two = judge([0.02, 0.03, 0.04], AUC_RULE, accuracy_gaps=[2.0, 2.0, 2.0])
    assert not at_two.confounded and at_two.accuracy_gap == 2.0
    more = judge([0.02, 0.03, 0.04], AUC_RULE, accuracy_gaps=[1.0, 2.0, 3.3])
    assert more.confounded and more.accuracy_gap == pytest.approx(2.1) and more.verdict == "supported"
    assert judge([0.02, 0.03, 0.04], AUC_RULE, accuracy_gaps=[-3.0, -3.0, -3.0]).confounded  # the other way, too
    members = judge([0.02, 0.03, 0.04], AUC_RULE, [0.0, 0.0, 0.0], member_gaps=[2.0, 2.0, 2.3])
    assert members.confounded and members.accuracy_gap == 0.0 and members.member_gap == pytest.approx(2.1)


def test_one_seed_decides_nothing():
    found = judge([0.5], AUC_RULE)
    assert (found.verdict, found.figure, found.interval, found.seeds) == ("undecided", 0.5, None, 1)
    assert found.seeds_to_decide is None and "two or more" in found.reason


def test_figures_without_spread_decide_from_three_seeds_on():
    assert judge([0.0] * 3, AUC_RULE).verdict == "not supported" and judge([0.1] * 3, AUC_RULE).verdict == "supported"
    # 0.3 - 0.2 and 0.1 differ in their last bit: that is no spread either.
    for values in ([0.0, 0.0], [0.3 - 0.2, 0.1]):
        found = judge(values, AUC_RULE)
        assert (found.verdict, found.seeds_to_decide) == ("undecided", None) and "the same figure" in found.reason
    assert found.interval == pytest.approx((0.1, 0.1))


def test_without_an_effect_that_matters_there_is_no_number_of_seeds():
    found = judge([-1.0, 1.0002], above())
    assert (found.seeds_to_decide, found.seeds_to_decide_interval) == (None, None)
    assert found.reason == "the interval is too wide"
    many = judge([-9.0, 9.0], AUC_RULE)
    assert many.seeds_to_decide is None and "about more than 10,000 seeds" not in many.reason
    assert "more than 10,000 seeds" in many.reason


def test_a_spread_that_is_pooled_stands_for_the_values_own():
    # 1.0 +- t_6(0.975) 0.6 / sqrt(3) = 2.446912 * 0.346410
    found = judge([0.9, 1.0, 1.1], below(2.0), spread=(0.6, 6))
    assert found.interval == pytest.approx((1 - 0.847635, 1 + 0.847635), abs=1e-6) and found.verdict == "supported"


def test_an_audit_s_own_interval_decides_alone():
    found = judge([0.03], AUC_RULE, interval=(0.02, 0.04))
    assert (found.verdict, found.interval, found.seeds) == ("supported", (0.02, 0.04), 1)
    assert judge([0.03], AUC_RULE, interval=(-0.02, 0.08)).reason == "the interval is too wide"


@pytest.mark.parametrize("values", [[], [math.nan, 0.1], [math.inf, 0.2], [[0.1, 0.2]]])
def test_what_is_no_figure_is_refused(values):
    with pytest.raises(InputError, match="values must be one or more finite numbers"):
        judge(values, AUC_RULE)


def test_gaps_must_be_figures_too():
    with pytest.raises(InputError, match="accuracy_gaps must be finite numbers"):
        judge([0.1, 0.2], AUC_RULE, accuracy_gaps=[1.0, math.nan])
