"""Sources made from a source: some of its classes (`digits:0-4`), or its examples in another shape."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from kerasburst.data.sources import Source, to_spikes
from kerasburst.validation import InputError

_CLASSES = re.compile(r"(.+):(\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)")
_CHUNK = 4096  # images resized at once


def split_classes(name: str | Path) -> tuple[str | Path, tuple[int, ...] | None]:
    """Split NAME:CLASSES, where CLASSES are labels and ranges of labels, with commas between.

    Args:
        name: a data set's name or path, with or without classes.

    Returns:
        The name alone, and the labels in ascending order; None for all classes.

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
    """Return the examples of some classes, whose labels become 0, 1, ... in ascending order of the old ones.

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


def as_spikes(source: Source) -> Source:
    """Return a source whose examples, so far taken for images, are spikes `(num_steps, *features)`.

    Args:
        source: of examples `(num_steps, features)` or `(num_steps, height, width)`, each value 0 or 1; one that holds
            spikes is returned as it is.

    Raises:
        InputError: for a table, or other values.

    Example:
        >>> images = Source.from_arrays("mine", {"x": np.eye(12).reshape(6, 4, 6), "y": np.arange(6) % 2})
        >>> as_spikes(images).x.shape, as_spikes(images).encoded
        ((6, 4, 6), True)
    """
    if source.encoded:
        return source
    if source.kind != "image":
        raise InputError(
            f"{source.name} must hold spikes of shape (n, num_steps, *features) for the encoding none, "
            f"received {source.x.shape}"
        )
    x = to_spikes(f"{source.name}, for the encoding none,", source.x)
    x = x[..., 0] if x.shape[-1] == 1 else x  # the axis that images were given
    return dataclasses.replace(source, kind="tabular", x=x, full_scale=None, encoded=True)


def with_sample_shape(source: Source, shape: tuple[int, ...]) -> Source:
    """Return the source with examples of shape `shape`.

    Images are resized bilinearly, with antialiasing where they shrink; grey becomes colour, or the two polarities of
    events, by repetition, and colour grey by its luminance (0.2989, 0.587, 0.114). Tables cannot change their number of
    features.

    Args:
        source: the data.
        shape: of one example; images `(height, width, channels)`.

    Returns:
        The source itself where it has that shape; else a new one, float32, whose note says what was done.

    Raises:
        InputError: where the shapes cannot be made to agree.

    Example:
        >>> grey = Source.from_arrays("mine", {"x": np.full((2, 8, 8), 200), "y": np.array([0, 1])})
        >>> colour = with_sample_shape(grey, (4, 4, 3))
        >>> colour.x.shape, round(float(colour.x.max()), 3), colour.full_scale
        ((2, 4, 4, 3), 200.0, 255.0)
    """
    if source.sample_shape == shape:
        return source
    image = not source.encoded and source.kind == "image" and source.sample_shape[-1] in (1, 3)
    if not image or len(shape) != 3 or shape[-1] not in (1, 2, 3):
        raise InputError(
            f"{source.name} must have examples that can be given the shape {shape}: images with 1 or 3 channels, or "
            f"tables with as many features; received {source.sample_shape}"
        )
    import tensorflow as tf

    x = np.empty((len(source.x), *shape), np.float32)
    for start in range(0, len(x), _CHUNK):
        part = tf.cast(source.x[start : start + _CHUNK], tf.float32)
        if part.shape[-1] == 3 and shape[-1] < 3:
            part = tf.image.rgb_to_grayscale(part)
        if part.shape[1:3] != shape[:2]:
            part = tf.image.resize(part, shape[:2], "bilinear", antialias=True)
        x[start : start + _CHUNK] = np.clip(part, 0.0, source.full_scale)
    done = f"examples of {source.sample_shape} brought to {shape}"
    return dataclasses.replace(source, x=x, note="; ".join(filter(None, (source.note, done))))
