"""Data sets of recordings, which are read and binned when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasburst.data.events import Reading, Recording, bin_events
from kerasburst.data.lazy import Examples
from kerasburst.data.readers import Arrays
from kerasburst.data.sources import Source, check_classes, check_labels
from kerasburst.validation import InputError, fail

_NUM_STEPS = 10  # where none are asked for


@dataclass(frozen=True, eq=False)
class EventSet:
    """Labelled recordings, read when they are needed.

    Args:
        name: Name of the data set.
        read: Returns the arrays of a recording by its number, unchecked.
        where: Returns where a recording comes from, for messages.
        y: Labels, int64 `(n,)`.
        class_names: One for each class.
        test_start: First number of the official test part; None without one.
        sensor: Height and width, or number of channels; None: what the events reach.
        polarities: 1 or 2, of event cameras; None: 2 where the first recording has them.
        note: A remark that results must carry.
    """

    name: str
    read: Callable[[int], Arrays]
    where: Callable[[int], str]
    y: np.ndarray
    class_names: tuple[str, ...]
    test_start: int | None = None
    sensor: tuple[int, ...] | None = None
    polarities: int | None = None
    note: str = ""

    def recording(self, number: int, reading: Reading | None = None) -> Recording:
        """Return a recording, checked but for the sensor."""
        return Recording.of(self.read(number), self.where(number), sort=reading is not None and reading.sort)

    def source(self, num_steps: int | None = None, options: dict[str, Any] | None = None) -> Source:
        """Return the source of binned recordings; each is read once now, and checked.

        Args:
            num_steps: T; None: 10.
            options: Of `Reading`, by name.

        Raises:
            InputError: for a bad recording, by its file and field.
        """
        reading, steps = Reading.of(options), _NUM_STEPS if num_steps is None else num_steps
        first = self.recording(0, reading)
        sensor = self._sensor(first, reading)
        polarities = self.polarities or (1 if first.p is None else 2)
        binning = {"step_us": reading.step_us, "size": reading.size, "counts": reading.counts}

        def checked(number: int) -> Recording:
            recording = self.recording(number, reading)
            recording.check_inside(sensor, self.where(number))
            return recording

        def binned(number: int) -> np.ndarray:
            return bin_events(checked(number), steps, sensor, polarities=polarities, **binning)

        shape = binned(0).shape
        dtype = np.dtype(np.uint8 if reading.step_us is None else np.int8)
        x = Examples(binned, np.arange(len(self.y)), shape, dtype, raw=lambda number: checked(number).stored())
        source = Source(
            name=self.name,
            kind="image" if len(shape) == 4 else "tabular",
            x=x,
            y=self.y,
            num_classes=len(self.class_names),
            class_names=self.class_names,
            test_start=self.test_start,
            note=self.note,
            encoded=True,
        )
        source.fingerprint  # noqa: B018  # which reads all: what is wrong is found here, not in a training
        return source

    def _sensor(self, first: Recording, reading: Reading) -> tuple[int, ...]:
        given = reading.sensor or self.sensor
        if given is None:
            reached = [self.recording(number, reading).sensor for number in range(len(self.y))]
            if len({len(each) for each in reached}) > 1:
                raise InputError(f"{self.name} must hold recordings of one kind, received event cameras and channels")
            return tuple(max(axis) for axis in zip(*reached, strict=True))
        given = given if isinstance(given, tuple) else (given,) * len(first.sensor)
        if len(given) != len(first.sensor):
            raise fail("data.sensor", f"of {len(first.sensor)} number(s), as the events of {self.name} are", given)
        return given


def join_labels(where: Sequence[str], parts: Sequence[np.ndarray]) -> tuple[np.ndarray, int, int | None]:
    """Check the labels of one part or two; return them, the number of classes, and the start of the second."""
    labels = [check_labels(key, part) for key, part in zip(where, parts, strict=True)]
    classes = check_classes(list(where), labels)
    return np.concatenate(labels), classes, len(labels[0]) if len(labels) == 2 else None


def name_classes(given: Sequence[str] | None, classes: int, where: str) -> tuple[str, ...]:
    """Return a name for each class: its number, where none are given."""
    if given is None:
        return tuple(map(str, range(classes)))
    if len(given) < classes:
        raise InputError(f"{where} must name each of {classes} classes, received {len(given)} names")
    return tuple(given)[:classes]
