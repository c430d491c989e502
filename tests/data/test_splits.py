import os

import numpy as np
import pytest

from kerasburst.data.datasets import load_source
from kerasburst.data.sources import Source
from kerasburst.data.splits import Splits, make_splits
from kerasburst.validation import InputError


def pool(*counts):
    """A source without an official split, `counts[c]` examples of class c, classes in a mixed order."""
    y = np.random.default_rng(5).permutation(np.repeat(np.arange(len(counts)), counts))
    return Source.from_arrays("pool", {"x": np.arange(len(y))[:, np.newaxis], "y": y})


def official(*counts, tests=4):
    source = pool(*counts)
    y = np.concatenate([source.y, np.arange(tests) % len(counts)])
    x = np.zeros((len(y), 1), np.float32)
    return Source("official", "tabular", x, y, len(counts), test_start=len(source.y))


def per_class(source, indices):
    return np.bincount(source.y[indices], minlength=source.num_classes).tolist()


def test_unused_is_what_no_part_holds():
    splits = Splits(np.array([5, 0]), [], [3], pool_size=7)
    assert splits.unused.tolist() == [1, 2, 4, 6] and splits.unused.dtype == np.int64
    assert splits.validation.dtype == np.int64 and splits.train.tolist() == [5, 0]
    with pytest.raises(InputError, match="pool_size must be known"):
        _ = Splits([0], [], []).unused


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (([0, 1], [1], []), "train and validation must be without a common or repeated index, received 1"),
        (([0, 1], [], [0]), "train and test must be without a common or repeated index, received 0"),
        (([], [3], [3]), "validation and test must be without"),
        (([2, 2], [], []), "train must be without a common or repeated index, received 2"),
        (([0], [], [-1]), "test must be indices of at least 0, received -1"),
        (([0], [5], []), "validation must be indices below the pool's size 5, received 5"),
        (([0.0], [], []), "train must be a list of integers"),
        (([True], [], []), "train must be a list of integers"),
        (([[0]], [], []), "train must be a list of integers"),
    ],
)
def test_parts_that_overlap_or_leave_the_pool_are_refused(parts, message):
    with pytest.raises(InputError, match=message):
        Splits(*parts, pool_size=5)


def test_parts_cannot_be_changed_and_the_callers_array_stays_open():
    train = np.array([0, 1])
    splits = Splits(train, [], [])
    with pytest.raises(ValueError, match="read-only"):
        splits.train[0] = 3
    train[0] = 3
    assert splits.train.tolist() == [0, 1]


def test_equality_is_of_parts_and_pool():
    splits = Splits([0, 1], [2], [3], pool_size=4)
    assert splits == Splits(np.array([0, 1]), [2], [3], pool_size=4)
    assert hash(splits) == hash(Splits([0, 1], [2], [3], pool_size=4))
    assert splits != Splits([1, 0], [2], [3], pool_size=4)
    assert splits != Splits([0, 1], [3], [2], pool_size=4)
    assert splits != Splits([0, 1], [2], [3], pool_size=5)
    assert splits != "splits"


@pytest.mark.parametrize("pool_size", [9, None])
def test_saved_splits_come_back_and_replace_the_old_file(tmp_path, pool_size):
    path = tmp_path / "splits.npz"
    path.write_bytes(b"old")
    splits = Splits([8, 1], [], [3], pool_size=pool_size)
    splits.save(path)
    assert Splits.load(path) == splits
    assert os.listdir(tmp_path) == ["splits.npz"]


def test_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "splits.npz"
    path.write_bytes(b"old")

    def full(file):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        Splits([0], [], []).save(path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["splits.npz"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train": [0]}, "is no file of splits: pool_size, test, validation missing"),
        ({"train": [0], "validation": [0], "test": [1], "pool_size": 3}, "train and validation must be without"),
        ({"train": [0], "validation": [2], "test": [1], "pool_size": 2}, "below the pool's size 2"),
        ({"train": [0], "validation": [2], "test": [1], "pool_size": [2]}, "pool_size must be an integer"),
    ],
)
def test_bad_file_of_splits_is_refused(tmp_path, arrays, message):
    path = tmp_path / "splits.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=message) as error:
        Splits.load(path)
    assert str(path) in str(error.value)


