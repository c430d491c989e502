"""RMIA against the double loop over points and population."""

import re

import numpy as np
import pytest

from kerasburst.privacy.attacks import rmia
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.registry import ATTACKS
from kerasburst.validation import InputError


def halves(rng, shadows, n):
    return np.argsort(rng.random((shadows, n)), axis=0) < shadows // 2


def naive(target, shadows, membership, population_target, population_shadows, gamma, online, a):
    def p(phi):
        return 1 / (1 + np.exp(-phi))

    def ratio(phi, shadow_phi, used):
        pbar = np.mean([p(s) for s, u in zip(shadow_phi, used, strict=True) if u])
        if not online:
            pbar = ((1 + a) * pbar + 1 - a) / 2
        return p(phi) / pbar

    everywhere = [True] * len(shadows)
    of_z = [ratio(phi, s, everywhere) for phi, s in zip(population_target, population_shadows.T, strict=True)]
    scores = []
    for i, phi in enumerate(target):
        of_x = ratio(phi, shadows[:, i], everywhere if online else ~membership[:, i])
        scores.append(np.mean([of_x / z > gamma for z in of_z]))
    return scores


def drawn(rng, n=40, m=57, shadows=6):
    membership = halves(rng, shadows, n)
    return dict(
        target=rng.normal(0, 2, n),
        shadows=rng.normal(0, 2, (shadows, n)) + membership,
        membership=membership,
        population_target=rng.normal(0, 2, m),
        population_shadows=rng.normal(0, 2, (shadows, m)),
    )


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("gamma, a", [(2.0, 0.3), (1.3, 0.0), (0.5, 1.0)])
def test_formula(online, gamma, a):
    signals = drawn(np.random.default_rng(0))
    expected = naive(**signals, gamma=gamma, online=online, a=a)
    got = rmia(**signals, gamma=gamma, online=online, offline_a=a)
    np.testing.assert_array_equal(got, expected)
    assert len(set(got)) > 5


def test_mean_over_shadows_is_the_mean_of_in_and_out_when_half_are_in():
    signals = drawn(np.random.default_rng(1))
    p = 1 / (1 + np.exp(-signals["shadows"]))
    member = signals["membership"]
    both = (np.mean(p, axis=0, where=member) + np.mean(p, axis=0, where=~member)) / 2
    x = np.log(1 / (1 + np.exp(-signals["target"])) / both)
    z = np.log(
        1
        / (1 + np.exp(-signals["population_target"]))
        / np.mean(1 / (1 + np.exp(-signals["population_shadows"])), axis=0)
    )
    np.testing.assert_array_equal(rmia(**signals), (x[:, None] - z > np.log(2)).mean(axis=1))


def test_equal_ratios_do_not_count():
    shadows = np.array([[0.5], [-0.5]])
    assert rmia([1.0], shadows, [[1], [0]], [1.0, 0.0], np.repeat(shadows, 2, axis=1), gamma=1.0).tolist() == [0.5]


def test_queries_are_averaged_first():
    rng = np.random.default_rng(2)
    signals = drawn(rng)
    spread = {k: v if k == "membership" else v[..., None] + [-1.0, 0.0, 1.0] for k, v in signals.items()}
    np.testing.assert_array_equal(rmia(**signals), rmia(**spread))


def test_phi_of_ten_thousand():
    signals = dict(
        target=[-1e4, 0.0, 1e4],
        shadows=np.full((2, 3), -1e4) + [[0.0], [1.0]],
        membership=[[1, 1, 1], [0, 0, 0]],
        population_target=[-1e4 + 3, 0.0],
        population_shadows=np.full((2, 2), -1e4),
    )
    # log ratios, less log of mean(1, e) = 0.62: x -0.62, 9998.69, 9999.38; z: 3 and 9999.31; log 2 = 0.69.
    assert rmia(**signals).tolist() == [0.0, 0.5, 0.5]
    assert rmia(**signals, gamma=1.01).tolist() == [0.0, 0.5, 1.0]
    assert rmia(**signals, online=False).tolist() == [0.0, 0.5, 0.5]


def test_population_of_thousands_is_fast():
    rng = np.random.default_rng(3)
    assert rmia(**drawn(rng, n=3000, m=20_000, shadows=2)).shape == (3000,)


@pytest.mark.parametrize("online", [True, False])
def test_power(online):
    rng = np.random.default_rng(4)
    results = []
    for leak in (2.0, 0.0):
        for _ in range(20):
            hard, hard_z = rng.normal(0, 1.5, 300), rng.normal(0, 1.5, 200)
            membership, truth = halves(rng, 8, 300), rng.random(300) < 0.5
            scores = rmia(
                rng.normal(hard + leak * truth),
                rng.normal(hard + leak * membership),
                membership,
                rng.normal(hard_z),
                rng.normal(hard_z, size=(8, 200)),
                gamma=1.2,
                online=online,
            )
            results.append(MembershipScores.from_labels(scores, truth))
    assert np.mean([r.auc() for r in results[:20]]) > 0.75
    assert sum(low <= 0.5 <= high for low, high in (r.auc_interval() for r in results[20:])) >= 17


def test_an_audits_gamma_finds_a_leak_among_saturated_confidences():
    rng = np.random.default_rng(5)
    sure, leak, truth = rng.normal(6, 0.5, 300), 1.0, rng.random(300) < 0.5
    membership = halves(rng, 8, 300)
    signals = dict(
        target=rng.normal(sure + leak * truth),
        shadows=rng.normal(sure + leak * membership),
        membership=membership,
        population_target=rng.normal(6, 1, 200),
        population_shadows=rng.normal(6, 1, (8, 200)),
    )
    # p = sigmoid(6) is 0.9975: no p is twice another, so that at gamma 2 every score is 0.
    assert set(rmia(**signals, gamma=2.0)) == {0.0}
    assert MembershipScores.from_labels(rmia(**signals, gamma=1.0), truth).auc() > 0.6
    assert ATTACKS["rmia"].parameters == {"gamma": 1.0}


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(gamma=0.0), "gamma must be a finite number above 0"),
        (dict(offline_a=1.1), "offline_a must be a finite number from 0 to 1"),
        (dict(online=None), "online must be true or false"),
        (dict(population_target=[]), "population_target must be of shape (n,) or (n, K), not empty"),
        (dict(population_target=np.zeros(9)), "population_shadows must be of shape (N, 9)"),
        (dict(population_shadows=np.zeros((5, 57))), "population_shadows must be of the same 6 shadows"),
        (dict(population_target=np.full(57, np.nan)), "population_target must be finite"),
        (dict(membership=np.ones((6, 40))), "received 40 of 40 points OUT of none of 6 shadows"),
        (dict(membership=np.zeros((6, 40))), "received 40 of 40 points IN none of 6 shadows"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(InputError, match=re.escape(message)):
        rmia(**{**drawn(np.random.default_rng(0)), **change})
