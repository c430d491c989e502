"""Every model a target: references by loops, and what the partner gives away in a world without a leak."""

import re
from functools import partial

import numpy as np
import pytest
from scipy import stats

from kerasburst.intervals import hierarchical_interval
from kerasburst.privacy.attacks import (
    Answers,
    every_target,
    leave_pair_out,
    lira,
    partners,
    references,
    target_scores,
    tpr_over_targets,
)
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.registry import ATTACKS
from kerasburst.validation import InputError


def in_pairs(rng, pairs, n):
    """Membership of complementary random halves; partners stand side by side."""
    halves = [np.argsort(rng.random(n)) < n // 2 for _ in range(pairs)]
    return np.array([mask for half in halves for mask in (half, ~half)])


def test_partners_and_references():
    membership = in_pairs(np.random.default_rng(0), 4, 20)
    assert partners(membership).tolist() == [1, 0, 3, 2, 5, 4, 7, 6]
    assert references(membership, 2).tolist() == [0, 1, 4, 5, 6, 7]
    without = np.delete(membership, 5, axis=0)  # the partner of 4 was not trained
    assert partners(without)[4] == -1 and references(without, 4).tolist() == [0, 1, 2, 3, 5, 6]
    # Each remaining pair has every point IN one of them: the count of IN says nothing of the target.
    for target in range(8):
        assert set(membership[references(membership, target)].sum(axis=0)) == {3}


def test_scores_are_those_of_a_loop():
    rng = np.random.default_rng(1)
    membership = in_pairs(rng, 3, 30)
    signals = rng.normal(membership * 1.0)[..., None] + rng.normal(size=(6, 30, 4))
    got = leave_pair_out(signals, membership, partial(lira, shrink=True))
    for target in range(6):
        others = [m for m in range(6) if m // 2 != target // 2]
        expected = lira(signals[target], signals[others], membership[others], shrink=True)
        np.testing.assert_array_equal(got[target], expected)


def aucs_without_a_leak(drop_partner, score, seed):
    """AUC of each target in a world where training changes nothing."""
    rng = np.random.default_rng(seed)
    membership = in_pairs(rng, 4, 300)
    signals = rng.normal(rng.normal(0, 3, 300), 1.0, membership.shape)
    if drop_partner:
        scores = leave_pair_out(signals, membership, score)
    else:
        rest = [np.delete(np.arange(8), target) for target in range(8)]
        scores = np.stack([score(signals[t], signals[r], membership[r]) for t, r in enumerate(rest)])
    return [each.auc() for each in target_scores(scores, membership)]


def test_the_partner_gives_the_answer_away_unless_it_is_left_out():
    with_partner = np.concatenate([aucs_without_a_leak(False, lira, seed) for seed in range(30)])
    without = np.concatenate([aucs_without_a_leak(True, lira, seed) for seed in range(30)])
    # One pool of 8 models is the unit: its mean AUC has this standard error over 30 pools.
    error = np.reshape(without, (30, 8)).mean(axis=1).std(ddof=1) / np.sqrt(30)
    assert abs(without.mean() - 0.5) < 3 * error and error < 0.005
    # With it, members have 3 IN and 4 OUT references, others 4 and 3: the noise of the medians tells them apart.
    assert abs(with_partner.mean() - 0.5) > 6 * error


@pytest.mark.thorough
@pytest.mark.parametrize("leak, spread", [(0.0, 0.0), (2.0, 1.0)])
def test_intervals_over_targets_cover_though_references_are_shared(leak, spread):
    rng = np.random.default_rng(0)
    effect, pairs, found = rng.normal(leak, spread, 150), np.repeat(np.arange(4), 2), []
    for _ in range(300):
        membership = in_pairs(rng, 4, 150)
        signals = rng.normal(effect * membership)

        def aucs(rows, signals=signals, membership=membership):
            scores = leave_pair_out(signals[rows], membership[rows], lira)
            return np.array([each.auc() for each in target_scores(scores, membership[rows])])

        without = [aucs(np.flatnonzero(pairs != pair)).mean() for pair in range(4)]
        found.append((hierarchical_interval(v := aucs(slice(None)), pairs=pairs), v, without))
    truth = np.mean([values.mean() for _, values, _ in found])
    shared = [hierarchical_interval(values, pairs=pairs, without=without) for _, values, without in found]
    held = [np.mean([each.low <= truth <= each.high for each in some]) for some in ([f[0] for f in found], shared)]
    assert 0.92 < held[1] < 0.985 and held[0] < held[1]


def test_evidence_runs_every_registered_attack_that_it_has_the_signals_for():
    rng = np.random.default_rng(2)
    membership = in_pairs(rng, 4, 60)
    labels, population_labels = rng.integers(0, 3, 60), rng.integers(0, 3, 40)

    def answers(member, labels):
        phi = rng.normal(1.5 * member)[:, None] + rng.normal(0, 0.3, (len(labels), 2))
        logits = np.where(np.arange(3) == labels[:, None, None], phi[..., None], -np.log(2))
        return Answers(logits, logits, phi[..., None] * [0.5, 1.0])

    models = [answers(mask, labels) for mask in membership]
    population = [answers(np.zeros(40), population_labels) for _ in membership]
    found = list(every_target(models, labels, membership, population, population_labels, seed=3))
    assert len(found) == 8 and all(len(e.shadows) == 6 for e in found)
    for name in ("loss", "lira_online", "lira_shrunk", "lira_offline", "rmia", "svm", "temporal_lira"):
        scores = np.stack([ATTACKS[name].score(evidence) for evidence in found])
        aucs = [each.auc() for each in target_scores(scores, membership)]
        assert np.mean(aucs) > 0.6, name
    signals = np.stack([e.phi()[0] for e in found])
    np.testing.assert_array_equal(
        np.stack([ATTACKS["lira_online"].score(e) for e in found]), leave_pair_out(signals, membership, lira)
    )


def test_tpr_over_targets_is_the_step_rule_of_each():
    rng = np.random.default_rng(4)
    targets = [MembershipScores(rng.normal(1, 1, 150), rng.normal(0, 1, 150)) for _ in range(7)]
    expected = []
    for target in targets:
        limits = np.concatenate([target.member_scores, target.non_member_scores, [np.inf]])
        rates = [((target.member_scores >= c).mean(), (target.non_member_scores >= c).mean()) for c in limits]
        expected.append(max(tpr for tpr, fpr in rates if fpr <= 0.01))
    np.testing.assert_allclose(tpr_over_targets(targets, 0.01), expected)
    assert tpr_over_targets(targets[:6], 0.01) is None  # 900 non-members: fewer than 10 false positives at 1 %
    short = [MembershipScores(rng.normal(size=50), rng.normal(size=90)) for _ in range(20)]
    assert tpr_over_targets(short, 0.01) is None  # each allows no false positive
    ideal = stats.norm.cdf(1 - stats.norm.isf(0.01))
    many = [MembershipScores(rng.normal(1, 1, 400), rng.normal(0, 1, 400)) for _ in range(100)]
    assert tpr_over_targets(many, 0.01).mean() == pytest.approx(ideal, abs=0.015)


PAIRS = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1]])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: partners(np.ones(3)), "membership must be of shape (models, points)"),
        (lambda: partners([[1, 0], [1, 0]]), "membership must differ between models"),
        (lambda: references(PAIRS, 4), "target must be an integer from 0 to 3, received 4"),
        (lambda: references(PAIRS[:3], 0), "at least 2 models beside a target and its partner, there are 1"),
        (lambda: leave_pair_out(np.zeros(4), PAIRS, lira), "signals must be of shape (models, points)"),
        (lambda: leave_pair_out(np.zeros((4, 5)), PAIRS, lira), "membership must be of shape (4, 5)"),
        (lambda: leave_pair_out(np.full((4, 6), np.nan), PAIRS, lira), "signals must be finite"),
        (lambda: list(every_target([None] * 3, np.zeros(6), PAIRS)), "membership must be of shape (3, 6)"),
        (lambda: tpr_over_targets([], 0.0), "fpr must be a finite number above 0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=re.escape(message)):
        call()