def test_missing_file_of_splits_is_refused(tmp_path):
    with pytest.raises(InputError, match="no.npz does not exist"):
        Splits.load(tmp_path / "no.npz")


def test_digits_test_part_is_in_proportion():
    # 359 of 1797: quotas 35.56 36.36 35.36 36.56 36.16 36.36 36.16 35.76 34.76 35.96; five largest remainders go up.
    source = load_source("digits")
    splits = make_splits(source, seed=0)
    assert per_class(source, splits.test) == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    assert len(splits.train) == 1797 - 359 and len(splits.validation) == 0 and splits.unused.size == 0


def test_iris_sizes_by_hand():
    source = load_source("iris")
    splits = make_splits(source, seed=7, train_limit=12, validation_split=0.25)
    assert per_class(source, splits.test) == [10, 10, 10]
    assert per_class(source, splits.validation) == [1, 1, 1]
    assert per_class(source, splits.train) == [3, 3, 3]
    assert len(splits.unused) == 150 - 30 - 12
    for part in (splits.train, splits.validation, splits.test):
        assert part.dtype == np.int64 and (np.diff(part) > 0).all()


@pytest.mark.parametrize(
    ("counts", "limit", "expected"),
    [
        ((7, 2, 1), 5, [3, 1, 1]),  # quotas 3.5 1 0.5: 4 1 0 by remainder, then class 2 takes one from class 0
        ((7, 2, 1), 3, [1, 1, 1]),
        ((7, 2, 1), 10, [7, 2, 1]),
        ((6, 3, 3), 5, [3, 1, 1]),  # quotas 2.5 1.25 1.25
        ((50, 50, 1), 7, [3, 3, 1]),  # quotas 3.47 3.47 0.07: 4 3 0, then class 2 takes one from class 0
    ],
)
def test_train_limit_is_exact_and_holds_every_class(counts, limit, expected):
    source = official(*counts)
    splits = make_splits(source, seed=3, train_limit=limit)
    assert per_class(source, splits.train) == expected
    assert splits.test.tolist() == list(range(sum(counts), sum(counts) + 4))


def test_validation_leaves_a_training_example_of_each_class():
    source = official(8, 1, 1)
    splits = make_splits(source, seed=0, validation_split=0.5)  # quotas 4 0.5 0.5, but classes 1 and 2 have one each
    assert per_class(source, splits.validation) == [5, 0, 0] and per_class(source, splits.train) == [3, 1, 1]


def test_random_test_part_holds_every_class():
    source = pool(40, 7, 3)  # 10 of 50: quotas 8 1.4 0.6
    assert per_class(source, make_splits(source, seed=1).test) == [8, 1, 1]
    source = pool(46, 2, 2)  # quotas 9.2 0.4 0.4: 10 0 0 is impossible
    assert per_class(source, make_splits(source, seed=1).test) == [8, 1, 1]


def test_splits_repeat_with_the_seed_and_change_with_it():
    source = pool(50, 50)
    first = make_splits(source, 0, 40, 0.25)
    assert first == make_splits(source, 0, 40, 0.25)
    other = make_splits(source, 1, 40, 0.25)
    assert all(not np.array_equal(getattr(first, part), getattr(other, part)) for part in ("train", "test"))
    assert make_splits(source, 2**70, 40) == make_splits(source, 2**70, 40)


def test_each_choice_has_its_own_stream():
    source = pool(50, 50)
    plain = make_splits(source, 4)
    limited = make_splits(source, 4, train_limit=40)
    both = make_splits(source, 4, train_limit=40, validation_split=0.25)
    assert plain.test.tolist() == limited.test.tolist() == both.test.tolist()
    assert np.union1d(both.train, both.validation).tolist() == limited.train.tolist()
    # Were the streams one, the same places of each class would be drawn for the test part and for validation.
    again = make_splits(official(50, 50), 4, train_limit=20)
    tested = make_splits(pool(50, 50), 4)
    assert not np.array_equal(again.train, tested.test)


