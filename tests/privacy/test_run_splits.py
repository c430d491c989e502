"""The audit of a run draws its members from what the run trained on, and all else from what it left untouched."""

import re

import numpy as np
import pytest

from kerasburst import InputError, Splits
from kerasburst.data.sources import Source
from kerasburst.data.splits import make_splits
from kerasburst.privacy.audited_run import draw_run_splits
from kerasburst.privacy.splits import AuditSplits


def pool(n=400, classes=2, official=False):
    y = np.arange(n) % classes
    x = np.arange(float(n))[:, None]
    if not official:
        return Source.from_arrays("mine", {"x": x, "y": y})
    start = n * 4 // 5
    return Source.from_arrays(
        "mine", {"x_train": x[:start], "y_train": y[:start], "x_test": x[start:], "y_test": y[start:]}
    )


def run_of(source, limit=100, validation=0.1, seed=0):
    return make_splits(source, seed, limit, validation)


def draw(source, run, **given):
    return draw_run_splits(source, run, **{"seed": 3, "shadows": 6} | given)


PARTS = ("audited", "shadow_pool", "population", "test", "target_only")


@pytest.mark.parametrize("official", [True, False])
def test_each_part_comes_from_where_it_must(official):
    source = pool(official=official)
    run = run_of(source)
    assert (len(run.train), len(run.validation), len(run.unused)) == (90, 10, 220)
    audit = draw(source, run, members=40, population=50)
    members, non_members = set(audit.members(0)), set(audit.non_members(0))
    assert len(members) == len(non_members) == 40
    assert members < set(run.train) and non_members < set(run.unused)
    assert set(audit.target_train(0)) == set(run.train) and len(audit.target_train(0)) == 90
    assert audit.target_train(0)[:40].tolist() == audit.members(0).tolist()
    assert set(audit.test) == set(run.test)
    assert len(audit.population) == 50 and len(audit.shadow_pool) == 130
    assert set(audit.population) | set(audit.shadow_pool) | non_members == set(run.unused)
    assert not set(run.validation) & set(np.concatenate([getattr(audit, part) for part in PARTS]))
    assert np.array_equal(audit.reference, audit.audited)


def test_shadows_have_the_targets_size_half_of_the_points_and_fillers_of_their_own():
    source = pool()
    run = run_of(source)
    audit = draw(source, run, members=40)
    for j in range(6):
        trained = audit.shadow_train(j)
        assert len(np.unique(trained)) == len(trained) == len(run.train) == 90
        assert len(set(trained) & set(audit.audited)) == 40
        assert set(audit.fillers[j]) <= set(audit.shadow_pool)
        assert not set(trained) & (set(audit.target_only) | set(audit.population) | set(audit.test))
    assert (audit.shadows.sum(0) == 3).all()
    assert np.array_equal(audit.shadows[::2], ~audit.shadows[1::2])
    assert len({tuple(sorted(row)) for row in audit.fillers}) == 6


def test_the_seed_draws_and_more_shadows_change_no_other():
    source = pool()
    run = run_of(source)
    few, many, other = draw(source, run), draw(source, run, shadows=10), draw(source, run, seed=4)
    assert np.array_equal(few.audited, many.audited) and np.array_equal(few.targets, many.targets)
    assert np.array_equal(few.shadows, many.shadows[:6]) and np.array_equal(few.fillers, many.fillers[:6])
    assert not np.array_equal(few.audited, other.audited) and not np.array_equal(few.fillers, other.fillers)
    assert not np.array_equal(few.shadows, other.shadows)


def test_the_target_is_independent_of_the_shadows_and_of_the_order():
    source = pool()
    run = run_of(source)
    audits = [draw(source, run, members=40, seed=seed) for seed in range(40)]
    agreement = [(audit.targets[0] == half).mean() for audit in audits for half in audit.shadows[::2]]
    assert abs(np.mean(agreement) - 0.5) < 0.025  # 120 of them, each with a standard error of about 0.056
    first = [audit.targets[0, :40].mean() for audit in audits]
    assert abs(np.mean(first) - 0.5) < 0.045  # 40 of them alike


def test_defaults():
    source = pool()
    audit = draw(source, run_of(source))
    assert len(audit.members(0)) == 45  # half of 90
    assert len(audit.population) == 62  # a fifth of 90 + 220
    half = draw(source, run_of(source, limit=160, validation=0.0))
    assert len(half.population) == 0 and len(half.shadow_pool) == 160 - 80 == half.fillers.shape[1]
    large = pool(n=20_000)
    audit = draw(large, run_of(large, limit=6000), shadows=2)
    assert len(audit.members(0)) == len(audit.population) == 1000


def test_all_that_was_trained_on_can_be_audited():
    source = pool()
    audit = draw(source, run_of(source), members=90)
    assert len(audit.target_only) == 0 and audit.fillers.shape == (6, 0)
    assert len(audit.shadow_train(0)) == 90


