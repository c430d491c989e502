"""Poisson sampling: the accountant of private training assumes it. Runs under every KERAS_BACKEND."""

import numpy as np
import pytest
from scipy import stats

from kerasburst.encoders.rate import RateEncoder
from kerasburst.training.poisson import PoissonBatches

N, B, STEPS = 200, 50, 400


def batches(seed=0, steps=range(STEPS), k=1, n=N, batch_size=B, **kwargs):
    x = np.linspace(0.0, 1.0, 3 * n, dtype="float32").reshape(n, 3)
    return PoissonBatches(
        x,
        np.arange(n),
        RateEncoder(4),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        encodings_per_example=k,
        **kwargs,
    )


def assert_poisson(drawn, rate, alpha=1e-4):
    """Check that a 0/1 array `(steps, examples)` is of independent draws with one probability.

    Each statistic is of a law that other samplings break: sizes vary as a binomial (a fixed batch size does not), an
    example comes a binomial number of times (an epoch's shuffle gives each the same), and successive batches overlap
    by rate^2 (an epoch's do not).
    """
    steps, n = drawn.shape

    def within(value, dof):
        assert stats.chi2.ppf(alpha / 2, dof) < value < stats.chi2.ppf(1 - alpha / 2, dof)

    sizes, times = drawn.sum(1), drawn.sum(0)
    within(((sizes - n * rate) ** 2).sum() / (n * rate * (1 - rate)), steps)
    within(((times - steps * rate) ** 2).sum() / (steps * rate * (1 - rate)), n)
    overlaps, pairs = (drawn[:-1] & drawn[1:]).sum(), n * (steps - 1)
    sd = (pairs * rate**2 * (1 - rate) * (1 + 3 * rate)) ** 0.5  # neighbouring pairs share a batch
    assert abs(overlaps - pairs * rate**2) < stats.norm.ppf(1 - alpha / 2) * sd


def as_table(members):
    drawn = np.zeros((len(members), N), bool)
    for row, index in zip(drawn, members, strict=True):
        row[index] = True
    return drawn


def shuffled():
    generator = np.random.default_rng(0)
    epochs = [np.split(generator.permutation(N), N // B) for _ in range(STEPS * B // N)]
    return as_table([batch for epoch in epochs for batch in epoch])


def fixed_size():
    generator = np.random.default_rng(0)
    return as_table([generator.choice(N, B, replace=False) for _ in range(STEPS)])


def repeated():
    ours = batches()
    return as_table([ours.members(step % 8) for step in range(STEPS)])


def test_each_example_is_in_each_batch_by_a_draw_of_its_own():
    ours = batches()
    assert_poisson(as_table([ours.members(step) for step in range(STEPS)]), B / N)


@pytest.mark.parametrize("other", [shuffled, fixed_size, repeated])
def test_other_samplings_are_told_apart(other):
    with pytest.raises(AssertionError):
        assert_poisson(other(), B / N)


def test_a_batch_holds_its_members_and_is_filled_up_by_weight_0():
    ours = batches(k=2, multiple=8)
    sizes = set()
    for step in range(3):
        spikes, labels, weights = ours[step]
        assert spikes.shape == (len(weights), 2, 4, 3) and spikes.dtype == np.uint8
        np.testing.assert_array_equal(labels[weights == 1], ours.members(step))
        assert set(weights) == {0.0, 1.0}
        sizes.add(len(weights))
    assert sizes == {88}  # 50 + 6 sqrt(50 * 0.75) = 86.7, of eights


def test_nothing_is_cut_off_where_a_draw_is_larger_than_the_usual_size():
    ours = batches(n=10, batch_size=1, steps=range(300), multiple=2)
    ours._usual = 1
    largest = max(range(300), key=lambda step: len(ours.members(step)))
    assert len(ours.members(largest)) > 2
    for step in (largest, 0):
        _, labels, weights = ours[step]
        np.testing.assert_array_equal(labels[weights == 1], ours.members(step))


def test_whole_data_is_in_every_batch_at_rate_1():
    assert len(batches(batch_size=N).members(3)) == N


@pytest.mark.thorough
def test_a_batch_depends_on_seed_and_step_alone():
    whole, rest = batches(k=3), batches(k=3, steps=range(7, STEPS))
    assert len(rest) == STEPS - 7
    for one, other in zip(whole[7], rest[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(whole.members(7), whole.members(8))
    assert not np.array_equal(whole.members(7), batches(seed=1).members(7))


def test_encodings_differ_and_have_the_rate_of_their_intensity():
    ours = batches(k=12, n=20, batch_size=20)
    spikes, labels, _ = ours[0]
    assert not np.array_equal(spikes[:20, 0], spikes[:20, 1])
    x = np.linspace(0.0, 1.0, 60).reshape(20, 3)[labels[:20]]
    rates = spikes[:20].mean(axis=(1, 2))  # 48 draws each
    assert np.abs(rates - x).max() < 5 * 0.5 / 48**0.5 and abs((rates - x).mean()) < 5 * 0.5 / (60 * 48) ** 0.5
    assert not np.array_equal(spikes[:20], ours[1][0][:20])
