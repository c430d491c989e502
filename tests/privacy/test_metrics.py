"""Metrics against loops over thresholds, and intervals against their promised coverage."""

import re

import numpy as np
import pytest
from scipy import stats

from kerasburst.intervals import seed_interval, separation_bound
from kerasburst.privacy.auc import delong_covariance
from kerasburst.privacy.metrics import MembershipScores, paired_auc_difference
from kerasburst.validation import InputError


def gaussian(rng, auc, members=100, non_members=100):
    return MembershipScores(rng.normal(np.sqrt(2) * stats.norm.ppf(auc), 1, members), rng.normal(0, 1, non_members))


def naive_roc(scores):
    points = [(0.0, 0.0)]
    for t in sorted({*scores.member_scores, *scores.non_member_scores}, reverse=True):
        tpr = sum(s >= t for s in scores.member_scores) / len(scores.member_scores)
        fpr = sum(s >= t for s in scores.non_member_scores) / len(scores.non_member_scores)
        points.append((fpr, tpr))
    return points


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize("sign", [1, -1])
def test_points_against_loops(decimals, sign):
    rng = np.random.default_rng(5)
    scores = MembershipScores(
        sign * rng.normal(0.8, 1, 90).round(decimals), sign * rng.normal(0, 1, 120).round(decimals)
    )
    points = naive_roc(scores)
    np.testing.assert_array_equal(np.transpose(points), scores.roc())
    assert scores.attacker_advantage() == max(tpr - fpr for fpr, tpr in points)
    for fpr in (0.0834, 0.1, 0.25, 0.5, 0.99):
        tpr = max(y for x, y in points if x <= fpr)
        assert scores.tpr_at_fpr(fpr) == tpr
        for prior in (0.01, 0.5):
            assert scores.ppv(prior, fpr) == pytest.approx(prior * tpr / (prior * tpr + (1 - prior) * fpr), rel=1e-12)
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in zip(points, points[1:], strict=False))
    assert scores.auc() == pytest.approx(area, rel=1e-12) and (scores.auc() > 0.5) == (sign > 0)


def test_tie_at_the_threshold_is_not_split():
    # 10 of 100 non-members may pass; 11 share the highest score with half of the members: none of them may.
    scores = MembershipScores([1.0] * 5 + [0.0] * 5, [1.0] * 11 + [0.0] * 89)
    assert scores.tpr_at_fpr(0.1) == 0.0 and scores.ppv(0.5, 0.1) == 0.0
    assert scores.tpr_at_fpr(0.11) == 0.5


def test_infinite_scores():
    scores = MembershipScores([np.inf, 1.0], [-np.inf, 2.0])
    assert scores.auc() == 0.75 and scores.attacker_advantage() == 0.5
    np.testing.assert_array_equal(scores.roc(), [[0, 0, 0.5, 0.5, 1], [0, 0.5, 0.5, 1, 1]])


@pytest.mark.parametrize("fpr, needed", [(0.1, 100), (0.01, 1000), (0.001, 10000)])
def test_not_resolvable_below_ten_false_positives(fpr, needed):
    few, enough = (MembershipScores([1.0, 5.0], np.arange(n) / needed) for n in (needed - 1, needed))
    assert few.tpr_at_fpr(fpr) is None and few.ppv(0.5, fpr) is None and few.tpr_at_fpr_interval(fpr) is None
    assert enough.tpr_at_fpr(fpr) == 1.0 and enough.ppv(0.5, fpr) == pytest.approx(1 / (1 + fpr))
    assert enough.tpr_at_fpr_interval(fpr)[1] == 1.0 and few.ppv_interval(0.5, fpr) is None
    low, high = enough.ppv_interval(0.1, fpr)
    tpr = enough.tpr_at_fpr_interval(fpr)[0]
    assert low == pytest.approx(0.1 * tpr / (0.1 * tpr + 0.9 * fpr)) and high == pytest.approx(0.1 / (0.1 + 0.9 * fpr))


def test_from_labels():
    a = MembershipScores.from_labels([3.0, 1.0, 2.0], [1, 0, 1])
    b = MembershipScores.from_labels(np.array([3.0, 1.0, 2.0]), np.array([True, False, True]))
    for scores in (a, b):
        assert scores.member_scores.tolist() == [3.0, 2.0] and scores.non_member_scores.tolist() == [1.0]


def test_scores_are_copied_and_closed():
    mine = np.array([1.0, 2.0])
    scores = MembershipScores(mine, mine)
    mine[:] = 9.0
    assert scores.member_scores.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        scores.member_scores[0] = 3.0


