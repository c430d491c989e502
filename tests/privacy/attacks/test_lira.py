"""LiRA against loops over points and shadows."""

import math
import os
import re
import statistics
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from kerasburst.privacy.attacks import lira
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.validation import InputError


def halves(rng, shadows, n):
    """Membership with each point IN half of the shadows."""
    return np.argsort(rng.random((shadows, n)), axis=0) < shadows // 2


def naive(target, shadows, membership, online, fixed_variance):
    groups = [
        [[float(s[i]) for s, m in zip(shadows, membership, strict=True) if m[i] == side] for i in range(len(target))]
        for side in (True, False)
    ]
    scores = []
    for i, x in enumerate(target):
        logs = []
        for group in groups:
            mu = statistics.median(group[i]) if group[i] else math.nan
            if fixed_variance:
                residuals = [v - statistics.median(g) for g in group for v in g]
            else:
                residuals = group[i]
            mean = sum(residuals) / len(residuals)
            s = math.sqrt(sum((r - mean) ** 2 for r in residuals) / len(residuals))
            logs.append((-0.5 * ((x - mu) / s) ** 2 - math.log(s), 0.5 * math.erfc((mu - x) / s / math.sqrt(2))))
        scores.append(logs[0][0] - logs[1][0] if online else logs[1][1])
    return scores


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("fixed_variance", [True, False])
@pytest.mark.parametrize("num_shadows", [4, 7, 16])
def test_formula(online, fixed_variance, num_shadows):
    rng = np.random.default_rng(num_shadows)
    membership = rng.random((num_shadows, 23)) < 0.5  # unequal numbers of IN and OUT
    membership[:2], membership[2:4] = True, False
    shadows = rng.normal(membership * 1.5, 1.0 + membership)
    target = rng.normal(0.5, 1.5, 23)
    expected = naive(target, shadows, membership, online, fixed_variance)
    got = lira(target, shadows, membership, online, fixed_variance)
    np.testing.assert_allclose(got if online else np.exp(got), expected, rtol=1e-9, atol=1e-300)


def test_queries_are_averaged_first():
    rng = np.random.default_rng(0)
    membership = halves(rng, 6, 9)
    shadows, target = rng.normal(size=(6, 9, 4)), rng.normal(size=(9, 4))
    got = lira(target, shadows, membership.astype(int))
    np.testing.assert_array_equal(got, lira(target.mean(axis=1), shadows.mean(axis=2), membership))


def test_offline_needs_no_in_shadows_and_uses_none():
    rng = np.random.default_rng(1)
    shadows, membership = rng.normal(size=(4, 5)), np.zeros((4, 5), bool)
    expected = lira(np.zeros(5), shadows, membership, online=False)
    assert np.isfinite(expected).all()
    membership[0, 2], changed = True, shadows.copy()
    first = lira(np.zeros(5), shadows, membership, online=False)
    changed[0, 2] = 99.0
    np.testing.assert_array_equal(first, lira(np.zeros(5), changed, membership, online=False))


def test_offline_is_one_sided():
    shadows = np.array([[-1.0], [0.0], [1.0]])
    scores = [lira([x], shadows, np.zeros((3, 1)), online=False)[0] for x in (-30.0, -1.0, 0.0, 1.0, 3.0)]
    assert scores == sorted(scores) and len(set(scores)) == 5 and math.isfinite(scores[0])
    assert scores[2] == pytest.approx(math.log(0.5))


def test_shadows_without_spread_give_finite_scores():
    # Two shadows: each median is the only signal. The score tells which of the two is nearer.
    membership = np.array([[1, 0, 1], [0, 1, 0]])
    shadows = np.where(membership, 2.0, 0.0)
    for fixed_variance in (True, False):
        scores = lira([1.9, 0.2, 1.0], shadows, membership, fixed_variance=fixed_variance)
        assert np.isfinite(scores).all() and np.sign(scores).tolist() == [1, -1, 0]


@pytest.mark.parametrize(("num_shadows", "pooled"), [(62, True), (64, False)])
def test_from_64_shadows_on_each_point_has_its_own_variance(num_shadows, pooled):
    rng = np.random.default_rng(0)
    shadows, target = rng.normal(0, rng.uniform(0.5, 2.0, 9), (num_shadows, 9)), rng.normal(size=9)
    membership = np.tile(np.arange(num_shadows)[:, None] % 2 == 0, 9)
    by_default, other = lira(target, shadows, membership), lira(target, shadows, membership, fixed_variance=not pooled)
    assert np.array_equal(by_default, lira(target, shadows, membership, fixed_variance=pooled))
    assert np.abs(by_default - other).max() > 0.1


