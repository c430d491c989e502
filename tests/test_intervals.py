"""Exact intervals against the binomial itself."""

import pytest
from scipy import stats

from kerasburst.intervals import clopper_pearson, separation_bound, wilson


@pytest.mark.parametrize("successes, trials", [(1, 20), (16, 20), (500, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_clopper_pearson_leaves_half_of_the_rest_on_each_side(successes, trials, confidence):
    low, high = clopper_pearson(successes, trials, confidence)
    assert stats.binom.sf(successes - 1, trials, low) == pytest.approx((1 - confidence) / 2)
    assert stats.binom.cdf(successes, trials, high) == pytest.approx((1 - confidence) / 2)


def test_clopper_pearson_at_the_ends():
    assert clopper_pearson(0, 10, 0.9) == (0.0, pytest.approx(1 - 0.05**0.1))
    assert clopper_pearson(10, 10, 0.9) == (pytest.approx(0.05**0.1), 1.0)


@pytest.mark.parametrize("successes, trials", [(0, 10), (10, 10), (7, 30), (499, 500)])
def test_wilson_is_scipys(successes, trials):
    reference = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(successes / trials, trials) == pytest.approx((reference.low, reference.high), abs=1e-12)
    # The mean over encodings is no whole number of examples.
    assert wilson((successes + (0.3 if successes < trials else -0.3)) / trials, trials) == wilson(
        successes / trials, trials
    )


def test_separation_bound_is_that_of_pairs_all_won():
    assert separation_bound(1, 50, 0.9) == pytest.approx(0.95)
    assert separation_bound(40, 30, 0.95) == pytest.approx(1 - clopper_pearson(30, 30, 0.95)[0], rel=1e-12)
