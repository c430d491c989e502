"""Attacks on traces: the same as LiRA for one step, as scipy's Gaussian for more, and unharmed by still steps."""

import re

import numpy as np
import pytest
from scipy import stats

from kerasburst.privacy.attacks import lira, svm_scores, temporal_lira
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.validation import InputError


def halves(rng, shadows, n):
    return np.argsort(rng.random((shadows, n)), axis=0) < shadows // 2


def drawn(rng, leak=1.0, n=60, shadows=8, steps=5):
    """Traces that grow: a walk from an example's own start, members drift."""
    membership, truth = halves(rng, shadows, n), rng.random(n) < 0.5
    hard = rng.normal(0, 2, (n, 1))

    def traces(member):
        walk = rng.normal(size=(*member.shape, steps)).cumsum(axis=-1)
        return hard + walk + leak * member[..., None] * np.arange(steps)

    return traces(truth), traces(membership), membership, truth


@pytest.mark.parametrize("num_shadows", [4, 7, 16])
def test_one_step_is_lira(num_shadows):
    rng = np.random.default_rng(num_shadows)
    membership = rng.random((num_shadows, 30)) < 0.5
    membership[:2], membership[2:4] = True, False
    shadows, target = rng.normal(membership * 2.0, 1.0 + membership), rng.normal(1, 1, 30)
    np.testing.assert_allclose(
        temporal_lira(target[:, None], shadows[..., None], membership), lira(target, shadows, membership), rtol=1e-9
    )


def ledoit_wolf(x):
    """Shrinkage by the paper's sums, with divisor n: towards m I, m the mean variance."""
    n, p = x.shape
    s = sum(np.outer(row, row) for row in x) / n
    m = np.trace(s) / p
    d2 = ((s - m * np.eye(p)) ** 2).sum()
    b2 = min(sum(((np.outer(row, row) - s) ** 2).sum() for row in x) / n**2, d2)
    return b2 / d2 * m * np.eye(p) + (1 - b2 / d2) * s


def test_several_steps_against_loops():
    target, shadows, membership, _ = drawn(np.random.default_rng(0))
    logs = []
    for side in (True, False):
        medians = [np.median(shadows[membership[:, i] == side, i], axis=0) for i in range(60)]
        residuals = np.array(
            [shadows[j, i] - medians[i] for j in range(8) for i in range(60) if membership[j, i] == side]
        )
        covariance = ledoit_wolf(residuals - residuals.mean(axis=0))
        logs.append([stats.multivariate_normal.logpdf(x, m, covariance) for x, m in zip(target, medians, strict=True)])
    np.testing.assert_allclose(temporal_lira(target, shadows, membership), np.subtract(*logs), rtol=1e-8, atol=1e-10)


def test_queries_are_averaged_first():
    rng = np.random.default_rng(1)
    target, shadows, membership, _ = drawn(rng)
    spread = np.array([-1.0, 0.5, 0.5])[:, None]
    got = temporal_lira(target[:, None] + spread, shadows[:, :, None] + spread, membership)
    np.testing.assert_allclose(got, temporal_lira(target, shadows, membership), rtol=1e-9)


def test_steps_without_spread_change_nothing_else():
    target, shadows, membership, truth = drawn(np.random.default_rng(2), steps=8)
    target[:, 0], shadows[:, :, 0] = 3.0, 3.0
    scores = temporal_lira(target, shadows, membership)
    assert np.isfinite(scores).all() and MembershipScores.from_labels(scores, truth).auc() > 0.7
    twins = [np.concatenate([x, x[..., -1:]], axis=-1) for x in (target, shadows)]  # a step that repeats another
    assert MembershipScores.from_labels(temporal_lira(*twins, membership), truth).auc() > 0.7


