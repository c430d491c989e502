"""The input-dropout attack: its signal by a loop, and a world where members alone stay sure."""

import math

import numpy as np
import pytest

from kerasburst.privacy.attacks import dropout_signal, lira
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.registry import ATTACKS
from kerasburst.validation import InputError
from tests.privacy.attacks.common import evidence, halves


def test_signal_by_a_loop():
    rng = np.random.default_rng(0)
    z, labels = rng.normal(0, 2, (12, 5, 3)), rng.integers(0, 3, 12)
    for i, got in enumerate(dropout_signal(z, labels)):
        p = sum(math.exp(row[labels[i]]) / sum(math.exp(v) for v in row) for row in z[i]) / 5
        assert got == pytest.approx(math.log(p / (1 - p)), rel=1e-9)


def test_it_is_exact_for_large_logits():
    # p is 1 - exp(-800) and exp(-800): half each.
    assert dropout_signal([[[800.0, 0.0], [0.0, 800.0]]], [0])[0] == pytest.approx(0.0, abs=1e-12)
    assert dropout_signal([[[800.0, 0.0]]], [0])[0] == pytest.approx(800.0)


def test_a_world_where_members_stay_sure():
    rng, attack, found = np.random.default_rng(1), ATTACKS["input_dropout"], []
    for _ in range(10):
        membership, truth, hard = halves(rng, 8, 200), rng.random(200) < 0.5, rng.normal(0, 2, 200)

        def answers(member, hard=hard):
            phi = hard[:, None] + 1.5 * member[:, None] + rng.normal(size=(200, 1)) + rng.normal(0, 0.3, (200, 6))
            fresh = np.zeros((200, 1, 2))  # says nothing
            return {"logits": fresh, "dropped": np.stack([phi, np.zeros_like(phi)], axis=-1)}

        labels = np.zeros(200, int)
        world = evidence(labels, answers(truth), [answers(m) for m in membership], membership)
        assert attack.applies(world)
        scores = attack.score(world)
        signals = [dropout_signal(a.dropped, labels) for a in world.answers()]
        np.testing.assert_array_equal(scores, lira(signals[0], np.stack(signals[1:]), membership, shrink=True))
        found.append(MembershipScores.from_labels(scores, truth).auc())
    assert np.mean(found) > 0.78  # 0.86 of someone who knows the means


def test_it_runs_only_where_the_queries_were_asked():
    world = evidence(np.zeros(2, int), {"logits": np.zeros((2, 1, 2))}, [], np.zeros((0, 2), bool))
    assert not ATTACKS["input_dropout"].applies(world)
    with pytest.raises(InputError, match="labels must be of shape"):
        dropout_signal(np.zeros((2, 3, 2)), [0])
