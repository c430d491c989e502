"""Some classes of a data set as a data set of its own: `digits:0-4`."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from kerasburst.data.sources import Source
from kerasburst.validation import InputError

_CLASSES = re.compile(r"(.+):(\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)")


def split_classes(name: str | Path) -> tuple[str | Path, tuple[int, ...] | None]:
    """Split NAME:CLASSES, where CLASSES are labels and ranges of labels, with commas between.

    Args:
        name: a data set's name or path, with or without classes.

    Returns:
        The name without, and the labels in ascending order; None for all.

    Raises:
        InputError: for a range that runs backwards, a label given twice, or fewer than two labels.

    Example:
        >>> split_classes("digits:0-2,7"), split_classes("digits")
        (('digits', (0, 1, 2, 7)), ('digits', None))
    """
    match = _CLASSES.fullmatch(str(name))
    if match is None:
        return name, None
    labels: list[int] = []
    for part in match[2].split(","):
        first, _, last = part.partition("-")
        span = range(int(first), int(last or first) + 1)
        if not 1 <= len(span) <= 100_000:
            raise InputError(f"dataset {name}: a range of classes must run upwards, received {part}")
        labels += span
    if len(set(labels)) < len(labels) or len(labels) < 2:
        raise InputError(f"dataset {name}: classes must be two or more, each once, received {match[2]}")
    return match[1], tuple(sorted(labels))


def take_classes(source: Source, labels: tuple[int, ...]) -> Source:
    """Keep the examples of some classes, whose labels become 0, 1, ... in ascending order of the old ones.

    Args:
        source: the whole.
        labels: which to keep, ascending.

    Raises:
        InputError: for a label that the source does not have.

    Example:
        >>> pool = Source.from_arrays("mine", {"x": np.ones((6, 3)), "y": np.array([0, 1, 2, 2, 1, 0])})
        >>> take_classes(pool, (0, 2)).y.tolist()
        [0, 1, 1, 0]
    """
    if labels[-1] >= source.num_classes:
        raise InputError(
            f"dataset {source.name} must have the classes that are asked for, its labels are 0 to "
            f"{source.num_classes - 1}, received {labels[-1]}"
        )
    kept = np.isin(source.y, labels)
    shown = ", ".join(source.class_names[label] for label in labels)
    return dataclasses.replace(
        source,
        name=f"{source.name}:{','.join(map(str, labels))}",
        x=source.x[kept],
        y=np.searchsorted(labels, source.y[kept]).astype(np.int64),
        num_classes=len(labels),
        class_names=tuple(source.class_names[label] for label in labels),
        test_start=None if source.test_start is None else int(kept[: source.test_start].sum()),
        note="; ".join(filter(None, (source.note, f"{len(labels)} of {source.num_classes} classes: {shown}"))),
    )
