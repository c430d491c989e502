"""Events of a recording, checked, and binned into steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from kerasburst.validation import InputError, check_bool, check_float, check_int, fail, suggestion

PADDING = -1  # the value of every feature in the steps after the end of a recording, in int8
_MOST_STEPS = 100_000


@dataclass(frozen=True)
class Reading:
    """How data is read: what `--set data.NAME=VALUE` sets.

    Args:
        step_us: Duration of a step of events, microseconds, above 0; recordings that end early are padded, and cut
            where they are longer. None: each recording is cut into `num_steps` steps of equal duration.
        size: Height and width, or one number for both, that an event camera's pixels are merged to; the number of
            channels of other recordings. None: as recorded.
        sensor: Height and width of the sensor, or number of channels, where files do not say it. None: what the events
            reach.
        counts: Whether a value is the number of events, not whether there is one.
        sort: Whether to sort events that are not in the order of their timestamps, which are refused else.
        flip: Whether training mirrors each image, left to right, with probability 1/2 in each epoch.
        crop: Pixels of zeros around each image from which training takes a random crop of the image's size, at least 0.

    Raises:
        InputError: for a value outside its range.

    Example:
        >>> Reading(step_us=1000, size=16).extent((34, 34))
        (16, 16)
    """

    step_us: float | None = None
    size: int | tuple[int, ...] | None = None
    sensor: int | tuple[int, ...] | None = None
    counts: bool = False
    sort: bool = False
    flip: bool = False
    crop: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.step_us is not None:
            object.__setattr__(self, "step_us", check_float("data.step_us", self.step_us, above=0.0))
        for name in ("counts", "sort", "flip"):
            check_bool(f"data.{name}", getattr(self, name))
        object.__setattr__(self, "crop", check_int("data.crop", self.crop, 0, 4096))
        for name in ("size", "sensor"):
            value = getattr(self, name)
            if isinstance(value, (list, tuple)):
                if not 1 <= len(value) <= 2:
                    raise fail(f"data.{name}", "a number, or height and width", value)
                object.__setattr__(self, name, tuple(check_int(f"data.{name}", each, 1, 65536) for each in value))
            elif value is not None:
                object.__setattr__(self, name, check_int(f"data.{name}", value, 1, 65536))

    @classmethod
    def of(cls, options: Mapping[str, Any] | None) -> Reading:
        """Return the reading that a config's `data` describes.

        Raises:
            InputError: for an unknown name or a bad value.
        """
        known = [field.name for field in fields(cls)]
        for name in options or {}:
            if name not in known:
                raise InputError(f"data.{name} is unknown: data has {', '.join(known)}" + suggestion(name, known))
        return cls(**(options or {}))

    @property
    def augments(self) -> bool:
        """Whether training sees examples changed at random."""
        return self.flip or self.crop > 0

    def extent(self, sensor: tuple[int, ...]) -> tuple[int, ...]:
        """Return height and width, or the number of channels, that a sensor's are merged to.

        Raises:
            InputError: for more than the sensor has, or another number of axes.
        """
        if self.size is None:
            return sensor
        size = (self.size,) * len(sensor) if isinstance(self.size, int) else self.size
        if len(size) != len(sensor) or any(a > b for a, b in zip(size, sensor, strict=True)):
            raise fail("data.size", f"at most the sensor's {' x '.join(map(str, sensor))}", size)
        return size

    @property
    def of_events(self) -> list[str]:
        """Names of what is set and holds for events alone."""
        return [name for name in ("step_us", "size", "sensor", "counts", "sort") if getattr(self, name)]


@dataclass(frozen=True, eq=False)
class Recording:
    """Events in the order of their timestamps: of an event camera, or of channels.

    Args:
        t: Timestamps, microseconds, int64 `(n,)`, ascending, at least 0; n is at least 1.
        x: Columns of an event camera, or channels, from 0, int64 `(n,)`.
        y: Rows of an event camera, from 0, int64 `(n,)`; None for channels.
        p: Polarity, 0 (darker) or 1 (brighter), uint8 `(n,)`; None for sensors without one.

    Example:
        >>> Recording.of({"t": [5, 9], "x": [0, 1], "y": [0, 0], "p": [1, 0]}).t.tolist()
        [5, 9]
    """

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray | None = None
    p: np.ndarray | None = None

    @classmethod
    def of(cls, arrays: Mapping[str, Any], where: str = "events", *, sort: bool = False) -> Recording:
        """Check the events of a file.

        Args:
            arrays: `t`, `x`, `y` and `p`, or `t` and `unit`; `p` may be -1 and 1.
            where: File that they come from, named in every error.
            sort: Whether to sort events that are not in order.

        Raises:
            InputError: for a missing or a bad field, by the names of file and field.
        """
        names = {"unit": "x", "units": "x"}
        columns = {names.get(name, name): np.asarray(values) for name, values in arrays.items()}
        spelt = {names.get(name, name): name for name in arrays}
        if missing := {"t", "x"} - set(columns):
            has = ", ".join(sorted(arrays)) or "nothing"
            raise InputError(f"{where} must hold t, x, y, p or t, unit; {min(missing)} is missing, it holds {has}")
        whole = {name: _whole(f"{where}: {spelt[name]}", column) for name, column in columns.items()}
        lengths = {name: len(column) for name, column in whole.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{spelt[name]} {count}" for name, count in lengths.items())
            raise InputError(f"{where}: t, x, y, p must have one length, received {shown}")
        t = whole["t"]
        if not len(t):
            raise InputError(f"{where} must hold at least one event, received none")
        if sort:
            order = np.argsort(t, kind="stable")
            whole = {name: column[order] for name, column in whole.items()}
            t = whole["t"]
        for name in ("t", "x", "y"):
            if name in whole and (low := whole[name].min()) < 0:
                raise InputError(f"{where}: {spelt[name]} must be at least 0, received {low}")
        if len(t) > 1 and (back := np.flatnonzero(np.diff(t) < 0)).size:
            i = int(back[0]) + 1
            raise InputError(
                f"{where}: t must ascend, event {i} is at {t[i]} us after {t[i - 1]} us; data.sort=true sorts events"
            )
        if "p" in whole:
            p = whole["p"]
            if not np.isin(p, (0, 1)).all() and not np.isin(p, (-1, 1)).all():
                raise InputError(f"{where}: p must be 0 and 1, or -1 and 1, received {p.min()} to {p.max()}")
            whole["p"] = (p > 0).astype(np.uint8)
        return cls(t, whole["x"], whole.get("y"), whole.get("p"))

    @property
    def sensor(self) -> tuple[int, ...]:
        """Height and width, or the number of channels, that the events reach."""
        return tuple(int(axis.max()) + 1 for axis in (self.y, self.x) if axis is not None)

    def check_inside(self, sensor: tuple[int, ...], where: str) -> None:
        """Refuse events outside a sensor, by the name of the file."""
        if len(sensor) != len(self.sensor):
            kinds = ("channels", "an event camera")
            raise InputError(f"{where} must be of {kinds[len(sensor) - 1]}, received {kinds[len(self.sensor) - 1]}")
        for name, reached, size in zip("yx"[-len(sensor) :], self.sensor, sensor, strict=True):
            name = name if len(sensor) == 2 else "unit"
            if reached > size:
                raise InputError(f"{where}: {name} must be 0 to {size - 1} on this sensor, received {reached - 1}")

    def stored(self) -> bytes:
        """Return all events as bytes, for fingerprints."""
        columns = (self.t, self.x, self.y, self.p)
        return b"".join(
            b"-" if c is None else np.ascontiguousarray(c, c.dtype.newbyteorder("<")).tobytes() for c in columns
        )


def bin_events(
    recording: Recording,
    num_steps: int,
    sensor: tuple[int, ...],
    *,
    step_us: float | None = None,
    size: int | tuple[int, ...] | None = None,
    counts: bool = False,
    polarities: int | None = None,
) -> np.ndarray:
    """Bin the events of a recording into steps, counted from its first event.

    Step of an event at t: floor((t - t_first) T / (t_last - t_first + 1)), or with a duration
    floor((t - t_first) / step_us). Pixels are merged by floor(x size / width).

    Args:
        recording: The events, inside the sensor.
        num_steps: T, at least 1.
        sensor: Height and width, or number of channels.
        step_us: Duration of a step, microseconds. Events after T steps are left out; steps after the last event are
            padding, -1. None: T equal parts.
        size: What the sensor is merged to; see `Reading`.
        counts: Whether values are numbers of events, at most 255 (127 with `step_us`), else 0 or 1.
        polarities: 1 or 2; None: 2 where the recording has polarities.

    Returns:
        `(num_steps, height, width, polarities)` or `(num_steps, channels)`: uint8, with `step_us` int8.

    Raises:
        InputError: for bad parameters.

    Example:
        >>> recording = Recording.of({"t": [0, 10, 29], "unit": [1, 0, 1]})
        >>> bin_events(recording, 3, (2,)).tolist()
        [[0, 1], [1, 0], [0, 1]]
        >>> bin_events(recording, 3, (2,), step_us=15).tolist()
        [[1, 1], [0, 1], [-1, -1]]
    """
    num_steps = check_int("num_steps", num_steps, 1, _MOST_STEPS)
    extent = Reading(size=size, step_us=step_us).extent(sensor)
    since = recording.t - recording.t[0]
    if step_us is None:
        step, used = since * num_steps // (since[-1] + 1), num_steps
    else:
        step = (since / step_us).astype(np.int64) if step_us != int(step_us) else since // int(step_us)
        used = min(num_steps, int(step[-1]) + 1)
    place, shape = step, [num_steps]
    for axis, whole, part in zip(
        filter(lambda a: a is not None, (recording.y, recording.x)), sensor, extent, strict=True
    ):
        place = place * part + (axis if whole == part else axis * part // whole)
        shape.append(part)
    if recording.y is not None:
        polarities = (1 if recording.p is None else 2) if polarities is None else polarities
        place = place * polarities + (recording.p if recording.p is not None and polarities == 2 else 0)
        shape.append(polarities)
    if used < num_steps or step_us is not None:
        place = place[step < num_steps]
    most = 255 if step_us is None else 127
    if counts:
        binned = np.minimum(np.bincount(place, minlength=int(np.prod(shape))), most).astype(np.uint8)
    else:
        binned = np.zeros(int(np.prod(shape)), np.uint8)
        binned[place] = 1
    binned = binned.reshape(shape)
    if step_us is not None:
        binned = binned.astype(np.int8)
        binned[used:] = PADDING
    return binned


def _whole(key: str, column: np.ndarray) -> np.ndarray:
    """Return a column as int64."""
    if column.ndim != 1 or column.dtype.kind not in "biuf":
        raise InputError(f"{key} must be numbers of shape (n,), received {column.dtype} of shape {column.shape}")
    if column.dtype.kind == "f":
        if not np.isfinite(column).all():
            raise InputError(f"{key} must hold finite numbers, received NaN or infinity")
        if not np.array_equal(column, np.floor(column)):
            unit = "; t is in microseconds" if key.rpartition(" ")[2] == "t" else ""
            raise InputError(f"{key} must hold whole numbers, received {column[column != np.floor(column)][0]:g}{unit}")
        if len(column) and np.abs(column).max() >= 2**62:
            raise InputError(f"{key} must hold microseconds below 2**62, received {column.max():g}")
    elif column.dtype.kind == "u" and len(column) and column.max() >= 2**62:
        raise InputError(f"{key} must be below 2**62, received {column.max()}")
    return column.astype(np.int64)
