"""`Source`: the raw arrays of a data set, checked, before they are split and scaled."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from kerasburst.data.lazy import Examples, header
from kerasburst.validation import ROUNDING, InputError, check_choice, check_float, check_int, fail

KINDS = ("image", "tabular")
_OFFICIAL = ("x_train", "y_train", "x_test", "y_test")
_RANDOM = ("x", "y")
_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Source:
    """A pool of labelled examples with raw values, in read-only arrays.

    With an official split, the pool is `[training | test]` and `test_start` the number of training examples.

    Args:
        name: Name of the data set.
        kind: "image" (`x` of shape `(n, height, width, channels)`) or "tabular" (`(n, features)`). Of spikes "image"
            with features `(height, width, channels)`, else "tabular".
        x: Raw values, uint8 or float32; of tables float64 where float32 would move a value by more than 1e-6 of its
            feature's range. An array, or `Examples` that are read when they are needed.
        y: Labels 0 to `num_classes` - 1, int64, shape `(n,)`.
        num_classes: Number of classes, at least 2.
        class_names: One name per class; empty: the labels as text.
        test_start: First index of the official test part, 1 to n - 1; None: no official split.
        note: A remark that results must carry, such as that this is a subset.
        full_scale: Raw value of full intensity, above 0 (images only); None: 255 for uint8, 1 for float32.
        encoded: Whether `x` holds spikes, uint8 of 0 and 1, shape `(n, num_steps, *features)`; as int8 with -1 in all
            features of steps that are padding. `Examples` may hold counts, too.

    Raises:
        InputError: If the fields do not fit each other.

    Example:
        >>> import numpy as np
        >>> images = np.zeros((4, 28, 28), np.uint8)
        >>> source = Source.from_arrays("mine", {"x": images, "y": np.array([0, 1, 1, 0])})
        >>> source.kind, source.x.shape, source.num_classes, source.full_scale
        ('image', (4, 28, 28, 1), 2, 255.0)
    """

    name: str
    kind: str
    x: np.ndarray
    y: np.ndarray
    num_classes: int
    class_names: tuple[str, ...] = ()
    test_start: int | None = None
    note: str = ""
    full_scale: float | None = None
    encoded: bool = False

    def __post_init__(self) -> None:
        """Check the fields against each other, fill in defaults, and make the arrays read-only."""
        x = self.x if isinstance(self.x, Examples) else np.ascontiguousarray(self.x).view()
        y = np.ascontiguousarray(self.y).view()
        check_choice("kind", self.kind, KINDS)
        types = (np.uint8, np.float32) if self.kind == "image" else (np.uint8, np.float32, np.float64)
        if self.encoded:
            x = x if isinstance(x, Examples) else to_spikes("x", x)
            if x.ndim < 3 or (x.ndim == 5) != (self.kind == "image"):
                raise fail("x", "spikes of shape (n, num_steps, *features), of images with 3 features", x.shape)
        elif x.dtype not in types or x.ndim != (4 if self.kind == "image" else 2):
            allowed = "uint8 or float32, 4-D for images and 2-D (float64, too) for tables"
            raise fail("x", allowed, f"{x.dtype} {x.shape}")
        if y.dtype != np.int64 or y.shape != x.shape[:1]:
            raise fail("y", f"int64 of shape ({len(x)},)", f"{y.dtype} {y.shape}")
        check_int("num_classes", self.num_classes, 2)
        if y.size and not 0 <= int(y.min()) <= int(y.max()) < self.num_classes:
            raise fail("y", f"labels from 0 to {self.num_classes - 1}", f"{y.min()} to {y.max()}")
        names = tuple(self.class_names) or tuple(str(label) for label in range(self.num_classes))
        if len(names) != self.num_classes:
            raise fail("class_names", f"one name for each of {self.num_classes} classes", names)
        if self.test_start is not None:
            check_int("test_start", self.test_start, 1, len(x) - 1)
        scale = self.full_scale
        if self.kind == "image" and not self.encoded:
            scale = check_float("full_scale", 255.0 if x.dtype == np.uint8 else 1.0) if scale is None else scale
            scale = check_float("full_scale", scale, above=0.0)
        elif scale is not None:
            raise fail("full_scale", "None for tabular data and spikes", scale)
        for array in (y,) if isinstance(x, Examples) else (x, y):
            array.flags.writeable = False
        for field, value in (("x", x), ("y", y), ("class_names", names), ("full_scale", scale)):
            object.__setattr__(self, field, value)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.x.shape[1:]

    @property
    def recorded(self) -> bool:
        """Whether the examples are binned from recordings of events, when they are read."""
        return self.encoded and isinstance(self.x, Examples) and self.x.raw is not None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over values, shapes and types of `x` and `y`, and `test_start`; of events as recorded."""
        digest = hashlib.sha256(repr(self.test_start).encode())
        for array in (self.x, self.y):
            if isinstance(array, Examples):
                array.update(digest)
                continue
            digest.update(header(array.dtype, array.shape).encode())
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")))
        return digest.hexdigest()

    @classmethod
    def from_arrays(
        cls,
        name: str,
        arrays: Mapping[str, np.ndarray],
        where: str = "",
        *,
        class_names: tuple[str, ...] = (),
        note: str = "",
        full_scale: float | None = None,
    ) -> Source:
        """Check a user's arrays and join them into one pool.

        Args:
            name: Name of the data set.
            arrays: `x_train, y_train, x_test, y_test` (an official split) or `x, y`. Features of one example have
                1 dimension (tabular), 2 or 3 (images, channels last), or 4 and more (spikes, time first). Images are
                integers 0 to 255, or floats 0 to 1; tables any finite numbers; spikes 0 or 1. Labels are integers 0 to
                C - 1, shape `(n,)` or `(n, 1)`.
            where: File that the arrays come from, named in every error.
            class_names: Names of the classes, at least as many as occur; empty: the labels as text.
            note: A remark that results must carry.
            full_scale: Raw value of full intensity, for images that do not use their whole range.

        Returns:
            The checked source: images as uint8 or float32 with a channel axis, tables as float32, or as float64 where
            float32 would lose values. Images of integers that are all 0 or 1 have the full scale 1.

        Raises:
            InputError: If the arrays break one of these rules; the message names file and key.
        """
        keys = array_keys(arrays, where)
        prefix = f"{where}: " if where else ""
        parts = []
        for x_key, y_key in zip(keys[::2], keys[1::2], strict=True):
            x, y = np.asarray(arrays[x_key]), np.asarray(arrays[y_key])
            x = x.astype(np.uint8) if x.dtype == bool else x
            _check_features(prefix + x_key, x)
            labels = check_labels(prefix + y_key, y)
            if len(labels) != len(x):
                counts = f"received {len(labels)} labels for {len(x)}"
                raise InputError(f"{prefix}{y_key} must have one label per example of {x_key}, {counts}")
            parts.append((x, labels))
        num_classes = check_classes([prefix + key for key in keys[1::2]], [labels for _, labels in parts])
        if class_names and num_classes > len(class_names):
            raise fail(f"{prefix}{keys[1]}", f"labels 0 to {len(class_names) - 1} of {name}", num_classes - 1)
        x = _join([prefix + key for key in keys[::2]], [features for features, _ in parts])
        if full_scale is None and x.ndim == 4 and x.dtype == np.uint8 and x.max() == 1:
            full_scale = 1.0
        return cls(
            name=name,
            kind="image" if x.ndim in (4, 5) else "tabular",
            x=x,
            y=np.concatenate([labels for _, labels in parts]),
            num_classes=num_classes,
            class_names=tuple(class_names)[:num_classes],
            test_start=len(parts[0][0]) if len(parts) == 2 else None,
            note=note,
            full_scale=full_scale,
            encoded=x.ndim > 4,
        )