# Intervals ----------------------------------------------------------------------------------------------------


def test_delong_interval_is_symmetric_on_the_logit_scale():
    scores = gaussian(np.random.default_rng(0), 0.8)
    auc, (low, high) = scores.auc(), scores.auc_interval(0.9)
    variance = delong_covariance(scores.member_scores[None], scores.non_member_scores[None])[0, 0]
    width = 1.6448536 * np.sqrt(variance) / (auc * (1 - auc))
    centre = np.log(auc / (1 - auc))
    expected = [1 / (1 + np.exp(-x)) for x in (centre - width, centre + width)]
    np.testing.assert_allclose([low, high], expected, rtol=1e-7)


def covers(interval, truth):
    return interval[0] <= truth <= interval[1]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("auc", [0.5, 0.7, 0.9])
def test_delong_covers(auc):
    rng = np.random.default_rng(int(auc * 10))
    share = np.mean([covers(gaussian(rng, auc).auc_interval(), auc) for _ in range(1500)])
    assert 0.93 <= share <= 0.97


@pytest.mark.sampled(3)
@pytest.mark.parametrize("auc", [0.5, 0.7, 0.9])
def test_bootstrap_covers(auc):
    rng = np.random.default_rng(int(auc * 10))
    options = {"method": "bootstrap", "num_samples": 200}
    covered = [covers(gaussian(rng, auc, 200, 200).auc_interval(**options, seed=i), auc) for i in range(400)]
    assert 0.93 <= np.mean(covered) <= 0.97


def test_power_an_interval_that_is_too_narrow_would_be_seen():
    rng = np.random.default_rng(7)
    assert np.mean([covers(gaussian(rng, 0.7).auc_interval(0.9), 0.7) for _ in range(600)]) < 0.93


def test_no_spread_gives_an_interval_all_the_same():
    width = separation_bound(50, 40, 0.95)
    for method in ("delong", "bootstrap"):
        apart = MembershipScores(np.arange(50) + 100.0, np.arange(40.0))
        assert apart.auc_interval(method=method, num_samples=50) == (1 - width, 1.0)
        turned = MembershipScores(np.arange(50.0), np.arange(40) + 100.0)
        assert turned.auc_interval(method=method, num_samples=50) == (0.0, width)
        equal = MembershipScores(np.zeros(50), np.zeros(40))
        assert equal.auc_interval(method=method, num_samples=50) == (0.5 - width, 0.5 + width)


def test_interval_near_one_covers():
    # 20 of each at an AUC of 0.99: every fourth sample is separated without error.
    rng = np.random.default_rng(8)
    runs = [gaussian(rng, 0.99, 20, 20) for _ in range(600)]
    assert np.mean([run.auc() == 1 for run in runs]) > 0.1
    assert np.mean([covers(run.auc_interval(), 0.99) for run in runs]) > 0.93


@pytest.mark.thorough
@pytest.mark.parametrize("auc", [0.5, 0.8])
def test_tpr_interval_covers(auc):
    rng = np.random.default_rng(int(auc * 10))
    truth = stats.norm.sf(stats.norm.isf(0.1) - np.sqrt(2) * stats.norm.ppf(auc))
    runs = [gaussian(rng, auc).tpr_at_fpr_interval(0.1, num_samples=300, seed=i) for i in range(400)]
    assert np.mean([covers(run, truth) for run in runs]) > 0.93
    assert np.mean([high - low for low, high in runs]) < 0.4


def test_tpr_interval_bootstrap_is_that_of_drawn_examples():
    scores = gaussian(np.random.default_rng(1), 0.8, 150, 120)
    rng = np.random.default_rng(2)
    drawn = [
        MembershipScores(rng.choice(scores.member_scores, 150), rng.choice(scores.non_member_scores, 120))
        for _ in range(3000)
    ]
    expected = np.quantile([run.tpr_at_fpr(0.1) for run in drawn], [0.025, 0.975])
    # The threshold moves: the percentiles are wider than Clopper-Pearson here, and decide.
    exact = stats.binomtest(round(scores.tpr_at_fpr(0.1) * 150), 150).proportion_ci(method="exact")
    assert expected[0] < exact.low and exact.high < expected[1]
    np.testing.assert_allclose(scores.tpr_at_fpr_interval(0.1, num_samples=20_000), expected, atol=0.02)