def with_equals():
    """A pool in which 0 = 1, 2 = 3, ..., 38 = 39; of each pair one is trained on and one is not, and so on."""
    x = np.arange(400.0)
    x[1:40:2] = x[:40:2]
    source = Source.from_arrays("mine", {"x": x[:, None], "y": np.arange(400) // 2 % 2})
    trained = [*range(0, 20, 2), *range(20, 30), *range(100, 150)]  # of ten pairs the first, of five both
    validation = [30, *range(150, 160)]  # of one pair the first
    test = list(range(300, 400))
    return source, Splits(trained, validation, test, pool_size=400)


def test_what_has_an_equal_is_on_neither_side():
    source, run = with_equals()
    audit = draw(source, run, members=50)
    anywhere_but_trained = np.concatenate([audit.audited, audit.shadow_pool, audit.population])
    assert anywhere_but_trained.min() >= 40
    assert set(audit.members(0)) == set(range(100, 150))
    assert set(audit.target_only) == set(run.train) - set(range(100, 150))
    assert len(audit.shadow_train(0)) == 70
    # 20 of the 70 trained on have an equal, and 10 + 1 + 8 of the 239 untouched.
    assert audit.duplicates_removed == 20 + 19
    with pytest.raises(InputError, match="members must be an integer from 4 to 50, received 51"):
        draw(source, run, members=51)


def test_of_a_class_as_many_as_a_random_split_would_give():
    # 30 of 90 trained examples and 180 of 230 untouched ones are of class 1: members and non-members of a random
    # split would both be of class 1 in 210 of 320 cases, and no part's own share would do.
    y = np.array([0] * 60 + [1] * 30 + [0] * 50 + [1] * 180 + [0, 1] * 40)
    source = Source.from_arrays("mine", {"x": np.arange(400.0)[:, None], "y": y})
    run = Splits(range(90), [], range(320, 400), pool_size=400)
    counts = np.array(
        [
            [y[audit.members(0)].sum(), y[audit.non_members(0)].sum()]
            for audit in (draw(source, run, members=30, seed=seed) for seed in range(200))
        ]
    )
    share = 210 / 320
    assert np.abs(counts.mean(0) / 30 - share).max() < 0.025  # a standard error of about 0.006, and a cap at 30
    assert abs((counts[:, 0] - counts[:, 1]).mean()) < 0.8


def test_class_counts_vary_by_chance_although_the_run_is_stratified():
    source = pool(classes=4)
    run = run_of(source, limit=100, validation=0.0)
    audits = [draw(source, run, members=40, seed=seed) for seed in range(200)]
    members = np.array([np.bincount(source.y[audit.members(0)]) for audit in audits])
    non_members = np.array([np.bincount(source.y[audit.non_members(0)]) for audit in audits])
    # Drawn from 320 of 4 equal classes: the variance of a class count is 40 * 1/4 * 3/4 * (320 - 40) / 319 = 6.6;
    # from the run's own 100 it would be 4.5, with fixed counts 0. The covariance of the two sides' counts is
    # -40 * 40 * 1/4 * 3/4 / 319 = -0.94, and so the variance of their difference 2 * 6.6 + 2 * 0.94 = 15.
    assert 5.3 < members.var(0).mean() < 8.0 and 5.3 < non_members.var(0).mean() < 8.0
    assert 12 < (members - non_members).var(0).mean() < 18
    assert np.abs(members.mean(0) - 10).max() < 0.8 and np.abs(non_members.mean(0) - 10).max() < 0.8


def test_official_test_examples_are_never_non_members():
    source = pool(official=True)
    full = run_of(source)
    run = Splits(full.train, full.validation, full.test[:7], pool_size=400)
    audit = draw(source, run, members=45)
    assert max(part.max() for part in (audit.audited, audit.shadow_pool, audit.population)) < 320


@pytest.mark.parametrize("validation", [0.0, 0.25])
@pytest.mark.parametrize("population", [None, 40])
def test_the_refusal_names_a_limit_that_does(validation, population):
    x = np.arange(400.0)
    x[1:40:2] = x[:40:2]
    source = Source.from_arrays("mine", {"x": x[:, None], "y": np.arange(400) % 2})
    with pytest.raises(InputError, match=r"leaves \d+.*attack --dataset") as refused:
        draw(source, run_of(source, limit=250, validation=validation), population=population)
    limit = int(re.search(r"--train-limit (\d+)", str(refused.value))[1])
    for seed in range(20):
        audit = draw(source, run_of(source, limit=limit, validation=validation, seed=seed), population=population)
        assert len(audit.population) > (30 if population is None else 39)
    assert limit > 100  # and no needlessly small one


@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_the_limit_is_no_smaller_than_it_must_be(validation):
    source = pool()
    with pytest.raises(InputError, match="attack --dataset") as refused:
        draw(source, run_of(source, limit=250, validation=validation), population=40)
    limit = int(re.search(r"--train-limit (\d+)", str(refused.value))[1])
    with pytest.raises(InputError, match="attack --dataset"):
        draw(source, run_of(source, limit=limit + 2, validation=validation), population=40)


def test_a_run_on_all_of_its_data_is_refused():
    source = pool()
    with pytest.raises(InputError, match=r"untouched as the 320 that it trained on.*it leaves 0: train the run with"):
        draw(source, run_of(source, limit=None, validation=0.0))


def test_a_population_that_is_too_large_is_refused_with_one_that_does():
    source = pool()
    run = run_of(source, limit=150, validation=0.0)
    with pytest.raises(InputError, match="30 for the population, it leaves 170: give --population 20 or fewer, or"):
        draw(source, run, population=30)
    assert len(draw(source, run, population=20).population) == 20


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shadows": 5}, "shadows must be even"),
        ({"members": 1}, "members must be an integer from 4 to 90, received 1"),
        ({"members": 91}, "members must be an integer from 4 to 90, received 91"),
        ({"seed": -1}, "seed must be an integer of at least 0"),
    ],
)
def test_bad_arguments(given, message):
    source = pool()
    with pytest.raises(InputError, match=message):
        draw(source, run_of(source), **given)


def test_round_trip(tmp_path):
    source = pool()
    splits = draw(source, run_of(source))
    splits.save(tmp_path / "splits.npz")
    loaded = AuditSplits.load(tmp_path / "splits.npz")
    assert loaded.counts() == splits.counts()
    assert loaded.counts()["target_train"] == loaded.counts()["shadow_train"] == 90
    assert loaded.counts()["target_only"] == 45
    assert np.array_equal(loaded.target_only, splits.target_only) and np.array_equal(loaded.fillers, splits.fillers)