@pytest.mark.parametrize("fixed_variance", [True, False])
def test_power(fixed_variance):
    rng = np.random.default_rng(2)
    results = []
    for leak in (1.5, 0.0):
        for _ in range(20):
            hard = rng.normal(0, 3, 300)  # some examples are harder than others
            membership, truth = halves(rng, 8, 300), rng.random(300) < 0.5
            shadows = rng.normal(hard + leak * membership)
            target = rng.normal(hard + leak * truth)
            results.append(MembershipScores.from_labels(lira(target, shadows, membership, True, fixed_variance), truth))
    ideal = stats.norm.cdf(1.5 / np.sqrt(2))  # 0.86, of someone who knows the means
    aucs = [r.auc() for r in results[:20]]
    assert (0.78 if fixed_variance else 0.65) < np.mean(aucs) < ideal
    assert sum(low <= 0.5 <= high for low, high in (r.auc_interval() for r in results[20:])) >= 17


def test_hardness_is_what_the_loss_attack_misses():
    rng = np.random.default_rng(3)
    gains = []
    for _ in range(5):
        hard, membership, truth = rng.normal(0, 3, 600), halves(rng, 16, 600), rng.random(600) < 0.5
        shadows, target = rng.normal(hard + 1.5 * membership), rng.normal(hard + 1.5 * truth)
        ours = MembershipScores.from_labels(lira(target, shadows, membership), truth)
        loss = MembershipScores.from_labels(-np.logaddexp(0, -target), truth)
        gains.append(ours.tpr_at_fpr(0.1) - loss.tpr_at_fpr(0.1))
    assert min(gains) > 0.1


def shrunk_naive(target, shadows, membership):
    points = range(len(target))
    groups = {
        side: [[s[i] for s, m in zip(shadows, membership, strict=True) if m[i] == side] for i in points]
        for side in (True, False)
    }
    mu = {side: [statistics.fmean(g) for g in groups[side]] for side in groups}
    variance = {
        side: sum((v - statistics.fmean(g)) ** 2 for g in groups[side] for v in g)
        / sum(len(g) - 1 for g in groups[side])
        for side in groups
    }
    d = [mu[True][i] - mu[False][i] for i in points]
    noise = {side: [variance[side] / len(g) for g in groups[side]] for side in groups}
    v = [noise[True][i] + noise[False][i] for i in points]
    between = max(0.0, statistics.variance(d) - statistics.fmean(v))
    scores = []
    for i in points:
        weight = between / (between + v[i])
        effect = statistics.fmean(d) + weight * (d[i] - statistics.fmean(d))
        precision = {side: 1 / noise[side][i] for side in groups}
        centre = sum(precision[side] * mu[side][i] for side in groups) / sum(precision.values())
        of_in = precision[True] / sum(precision.values())
        means = {True: centre + (1 - of_in) * effect, False: centre - of_in * effect}
        one, other = (statistics.NormalDist(means[side], math.sqrt(variance[side])) for side in (True, False))
        scores.append(math.log(one.pdf(target[i])) - math.log(other.pdf(target[i])))
    return scores


@pytest.mark.parametrize("effects", [0.0, 2.0])
@pytest.mark.parametrize("num_shadows", [4, 7, 16])
def test_shrunk_formula(effects, num_shadows):
    rng = np.random.default_rng(num_shadows)
    membership = rng.random((num_shadows, 23)) < 0.5
    membership[:2], membership[2:4] = True, False
    shadows = rng.normal(membership * rng.normal(1.0, effects, 23), 1.0 + membership)
    target = rng.normal(0.5, 1.5, 23)
    expected = shrunk_naive(target, shadows, membership)
    np.testing.assert_allclose(lira(target, shadows, membership, shrink=True), expected, rtol=1e-9)


def leak_of(effect, spread, shadows, *, n=400, seed=0, **how):
    """AUC on points whose rise by training is N(effect, spread^2), under models with noise of 1."""
    rng = np.random.default_rng(seed)
    hard, rise = rng.normal(0, 3, n), rng.normal(effect, spread, n)
    membership, truth = halves(rng, shadows, n), rng.random(n) < 0.5
    target = rng.normal(hard + rise * truth)
    return MembershipScores.from_labels(
        lira(target, rng.normal(hard + rise * membership), membership, **how), truth
    ).auc()


