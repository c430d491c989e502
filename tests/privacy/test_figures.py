"""Encodings compared on scores written by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from kerasburst.privacy.figures import compare
from kerasburst.privacy.metrics import MembershipScores


@pytest.fixture
def scores():
    """Return scores of two targets: of rate coding, asked once, and of Poisson-Burst, which leaks more with each K."""
    rng = np.random.default_rng(0)
    member = np.stack([rng.permutation(80) < 40 for _ in range(2)])

    def leaking(leak):
        return rng.normal(size=member.shape) + leak * member

    rate = {("loss", 1): leaking(0.6)}
    poisson = {("loss", k): leaking(leak) for k, leak in ((1, 0.2), (4, 0.7), (16, 1.5))}
    return SimpleNamespace(targets=member), {"rate": rate, "poisson_burst": poisson}


def test_a_deterministic_encoding_meets_the_averaging_attacker_of_the_other_whichever_comes_first(scores):
    splits, of = scores
    found = compare(of, splits)
    turned = compare(dict(reversed(of.items())), splits)
    assert [(c.a, c.b, c.queries) for c in found] == [("rate", "poisson_burst", k) for k in (1, 4, 16)]
    assert [(c.a, c.b, c.queries) for c in turned] == [("poisson_burst", "rate", k) for k in (1, 4, 16)]
    for one, other in zip(found, turned, strict=True):
        auc = [
            np.mean([MembershipScores.from_labels(*pair).auc() for pair in zip(rows, splits.targets, strict=True)])
            for rows in (of["rate"]["loss", 1], of["poisson_burst"]["loss", one.queries])
        ]
        assert one.difference == pytest.approx(auc[0] - auc[1]) == pytest.approx(-other.difference)
        assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert found[0].difference > 0 > found[2].difference


def test_what_only_one_encoding_has_is_not_compared(scores):
    splits, of = scores
    of["rate"]["svm", 1] = of["rate"]["loss", 1]
    of["rate"]["loss", 4] = of["rate"].pop(("loss", 1))
    assert [(c.attack, c.queries) for c in compare(of, splits)] == [("loss", 4), ("loss", 16)]
