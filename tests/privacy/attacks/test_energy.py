"""The energy attack: scores by hand, no shadow models, no labels."""

import math
import re

import numpy as np
import pytest

from kerasburst.privacy.attacks.attack import Answers, Evidence
from kerasburst.privacy.attacks.energy import ENERGY, energy_scores
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.registry import ATTACKS
from kerasburst.validation import InputError


@pytest.mark.parametrize(
    "logits, expected",
    [
        ([[0.0, 0.0]], math.log(2)),
        ([[1.0, 1.0, 1.0, 1.0]], 1 + math.log(4)),
        ([[math.log(1), math.log(2), math.log(5)]], math.log(8)),
        ([[1e4, -1e4]], 1e4),  # no overflow
        ([[-1e4, -1e4]], -1e4 + math.log(2)),
        ([[[0.0, 0.0], [2.0, 2.0]]], 1 + math.log(2)),  # mean logits 1 and 1
        ([[[3.0, -1.0], [-1.0, 3.0]]], 1 + math.log(2)),  # the same: not the mean of energies, which is above 3
        ([[[[4.0, 0.0]], [[0.0, 0.0]]]], math.log(math.e**2 + 1)),  # further axes: mean logits 2 and 0
    ],
)
def test_scores_by_hand(logits, expected):
    scores = energy_scores(logits)
    assert scores.shape == (1,) and scores.dtype == np.float64
    assert scores[0] == pytest.approx(expected, rel=1e-14)


def test_it_adds_what_is_added_to_every_class_and_takes_any_order_of_classes_and_queries():
    z = np.random.default_rng(0).normal(size=(6, 3, 4))
    scores = energy_scores(z)
    np.testing.assert_allclose(energy_scores(z + 5.0), scores + 5.0, rtol=1e-12)
    np.testing.assert_allclose(energy_scores(z[:, ::-1, ::-1]), scores, rtol=1e-12)
    np.testing.assert_allclose(energy_scores(z[:, 0]), np.log(np.exp(z[:, 0]).sum(-1)), rtol=1e-12)


def test_the_attack_needs_the_targets_logits_alone():
    assert ATTACKS["energy"] is ENERGY and ENERGY.threshold and not ENERGY.needs_population
    z = np.log([[[1.0, 1.0]], [[3.0, 1.0]]])
    shadow = Answers(np.log([[[7.0, 1.0]], [[1.0, 1.0]]]), None, None)
    evidence = Evidence(
        labels=np.array([0, 1]),
        target=Answers(z, None, None),
        reference_labels=np.array([1, 0]),
        shadows=(shadow,),
        membership=np.array([[True, False]]),
        population_labels=np.array([], int),
        population_target=None,
        population_shadows=(),
    )
    assert ENERGY.applies(evidence)
    np.testing.assert_allclose(ENERGY.score(evidence), np.log([2.0, 4.0]))
    np.testing.assert_allclose(ENERGY.shadow_scores(evidence), np.log([[8.0, 2.0]]))


def test_power():
    rng = np.random.default_rng(3)
    found = []
    for leak in (1.0, 0.0):
        for _ in range(20):
            truth = rng.random(300) < 0.5
            z = rng.normal(size=(300, 2, 4)) + (leak * truth)[:, None, None]
            found.append(MembershipScores.from_labels(energy_scores(z), truth))
    assert min(each.auc_interval()[0] for each in found[:20]) > 0.5
    assert sum(low <= 0.5 <= high for low, high in (each.auc_interval() for each in found[20:])) >= 17


@pytest.mark.parametrize(
    "logits, message",
    [
        ([0.0, 1.0], "logits must be of shape (n, ..., C)"),
        ([[1.0], [2.0]], "logits must be of shape (n, ..., C)"),
        (np.zeros((0, 3)), "logits must be of shape (n, ..., C)"),
        ([[0.0, math.nan]], "logits must be finite"),
        ([[0.0, math.inf]], "logits must be finite"),
        ("high", "logits must be an array of numbers"),
    ],
)
def test_bad_input(logits, message):
    with pytest.raises(InputError, match=re.escape(message)):
        energy_scores(logits)