def test_shrinking_wins_back_what_few_shadows_lose():
    ideal = stats.norm.cdf(0.5 / np.sqrt(2))  # 0.638, of someone who knows the means
    plain, shrunk = (np.mean([leak_of(0.5, 0.0, 14, seed=s, shrink=k) for s in range(40)]) for k in (False, True))
    assert plain < ideal - 0.04 and ideal - 0.015 < shrunk < ideal + 0.01
    # Where the effect of training differs between points, what they differ by is kept.
    plain, shrunk = (np.mean([leak_of(0.0, 2.0, 30, seed=s, shrink=k) for s in range(40)]) for k in (False, True))
    assert shrunk > plain > 0.6


def test_shrunk_and_plain_agree_without_noise():
    membership = np.array([[1, 0, 1], [0, 1, 0]])
    shadows = np.where(membership, 2.0, 0.0)
    assert np.sign(lira([1.9, 0.2, 1.0], shadows, membership, shrink=True)).tolist() == [1, -1, 0]


@pytest.mark.parametrize(("effect", "spread"), [(0.5, 0.0), (0.1, 0.6), (-0.3, 0.6)])
def test_offline_is_as_good_as_the_mean_effect(effect, spread):
    outs, repeats = 8, 60  # OUT shadows alone, so that their number is the same for every point
    rng = np.random.default_rng(0)
    aucs = []
    for _ in range(repeats):
        rise, truth = rng.normal(effect, spread, 400), rng.random(400) < 0.5
        shadows, target = rng.normal(size=(outs, 400)), rng.normal(rise * truth)
        score = lira(target, shadows, np.zeros((outs, 400)), online=False)
        aucs.append(MembershipScores.from_labels(score, truth).auc())
    # The median of 8 Gaussians has a variance of 0.168 (tables of order statistics); a mean's would be 1 / 8.
    closed = stats.norm.cdf(effect / np.sqrt(2 * (1 + 0.168) + spread**2))
    assert np.mean(aucs) == pytest.approx(closed, abs=4 * np.std(aucs) / np.sqrt(repeats))
    online = np.mean([leak_of(effect, spread, 40, seed=s) for s in range(20)])
    assert online > 0.53  # though offline is at or below 0.5


GOOD = dict(
    target=np.zeros(3), shadows=np.arange(12.0).reshape(4, 3), membership=np.repeat([[1], [1], [0], [0]], 3, axis=1)
)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(target=np.zeros((3, 2))), "shadows must be of shape (N, 3, 2), received 'shape (4, 3)'"),
        (dict(target=np.zeros(4)), "shadows must be of shape (N, 4)"),
        (dict(target=np.zeros((3, 1, 1))), "target must be of shape (n,) or (n, K), not empty"),
        (dict(target=[]), "target must be of shape (n,) or (n, K), not empty"),
        (dict(target=[0.0, np.nan, 0.0]), "target must be finite, received '1 of 3 numbers that are not'"),
        (dict(shadows=np.full((4, 3), np.inf)), "shadows must be finite"),
        (dict(shadows=[["a"]]), "shadows must be an array of numbers"),
        (dict(membership=np.zeros((3, 4))), "membership must be of shape (4, 3)"),
        (dict(membership=[[0], [0, 1], [], [2]]), "membership must be an array, its lists of one length"),
        (dict(membership=np.full((4, 3), 0.5)), "membership must be True or False"),
        (
            dict(membership=np.repeat([[0, 1, 0]], 4, axis=0)),
            "each point IN at least one shadow, received 2 of 3 points IN none of 4 shadows",
        ),
        (
            dict(membership=np.array([[1, 1, 0]] * 3 + [[1, 0, 1]])),
            "each point OUT of at least one shadow, received 1 of 3 points OUT of none of 4 shadows",
        ),
        (dict(membership=np.ones((4, 3)), online=False), "received 3 of 3 points OUT of none of 4 shadows"),
        (dict(online="yes"), "online must be true or false"),
        (dict(fixed_variance=1), "fixed_variance must be true or false"),
        (dict(shrink=1), "shrink must be true or false"),
        (dict(shrink=True, online=False), "shrink must be false for the offline attack"),
        (dict(shrink=True, fixed_variance=False), "shrink must be false for"),
    ],
)
def test_bad_input(change, message):
    lira(**GOOD)
    with pytest.raises(InputError, match=re.escape(message)):
        lira(**{**GOOD, **change})


def test_probabilities_in_place_of_phi_are_warned_of():
    with pytest.warns(UserWarning, match="target and shadows all lie between 0 and 1, as probabilities do"):
        lira([0.9, 0.2], [[0.8, 0.1], [0.3, 0.4]], [[1, 0], [0, 1]])


@pytest.mark.thorough
def test_attacks_load_without_keras():
    code = (
        "import sys, kerasburst.privacy.attacks, kerasburst.privacy.averaging;"
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "KERASBURST_DEFER_LAYERS": "1"}).returncode == 0
    )
