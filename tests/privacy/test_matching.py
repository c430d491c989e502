"""Differences at equal fit, in worlds whose answer is known."""

import re

import numpy as np
import pytest

from kerasburst.intervals import hierarchical_interval
from kerasburst.privacy.matching import Snapshots, matched_difference, verdict
from kerasburst.validation import InputError

EPOCHS = np.array([2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
PAIRS = np.repeat(np.arange(8), 2)
GOOD = dict(pairs=PAIRS)


def arms(rng, speeds=(1.0, 0.5), advantages=(0.0, 0.0), epochs=EPOCHS, noise=1.0):
    """Two arms whose models leak alike at equal accuracy, but for `advantages`; the second learns half as fast.

        accuracy q = 0.9 - 0.4 exp(-speed epoch / 10),  AUC = 0.5 + 0.6 (q - 0.5)^2 - advantage

    each model at a speed of its own, with noise of pairs (common to the arms), of models and of snapshots.
    """
    found, of_pair = [], np.repeat(rng.normal(0, 0.01, 8), 2)[:, None]
    for speed, advantage in zip(speeds, advantages, strict=True):
        own = np.exp(rng.normal(0, 0.1, (16, 1)))
        q = 0.9 - 0.4 * np.exp(-speed * own * epochs / 10)
        auc = 0.5 + 0.6 * (q - 0.5) ** 2 - advantage
        auc = auc + noise * (of_pair + rng.normal(0, 0.015, (16, 1)) + rng.normal(0, 0.008, q.shape))
        test = q + noise * rng.normal(0, 0.005, q.shape)
        found.append(Snapshots(test, np.clip(auc, 0, 1), np.clip(q + (q - 0.5) ** 2 / 2, 0, 1)))
    return found


def at_equal_epoch(first, second, epoch=3):
    """The verdict after the same number of epochs, on the same pairs."""
    found = hierarchical_interval((first.auc - second.auc)[:, epoch], pairs=PAIRS)
    return verdict(found.low, found.high)


@pytest.mark.parametrize("at", ["test_accuracy", "gap"])
def test_equal_leak_at_different_speed_is_equal_at_equal_fit_alone(at):
    old, new, aside = [], [], 0
    for seed in range(40):
        first, second = arms(np.random.default_rng(seed))
        found = matched_difference(first, second, at=at, **GOOD)
        old.append(at_equal_epoch(first, second))
        new.append(found.verdict)
        aside += not found.interval[0] <= 0 <= found.interval[1]
    assert old.count("higher") >= 38  # though the leak at equal accuracy is the same
    assert aside <= 6 and new.count("undecided") + new.count("equivalent") >= 34


def test_without_noise_it_is_equivalent():
    first, second = arms(np.random.default_rng(0), noise=0.0)
    found = matched_difference(first, second, **GOOD)
    assert found.verdict == "equivalent" and abs(found.difference) < 0.004


def test_an_advantage_of_3_points_is_found():
    for seed in range(20):
        first, second = arms(np.random.default_rng(seed), advantages=(0.0, 0.03))
        found = matched_difference(first, second, **GOOD)
        assert found.verdict == "higher" and (found.unit, found.units) == ("pair", 8)
        turned = matched_difference(second, first, **GOOD)
        assert turned.verdict == "lower"
        assert turned.difference == pytest.approx(-found.difference)


@pytest.mark.thorough
@pytest.mark.parametrize("advantage", [0.0, 0.03])
@pytest.mark.parametrize("at", ["test_accuracy", "gap"])
def test_coverage(advantage, at):
    rng, held, repeats = np.random.default_rng(0), 0, 2000
    for _ in range(repeats):
        found = matched_difference(*arms(rng, advantages=(0.0, advantage)), at=at, **GOOD)
        held += found.interval[0] <= advantage <= found.interval[1]
    assert 0.93 <= held / repeats <= 0.97


def test_by_hand():
    # Means: first (0.5, 0.6), (0.7, 0.8); second (0.6, 0.5), (0.8, 0.9). Common: 0.6 to 0.7.
    first = Snapshots([[0.49, 0.69], [0.51, 0.71]], [[0.6, 0.8], [0.6, 0.8]])
    second = Snapshots([[0.6, 0.8], [0.6, 0.8]], [[0.5, 0.9], [0.5, 0.9]])
    found = matched_difference(first, second)
    # At 0.6: 0.7 - 0.5; at 0.7: 0.8 - 0.7; linear between. Without model 0: 0.69 and 0.59 at the ends, one cut off.
    assert found.common == pytest.approx((0.6, 0.7)) and found.difference == pytest.approx(0.15, abs=1e-3)


def test_only_snapshots_that_rise_belong_to_the_curve():
    arm = Snapshots([[0.5, 0.7, 0.6, 0.7, 0.8]] * 2, [[0.5, 0.55, 0.6, 0.65, 0.7]] * 2)
    rising = Snapshots([[0.5, 0.7, 0.8]] * 2, [[0.5, 0.55, 0.7]] * 2)
    guess = Snapshots([[0.5, 0.8]] * 2, [[0.5, 0.5]] * 2)
    # Trapezoids: 0.2 * 0.025 and 0.1 * 0.125, over 0.3.
    assert matched_difference(arm, guess).difference == matched_difference(rising, guess).difference
    assert matched_difference(arm, guess).difference == pytest.approx(0.0175 / 0.3, abs=1e-3)


def test_ranges_that_do_not_meet():
    first, second = arms(np.random.default_rng(0), epochs=EPOCHS)
    slow = Snapshots(second.test_accuracy[:, :1], second.auc[:, :1])
    fast = Snapshots(first.test_accuracy[:, 2:], first.auc[:, 2:])
    found = matched_difference(fast, slow, **GOOD)
    assert found.verdict == "not comparable" and found.difference is None and found.interval is None
    assert matched_difference(fast, Snapshots(fast.test_accuracy, slow.auc.repeat(4, 1)), **GOOD).difference is not None


def test_three_pools_are_the_unit():
    rng = np.random.default_rng(1)
    pools = [arms(rng, advantages=(0.0, 0.03)) for _ in range(3)]
    first, second = (
        Snapshots(*(np.concatenate([getattr(p[arm], name) for p in pools]) for name in ("test_accuracy", "auc")))
        for arm in (0, 1)
    )
    found = matched_difference(first, second, pools=np.repeat([0, 1, 2], 16), pairs=np.tile(PAIRS, 3))
    assert (found.unit, found.units) == ("pool", 3) and found.interval[0] < 0.03 < found.interval[1]


def test_shared_references_count():
    first, second = arms(np.random.default_rng(0))
    left = [np.stack([arm.auc[PAIRS != pair].mean(axis=0) for pair in range(8)]) for arm in (first, second)]
    plain = matched_difference(first, second, **GOOD)
    # References that a pair does not change: the jackknife is that of the targets alone.
    same = matched_difference(*_with(first, second, left), **GOOD)
    assert same.interval == pytest.approx(plain.interval)
    moved = [part + 0.02 * np.resize([1, -1], (8, 1)) * (1 if arm == 0 else -1) for arm, part in enumerate(left)]
    wider = matched_difference(*_with(first, second, moved), **GOOD)
    assert wider.interval[1] - wider.interval[0] > 2 * (plain.interval[1] - plain.interval[0])
    assert wider.difference == plain.difference


def _with(first, second, without):
    return [
        Snapshots(arm.test_accuracy, arm.auc, None, part) for arm, part in zip((first, second), without, strict=True)
    ]


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (-0.0099, 0.0099, "equivalent"),
        (0.001, 0.0099, "equivalent"),  # not 0, but too small to matter
        (-0.02, -0.001, "lower"),
        (0.001, 0.02, "higher"),
        (-0.001, 0.02, "undecided"),
        (-0.01, 0.0, "undecided"),
    ],
)
def test_verdicts(low, high, expected):
    assert verdict(low, high) == expected


