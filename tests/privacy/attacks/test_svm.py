"""The SVM attack: the decision function by its formula, classes that cannot be learned, power."""

import re

import numpy as np
import pytest
from sklearn.svm import SVC

from kerasburst.privacy.attacks import per_class_auc, svm_scores
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.validation import InputError


def drawn(rng, n=240, leak=1.5, classes=3, width=4):
    labels, membership = rng.integers(0, classes, n), rng.random(n) < 0.5
    features = rng.normal(size=(n, width)) + leak * membership[:, None] * np.eye(width)[labels]
    return features, labels, membership


def test_each_class_has_its_own_standardised_machine():
    rng = np.random.default_rng(0)
    train, labels, membership = drawn(rng)
    test, test_labels, _ = drawn(rng, 30)
    train, test = train * [1.0, 10.0, 100.0, 0.0], test * [1.0, 10.0, 100.0, 0.0]  # the last one is constant
    result = svm_scores(train, labels, membership, test, test_labels)
    for c in range(3):
        x, t = train[labels == c], membership[labels == c]
        mean, scale = x.mean(axis=0), x.std(axis=0)
        scale[3] = 1.0
        x, queries = (x - mean) / scale, (test[test_labels == c] - mean) / scale
        model = SVC().fit(x, t)
        kernel = np.exp(-((queries[:, None] - model.support_vectors_) ** 2).sum(axis=2) / (4 * x.var()))
        expected = kernel @ model.dual_coef_[0] + model.intercept_
        np.testing.assert_allclose(result.scores[test_labels == c], expected, rtol=1e-9)
    assert result.missing_classes == ()


def test_other_classes_change_nothing():
    rng = np.random.default_rng(1)
    train, labels, membership = drawn(rng)
    first = svm_scores(train, labels, membership, train[:20], labels[:20]).scores
    changed = np.where((labels == 2)[:, None], train + 5, train)
    second = svm_scores(changed, labels, membership, train[:20], labels[:20]).scores
    assert np.array_equal(first[labels[:20] != 2], second[labels[:20] != 2])
    assert not np.array_equal(first[labels[:20] == 2], second[labels[:20] == 2])


def test_missing_classes_score_zero_and_are_named():
    rng = np.random.default_rng(2)
    train, labels, membership = drawn(rng)
    membership = np.where(labels == 1, True, membership)  # no OUT
    membership = np.where(labels == 2, False, membership)  # no IN
    test_labels = np.array([3, 2, 1, 0, 0])  # and 3 is unknown to the shadow
    result = svm_scores(train, labels, membership, train[:5], test_labels)
    assert result.missing_classes == (1, 2, 3)
    assert result.scores[:3].tolist() == [0, 0, 0] and (result.scores[3:] != 0).all()


def test_largest_training_set():
    rng = np.random.default_rng(3)
    train, labels, membership = drawn(rng, 300, classes=1)
    membership[:] = np.arange(300) < 60
    arguments = (train, labels, membership, train, labels)
    a, again, b = (svm_scores(*arguments, seed=seed, max_train=50).scores for seed in (0, 0, 1))
    assert np.array_equal(a, again) and not np.array_equal(a, b)
    assert np.array_equal(svm_scores(*arguments, max_train=300).scores, svm_scores(*arguments, seed=1).scores)
    svm_scores(*arguments, max_train=2)  # one of each


def test_choice_keeps_the_shares(monkeypatch):
    from kerasburst.privacy.attacks import svm

    seen = []

    class Recorder(SVC):
        def fit(self, x, t):
            seen.append((int(t.sum()), len(t)))
            return super().fit(x, t)

    monkeypatch.setattr(svm, "SVC", Recorder)
    train, labels, membership = drawn(np.random.default_rng(3), 300, classes=1)
    membership[:] = np.arange(300) < 60
    svm_scores(train, labels, membership, train[:2], labels[:2], max_train=50)
    assert seen == [(10, 50)]


def test_power():
    rng = np.random.default_rng(4)
    results = []
    for leak in (1.5, 0.0):
        for _ in range(20):
            shadow, (features, labels, truth) = drawn(rng, leak=leak, classes=2), drawn(rng, leak=leak, classes=2)
            results.append(MembershipScores.from_labels(svm_scores(*shadow, features, labels).scores, truth))
    assert np.mean([r.auc() for r in results[:20]]) > 0.7
    assert sum(low <= 0.5 <= high for low, high in (r.auc_interval() for r in results[20:])) >= 17


def test_per_class_auc():
    # Class 0: 2 beats 1 and ties 2, 3 beats both: (1 + 0.5 + 1 + 1) / 4. Class 1: 0 of 1. Class 5: members only.
    result = per_class_auc([2.0, 3.0, 1.0, 2.0, 0.0, 4.0, 9.0], [0, 0, 0, 0, 1, 1, 5], [1, 1, 0, 0, 1, 0, 1])
    assert result.per_class == {0: 0.875, 1: 0.0, 5: None} and result.macro == 0.4375
    of_0 = MembershipScores([2.0, 3.0], [1.0, 2.0]).auc_interval()
    assert result.intervals == {0: of_0, 1: None, 5: None}  # one member and one other have no spread
    pooled = [[2 > b or 0.5 * (b == 2) for b in (1, 2, 4)], [1, 1, 0], [0, 0, 0], [1, 1, 1]]
    assert result.pooled == np.mean(pooled)
    assert per_class_auc([1.0, 2.0], [0, 1], [1, 0]).macro is None


GOOD = dict(
    features_train=np.arange(8.0).reshape(4, 2),
    labels_train=np.zeros(4, int),
    membership_train=np.array([1, 1, 0, 0]),
    features=np.zeros((2, 2)),
    labels=np.zeros(2, int),
)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(features_train=np.zeros(4)), "features_train must be of shape (n, d) or (n, T, ...), not empty"),
        (dict(features=np.zeros((2, 3))), "features must be of 2 columns, as features_train, received 3"),
        (dict(features=np.full((2, 2), np.nan)), "features must be finite"),
        (dict(labels_train=np.zeros(3, int)), "labels_train must be of shape (4,)"),
        (dict(labels=[0.0, 1.0]), "labels must be integers"),
        (dict(membership_train=np.array([1, 2, 0, 0])), "membership_train must be True or False"),
        (dict(max_train=1), "max_train must be an integer of at least 2"),
        (dict(seed=-1), "seed must be an integer of at least 0"),
    ],
)
def test_bad_input(change, message):
    svm_scores(**GOOD)
    with pytest.raises(InputError, match=re.escape(message)):
        svm_scores(**{**GOOD, **change})
    with pytest.raises(InputError, match="membership must be with members and non-members"):
        per_class_auc([1.0, 2.0], [0, 0], [1, 1])