class Reader(ABC):
    """Read a data set of the user's own, named by its path.

    A reader is a subclass with the two attributes and the two methods below, and a line in
    `kerasburst.registry.READERS` or a call of `kerasburst.register("reader", name, cls)`. It is made without arguments.
    Known data sets' names and earlier readers come first: a folder `digits` is read as `./digits`.

    Attributes:
        what: What it reads, with an article, as messages name it: "an .npz file".
        contents: What must be in it, in a line that `kerasburst datasets` prints.
        catch_all: Whether to ask all other readers first, as one that claims every folder wants.
        encoded: Whether what it reads is spikes, which no encoder of intensities takes.

    Example:
        >>> class TextReader(Reader):
        ...     what, contents = "a .txt file", "numbers, the label last"
        ...     def claims(self, path):
        ...         return path.suffix == ".txt"
        ...     def read(self, path):
        ...         rows = np.loadtxt(path, ndmin=2)
        ...         return Source.from_arrays(path.stem, {"x": rows[:, :-1], "y": rows[:, -1]}, str(path))
        >>> TextReader().claims(Path("rows.txt"))
        True
    """

    what: str
    contents: str
    catch_all = False
    encoded = False

    @abstractmethod
    def claims(self, path: Path) -> bool:
        """Return whether this reader reads `path`, judged by its name, or by what is there."""

    @abstractmethod
    def read(self, path: Path) -> Source:
        """Return the checked source; raise an `InputError` that names the path if it is missing or bad."""


