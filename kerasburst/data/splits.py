"""`Splits`: disjoint training, validation and test parts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasburst.data.readers import load_npz
from kerasburst.data.sources import Source
from kerasburst.files import replacing
from kerasburst.validation import InputError, check_float, check_int, fail

_PARTS = ("train", "validation", "test")
_ALL = (*_PARTS, "reference")
_TEST_STREAM, _LIMIT_STREAM, _VALIDATION_STREAM, _REFERENCE_STREAM = 1, 2, 3, 4


@dataclass(frozen=True, eq=False)
class Splits:
    """Disjoint parts of a pool of examples, as indices.

    Args:
        train: Indices into the pool, int64, each at least 0 and in one part only.
        validation: The same.
        test: The same.
        pool_size: Number of examples in the pool; every index is below it. None: not known.
        reference: As `train`: examples that an adversary compares with the training part, and that train nothing else.

    Raises:
        InputError: If an index is negative, past the pool, or occurs twice, in one part or in two.

    Example:
        >>> splits = Splits([0, 1], [2], [4], pool_size=6)
        >>> splits.unused.tolist()
        [3, 5]
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    pool_size: int | None = None
    reference: np.ndarray | tuple = ()

    def __post_init__(self) -> None:
        """Check the index arrays and make them read-only."""
        if self.pool_size is not None:
            object.__setattr__(self, "pool_size", check_int("pool_size", self.pool_size, 0))
        for part in _ALL:
            object.__setattr__(self, part, _indices(part, getattr(self, part), self.pool_size))
        joined = np.concatenate([getattr(self, part) for part in _ALL])
        values, counts = np.unique(joined, return_counts=True)
        if (counts > 1).any():
            twice = values[counts > 1][0]
            places = [part for part in _ALL if twice in getattr(self, part)]
            raise fail(" and ".join(places), "without a common or repeated index", int(twice))

    @property
    def unused(self) -> np.ndarray:
        """Indices of the pool that are in no part, int64, sorted; needs `pool_size`."""
        if self.pool_size is None:
            raise fail("pool_size", "known to find the unused examples", None)
        used = np.zeros(self.pool_size, bool)
        for part in _ALL:
            used[getattr(self, part)] = True
        return np.flatnonzero(~used).astype(np.int64)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the parts, in their order, and `pool_size`."""
        digest = hashlib.sha256(repr(self.pool_size).encode())
        for part in self._written():
            digest.update(f"|{part}|".encode() + getattr(self, part).astype("<i8").tobytes())
        return digest.hexdigest()

    def _written(self) -> tuple[str, ...]:
        """Return the parts that a file holds: that of an adversary where there is one."""
        return _ALL if len(self.reference) else _PARTS

    def __eq__(self, other: object) -> bool:
        """Return whether the parts have the same indices in the same order, in pools of the same size."""
        if not isinstance(other, Splits):
            return NotImplemented
        same = all(np.array_equal(getattr(self, part), getattr(other, part)) for part in _ALL)
        return same and self.pool_size == other.pool_size

    def __hash__(self) -> int:
        """Hash what `__eq__` compares."""
        return hash((self.pool_size, *(getattr(self, part).tobytes() for part in _ALL)))

    def save(self, path: str | Path) -> None:
        """Write the splits to `path` (`.npz`); a killed run leaves the old file or the new one."""
        pool_size = -1 if self.pool_size is None else self.pool_size
        with replacing(path) as temporary:
            parts = {part: getattr(self, part) for part in self._written()}
            np.savez_compressed(temporary, **parts, pool_size=np.int64(pool_size))

    @classmethod
    def load(cls, path: str | Path) -> Splits:
        """Read what `save` wrote.

        Raises:
            InputError: If the file is missing, damaged, or no file of splits.
        """

        def choose(keys: list[str]) -> tuple[str, ...]:
            if missing := {*_PARTS, "pool_size"} - set(keys):
                raise InputError(f"{path} is no file of splits: {', '.join(sorted(missing))} missing")
            return tuple(name for name in (*_ALL, "pool_size") if name in keys)

        arrays = load_npz(Path(path), choose)
        size = arrays["pool_size"]
        if size.shape != () or size.dtype.kind not in "iu" or size < -1:
            raise InputError(f"{path}: pool_size must be an integer of at least -1, received {size}")
        try:
            parts = {part: arrays[part] for part in _ALL if part in arrays}
            return cls(**parts, pool_size=None if size == -1 else int(size))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def make_splits(
    source: Source,
    seed: int,
    train_limit: int | None = None,
    validation_split: float = 0.0,
    test_fraction: float = 0.2,
    reference_split: float = 0.0,
) -> Splits:
    """Split a source, stratified by class and seeded.

    Each random choice has its own stream, from the seed and its kind: `train_limit` does not change the test part.

    Args:
        source: The data. Its official test part is the test part; without one, a stratified random part is.
        seed: An integer of at least 0.
        train_limit: Number of training examples to keep, validation and reference included, chosen at random: at least
            one of each class. None: all.
        validation_split: Fraction of the (limited) training part that validates instead, in [0, 1).
        test_fraction: Fraction of the pool that tests where there is no official test part, in (0, 1).
        reference_split: Fraction of the training part, after validation, that an adversary compares with the rest,
            in [0, 1).

    Returns:
        The splits, each part sorted; its size is the fraction's nearest whole number.

    Raises:
        InputError: If an argument is out of range, or a class has too few members.

    Example:
        >>> pool = Source.from_arrays("mine", {"x": np.ones((20, 3)), "y": np.arange(20) % 2})
        >>> splits = make_splits(pool, seed=0, validation_split=0.25)
        >>> len(splits.train), len(splits.validation), len(splits.test)
        (12, 4, 4)
    """
    seed = check_int("seed", seed, 0)
    validation_split = check_float("validation_split", validation_split, 0.0, below=1.0)
    test_fraction = check_float("test_fraction", test_fraction, above=0.0, below=1.0)
    reference_split = check_float("reference_split", reference_split, 0.0, below=1.0)
    pool = np.arange(len(source.y))
    if source.test_start is None:
        test = _random_test(source.y, seed, test_fraction)
    else:
        test = pool[source.test_start :]
    train = np.setdiff1d(pool, test, assume_unique=True)
    classes = len(np.unique(source.y[train]))
    if classes < 2:
        raise InputError(f"{source.name}: the training part must hold at least two classes, received {classes}")
    if train_limit is not None:
        train_limit = check_int("train_limit", train_limit)
        if not classes <= train_limit <= len(train):
            allowed = f"from {classes} (one per class) to {len(train)}, the training examples of {source.name}"
            raise fail("train_limit", allowed, train_limit)
        train = _draw(train, source.y, train_limit, _stream(seed, _LIMIT_STREAM), keep=0, least=1)
    held_out = {"validation": pool[:0], "reference": pool[:0]}
    shares = {"validation": (validation_split, _VALIDATION_STREAM), "reference": (reference_split, _REFERENCE_STREAM)}
    for part, (share, stream) in shares.items():
        if share > 0:
            size = round(len(train) * share)
            if size < 1 or len(train) - size < classes:
                raise InputError(
                    f"{part}_split must leave at least 1 {part} and {classes} training examples (one per class) "
                    f"of {len(train)}, received {share:g}, which gives {size} and {len(train) - size}"
                )
            held_out[part] = _draw(train, source.y, size, _stream(seed, stream), keep=1, least=0)
            train = np.setdiff1d(train, held_out[part], assume_unique=True)
    return Splits(train, test=test, pool_size=len(pool), **held_out)


def _random_test(y: np.ndarray, seed: int, fraction: float) -> np.ndarray:
    classes, counts = np.unique(y, return_counts=True)
    if counts.min() < 2:
        raise InputError(
            f"class {classes[counts.argmin()]} has 1 example: a random test part needs at least 2 of each class"
        )
    size = round(len(y) * fraction)
    if not len(classes) <= size <= len(y) - len(classes):
        raise InputError(
            f"a random test part of {size} out of {len(y)} examples leaves a class without training or test example "
            f"({len(classes)} classes): bring more examples, or x_train, y_train, x_test, y_test"
        )
    return _draw(np.arange(len(y)), y, size, _stream(seed, _TEST_STREAM), keep=1, least=1)


def _stream(seed: int, tag: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, tag])))


def _draw(indices: np.ndarray, y: np.ndarray, size: int, rng: np.random.Generator, keep: int, least: int) -> np.ndarray:
    """Draw `size` of `indices`, stratified: at least `least` of each class, and `keep` of each left behind."""
    # Not scikit-learn's StratifiedShuffleSplit: it may leave a class out, and it takes no numpy Generator.
    labels = y[indices]
    classes, counts = np.unique(labels, return_counts=True)
    shares = _allocate(counts, size, keep, least)
    # Each class is shuffled whole, whatever its share: a larger limit contains the smaller one's examples.
    drawn = [rng.permutation(indices[labels == label])[:share] for label, share in zip(classes, shares, strict=True)]
    return np.sort(np.concatenate(drawn))


def _allocate(counts: np.ndarray, size: int, keep: int, least: int) -> np.ndarray:
    """Divide `size` among classes in proportion to `counts`, by largest remainder, within least and count - keep."""
    total = int(counts.sum())
    quotas = [int(count) * size for count in counts]  # in units of 1/total, exact
    shares = np.array([quota // total for quota in quotas])
    order = sorted(range(len(counts)), key=lambda i: (-(quotas[i] % total), i))
    shares[order[: size - int(shares.sum())]] += 1
    shares = np.clip(shares, least, counts - keep)
    while (surplus := int(shares.sum()) - size) != 0:  # the bounds changed a share: correct one by one
        step = -1 if surplus > 0 else 1
        free = [i for i in range(len(counts)) if least <= shares[i] + step <= counts[i] - keep]
        shares[max(free, key=lambda i: (-step * (int(shares[i]) * total - quotas[i]), -i))] += step
    return shares


def _indices(part: str, values: object, pool_size: int | None) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise fail(part, "a list of integers", values)
    array = array.astype(np.int64)  # a copy: the caller's array stays writeable
    array.flags.writeable = False
    if array.size and array.min() < 0:
        raise fail(part, "indices of at least 0", int(array.min()))
    if pool_size is not None and array.size and array.max() >= pool_size:
        raise fail(part, f"indices below the pool's size {pool_size}", int(array.max()))
    return array
