"""The dispersion attack: LiRA on log variances, by a loop, and a world where only the variance leaks."""

import re

import numpy as np
import pytest

from kerasburst.privacy.attacks import dispersion_scores, lira
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.registry import ATTACKS
from kerasburst.validation import InputError
from tests.privacy.attacks.common import evidence, halves


def logits_of(phi):
    return np.stack([phi, np.zeros_like(phi)], axis=-1)


def test_it_is_lira_on_log_variances():
    rng = np.random.default_rng(0)
    membership = halves(rng, 6, 15)
    target, shadows = rng.normal(size=(15, 4)), rng.normal(size=(6, 15, 4))

    def log_variance(draws):
        mean = sum(draws) / 4
        return np.log(sum((d - mean) ** 2 for d in draws) / 3 + 1e-6)

    x = np.array([log_variance(list(draws)) for draws in target])
    of_shadows = np.array([[log_variance(list(draws)) for draws in shadow] for shadow in shadows])
    expected = lira(x, of_shadows, membership, shrink=True)
    np.testing.assert_allclose(dispersion_scores(target, shadows, membership), expected, rtol=1e-9)


@pytest.mark.parametrize("change", [0.5, 2.0])  # of the standard deviation of members: it may fall or rise
def test_a_leak_of_the_variance_alone(change):
    rng, found, of_lira = np.random.default_rng(1), [], []
    for _ in range(10):
        membership, truth = halves(rng, 8, 300), rng.random(300) < 0.5
        spread = np.exp(rng.normal(0, 1, 300))  # each point's own
        target = rng.normal(0, (spread * np.where(truth, change, 1.0))[:, None], (300, 16))
        shadows = rng.normal(0, (spread * np.where(membership, change, 1.0))[..., None], (8, 300, 16))
        found.append(MembershipScores.from_labels(dispersion_scores(target, shadows, membership), truth).auc())
        of_lira.append(MembershipScores.from_labels(lira(target, shadows, membership, shrink=True), truth).auc())
    # The log variance of 16 draws has a standard deviation of 0.37 (trigamma), and the leak is 1.39 of it.
    assert min(found) > 0.9 and np.mean(found) > np.mean(of_lira) + 0.2


def test_equal_draws_give_finite_scores():
    membership = np.array([[1, 0], [0, 1]])
    assert np.isfinite(dispersion_scores(np.ones((2, 3)), np.ones((2, 2, 3)), membership)).all()


def test_it_needs_two_queries():
    attack, labels = ATTACKS["dispersion"], np.zeros(4, int)
    membership = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], bool)
    phi = np.random.default_rng(2).normal(size=(3, 4, 2))
    one, two = (
        evidence(
            labels, {"logits": logits_of(phi[0, :, :k])}, [{"logits": logits_of(p[:, :k])} for p in phi[1:]], membership
        )
        for k in (1, 2)
    )
    assert not attack.applies(one) and attack.applies(two)
    np.testing.assert_allclose(attack.score(two), dispersion_scores(phi[0], phi[1:], membership))


@pytest.mark.parametrize(
    "target, shadows, message",
    [
        (np.zeros((3, 1)), np.zeros((2, 3, 1)), "target must be of shape (n, K) with K of at least 2"),
        (np.zeros(3), np.zeros((2, 3)), "target must be of shape (n, K)"),
        (np.zeros((3, 2)), np.zeros((2, 3, 3)), "shadows must be of shape (N, 3, 2)"),
        (np.full((3, 2), np.nan), np.zeros((2, 3, 2)), "target must be finite"),
    ],
)
def test_bad_input(target, shadows, message):
    with pytest.raises(InputError, match=re.escape(message)):
        dispersion_scores(target, shadows, np.array([[1, 1, 1], [0, 0, 0]]))