ARM = Snapshots(np.full((4, 2), 0.5), np.full((4, 2), 0.6))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Snapshots([0.5], [0.5]), "test_accuracy must be of shape (models, epochs)"),
        (lambda: Snapshots([[50.0]], [[0.5]]), "test_accuracy must be from 0 to 1, received 50.0"),
        (lambda: Snapshots([[0.5]], [[-0.5]]), "auc must be from 0 to 1, received -0.5"),
        (lambda: Snapshots([[0.5]], [[0.5, 0.6]]), "auc must be of shape (models, epochs), as test_accuracy"),
        (lambda: Snapshots([[0.5]], [[0.5]], None, [[0.5, 0.5]]), "without must be of shape (pairs, 1)"),
        (lambda: matched_difference(ARM, ARM, at="epoch"), "at must be one of test_accuracy, gap"),
        (lambda: matched_difference(ARM, ARM, at="gap"), "member_accuracy must be given"),
        (lambda: matched_difference(ARM, Snapshots([[0.5]], [[0.5]])), "second must be of 4 models, as first"),
        (lambda: matched_difference(ARM, ARM, pairs=[0, 0, 0, 0]), "pairs must be at least 2 in each pool"),
        (lambda: matched_difference(ARM, ARM, pairs=[0]), "pairs must be of shape (4,)"),
        (lambda: matched_difference(ARM, ARM, margin=0.0), "margin must be a finite number above 0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=re.escape(message)):
        call()
