"""Events are checked field by field, and binned as the equations say."""

import numpy as np
import pytest

from kerasburst.data.events import Reading, Recording, bin_events
from kerasburst.validation import InputError

GOOD = {"t": [0, 4, 4, 9], "x": [0, 1, 2, 2], "y": [1, 0, 0, 1], "p": [0, 1, 1, 1]}


def test_by_number_of_steps():
    binned = bin_events(Recording.of(GOOD), 2, (2, 3))  # steps of 5 us
    expected = np.zeros((2, 2, 3, 2))
    for t, y, x, p in ((0, 1, 0, 0), (0, 0, 1, 1), (0, 0, 2, 1), (1, 1, 2, 1)):
        expected[t, y, x, p] = 1
    assert binned.dtype == np.uint8
    np.testing.assert_array_equal(binned, expected)


def test_time_begins_at_the_first_event_and_the_last_one_is_inside():
    early, late = (
        bin_events(Recording.of({"t": np.array([0, 10, 99]) + at, "unit": [0, 1, 2]}), 100, (3,)) for at in (0, 10**15)
    )
    np.testing.assert_array_equal(early, late)
    assert [np.flatnonzero(early[:, unit]).tolist() for unit in range(3)] == [[0], [10], [99]]
    assert bin_events(Recording.of({"t": [7], "unit": [0]}), 4, (1,)).ravel().tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("step_us, live", [(5, 2), (2.5, 4), (3, 4), (100, 1)])
