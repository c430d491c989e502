"""The replay attack: its two signals by a loop, and a world where only the spikes of training are known."""

import numpy as np

from kerasburst.privacy.attacks import Answers, lira, replay_signal, temporal_lira
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.privacy.statistics import phi
from kerasburst.registry import ATTACKS
from tests.privacy.attacks.common import evidence, halves


def test_signals_by_a_loop():
    rng = np.random.default_rng(0)
    replayed, fresh, labels = rng.normal(size=(7, 3, 4)), rng.normal(size=(7, 2, 4)), rng.integers(0, 4, 7)
    for i, got in enumerate(replay_signal(replayed, fresh, labels)):
        expected = [
            np.mean([z[labels[i]] - np.log(sum(np.exp(np.delete(z, labels[i])))) for z in rows[i]])
            for rows in (replayed, fresh)
        ]
        np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_a_world_where_only_the_spikes_of_training_leak():
    rng, attack, found, fresh_alone = np.random.default_rng(1), ATTACKS["replay"], [], []
    for _ in range(10):
        membership, truth, hard = halves(rng, 8, 200), rng.random(200) < 0.5, rng.normal(0, 2, 200)

        def answers(member, hard=hard):
            own = hard + rng.normal(size=200)  # a model's own view of a point: the same for all spikes
            both = own[:, None] + rng.normal(0, 0.5, (200, 2))
            both[:, 0] += 1.0 * member
            logits = np.stack([both, np.zeros_like(both)], axis=-1)
            return {"replayed": logits[:, :1], "logits": logits[:, 1:]}

        labels = np.zeros(200, int)
        world = evidence(labels, answers(truth), [answers(m) for m in membership], membership)
        scores = attack.score(world)
        signals = [replay_signal(a.replayed, a.logits, labels) for a in world.answers()]
        np.testing.assert_array_equal(scores, temporal_lira(signals[0], np.stack(signals[1:]), membership))
        found.append(MembershipScores.from_labels(scores, truth).auc())
        values = [phi(a.logits, labels) for a in world.answers()]
        plain = lira(values[0], np.stack(values[1:]), membership, shrink=True)
        fresh_alone.append(MembershipScores.from_labels(plain, truth).auc())
    # What the two signals differ by is free of the model's own view: a leak of 1 in noise of 0.7 is found.
    assert np.mean(found) > 0.7 and abs(np.mean(fresh_alone) - 0.5) < 0.03


def test_queries_of_their_own_are_not_cut():
    answers = Answers(np.zeros((3, 4, 2)), np.zeros((3, 4, 2)), np.zeros((3, 4, 5)), replayed=np.zeros((3, 6, 2)))
    few = answers.first(1)
    assert few.logits.shape == (3, 1, 2) and few.replayed.shape == (3, 6, 2) and few.dropped is None
    assert answers.of(np.array([0, 2])).replayed.shape == (2, 6, 2)
