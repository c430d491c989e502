"""One data set's examples in another one's shape."""

from __future__ import annotations

import dataclasses

import numpy as np

from kerasburst.data.sources import Source
from kerasburst.validation import InputError

_CHUNK = 4096  # images resized at once


def with_sample_shape(source: Source, shape: tuple[int, ...]) -> Source:
    """Give the source with examples of `shape`.

    Images are resized bilinearly, with antialiasing where they shrink; grey becomes colour by repetition, and
    colour grey by its luminance (0.2989, 0.587, 0.114). Tables cannot change their number of features.

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
    if source.kind != "image" or len(shape) != 3 or {source.sample_shape[-1], shape[-1]} - {1, 3}:
        raise InputError(
            f"{source.name} must have examples that can be given the shape {shape}: images with 1 or 3 channels, or "
            f"tables with as many features; received {source.sample_shape}"
        )
    import tensorflow as tf

    x = np.empty((len(source.x), *shape), np.float32)
    for start in range(0, len(x), _CHUNK):
        part = tf.cast(source.x[start : start + _CHUNK], tf.float32)
        if (part.shape[-1], shape[-1]) == (3, 1):
            part = tf.image.rgb_to_grayscale(part)
        if part.shape[1:3] != shape[:2]:
            part = tf.image.resize(part, shape[:2], "bilinear", antialias=True)
        x[start : start + _CHUNK] = np.clip(part, 0.0, source.full_scale)
    done = f"examples of {source.sample_shape} brought to {shape}"
    return dataclasses.replace(source, x=x, note="; ".join(filter(None, (source.note, done))))