def test_by_duration_of_steps(step_us, live):
    binned = bin_events(Recording.of(GOOD), 6, (2, 3), step_us=step_us)
    assert binned.dtype == np.int8 and binned.shape == (6, 2, 3, 2)
    assert (binned[:live] >= 0).all() and (binned[live:] == -1).all()
    assert binned[int(9 // step_us), 1, 2, 1] == 1 and binned[:live].sum() == 4


def test_a_long_recording_is_cut():
    binned = bin_events(Recording.of(GOOD), 1, (2, 3), step_us=5)
    assert binned.shape == (1, 2, 3, 2) and binned.sum() == 3


def test_counts_and_their_limits():
    many = Recording.of({"t": np.arange(1000), "unit": [0] * 700 + [1] * 300})
    assert bin_events(many, 1, (2,)).tolist() == [[1, 1]]
    assert bin_events(many, 1, (2,), counts=True).tolist() == [[255, 255]]
    assert bin_events(many, 10, (2,), counts=True).tolist() == [[100, 0]] * 7 + [[0, 100]] * 3
    assert bin_events(many, 1, (2,), counts=True, step_us=10_000).tolist() == [[127, 127]]


def test_pixels_are_merged():
    recording = Recording.of({"t": [0, 1, 2], "x": [0, 4, 5], "y": [0, 2, 3], "p": [1, 1, 0]})
    binned = bin_events(recording, 1, (4, 6), size=2, counts=True)
    assert binned.shape == (1, 2, 2, 2) and binned[0, :, :, 1].tolist() == [[1, 0], [0, 1]]
    assert binned[0, :, :, 0].tolist() == [[0, 0], [0, 1]]
    assert bin_events(recording, 1, (4, 6), size=(1, 3)).shape == (1, 1, 3, 2)
    with pytest.raises(InputError, match="data.size must be at most the sensor's 4 x 6, received"):
        bin_events(recording, 1, (4, 6), size=5)


def test_one_polarity():
    recording = Recording.of({name: GOOD[name] for name in ("t", "x", "y")})
    assert bin_events(recording, 2, (2, 3)).shape == (2, 2, 3, 1)
    both = bin_events(Recording.of(GOOD), 2, (2, 3), polarities=1)
    np.testing.assert_array_equal(both[..., 0], bin_events(Recording.of(GOOD), 2, (2, 3)).max(axis=-1))


def test_frames_are_those_of_tonic():
    transforms = pytest.importorskip("tonic.transforms")
    rng = np.random.default_rng(0)
    events = np.zeros(500, [("t", int), ("x", int), ("y", int), ("p", int)])
    events["t"] = np.sort(rng.integers(0, 10_000, 500))
    for name, high in (("x", 8), ("y", 6), ("p", 2)):
        events[name] = rng.integers(0, high, 500)
    events["t"][0] = 0
    theirs = transforms.ToFrame((8, 6, 2), time_window=1000, include_incomplete=True)(events)  # (T, P, H, W)
    mine = bin_events(Recording.of({n: events[n] for n in "txyp"}), len(theirs), (6, 8), step_us=1000, counts=True)
    np.testing.assert_array_equal(mine, np.moveaxis(theirs, 1, -1))


BAD = [
    ({"t": None}, "f.npz must hold t, x, y, p or t, unit; t is missing, it holds p, x, y"),
    ({"x": None}, "f.npz must hold t, x, y, p or t, unit; x is missing"),
    ({"t": [], "x": [], "y": [], "p": []}, "f.npz must hold at least one event, received none"),
    ({"t": [0, 4, 3, 9]}, "f.npz: t must ascend, event 2 is at 3 us after 4 us; data.sort=true sorts events"),
    ({"t": [-5, 4, 4, 9]}, "f.npz: t must be at least 0, received -5"),
    ({"x": [0, -1, 2, 2]}, "f.npz: x must be at least 0, received -1"),
    ({"x": [0, 1, 2]}, "f.npz: t, x, y, p must have one length, received t 4, x 3, y 4, p 4"),
    ({"p": [0, 1, 2, 1]}, "f.npz: p must be 0 and 1, or -1 and 1, received 0 to 2"),
    ({"t": [0.0, 0.5, 1.0, 2.0]}, "f.npz: t must hold whole numbers, received 0.5; t is in microseconds"),
    ({"t": [0.0, 1.0, np.nan, 2.0]}, "f.npz: t must hold finite numbers, received NaN or infinity"),
    ({"y": ["a", "b", "c", "d"]}, "f.npz: y must be numbers of shape .n,., received <U1 of shape .4,."),
    ({"t": np.zeros((4, 2))}, "f.npz: t must be numbers of shape .n,., received float64 of shape .4, 2."),
    ({"t": np.array([0, 1, 2, 2**63], "uint64")}, "f.npz: t must be below 2..62, received"),
]


@pytest.mark.parametrize("change, message", BAD)
def test_bad_fields_are_named(change, message):
    arrays = {name: values for name, values in {**GOOD, **change}.items() if values is not None}
    with pytest.raises(InputError, match=f"^{message}"):
        Recording.of(arrays, "f.npz")


def test_sorting_keeps_each_event_together():
    recording = Recording.of({"t": [5, 1, 3], "x": [50, 10, 30], "y": [0, 0, 0], "p": [-1, 1, -1]}, sort=True)
    assert recording.x.tolist() == [10, 30, 50] and recording.p.tolist() == [1, 0, 0]


def test_events_outside_the_sensor():
    with pytest.raises(InputError, match="^f.bin: x must be 0 to 1 on this sensor, received 2$"):
        Recording.of(GOOD).check_inside((2, 2), "f.bin")
    with pytest.raises(InputError, match="^f.h5: unit must be 0 to 699 on this sensor, received 700$"):
        Recording.of({"t": [0], "unit": [700]}).check_inside((700,), "f.h5")
    with pytest.raises(InputError, match="^f.h5 must be of an event camera, received channels$"):
        Recording.of({"t": [0], "unit": [1]}).check_inside((4, 4), "f.h5")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"step": 5}, "data.step is unknown: data has step_us"),
        ({"step_us": 0}, "data.step_us must be"),
        ({"size": 0}, "data.size must be"),
        ({"size": [1, 2, 3]}, "data.size must be a number, or height and width"),
        ({"counts": 1}, "data.counts must be"),
        ({"crop": -1}, "data.crop must be"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(InputError, match=f"^{message}"):
        Reading.of(options)
