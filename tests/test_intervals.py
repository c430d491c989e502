"""Exact intervals against the binomial itself."""

import math
import re

import numpy as np
import pytest
from scipy import stats

from kerasburst.intervals import clopper_pearson, hierarchical_interval, separation_bound, units_to_decide, wilson
from kerasburst.validation import InputError


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


# Means over models ---------------------------------------------------------------------------------------------------


def test_one_pool_is_the_t_interval_of_its_pairs():
    values = [0.50, 0.54, 0.61, 0.63, 0.55, 0.57, 0.66, 0.70]
    found = hierarchical_interval(values, pairs=[0, 0, 1, 1, 2, 2, 3, 3])
    reference = stats.ttest_1samp([0.52, 0.62, 0.56, 0.68], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert (found.unit, found.units, found.degrees_of_freedom) == ("pair", 4, 3)


def test_three_pools_are_the_t_interval_of_their_means():
    pools, pairs = [7, 7, 7, 7, 2, 2, 5, 5, 5], [0, 0, 1, 1, 0, 0, 0, 1, 1]
    found = hierarchical_interval([1, 3, 4, 6, 7, 9, 2, 4, 8], pools, pairs, confidence=0.9)
    reference = stats.ttest_1samp([(2 + 5) / 2, 8, (2 + 6) / 2], 0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert (found.unit, found.units) == ("pool", 3)


def test_two_pools_are_welchs_interval():
    # The mean of two means is half the difference of one sample and the other with its sign turned.
    one, other = np.array([0.1, 0.5, 0.4]), np.array([0.9, 0.8, 0.95, 0.6, 0.7])
    found = hierarchical_interval(np.concatenate([one, other]), pools=[0] * 3 + [1] * 5)
    reference = stats.ttest_ind(one, -other, equal_var=False)
    ends = reference.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low / 2, ends.high / 2), abs=1e-12)
    assert found.degrees_of_freedom == pytest.approx(reference.df)


def test_shared_references_widen_by_the_jackknife():
    values, without = np.array([0.50, 0.62, 0.56, 0.68]), np.array([0.61, 0.56, 0.60, 0.55])
    found = hierarchical_interval(values, without=without)
    b, j = np.var(values, ddof=1) / 4, 3 / 4 * sum((w - 0.58) ** 2 for w in without)
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, 3) * math.sqrt((2 * b + j) / 3))
    # Of independent pairs, a jackknife of their mean is the variance of it: nothing changes.
    alone = hierarchical_interval(values, without=[np.delete(values, q).mean() for q in range(4)])
    assert (alone.low, alone.high) == pytest.approx(
        (hierarchical_interval(values).low, hierarchical_interval(values).high)
    )


def test_equal_values_have_no_width():
    found = hierarchical_interval([0.5] * 4)
    assert (found.low, found.high) == (0.5, 0.5)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(values=[]), "values must be finite numbers, at least one"),
        (dict(values=[0.5, math.nan]), "values must be finite numbers"),
        (dict(pairs=[0, 1]), "pairs must be of shape (4,)"),
        (dict(pools=[0]), "pools must be of shape (4,)"),
        (dict(pairs=[0, 0, 0, 0]), "pairs must be at least 2 in each of fewer than 3 pools, received 1"),
        (dict(without=[0.5]), "without must be a finite number for each of 4 pairs"),
        (dict(confidence=1.0), "confidence must be a finite number above 0 and below 1"),
    ],
)
def test_bad_input_of_means(change, message):
    with pytest.raises(InputError, match=re.escape(message)):
        hierarchical_interval(**{"values": [0.5, 0.6, 0.7, 0.8], **change})


@pytest.mark.thorough
@pytest.mark.parametrize(
    "pairs_of_pools, spreads, between",
    [((4, 4, 4), (1, 1, 1), 1.0), ((8,), (1,), 0.0), ((3, 8), (1, 3), 0.0), ((3, 8), (3, 1), 0.0)],
)
def test_coverage_of_independent_pairs(pairs_of_pools, spreads, between):
    rng = np.random.default_rng(0)
    pools = np.repeat(np.arange(len(pairs_of_pools)), [2 * q for q in pairs_of_pools])
    pairs = np.concatenate([np.repeat(np.arange(q), 2) for q in pairs_of_pools])
    spread, held, repeats = np.array(spreads)[pools], 0, 10_000
    for _ in range(repeats):
        of_pool, of_pair = rng.normal(0, between, len(spreads)), rng.normal(size=(len(spreads), max(pairs_of_pools)))
        values = of_pool[pools] + spread * (of_pair[pools, pairs] + 0.5 * rng.normal(size=len(pools)))
        found = hierarchical_interval(values, pools, pairs)
        held += found.low <= 0 <= found.high
    assert 0.925 < held / repeats < 0.97


# Units to decide -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio, power, known", [(1.0, 0.8, 10), (0.5, 0.8, 34), (0.8, 0.9, 19), (0.2, 0.8, 199)])
def test_units_to_decide_are_those_of_power_tables(ratio, power, known):
    # Two-sided one-sample t-tests at 5 % (Cohen, Statistical Power Analysis, and G*Power).
    assert units_to_decide(1.0, 1, effect=ratio, power=power)[0] == known


def test_units_to_decide_have_the_interval_of_the_spread():
    s = 1.1
    low, high = (s * math.sqrt(11 / stats.chi2.ppf(tail, 11)) for tail in (0.975, 0.025))
    found = units_to_decide(s, 11, effect=0.5)
    assert found[1:] == (units_to_decide(low, 11, 0.5)[0], units_to_decide(high, 11, 0.5)[0])
    assert found[1] < found[0] < found[2]


@pytest.mark.parametrize("deviation, freedom", [(0.0, 2), (math.inf, 2), (0.1, 0)])
def test_units_to_decide_need_a_spread(deviation, freedom):
    with pytest.raises(InputError, match="deviation must be|freedom must be"):
        units_to_decide(deviation, freedom, effect=0.1)