def test_larger_limit_contains_the_smaller():
    source = official(30, 30)
    small, large = (set(make_splits(source, 9, train_limit=limit).train.tolist()) for limit in (10, 20))
    assert small < large


def test_every_example_is_drawn_equally_often():
    source = pool(10, 10)
    seen = np.zeros(20)
    for seed in range(400):
        seen[make_splits(source, seed).test] += 1
    assert seen.sum() == 400 * 4
    assert np.abs(seen - 80).max() < 5 * 8  # Binomial(400, 0.2): mean 80, standard deviation 8


@pytest.mark.parametrize(
    ("counts", "arguments", "message"),
    [
        ((5, 5), {"seed": -1}, "seed must be an integer of at least 0, received -1"),
        ((5, 5), {"seed": 0.5}, "seed must be an integer"),
        ((5, 5, 5), {"train_limit": 2}, "train_limit must be from 3 .* to 15, .*, received 2"),
        ((5, 5, 5), {"train_limit": 16}, "train_limit must be from 3 .* to 15, .*, received 16"),
        ((5, 5, 5), {"train_limit": 4.5}, "train_limit must be an integer"),
        ((5, 5), {"validation_split": 1.0}, "validation_split must be a finite number from|validation_split must be"),
        ((5, 5), {"validation_split": -0.1}, "validation_split must be"),
        ((5, 5), {"validation_split": float("nan")}, "validation_split must be"),
        ((5, 5), {"validation_split": 0.01}, "at least 1 validation and 2 training .* of 10, .* gives 0 and 10"),
        ((5, 5), {"validation_split": 0.9}, "gives 9 and 1"),
        ((5, 5), {"reference_split": 1.0}, "reference_split must be"),
        ((5, 5), {"reference_split": 0.01}, "at least 1 reference and 2 training .* of 10, .* gives 0 and 10"),
        ((5, 5), {"test_fraction": 0.0}, "test_fraction must be"),
        ((5, 5), {"test_fraction": 1.0}, "test_fraction must be"),
    ],
)
def test_bad_arguments_are_refused(counts, arguments, message):
    with pytest.raises(InputError, match=message):
        make_splits(official(*counts), **{"seed": 0, **arguments})


@pytest.mark.parametrize(
    ("counts", "fraction", "message"),
    [
        ((10, 1), 0.2, "class 1 has 1 example: a random test part needs at least 2"),
        ((3, 3, 3), 0.2, "a random test part of 2 out of 9"),
        ((3, 3, 3), 0.8, "a random test part of 7 out of 9"),
    ],
)
def test_pool_too_small_for_a_random_test_part_is_refused(counts, fraction, message):
    with pytest.raises(InputError, match=message):
        make_splits(pool(*counts), 0, test_fraction=fraction)


def test_one_class_in_training_is_refused():
    source = Source("a", "tabular", np.zeros((4, 1), np.float32), np.array([0, 0, 1, 1]), 2, test_start=2)
    with pytest.raises(InputError, match="at least two classes, received 1"):
        make_splits(source, 0)


def test_a_reference_part_is_apart_from_the_others_and_kept(tmp_path):
    source = official(20, 20)
    splits = make_splits(source, 0, validation_split=0.25, reference_split=0.2)
    assert per_class(source, splits.reference) == [3, 3] and per_class(source, splits.train) == [12, 12]
    assert len(splits.unused) == 0  # and no index is in two parts, or Splits would refuse it
    splits.save(tmp_path / "splits.npz")
    assert Splits.load(tmp_path / "splits.npz") == splits
    without = Splits(splits.train, splits.validation, splits.test, splits.pool_size)
    assert without != splits and without.fingerprint != splits.fingerprint
    with pytest.raises(InputError, match="train and reference must be without a common"):
        Splits([0, 1], [], [], reference=[1])


def test_nothing_else_depends_on_the_reference_part():
    source = official(20, 20)
    plain, other = (
        make_splits(source, 3, validation_split=0.25),
        make_splits(source, 3, None, 0.25, reference_split=0.5),
    )
    assert np.array_equal(plain.validation, other.validation) and np.array_equal(plain.test, other.test)
    assert set(other.train) | set(other.reference) == set(plain.train)