def to_spikes(key: str, x: np.ndarray) -> np.ndarray:
    """Return spikes as uint8; as int8 if steps are padding, marked by -1 in all their features.

    Raises:
        InputError: for other values.

    Example:
        >>> to_spikes("x", np.array([[0.0, 1.0], [True, False]])).tolist()
        [[0, 1], [1, 0]]
    """
    if x.dtype == np.int8 and x.ndim > 2 and (x == -1).any():
        rows = (x == -1).reshape(*x.shape[:2], -1)
        if not ((x >= -1) & (x <= 1)).all() or (rows.any(-1) != rows.all(-1)).any():
            raise InputError(f"{key} must be spikes, each 0 or 1, and -1 in all features of steps that are padding")
        return x
    if x.dtype.kind not in "biuf" or not ((x == 0) | (x == 1)).all():
        received = f"{x.min():g} to {x.max():g}" if x.dtype.kind in "iuf" else f"the type {x.dtype}"
        raise InputError(
            f"{key} must be spikes, each 0 or 1, received {received}; of counts, minimum(x, 1) keeps where any are"
        )
    return x if x.dtype == np.uint8 else x.astype(np.uint8)


def array_keys(available: Iterable[str], where: str = "") -> tuple[str, ...]:
    """Return the keys to read: those of an official split if all are there, else `x` and `y`.

    Args:
        available: Keys that are there.
        where: File that they come from.

    Returns:
        `("x_train", "y_train", "x_test", "y_test")` or `("x", "y")`.

    Raises:
        InputError: If neither set is complete.

    Example:
        >>> array_keys(["x", "y", "author"])
        ('x', 'y')
    """
    available = list(available)
    for keys in (_OFFICIAL, _RANDOM):
        if set(keys) <= set(available):
            return keys
    allowed = f"{', '.join(_OFFICIAL)}, or {' and '.join(_RANDOM)}"
    has = ", ".join(sorted(available)) or "nothing"
    raise InputError(f"{where or 'arrays'} must hold the arrays {allowed}; it holds {has}")


def _check_features(key: str, x: np.ndarray) -> None:
    _check_numbers(key, x)
    if x.ndim < 2:
        raise InputError(
            f"{key} must have shape (n, features), (n, height, width), (n, height, width, channels), or for spikes "
            f"(n, num_steps, height, width, channels), received {x.shape}"
        )
    if x.size == 0:
        raise InputError(f"{key} must not be empty, received shape {x.shape}")
    if x.ndim > 4:
        to_spikes(key, x)
        return
    low, high = _finite_range(key, x)
    if x.ndim == 2:
        if max(abs(low), abs(high)) > _FLOAT32_MAX:
            raise fail(key, "numbers that fit float32 (up to 3.4e38)", max(low, high, key=abs))
    elif x.dtype.kind == "f":
        if low < -ROUNDING or high > 1 + ROUNDING:
            allowed = "floats from 0 to 1 (or integers from 0 to 255)"
            raise InputError(f"{key} must be images with {allowed}, received {low:g} to {high:g}")
    elif low < 0 or high > 255:
        raise InputError(f"{key} must be images with integers from 0 to 255, received {low:g} to {high:g}")


def _check_numbers(key: str, array: np.ndarray) -> None:
    if array.dtype.kind not in "iuf":
        raise InputError(f"{key} must hold integers or floats, received the type {array.dtype}")


def _finite_range(key: str, array: np.ndarray) -> tuple[float, float]:
    low, high = array.min(), array.max()  # NaN passes through both; no temporary array
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{key} must hold finite numbers, received NaN or infinity")
    return float(low), float(high)


