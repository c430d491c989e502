"""The oracles themselves against figures by hand, and the checkers against draws they must refuse."""

import numpy as np
import pytest
from scipy import stats

from . import oracles


def test_marginals_by_hand():
    e2 = np.exp(-2.0)
    sf = [1 - e2, 1 - 3 * e2, 1 - 5 * e2, 1 - (5 + 4 / 3) * e2]  # P(N > 0..3), N ~ Poisson(2)
    np.testing.assert_allclose(oracles.rate_marginal([0.25, 1.0], 2, gain=2.0), [[0.5, 1.0]] * 2)
    truncated = oracles.poisson_marginal([0.5], 3, 2, 2.0)[:, 0]
    np.testing.assert_allclose(truncated, [0.5 * sf[0], 0.5 * sf[1], 0.5 * sf[0]])
    spilt = oracles.poisson_marginal([0.5], 3, 2, 2.0, "spill")[:, 0]
    np.testing.assert_allclose(spilt[2], 1 - (1 - 0.5 * sf[2]) * (1 - 0.5 * sf[0]))
    # x = 0.5, T = 3, m = 1: mean delay 1, so that P(D = d) = 1/2, 1/4, 1/8, ...
    dropped = oracles.delayed_marginal([0.5], 3, 2.0, 1)[:, 0]
    np.testing.assert_allclose(dropped[2], sf[2] / 2 + sf[1] / 4 + sf[0] / 8)
    clipped = oracles.delayed_marginal([0.5], 3, 2.0, 1, "clip")[:, 0]
    np.testing.assert_allclose(clipped[2], sf[2] / 2 + sf[1] / 4 + sf[0] / 4)
    assert not oracles.delayed_marginal([0.5], 3, 2.0, 1, silence=0.5).any()


@pytest.mark.parametrize(
    "trains, marginal",
    [
        (oracles.rate_trains(0.3, 4), oracles.rate_marginal([0.3], 4)),
        (oracles.poisson_trains(0.4, 5, 2, 1.5, "truncate"), oracles.poisson_marginal([0.4], 5, 2, 1.5)),
        (oracles.poisson_trains(0.4, 5, 2, 1.5, "spill"), oracles.poisson_marginal([0.4], 5, 2, 1.5, "spill")),
        (oracles.delayed_trains(0.4, 5, 1.5, 2, "drop"), oracles.delayed_marginal([0.4], 5, 1.5, 2)),
        (oracles.delayed_trains(0.4, 5, 1.5, 2, "clip"), oracles.delayed_marginal([0.4], 5, 1.5, 2, "clip")),
    ],
)
def test_trains_and_marginals_are_one_distribution(trains, marginal):
    assert sum(trains.values()) == pytest.approx(1.0)
    total = sum(chance * np.array(train) for train, chance in trains.items())
    np.testing.assert_allclose(total, marginal[:, 0])


def test_the_checkers_accept_the_right_draws_and_refuse_the_wrong_ones():
    rng = np.random.default_rng(0)
    p = np.array([[0.0, 0.1], [0.5, 1.0]])
    right = (rng.random((20_000, 2, 2)) < p).astype("uint8")
    assert oracles.marginals_agree(right, p)
    assert not oracles.marginals_agree(right, p + [[0.0, 0.0], [0.03, 0.0]])
    for cell, value in (((0, 0, 0), 1), ((0, 1, 1), 0)):  # one exception where p is 0, one where it is 1
        wrong = right.copy()
        wrong[cell] = value
        assert not oracles.marginals_agree(wrong, p)

    sizes = np.bincount(rng.poisson(2.0, 20_000), minlength=15)
    assert oracles.counts_agree(sizes[:15], np.append(stats.poisson.pmf(range(14), 2.0), stats.poisson.sf(13, 2.0)))
    assert not oracles.counts_agree(sizes[:15], np.append(stats.poisson.pmf(range(14), 2.1), stats.poisson.sf(13, 2.1)))
    assert not oracles.counts_agree([10, 10, 1], [0.5, 0.5, 0.0])

    flat = (rng.random((20_000, 6)) < 0.4).astype("uint8")
    assert oracles.independent(flat)
    assert not oracles.independent(np.where([1, 1, 1, 1, 1, 0], flat, flat[:, :1]))  # two columns are one
    assert not oracles.independent(np.ones((10, 3)))

    assert oracles.prefix_in_intervals(np.array([[1, 1, 0, 1, 0]]), 3)
    assert not oracles.prefix_in_intervals(np.array([[0, 1, 0, 1, 0]]), 3)
    assert oracles.one_run(np.array([[0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]]))
    assert not oracles.one_run(np.array([[1, 0, 1, 0]]))
