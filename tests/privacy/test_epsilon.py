"""Bounds of epsilon: by hand, on mechanisms whose epsilon is known, and against jax_privacy."""

import math
import re

import numpy as np
import pytest
from scipy import stats

from kerasburst.privacy.epsilon import epsilon_lower_bound, guesses_bound, one_run_bound, rates_bound
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.validation import InputError


def test_rates_by_hand():
    # All of 20 members and none of 10 non-members: L = 0.025^(1/20), U = 1 - 0.025^(1/10).
    low, high = 0.025 ** (1 / 20), 1 - 0.025 ** (1 / 10)
    expected = max(math.log(low / high), math.log((1 - high) / (1 - low)))
    assert rates_bound(20, 20, 0, 10) == pytest.approx(expected)
    assert rates_bound(20, 20, 0, 10, delta=0.1) == pytest.approx(
        max(math.log((low - 0.1) / high), math.log((0.9 - high) / (1 - low)))
    )
    # Ends of the binomial itself: P(X >= 15 | L) = P(X <= 3 | U) = alpha / 2.
    low, high = 0.5089541, 0.3789268  # of 15 in 20 and 3 in 20, both at 97.5 %
    assert stats.binom.sf(14, 20, low) == pytest.approx(0.025, abs=1e-5)
    assert stats.binom.cdf(3, 20, high) == pytest.approx(0.025, abs=1e-5)
    assert rates_bound(15, 20, 3, 20) == pytest.approx(math.log(low / high), abs=1e-6)
    assert rates_bound(0, 20, 20, 20) == 0.0 and rates_bound(20, 20, 20, 20) == 0.0 and rates_bound(0, 20, 0, 20) == 0.0


def test_one_run_by_hand():
    # 10 of 10 right: q^10 = 0.05, epsilon = log(q / (1 - q)).
    q = 0.05 ** (1 / 10)
    assert guesses_bound(10, 10, 10) == pytest.approx(math.log(q / (1 - q)))
    # 1 of 1 right, delta 0.01 of m = 2: q + 2 * 2 * 0.01 * (1 - q) / 1 = 0.6
    assert guesses_bound(1, 1, 2, confidence=0.4, delta=0.01) == pytest.approx(
        math.log((0.56 / 0.96) / (1 - 0.56 / 0.96))
    )
    assert guesses_bound(5, 10, 10) == 0.0 and guesses_bound(0, 10, 10) == 0.0
    # A delta as large as 1 / m takes the evidence away.
    assert guesses_bound(100, 100, 100, delta=0.01) < 1 < guesses_bound(100, 100, 100)


def test_guesses_are_the_highest_and_the_lowest_scores():
    scores = np.array([5.0, 4.0, 0.1, 0.2, -4.0, -5.0])
    members = np.array([1, 0, 1, 0, 0, 0])
    # 4 guesses: 5 and 4 are called members, -4 and -5 non-members: 3 are right.
    expected = guesses_bound(3, 4, 6, confidence=0.6)
    assert one_run_bound(scores, members, guesses=4, confidence=0.6).epsilon == expected > 0


def dealt(rng, m, epsilon):
    """Randomised response: each flip is shown truly with probability e^epsilon / (1 + e^epsilon)."""
    members = rng.random(m) < 0.5
    truly = rng.random(m) < 1 / (1 + math.exp(-epsilon))
    return np.where(truly, members, ~members) + rng.normal(0, 0.01, m), members


@pytest.mark.sampled(3)
@pytest.mark.parametrize("epsilon", [1.0, 0.0, 3.0])
def test_bounds_hold_where_epsilon_is_known(epsilon):
    rng, repeats, above, bounds = np.random.default_rng(0), 100, [0, 0], []
    for _ in range(repeats):
        scores, members = dealt(rng, 400, epsilon)
        one = one_run_bound(scores, members, guesses=160).epsilon
        halves = [MembershipScores.from_labels(scores[part], members[part]) for part in (slice(200), slice(200, None))]
        two = epsilon_lower_bound(halves[0], halves[1]).epsilon
        above = [above[0] + (one > epsilon), above[1] + (two > epsilon)]
        bounds.append((one, two))
    limit = stats.binom.ppf(0.999, repeats, 0.05)
    assert max(above) <= limit
    if epsilon:
        assert np.mean(bounds, axis=0).min() > 0.3 * epsilon  # and they say something


@pytest.mark.thorough
def test_a_threshold_chosen_on_the_scores_themselves_finds_more_than_there_is():
    rng = np.random.default_rng(1)
    draws = [[MembershipScores(rng.normal(size=60), rng.normal(size=60)) for _ in range(2)] for _ in range(100)]
    own, other = (
        [epsilon_lower_bound(one, of).epsilon for one, of in ((a, pick(a, b)) for a, b in draws)]
        for pick in (lambda a, b: a, lambda a, b: b)
    )
    # Scores without a leak: epsilon is 0.
    assert sum(bound > 0 for bound in other) <= stats.binom.ppf(0.999, 100, 0.05)
    assert sum(bound > 0 for bound in own) > 2 * sum(bound > 0 for bound in other)


@pytest.mark.parametrize("delta", [1e-5, 1e-2])
def test_against_jax_privacy(delta):
    auditing = pytest.importorskip("jax_privacy.auditing")
    rng = np.random.default_rng(2)
    members, others = rng.normal(2, 1, 300), rng.normal(0, 1, 300)
    auditor = auditing.CanaryScoreAuditor(members, others)
    for threshold in (0.5, 1.5, 2.5):
        explicit = auditing.Explicit(threshold)
        tp, fp = int((members >= threshold).sum()), int((others >= threshold).sum())
        theirs = auditor.epsilon_one_run(0.05, delta, threshold_strategy=explicit)
        assert guesses_bound(tp, tp + fp, 600, delta=delta) == pytest.approx(theirs, abs=1e-5)
        theirs = auditor.epsilon_clopper_pearson(0.05, delta, one_sided=False, threshold_strategy=explicit)
        assert rates_bound(tp, 300, fp, 300, delta=delta) == pytest.approx(theirs, rel=1e-6)


ONE = MembershipScores(np.ones(4), np.zeros(4))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: rates_bound(5, 4, 0, 4), "true_positives must be an integer from 0 to 4, received 5"),
        (lambda: rates_bound(1, 4, 0, 0), "non_members must be an integer of at least 1"),
        (
            lambda: epsilon_lower_bound(ONE, ONE, confidence=1.0),
            "confidence must be a finite number above 0 and below 1",
        ),
        (lambda: epsilon_lower_bound(ONE, ONE, delta=1.0), "delta must be a finite number of at least 0 and below 1"),
        (lambda: one_run_bound([1.0, 2.0], [1, 0], guesses=3), "guesses must be an integer from 2 to 2, received 3"),
        (lambda: one_run_bound([1.0, 2.0, 0.0], [1, 0, 1], guesses=3), "guesses must be even"),
        (lambda: one_run_bound([1.0, math.nan], [1, 0], guesses=2), "scores must be without NaN"),
        (lambda: one_run_bound([1.0, 2.0], [1, 2], guesses=2), "membership must be True or False"),
        (lambda: guesses_bound(3, 2, 9), "right must be an integer from 0 to 2"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=re.escape(message)):
        call()
