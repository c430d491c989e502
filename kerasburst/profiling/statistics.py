"""What is said of repeated measurements: the median, the quartiles as its spread, ratios in pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kerasburst.validation import InputError


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Give the first quartile, the median and the third quartile, interpolated linearly.

    Raises:
        InputError: without a value, or with one that is not finite.

    Example:
        >>> quartiles([4.0, 1.0, 3.0, 2.0, 10.0])
        (2.0, 3.0, 4.0)
    """
    if not len(values) or not all(math.isfinite(value) for value in values):
        raise InputError(f"values must be one or more finite numbers, received {list(values)}")
    low, median, high = np.percentile(np.asarray(values, dtype="float64"), [25, 50, 75])
    return float(low), float(median), float(high)


def spread_percent(values: Sequence[float]) -> float:
    """Give the distance between the quartiles in percent of the median.

    Example:
        >>> spread_percent([90.0, 100.0, 110.0])  # quartiles 95 and 105
        10.0
    """
    low, median, high = quartiles(values)
    return 100.0 * (high - low) / median


def paired_ratios(slower: Sequence[float], faster: Sequence[float]) -> tuple[float, float, float]:
    """Give the quartiles of slower[i] / faster[i]: how many times as fast, block against the block beside it.

    A change in the machine's speed that lasts longer than a pair of blocks falls out of such a ratio.

    Example:
        >>> paired_ratios([2.0, 4.0, 6.0], [1.0, 2.0, 2.0])  # 2, 2, 3
        (2.0, 2.0, 2.5)
    """
    if len(slower) != len(faster):
        raise InputError(f"slower and faster must be of one length, received {len(slower)} and {len(faster)}")
    return quartiles([a / b for a, b in zip(slower, faster, strict=True)])


def straight_line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Fit y = offset + slope x by least squares; give offset, slope and R squared.

    Example:
        >>> offset, slope, r_squared = straight_line([1.0, 2.0, 3.0], [3.0, 5.0, 7.0])
        >>> round(offset, 9), round(slope, 9), round(r_squared, 9)
        (1.0, 2.0, 1.0)
    """
    if len(x) != len(y) or len(set(x)) < 2:
        raise InputError(f"x must hold two different values or more, and y as many, received {list(x)} and {list(y)}")
    x, y = np.asarray(x, dtype="float64"), np.asarray(y, dtype="float64")
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    offset = float(y.mean() - slope * x.mean())
    residual, total = float(((y - offset - slope * x) ** 2).sum()), float(((y - y.mean()) ** 2).sum())
    return offset, slope, 1.0 - residual / total if total else 1.0
