"""The label-only attack: shares by a loop, and a world where members are right more often."""

import numpy as np
import pytest
from scipy import stats

from kerasburst.privacy.attacks import label_only_scores
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.registry import ATTACKS
from kerasburst.validation import InputError
from tests.privacy.attacks.common import evidence


def test_shares_by_a_loop():
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(20, 5, 3)), rng.integers(0, 3, 20)
    expected = [sum(max(range(3), key=list(z[i, k]).__getitem__) == labels[i] for k in range(5)) / 5 for i in range(20)]
    np.testing.assert_array_equal(label_only_scores(z, labels), expected)
    np.testing.assert_array_equal(label_only_scores(z[:, 0], labels), label_only_scores(z[:, :1], labels))


def test_a_world_with_a_known_answer():
    # Of 4 draws, those of members are right with probability 0.9, others' with 0.6.
    rng, found = np.random.default_rng(1), []
    for _ in range(30):
        truth = rng.random(400) < 0.5
        right = rng.random((400, 4)) < np.where(truth, 0.9, 0.6)[:, None]
        z = np.stack([right, ~right], axis=-1).astype(float)
        found.append(MembershipScores.from_labels(label_only_scores(z, np.zeros(400, int)), truth).auc())
    one, other = (stats.binom.pmf(np.arange(5), 4, p) for p in (0.9, 0.6))
    exact = sum(one[i] * (other[:i].sum() + other[i] / 2) for i in range(5))
    assert np.mean(found) == pytest.approx(exact, abs=4 * np.std(found) / np.sqrt(30))


def test_it_is_registered_and_needs_the_target_alone():
    attack = ATTACKS["label_only"]
    labels, logits = np.array([0, 1]), np.array([[[1.0, 0.0]], [[1.0, 0.0]]])
    world = evidence(labels, {"logits": logits}, [{"logits": -logits}], np.array([[True, False]]))
    assert attack.threshold and attack.applies(world)
    assert attack.score(world).tolist() == [1.0, 0.0] and attack.shadow_scores(world).tolist() == [[0.0, 1.0]]


def test_bad_input():
    with pytest.raises(InputError, match="labels must be from 0 to 1, received 2"):
        label_only_scores([[0.0, 1.0]], [2])
