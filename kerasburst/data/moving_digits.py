"""Moving digits: scikit-learn's digits seen by a simulated event camera, for tests and a first run."""

from __future__ import annotations

import functools

import numpy as np

from kerasburst.data.event_sets import EventSet
from kerasburst.data.events import Recording

SENSOR = (16, 16)
_SHARE, _REACH = 1.5, 2.0  # pixels of the sensor to a pixel of a digit, and how far a saccade goes, in pixels
_SACCADE_US, _SACCADES = 33_000, 3
_FRAME_US = 3_000
_FLOOR, _THRESHOLD = 0.1, 0.35  # added to intensities before the logarithm; change of it that makes an event


def moving_digits() -> EventSet:
    """Return 1,797 recordings of 99 ms, on a sensor of 16 x 16 pixels with polarities.

    A digit moves in three saccades along a triangle, as in N-MNIST. A pixel whose log intensity has changed by 0.35
    since its last event fires: polarity 1 where it grew, 0 where it fell. Everything is deterministic.

    Returns:
        The recordings, made in memory at first use.
    """
    recordings, labels = simulated()
    return EventSet(
        name="moving_digits",
        read=lambda number: vars(recordings[number]),
        where=lambda number: f"moving_digits: recording {number}",
        y=labels,
        class_names=tuple("0123456789"),
        sensor=SENSOR,
        polarities=2,
    )


@functools.cache
def simulated() -> tuple[tuple[Recording, ...], np.ndarray]:
    """Return all recordings and their labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images.astype(np.float32) / 16.0
    columns = [[], [], [], []]  # recording, place, time, polarity of all events
    before = last = None  # log intensities at the last frame, and at each pixel's last event
    for t in range(0, _SACCADE_US * _SACCADES + 1, _FRAME_US):
        dx, dy = _position(t)
        now = np.log(_FLOOR + _sampled(SENSOR[0], dy) @ images @ _sampled(SENSOR[1], dx).T)
        if last is None:
            before, last = now, now.copy()
            continue
        changed = np.trunc((now - last) / _THRESHOLD).astype(np.int8)
        speed = now - before
        for crossing in range(1, int(np.abs(changed).max(initial=0)) + 1):
            at = np.nonzero(np.abs(changed) >= crossing)
            sign = np.sign(changed[at])
            level = last[at] + crossing * _THRESHOLD * sign  # it was reached between the two frames
            share = np.clip((level - before[at]) / np.where(speed[at] == 0, 1.0, speed[at]), 0.0, 1.0)
            columns[0].append(at[0])
            columns[1].append(at[1] * SENSOR[1] + at[2])
            columns[2].append((t - _FRAME_US + np.floor(share * (_FRAME_US - 1))).astype(np.int64))
            columns[3].append(sign > 0)
        last = last + changed * np.float32(_THRESHOLD)
        before = now
    number, place, time, polarity = (np.concatenate(column) for column in columns)
    order = np.lexsort((place, time, number))
    number, place, time, polarity = number[order], place[order], time[order], polarity[order]
    ends = np.searchsorted(number, np.arange(len(images) + 1))
    recordings = tuple(
        Recording(time[a:b], place[a:b] % SENSOR[1], place[a:b] // SENSOR[1], polarity[a:b].astype(np.uint8))
        for a, b in zip(ends[:-1], ends[1:], strict=True)
    )
    return recordings, digits.target.astype(np.int64)


def _position(t: int) -> tuple[float, float]:
    """Return how far the digit is from the middle at a time, in pixels: right, then back below, then up again."""
    corners = [(-0.5, -0.5), (0.5, -0.5), (0.0, 0.5), (-0.5, -0.5)]
    saccade, rest = divmod(t / _SACCADE_US, 1.0)
    begin, end = corners[min(int(saccade), _SACCADES - 1)], corners[min(int(saccade), _SACCADES - 1) + 1]
    rest = 1.0 if saccade >= _SACCADES else rest
    return tuple(2 * _REACH * 0.5 * (a + rest * (b - a)) for a, b in zip(begin, end, strict=True))


def _sampled(size: int, moved: float) -> np.ndarray:
    """Return the matrix that samples a line of 8 pixels at `size` places, linearly, 0 outside."""
    places = (np.arange(size) - (size - 1) / 2 - moved) / _SHARE + 3.5
    return np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(8))).astype(np.float32)
