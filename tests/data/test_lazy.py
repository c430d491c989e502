"""Examples look like the array that they stand for, and read no more than is asked."""

import hashlib

import numpy as np
import pytest

from kerasburst.data.lazy import Examples, live_steps, padded

ARRAY = np.random.default_rng(0).integers(0, 255, (7, 3, 2), np.uint8)


@pytest.fixture
def lazy():
    reads = []

    def read(number):
        reads.append(number)
        return ARRAY[number]

    return Examples(read, np.arange(7), (3, 2), ARRAY.dtype), reads


@pytest.mark.parametrize(
    "key",
    [
        slice(2, 5),
        slice(None, None, -2),
        [4, 1],
        np.array([6, 0]),
        ARRAY[:, 0, 0] > 99,
        [],
        np.array([], bool)[:0].astype(int),
    ],
    ids=str,
)
def test_parts_are_the_arrays_parts_and_read_nothing(lazy, key):
    x, reads = lazy
    part = x[key]
    assert isinstance(part, Examples) and not reads
    assert part.shape == ARRAY[key].shape and len(part) == len(ARRAY[key])
    np.testing.assert_array_equal(np.asarray(part), ARRAY[key])
    assert len(reads) == len(part)


def test_single_examples_and_other_indices(lazy):
    x, reads = lazy
    np.testing.assert_array_equal(x[-1], ARRAY[-1])
    assert reads == [6]
    np.testing.assert_array_equal(x[:, 1], ARRAY[:, 1])
    np.testing.assert_array_equal(np.array([row for row in x]), ARRAY)
    np.testing.assert_array_equal(x[[5, 3]].batch(np.array([1, 1, 0])), ARRAY[[3, 3, 5]])
    np.testing.assert_array_equal(np.asarray(x.map(lambda one: one / 2, np.float32)), (ARRAY / 2).astype(np.float32))
    with pytest.raises(IndexError):
        x[7]


def test_the_hash_is_the_arrays(lazy):
    found, expected = hashlib.sha256(), hashlib.sha256()
    lazy[0].update(found)
    expected.update(b"||u1 (7, 3, 2)|")
    expected.update(ARRAY)
    assert found.hexdigest() == expected.hexdigest()


def test_padding():
    x = np.array([[[0, 1], [-1, -1]]], np.int8)
    assert padded(x).tolist() == [[[False, False], [True, True]]] and padded(x.astype(float)) is False
    assert live_steps(x).tolist() == [[True, False]] and live_steps(x.astype("uint8")) is None
