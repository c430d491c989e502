"""Examples to predict: read from a file, and brought to the intensities that a model takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerasburst.data.event_files import READERS, read_events
from kerasburst.data.events import PADDING, Reading, Recording, bin_events
from kerasburst.data.image_folder import read_image
from kerasburst.data.lazy import padded
from kerasburst.data.readers import load_npy, load_npz
from kerasburst.data.scaling import Scaling
from kerasburst.validation import ROUNDING, InputError, user_path

SUFFIXES = (".npy", ".npz", ".png")
_EVENTS = tuple(suffix for suffix in READERS if suffix not in SUFFIXES)


def read_examples(
    path: str | Path, features: tuple[int, ...] = (), data: Mapping[str, Any] | None = None
) -> np.ndarray:
    """Read examples, unscaled, from an `.npy`, an `.npz` (its one array, or `x`), or a PNG (0 to 255 becomes 0 to 1).

    A recording of events, in a file of another kind or an `.npz` with `t`, is binned into one example.

    Args:
        path: The file.
        features: Shape of one example, which a recording is binned to.
        data: How the data of the model's run was read.

    Raises:
        InputError: for a file that does not exist, is damaged, holds pickles, or is of another kind.
    """
    path = user_path("input", path)
    suffix = path.suffix.lower()
    if suffix not in (*SUFFIXES, *_EVENTS):
        raise InputError(f"input must be a file of {', '.join((*SUFFIXES, *_EVENTS))}, received {path.name}")
    if suffix in _EVENTS or (suffix == ".npz" and "t" in load_npz(path, lambda keys: [k for k in keys if k == "t"])):
        return _read_recording(path, features, Reading.of(data))
    if suffix == ".npz":
        return next(iter(load_npz(path, lambda keys: [_chosen(path, list(keys))]).values()))
    return load_npy(path) if suffix == ".npy" else _read_png(path)


def _read_recording(path: Path, features: tuple[int, ...], reading: Reading) -> np.ndarray:
    """Return the spikes of one recording, `(1, *features)`."""
    recording = Recording.of(read_events(path), str(path), sort=reading.sort)
    steps, *sizes = features
    polarities = sizes.pop() if len(sizes) == 3 else None
    sensor = tuple(sizes)
    if reading.size is not None:
        given = reading.sensor if isinstance(reading.sensor, tuple) else (reading.sensor,) * len(sensor)
        if reading.sensor is None:
            raise InputError(f"{path} needs data.sensor in the run's config.json, since data.size merged the pixels")
        sensor = given
    recording.check_inside(sensor, str(path))
    binning = {"step_us": reading.step_us, "size": reading.size, "counts": reading.counts}
    spikes = bin_events(recording, steps, sensor, polarities=polarities, **binning)[None]
    return spikes if padded(spikes) is not False else spikes.astype(np.float32)


def _chosen(path: Path, keys: list[str]) -> str:
    if len(keys) != 1 and "x" not in keys:
        raise InputError(f"{path} must hold one array, or x among others, received {', '.join(keys) or 'none'}")
    return keys[0] if len(keys) == 1 else "x"


def _read_png(path: Path) -> np.ndarray:
    """Return float intensities `(1, height, width, channels)`."""

    def check(size, mode):
        if mode not in ("1", "L", "RGB"):
            raise InputError(f"{path} must be 8-bit greyscale or RGB, not transparent; its mode is {mode}")

    values = read_image(path, ("PNG",), check)
    return values.reshape(1, *values.shape[:2], -1).astype("float32") / 255.0


def to_intensities(
    x: np.ndarray, features: tuple[int, ...], scaling: Scaling | None, *, counts: bool = False
) -> np.ndarray:
    """Return float32 intensities `(n, *features)`.

    - Integers are raw values and are scaled as the training data were.
    - Floats of images, and booleans, are intensities already. Floats of tables are raw values. Spikes are 0 or 1.
    - Without a scaling, floats are what the model takes, and integers are refused because their range is not known.

    Args:
        x: `(n, *features)`, or one example; greyscale images may lack the last axis.
        features: shape of one example.
        scaling: the scaling of the training data, or None.
        counts: whether spikes are numbers of events, which need no scaling.

    Raises:
        InputError: for another shape or type, or values that are not finite or out of range.

    Example:
        >>> scaling = Scaling("image", (1, 2, 1), (0.0,), (255.0,))
        >>> to_intensities(np.array([[0, 255]], "uint8"), (1, 2, 1), scaling).ravel().tolist()
        [0.0, 1.0]
    """
    x = np.asarray(x)
    x = x.astype("float32") if x.dtype == bool else x
    if x.dtype.kind not in "iuf":
        raise InputError(f"input must hold integers or floats, received the type {x.dtype}")
    x = _shaped(x, tuple(features))
    if len(x) == 0:
        raise InputError("input must hold at least one example, received none")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise InputError("input must hold finite numbers, received NaN or infinity")
    if counts:
        if x.min() < (PADDING if x.dtype == np.int8 else 0):
            raise InputError(f"input must hold numbers of events, 0 or more, received {x.min():g}")
        return x if x.dtype == np.int8 and x.min() == PADDING else x.astype("float32")
    if scaling is not None and (x.dtype.kind in "iu" or scaling.kind != "image"):
        return scaling.apply(x, "input")
    if x.dtype == np.int8 and len(features) > 1 and x.min() == PADDING:
        return x  # spikes, with steps that are padding
    if x.dtype.kind in "iu":
        raise InputError(
            f"input must hold floats, received {x.dtype}: no scaling came with this model, so the range of raw "
            "values is not known; divide by their full scale"
        )
    if scaling is not None and (x.min() < -ROUNDING or x.max() > 1 + ROUNDING):
        raise InputError(
            f"input must hold intensities from 0 to 1 if it holds floats, received {x.min():g} to {x.max():g}; "
            f"integers are raw values from 0 to {scaling.high[0]:g}"
        )
    return (x if scaling is None else np.clip(x, 0.0, 1.0)).astype("float32")


def _shaped(x: np.ndarray, features: tuple[int, ...]) -> np.ndarray:
    """Add a missing batch axis, or the missing channel of greyscale images."""
    for wanted, form in ((features, x.shape), (features[:-1], (*x.shape, 1))):
        if wanted == features or (features[-1] == 1 and len(features) > 1):
            if x.shape[1:] == wanted and x.ndim == len(wanted) + 1:
                return x.reshape(form)
            if x.shape == wanted:
                return x.reshape(1, *form)
    size = f"(n, {', '.join(map(str, features))})"
    raise InputError(f"input must be of shape {size}, or one example of it, received {x.shape}")