def test_floor_of_a_step_without_spread():
    # Residuals of one direction: no shrinkage. Variances 0 and 1 IN, 0 and 100 OUT, so floors of 0.5e-6 and 50e-6.
    shadows = np.array([[[0.0, 3.0]], [[0.0, 5.0]], [[0.0, -10.0]], [[0.0, 10.0]]])
    score = temporal_lira([[1e-3, 4.5]], shadows, [[1], [1], [0], [0]])[0]
    of_in = 1e-6 / 0.5e-6 + 0.5**2 / 1 + np.log(0.5e-6)
    of_out = 1e-6 / 50e-6 + 4.5**2 / 100 + np.log(50e-6) + np.log(100)
    assert score == pytest.approx((of_out - of_in) / 2, rel=1e-9)


def test_shadows_without_spread_give_finite_scores():
    membership = np.array([[1, 0], [0, 1]])
    shadows = np.repeat(np.where(membership, 2.0, 0.0)[..., None], 3, axis=2)
    scores = temporal_lira(np.array([[1.9] * 3, [0.2] * 3]), shadows, membership)
    assert np.isfinite(scores).all() and np.sign(scores).tolist() == [1, -1]


def test_power():
    rng = np.random.default_rng(3)
    results = []
    for leak in (1.0, 0.0):
        for _ in range(20):
            target, shadows, membership, truth = drawn(rng, leak, n=200)
            results.append(MembershipScores.from_labels(temporal_lira(target, shadows, membership), truth))
    assert np.mean([r.auc() for r in results[:20]]) > 0.7
    assert sum(low <= 0.5 <= high for low, high in (r.auc_interval() for r in results[20:])) >= 17


def test_svm_is_that_of_the_flattened_trace():
    rng = np.random.default_rng(4)
    x, y, labels, membership = (
        rng.normal(size=(40, 3, 2)),
        rng.normal(size=(9, 3, 2)),
        np.arange(40) % 2,
        rng.random(40) < 0.5,
    )
    got = svm_scores(x, labels, membership, y, labels[:9])
    expected = svm_scores(x.reshape(40, 6), labels, membership, y.reshape(9, 6), labels[:9])
    np.testing.assert_array_equal(got.scores, expected.scores)


def test_svm_power():
    rng = np.random.default_rng(5)
    results = []
    for leak in (1.0, 0.0):
        for _ in range(20):
            target, shadows, membership, truth = drawn(rng, leak, n=200, shadows=2)
            label = np.zeros(200, int)
            scores = svm_scores(shadows[0], label, membership[0], target, label).scores
            results.append(MembershipScores.from_labels(scores, truth))
    assert np.mean([r.auc() for r in results[:20]]) > 0.7
    assert sum(low <= 0.5 <= high for low, high in (r.auc_interval() for r in results[20:])) >= 17


def test_bad_input():
    target, shadows, membership, _ = drawn(np.random.default_rng(6))
    labels = np.zeros(60, int)
    for call, message in [
        (lambda: temporal_lira(target[:, 0], shadows, membership), "target must be of shape (n, T) or (n, K, T)"),
        (lambda: temporal_lira(target, shadows[..., 1:], membership), "shadows must be of shape (N, 60, 5)"),
        (lambda: temporal_lira(target, shadows * np.nan, membership), "shadows must be finite"),
        (lambda: temporal_lira(target, shadows, membership[1:]), "membership must be of shape (8, 60)"),
        (lambda: temporal_lira(target, shadows, membership * 0), "60 of 60 points IN none of 8 shadows"),
        (lambda: temporal_lira(target, shadows, membership * 0 + 1), "60 of 60 points OUT of none of 8 shadows"),
        (lambda: svm_scores(target[:, 0], labels, membership[0], target, labels), "features_train must be of shape"),
        (
            lambda: svm_scores(target, labels, membership[0], target[:, 1:], labels),
            "features must be of 5 columns, as features_train, received 4",
        ),
    ]:
        with pytest.raises(InputError, match=re.escape(message)):
            call()
