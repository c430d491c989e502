"""Checks of the arrays that attacks and metrics receive, and medians over IN and OUT shadows."""

from __future__ import annotations

import warnings

import numpy as np

from kerasburst.validation import InputError, fail


def signal_arrays(
    target: np.ndarray, shadows: np.ndarray, membership: np.ndarray, *, need_in: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check signals of one number per query, and average the queries.

    Args:
        target: `(n,)` or `(n, K)`.
        shadows: `(N, n)` or `(N, n, K)`, queries as for `target`.
        membership: `(N, n)`, which points are IN which shadow.
        need_in: each point must be IN at least one shadow; it must be OUT of one in any case.

    Returns:
        float64 `(n,)`, float64 `(N, n)`, bool `(N, n)`.

    Raises:
        InputError: for shapes that do not fit, numbers that are not finite, or points without an IN or OUT shadow.
    """
    target, shadows = averaged(target, shadows, ("target", "shadows"), 1)
    return target, shadows, in_out(membership, shadows.shape[:2], need_in)


def averaged(
    target: np.ndarray, shadows: np.ndarray, names: tuple[str, str], rank: int
) -> tuple[np.ndarray, np.ndarray]:
    """Check a target's and the shadows' signals against each other; average axis 1 (K) if there is one.

    Args:
        target: `rank` axes, or one more with K at place 1.
        shadows: the same after an axis of N shadows.
        names: of both, for the errors.
        rank: 1 for a number, 2 for a trace.
    """
    target, shadows = finite(names[0], target), finite(names[1], shadows)
    wanted = "(n,) or (n, K)" if rank == 1 else "(n, T) or (n, K, T)"
    if target.ndim not in (rank, rank + 1) or target.size == 0:
        raise fail(names[0], f"of shape {wanted}, not empty", f"shape {target.shape}")
    if shadows.shape[1:] != target.shape or len(shadows) == 0:
        raise fail(names[1], f"of shape (N, {', '.join(map(str, target.shape))})", f"shape {shadows.shape}")
    if all(0 <= v.min() and v.max() <= 1 and not np.isin(v, (0, 1)).all() for v in (target, shadows)):
        warnings.warn(
            f"{names[0]} and {names[1]} all lie between 0 and 1, as probabilities do; the attack takes phi, "
            "log(p / (1 - p)), of kerasburst.phi",
            stacklevel=4,
        )
    if target.ndim > rank:
        target, shadows = target.mean(axis=1), shadows.mean(axis=2)
    return target, shadows


def in_out(membership: np.ndarray, shape: tuple[int, ...], need_in: bool) -> np.ndarray:
    """Return membership as bool `(N, n)`, each point OUT of at least one shadow and, if needed, IN one."""
    membership = check_membership("membership", membership, shape)
    counts = membership.sum(axis=0)
    without = [("OUT of", int((counts == len(membership)).sum()))]
    if need_in:
        without.insert(0, ("IN", int((counts == 0).sum())))
    for side, missing in without:
        if missing:
            raise InputError(
                f"membership must have each point {side} at least one shadow, received {missing} of {shape[1]} "
                f"points {side} none of {shape[0]} shadows"
            )
    return membership


def as_numbers(argument: str, values: np.ndarray) -> np.ndarray:
    """Return an array of float64; text, complex numbers and dates are no numbers here."""
    array = as_array(argument, values)
    try:
        if array.dtype.kind not in "cSUmM":
            return array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        pass
    raise fail(argument, "an array of numbers", f"{array.dtype} of shape {array.shape}")


def as_array(argument: str, values: np.ndarray) -> np.ndarray:
    """Return an array; lists of different lengths are none."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError):
        raise fail(argument, "an array, its lists of one length", type(values).__name__) from None


def looks_like_probabilities(values: np.ndarray) -> bool:
    """Return whether all values lie in [0, 1] and each row, along the last axis, sums to 1 within 0.001.

    Example:
        >>> looks_like_probabilities(np.array([[0.2, 0.8]])), looks_like_probabilities(np.log([[0.2, 0.8]]))
        (True, False)
    """
    inside = values.min() >= -1e-6 and values.max() <= 1 + 1e-6
    return bool(inside and np.abs(values.sum(axis=-1) - 1).max() <= 1e-3)


def are_bits(values: np.ndarray) -> bool:
    """Return whether all values are 0 or 1, and some are 1."""
    return bool(np.isin(values, (0, 1)).all() and values.any())


def finite(argument: str, values: np.ndarray) -> np.ndarray:
    """Return an array of finite float64 numbers."""
    array = as_numbers(argument, values)
    if not np.isfinite(array).all():
        raise fail(argument, "finite", f"{int((~np.isfinite(array)).sum())} of {array.size} numbers that are not")
    return array


def check_scores(argument: str, scores: np.ndarray) -> np.ndarray:
    """Return scores as float64 `(n,)`, n of at least 1, without NaN."""
    array = as_numbers(argument, scores)
    if array.ndim != 1 or array.size == 0:
        raise fail(argument, "1-D and not empty", f"shape {array.shape}")
    if np.isnan(array).any():
        raise fail(argument, "without NaN", f"{int(np.isnan(array).sum())} of {array.size} NaN")
    return array


def check_membership(argument: str, membership: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return membership as bool of `shape`; True, False, 1 and 0 are accepted."""
    array = as_array(argument, membership)
    if array.shape != shape:
        raise fail(argument, f"of shape {shape}", f"shape {array.shape}")
    if array.dtype != bool and not (np.issubdtype(array.dtype, np.number) and np.isin(array, (0, 1)).all()):
        raise fail(argument, "True or False, or 1 or 0", f"{array.dtype} values")
    return array.astype(bool)


def check_labels(argument: str, labels: np.ndarray, size: int) -> np.ndarray:
    """Return labels as an array of integers `(size,)`."""
    array = as_array(argument, labels)
    if array.shape != (size,):
        raise fail(argument, f"of shape ({size},)", f"shape {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise fail(argument, "integers", f"{array.dtype} values")
    return array


def median_over(shadows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Compute the median of each point over the shadows chosen for it.

    Args:
        shadows: `(N, n, ...)`.
        chosen: bool `(N, n)`, at least one for each point.

    Returns:
        float64 `(n, ...)`.

    Example:
        >>> median_over(np.array([[1.0], [2.0], [9.0]]), np.array([[True], [False], [True]])).tolist()
        [5.0]
    """
    chosen = chosen.reshape(*chosen.shape, *(1,) * (shadows.ndim - 2))
    ordered = np.sort(np.where(chosen, shadows, np.inf), axis=0)
    counts = chosen.sum(axis=0)[None]
    low, high = (np.take_along_axis(ordered, place, axis=0)[0] for place in ((counts - 1) // 2, counts // 2))
    return (low + high) / 2