def test_tpr_interval_is_clopper_pearson_where_the_bootstrap_is_still():
    for found in (0, 20):  # scores far from the threshold: each resample has the same TPR
        members = np.concatenate([np.full(found, 50.0), np.full(20 - found, -50.0)])
        exact = stats.binomtest(found, 20).proportion_ci(0.9, method="exact")
        interval = MembershipScores(members, np.linspace(0, 1, 100)).tpr_at_fpr_interval(0.1, 0.9, num_samples=50)
        np.testing.assert_allclose(interval, [exact.low, exact.high], atol=1e-12)


@pytest.mark.parametrize("auc", [0.5, 0.7])
def test_advantage_interval_covers(auc):
    rng = np.random.default_rng(9)
    shift = np.sqrt(2) * stats.norm.ppf(auc)
    truth = 2 * stats.norm.cdf(shift / 2) - 1  # of the best threshold, halfway
    assert np.mean([covers(gaussian(rng, auc).attacker_advantage_interval(), truth) for _ in range(200)]) > 0.95


def test_paired_difference():
    rng = np.random.default_rng(3)
    truth = stats.norm.cdf(0.9 / np.sqrt(2 * 1.25)) - stats.norm.cdf(0.9 / np.sqrt(2 * 2.0))
    covered, paired_width, apart_width = [], [], []
    for _ in range(800):
        shared = [rng.normal(shift, 1, 100) for shift in (0.9, 0)]
        a, b = (MembershipScores(*(s + rng.normal(0, noise, 100) for s in shared)) for noise in (0.5, 1.0))
        difference, low, high = paired_auc_difference(a, b)
        assert difference == a.auc() - b.auc()
        covered.append(low <= truth <= high)
        paired_width.append(high - low)
        variances = [delong_covariance(s.member_scores[None], s.non_member_scores[None])[0, 0] for s in (a, b)]
        apart_width.append(2 * 1.96 * np.sqrt(sum(variances)))
    assert 0.925 <= np.mean(covered) <= 0.975
    assert np.mean(paired_width) < 0.8 * np.mean(apart_width)  # what pairing is for
    assert paired_auc_difference(a, a) == (0.0, -separation_bound(100, 100, 0.95), separation_bound(100, 100, 0.95))


def test_seed_interval():
    mean, low, high = seed_interval([0.6, 0.7, 0.65, 0.75])
    half = 3.182446305 * np.sqrt(0.0125 / 3) / 2  # t_{0.975, 3}; squared deviations sum to 0.0125
    np.testing.assert_allclose([mean, low, high], [0.675, 0.675 - half, 0.675 + half], rtol=1e-8)


# Bad input ------------------------------------------------------------------------------------------------------

GOOD = MembershipScores([1.0, 2.0, 3.0], [0.0, 1.0])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: MembershipScores([], [1.0]), "member_scores must be 1-D and not empty, received 'shape (0,)'"),
        (lambda: MembershipScores([1.0], [[1.0]]), "non_member_scores must be 1-D and not empty"),
        (
            lambda: MembershipScores([1.0], [np.nan, 2.0]),
            "non_member_scores must be without NaN, received '1 of 2 NaN'",
        ),
        (lambda: MembershipScores(["a"], [1.0]), "member_scores must be an array of numbers"),
        (lambda: MembershipScores.from_labels([1.0, 2.0], [1, 1]), "membership must be with members and non-members"),
        (lambda: MembershipScores.from_labels([1.0, 2.0], [0, 2]), "membership must be True or False, or 1 or 0"),
        (lambda: MembershipScores.from_labels([1.0, 2.0], [0]), "membership must be of shape (2,)"),
        (lambda: GOOD.auc_interval(confidence=1.0), "confidence must be a finite number above 0 and below 1"),
        (lambda: GOOD.auc_interval(method="delorean"), "did you mean delong?"),
        (lambda: GOOD.auc_interval(num_samples=0), "num_samples must be an integer of at least 1"),
        (lambda: GOOD.tpr_at_fpr(0.0), "fpr must be"),
        (lambda: GOOD.tpr_at_fpr(1), "fpr must be"),
        (lambda: GOOD.ppv(0.0, 0.1), "prior must be"),
        (lambda: GOOD.ppv_interval(0.0, 0.1), "prior must be"),
        (
            lambda: MembershipScores([1.0], [0.0, 1.0]).auc_interval(),
            "member_scores must be at least 2 for an interval",
        ),
        (lambda: paired_auc_difference(GOOD, MembershipScores([1.0], [0.0, 1.0])), "b.member_scores must be as many"),
        (lambda: seed_interval([0.5]), "values must be at least 2 finite numbers"),
        (lambda: seed_interval([0.5, np.inf]), "values must be at least 2 finite numbers"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=re.escape(message)):
        call()
