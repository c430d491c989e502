"""The membrane attack against a discriminant written out by hand."""

import re

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from kerasburst.privacy.attacks import lira, membrane_scores
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.registry import ATTACKS
from kerasburst.validation import InputError
from tests.privacy.attacks.common import evidence, halves


def naive(target, shadows, membership, labels):
    """The same by loops: columns in order, residuals from the other shadows, Fisher's discriminant."""
    count, n, steps, classes = shadows.shape

    def features(trace, i):
        strength = [np.mean([shadows[j, i, :, c] for j in range(count)]) for c in range(classes)]
        others = sorted((c for c in range(classes) if c != labels[i]), key=lambda c: -strength[c])
        return np.array([trace[i, t, c] for t in range(steps) for c in (labels[i], *others)])

    rows = {True: [], False: []}
    for j in range(count):
        for i in range(n):
            rest = np.mean([features(shadows[k], i) for k in range(count) if k != j], axis=0)
            rows[bool(membership[j, i])].append(features(shadows[j], i) - rest)
    means, within = {}, 0
    for side, values in rows.items():
        values = np.array(values)
        means[side], scale = values.mean(axis=0), values.std(axis=0)
        within = within + 0.5 * ledoit_wolf((values - means[side]) / scale)[0] * np.outer(scale, scale)
    w = np.linalg.solve(within, means[True] - means[False])
    b = -w @ (means[True] + means[False]) / 2
    centre = [np.mean([features(shadow, i) for shadow in shadows], axis=0) for i in range(n)]
    return [w @ (features(target, i) - centre[i]) + b for i in range(n)]


def test_discriminant_by_hand():
    rng = np.random.default_rng(0)
    membership, labels = halves(rng, 4, 25), rng.integers(0, 3, 25)
    shadows = rng.normal(size=(4, 25, 2, 3)) + membership[..., None, None] * [[0.5, 0.0, -0.5], [1.0, 0.2, 0.0]]
    target = rng.normal(size=(25, 2, 3))
    got = membrane_scores(target, shadows, membership, labels)
    np.testing.assert_allclose(got, naive(target, shadows, membership, labels), rtol=1e-6, atol=1e-9)
    spread = [-1.0, 0.0, 1.0]
    by_query = [each[..., None, :, :] + np.reshape(spread, (3, 1, 1)) for each in (target, shadows)]
    np.testing.assert_allclose(membrane_scores(*by_query, membership, labels), got)


def world(rng, leak):
    """Members differ at one step in how far the strongest wrong class stands out; phi of the last step says nothing."""
    membership, truth, labels = halves(rng, 8, 200), rng.random(200) < 0.5, rng.integers(0, 3, 200)
    hard = rng.normal(0, 2, (200, 4, 3))

    def membranes(member):
        trace = hard + rng.normal(size=(200, 4, 3))
        trace[np.arange(200), 1, labels] += leak * member
        return trace

    return labels, membranes(truth), np.stack([membranes(m) for m in membership]), membership, truth


def test_a_leak_inside_the_trace_is_found():
    rng, found, none, last = np.random.default_rng(1), [], [], []
    for _ in range(10):
        labels, target, shadows, membership, truth = world(rng, 2.0)
        score = membrane_scores(target, shadows, membership, labels)
        found.append(MembershipScores.from_labels(score, truth).auc())
        ends = target[np.arange(200), -1, labels], shadows[:, np.arange(200), -1, labels]
        last.append(MembershipScores.from_labels(lira(*ends, membership, shrink=True), truth).auc())
        labels, target, shadows, membership, truth = world(rng, 0.0)
        score = membrane_scores(target, shadows, membership, labels)
        none.append(MembershipScores.from_labels(score, truth).auc_interval(0.999))
    assert min(found) > 0.8 and np.mean(last) < 0.55
    assert sum(low <= 0.5 <= high for low, high in none) == 10


def test_it_is_registered():
    labels, target, shadows, membership, _ = world(np.random.default_rng(2), 1.0)
    logits = np.zeros((200, 1, 3))
    made = evidence(
        labels,
        {"logits": logits, "membranes": target[:, None]},
        [{"logits": logits, "membranes": s[:, None]} for s in shadows],
        membership,
    )
    attack = ATTACKS["membranes"]
    assert attack.applies(made) and attack.needs == ("membranes",)
    np.testing.assert_array_equal(attack.score(made), membrane_scores(target, shadows, membership, labels))
    assert not attack.applies(evidence(labels, {"logits": logits}, [{"logits": logits}], membership[:1]))


GOOD = dict(
    target=np.zeros((4, 2, 3)),
    shadows=np.random.default_rng(0).normal(size=(2, 4, 2, 3)),
    membership=np.array([[1, 1, 0, 0], [0, 0, 1, 1]]),
    labels=np.array([0, 1, 2, 0]),
)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(target=np.zeros((4, 2))), "target must be of shape (n, T, C)"),
        (dict(shadows=np.zeros((2, 4, 2, 2))), "shadows must be of shape (N, 4, 2, 3), N >= 2"),
        (dict(shadows=np.zeros((1, 4, 2, 3))), "shadows must be of shape (N, 4, 2, 3), N >= 2"),
        (dict(labels=[0, 1, 3, 0]), "labels must be from 0 to 2, received 3"),
        (dict(membership=np.zeros((2, 4))), "received 4 of 4 points IN none of 2 shadows"),
    ],
)
def test_bad_input(change, message):
    assert np.isfinite(membrane_scores(**GOOD)).all()
    with pytest.raises(InputError, match=re.escape(message)):
        membrane_scores(**{**GOOD, **change})