def check_labels(key: str, y: np.ndarray) -> np.ndarray:
    """Return labels as int64 `(n,)`, or raise an `InputError` that names their key."""
    _check_numbers(key, y)
    if y.ndim == 2 and y.shape[1] > 1:
        raise InputError(
            f"{key} must be integer labels of shape (n,), received {y.shape}; if it is one-hot, save argmax(axis=1)"
        )
    if y.ndim != 1 and not (y.ndim == 2 and y.shape[1] == 1):
        raise InputError(f"{key} must be integer labels of shape (n,) or (n, 1), received {y.shape}")
    if y.size == 0:
        raise InputError(f"{key} must not be empty, received shape {y.shape}")
    low, high = _finite_range(key, y)
    if y.dtype.kind == "f" and not np.array_equal(y, np.floor(y)):
        raise fail(key, "integer labels", float(y[y != np.floor(y)].flat[0]))
    if low < 0:
        raise fail(key, "integer labels from 0 to C - 1", int(low))
    if high >= 2**62:  # beyond any count of classes, and beyond what the conversion could hold
        raise fail(key, "integer labels from 0 to C - 1", high)
    return y.reshape(-1).astype(np.int64)


def check_classes(keys: list[str], labels: list[np.ndarray]) -> int:
    """Return the number of classes of one part or two, or raise an `InputError` that names the key at fault."""
    classes = np.unique(labels[0])
    gaps = np.flatnonzero(classes != np.arange(len(classes)))
    if gaps.size:
        raise InputError(
            f"{keys[0]} must hold every class from 0 to {classes[-1]} (labels 0 to C - 1), "
            f"class {gaps[0]} does not occur"
        )
    if len(classes) < 2:
        raise InputError(f"{keys[0]} must hold at least two classes, received only class {classes[0]}")
    for key, others in zip(keys[1:], labels[1:], strict=True):
        if others.max() > classes[-1]:
            raise fail(key, f"labels that the training part has, 0 to {classes[-1]}", int(others.max()))
    return len(classes)


def _join(keys: list[str], parts: list[np.ndarray]) -> np.ndarray:
    """Put the parts into one new array, converting while copying, so that each value is copied once."""
    parts = [part[..., np.newaxis] if part.ndim == 3 else part for part in parts]
    if any(part.shape[1:] != parts[0].shape[1:] for part in parts):
        raise InputError(
            f"{keys[1]} must have examples of the same shape as x_train, {parts[0].shape[1:]}, "
            f"received {parts[1].shape[1:]}"
        )
    floats = [part.dtype.kind == "f" and part.ndim < 5 for part in parts]
    if parts[0].ndim == 4 and len(set(floats)) > 1:
        raise InputError(f"{keys[1]} must be integers or floats as x_train is, received {parts[1].dtype}")
    dtype = _table_type(keys, parts) if parts[0].ndim == 2 else np.float32 if floats[0] else np.uint8
    if parts[0].ndim > 4 and any(part.dtype == np.int8 and part.min() < 0 for part in parts):
        dtype = np.int8
    pool = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), dtype)
    start = 0
    for part in parts:
        pool[start : start + len(part)] = part
        start += len(part)
    return np.clip(pool, 0.0, 1.0, out=pool) if pool.ndim == 4 and floats[0] else pool


def _table_type(keys: list[str], parts: list[np.ndarray]) -> type:
    """Return float32, or float64 where float32 would move a value by more than rounding, as its feature is scaled.

    Raises:
        InputError: where even float64 would, as for integers beyond 2**53 that differ little.
    """
    chosen: type = np.float32
    if all(np.can_cast(part.dtype, chosen) for part in parts):
        return chosen
    for i, column in enumerate(parts[0].T):
        width = float(column.max().item() - column.min().item())  # of Python's integers, exact
        for key, part in zip(keys, parts, strict=True):
            if width and chosen is np.float32 and _moved(part[:, i], chosen) > ROUNDING * width:
                chosen = np.float64
            if width and _moved(part[:, i], np.float64) > ROUNDING * width:
                raise InputError(
                    f"{key} must hold numbers that float64 can tell apart, received {column.max()} in feature {i} "
                    f"and differences of {width:g}: subtract the minimum first"
                )
    return chosen


def _moved(column: np.ndarray, dtype: type) -> float:
    """Return how far a conversion moves a value at most."""
    if column.dtype.kind == "f" or dtype is np.float32:
        wide = column.astype(np.result_type(column.dtype, np.float64))
        return float(np.abs(wide - column.astype(dtype)).max())
    beyond = column[(column > 2**53) | (column < -(2**53))]  # the other integers are float64's, too
    return float(max((abs(int(float(value)) - value) for value in beyond.tolist()), default=0))
