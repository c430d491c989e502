"""`Examples`: an array of examples that are read when they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples that are read when they are needed, indexed like an array.

    `x[3]` reads an example. `x[2:5]`, `x[[4, 1]]` and `x[mask]` are `Examples` again and read nothing.
    `numpy.asarray(x)` and any other index read all that is left. Memory does not grow with the number of examples.

    Args:
        read: Returns an example by its number, of shape `sample_shape` and type `dtype`; several threads may call it.
        index: Numbers of the examples, int64 `(n,)`.
        sample_shape: Shape of one example.
        dtype: Type of the values.
        raw: Returns what is stored of an example, by its number; the fingerprint is of these bytes. None: the values.

    Example:
        >>> squares = Examples(lambda i: np.full(2, i * i, np.uint8), np.arange(5), (2,), np.dtype(np.uint8))
        >>> squares.shape, squares[3].tolist(), np.asarray(squares[[4, 1]]).tolist()
        ((5, 2), [9, 9], [[16, 16], [1, 1]])
    """

    read: Callable[[int], np.ndarray]
    index: np.ndarray
    sample_shape: tuple[int, ...]
    dtype: np.dtype
    raw: Callable[[int], bytes] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all examples, `(n, *sample_shape)`."""
        return (len(self.index), *self.sample_shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key):
        if isinstance(key, (int, np.integer)):
            return self.read(int(self.index[key]))
        if isinstance(key, tuple) or key is None or key is Ellipsis:
            return np.asarray(self)[key]
        if isinstance(key, (list, np.ndarray, range)):
            key = np.asarray(key, None if len(key) else int)
        return replace(self, index=self.index[key])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.read(int(number)) for number in self.index)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        array = np.empty(self.shape, self.dtype)
        for place, example in enumerate(self):
            array[place] = example
        return array if dtype is None else array.astype(dtype, copy=False)

    def batch(self, index: np.ndarray) -> np.ndarray:
        """Return the examples at some places."""
        return np.asarray(self[np.asarray(index)])

    def map(self, function: Callable[[np.ndarray], np.ndarray], dtype: np.dtype) -> Examples:
        """Return examples to which a function is applied when they are read; it keeps their shape."""
        read = self.read
        return replace(self, read=lambda number: function(read(number)), dtype=np.dtype(dtype), raw=None)

    def update(self, digest: hashlib._Hash) -> None:
        """Add the examples to a hash, one at a time: as the array of the values, or what is stored of them."""
        stored = self.raw is not None
        digest.update((f"|stored {len(self)}|" if stored else header(self.dtype, self.shape)).encode())
        for number in self.index.tolist():
            digest.update(self.raw(number) if stored else np.ascontiguousarray(self.read(number)))


def header(dtype: np.dtype, shape: Sequence[int]) -> str:
    """Return what stands before an array's values in a fingerprint."""
    return f"|{dtype.newbyteorder('<').str} {tuple(shape)}|"


def as_examples(x) -> np.ndarray | Examples:
    """Return `Examples` as they are, and anything else as an array."""
    return x if isinstance(x, Examples) else np.asarray(x)


def padded(x: np.ndarray):
    """Return where spikes are padding, -1 in int8, or False where there is none.

    Example:
        >>> padded(np.array([[[1], [-1]]], np.int8)).ravel().tolist(), padded(np.array([[[1]]], np.uint8))
        ([False, True], False)
    """
    return x < 0 if x.dtype == np.int8 else False


def live_steps(x: np.ndarray) -> np.ndarray | None:
    """Return the mask `(n, num_steps)` of the steps of spikes that are no padding; None where none can be.

    Example:
        >>> live_steps(np.array([[[0, 1], [-1, -1]]], np.int8)).tolist()
        [[True, False]]
    """
    return None if x.dtype != np.int8 else x.reshape(*x.shape[:2], -1)[..., 0] >= 0
