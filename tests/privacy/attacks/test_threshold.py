"""Threshold attacks: scores by hand, a threshold from shadows by a loop."""

import re

import numpy as np
import pytest
from scipy import stats

from kerasburst.privacy import statistics
from kerasburst.privacy.attacks import (
    ThresholdResult,
    apply_threshold,
    choose_threshold,
    entropy_scores,
    loss_scores,
    modified_entropy_scores,
)
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.validation import InputError

ATTACKS = {"loss": loss_scores, "entropy": entropy_scores, "modified_entropy": modified_entropy_scores}


@pytest.mark.parametrize("name", ATTACKS)
def test_scores_are_negative_means_over_queries(name):
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(6, 3, 4)), rng.integers(0, 4, 6)
    statistic = getattr(statistics, name)
    expected = [-np.mean([statistic(z[i : i + 1, k], y[i : i + 1])[0] for k in range(3)]) for i in range(6)]
    np.testing.assert_allclose(ATTACKS[name](z, y), expected, rtol=1e-12)
    np.testing.assert_array_equal(ATTACKS[name](z[:, 0], y), -statistic(z[:, 0], y))


@pytest.mark.parametrize("decimals", [0, 2])
def test_threshold_against_a_loop(decimals):
    rng = np.random.default_rng(1)
    membership = rng.random((4, 30)) < 0.5
    scores = rng.normal(membership * 1.0).round(decimals)

    def advantage(t):
        return np.mean(scores[membership] >= t) - np.mean(scores[~membership] >= t)

    chosen = choose_threshold(scores, membership)
    best = max(map(advantage, scores.ravel()))
    assert advantage(chosen) == best and chosen == max(t for t in scores.ravel() if advantage(t) == best)
    result = apply_threshold(scores[0], membership[0], chosen)
    called = scores[0] >= chosen
    assert result.accuracy == np.mean(called == membership[0])
    assert result.attacker_advantage == pytest.approx(
        called[membership[0]].mean() - called[~membership[0]].mean(), abs=1e-15
    )


def test_without_an_advantage_nobody_is_called_a_member():
    threshold = choose_threshold([0.0, 1.0], [1, 0])
    assert threshold == float("inf")
    assert apply_threshold([5.0, 6.0], [1, 0], threshold) == ThresholdResult(threshold, 0, 1, 0, 1)


@pytest.mark.thorough
def test_intervals_cover():
    rng = np.random.default_rng(2)
    tpr, fpr = stats.norm.sf(0.5 - 1), stats.norm.sf(0.5)
    covered = []
    for _ in range(300):
        result = apply_threshold(np.concatenate([rng.normal(1, 1, 60), rng.normal(0, 1, 60)]), [1] * 60 + [0] * 60, 0.5)
        ends = result.accuracy_interval(), result.attacker_advantage_interval()
        truths = (tpr + 1 - fpr) / 2, tpr - fpr
        covered.append([low <= truth <= high for (low, high), truth in zip(ends, truths, strict=True)])
    assert (np.mean(covered, axis=0) > 0.92).all()


def test_accuracy_interval_is_clopper_pearson():
    result = ThresholdResult(0.0, true_positives=7, members=9, false_positives=2, non_members=11)
    low, high = result.accuracy_interval(0.9)  # 16 of 20 right: each end leaves 5 % beyond
    assert stats.binom.sf(15, 20, low) == pytest.approx(0.05) and stats.binom.cdf(16, 20, high) == pytest.approx(0.05)


@pytest.mark.parametrize("name", ATTACKS)
def test_power(name):
    rng = np.random.default_rng(3)
    results, advantages = [], []
    for leak in (2.0, 0.0):
        for _ in range(20):
            truth = rng.random((2, 300)) < 0.5  # of a shadow and the target
            z, y = rng.normal(size=(2, 300, 4)), rng.integers(0, 4, (2, 300))
            z += (leak * truth + 0.5)[..., None] * np.eye(4)[y]
            scores = [ATTACKS[name](*pair) for pair in zip(z, y, strict=True)]
            results.append(MembershipScores.from_labels(scores[1], truth[1]))
            threshold = choose_threshold(scores[0], truth[0])
            advantages.append(apply_threshold(scores[1], truth[1], threshold).attacker_advantage_interval())
    assert np.mean([r.auc() for r in results[:20]]) > 0.7 and min(low for low, _ in advantages[:20]) > 0.1
    assert sum(low <= 0.5 <= high for low, high in (r.auc_interval() for r in results[20:])) >= 17
    assert sum(low <= 0.0 <= high for low, high in advantages[20:]) >= 17


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: loss_scores([[0.0, 1.0]], [2]), "labels must be from 0 to 1, received 2"),
        (lambda: choose_threshold([0.0, np.nan], [0, 1]), "scores must be without NaN"),
        (lambda: choose_threshold([0.0, 1.0], [1, 1]), "membership must be with members and non-members"),
        (lambda: choose_threshold([[0.0, 1.0]], [0, 1]), "membership must be of shape (1, 2)"),
        (lambda: apply_threshold([0.0, 1.0], [0, 1], float("nan")), "threshold must be a number, received nan"),
        (lambda: apply_threshold([0.0, 1.0], [0, 1], "high"), "threshold must be a number"),
        (lambda: apply_threshold([0.0, 1.0], [0, 0], 0.5), "membership must be with members and non-members"),
        (lambda: ThresholdResult(0.0, 1, 1, 1, 1).accuracy_interval(0.0), "confidence must be"),
        (lambda: ThresholdResult(0.0, 1, 1, 1, 1).attacker_advantage_interval(2), "confidence must be"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=re.escape(message)):
        call()
