"""Data sets of recordings in the layouts in which they are published, read as they are and one at a time."""

import os
import sys
import tracemalloc

import h5py
import numpy as np
import pytest

import kerasburst as kb
from kerasburst.data.datasets import availability, holds_events, list_datasets, load_source
from kerasburst.data.event_readers import EventFolderReader, write_events
from kerasburst.data.event_sets import EventSet
from kerasburst.data.events import Recording
from kerasburst.data.pipeline import make_dataset
from kerasburst.validation import InputError

from .event_layouts import aedat3, events, write_bin, write_flat, write_nmnist, write_shd


def by_hand(recording, num_steps, height=34, width=34):
    """Bin by a loop over the events."""
    binned = np.zeros((num_steps, height, width, 2), np.uint8)
    t = np.asarray(recording["t"]) - recording["t"][0]
    for time, x, y, p in zip(t, recording["x"], recording["y"], recording["p"], strict=True):
        binned[int(time) * num_steps // (int(t[-1]) + 1), y, x, p] = 1
    return binned


def test_nmnist(tmp_path):
    found = write_nmnist(tmp_path / "NMNIST")
    source = load_source("nmnist", tmp_path, spikes=True, num_steps=6)
    assert (source.name, source.kind, source.num_classes, source.test_start) == ("nmnist", "image", 10, 20)
    assert source.x.shape == (30, 6, 34, 34, 2) and source.note == "not the whole N-MNIST: 20 + 10"
    paths = sorted(found, key=lambda path: (path.parts[-3] == "Test", path))
    assert source.y.tolist() == [int(path.parts[-2]) for path in paths]
    for number in (0, 7, 29):
        np.testing.assert_array_equal(source.x[number], by_hand(found[paths[number]], 6))


@pytest.mark.parametrize("name", ["shd", "ssc"])
def test_shd_and_ssc(name, tmp_path):
    classes = {"shd": 20, "ssc": 35}[name]
    labels = [*range(classes), 0, 1]
    times, units = write_shd(tmp_path / name.upper() / f"{name}_train.h5", labels)
    write_shd(tmp_path / name.upper() / f"{name}_test.h5", [2, 3], seed=1)
    source = load_source(name, tmp_path, spikes=True, num_steps=8, options={"step_us": 100_000})
    assert (source.kind, source.test_start, source.num_classes) == ("tabular", len(labels), classes)
    assert source.x.shape == (len(labels) + 2, 8, 700) and source.x.dtype == np.int8
    assert source.y.tolist() == [*labels, 2, 3] and source.class_names[1] == "word 1"
    microseconds = np.round(times[3].astype(np.float64) * 1e6).astype(int)
    expected = np.zeros((8, 700), int)
    for t, unit in zip(microseconds, units[3], strict=True):
        expected[(t - microseconds[0]) // 100_000, unit] = 1
    np.testing.assert_array_equal(np.maximum(source.x[3], 0), expected)


def test_a_file_of_shds_layout_by_its_path(tmp_path):
    write_shd(tmp_path / "mine_train.h5", [0, 1, 2] * 3)
    assert load_source(tmp_path / "mine_train.h5").test_start is None
    write_shd(tmp_path / "mine_test.h5", [0, 1, 2])
    source = load_source(tmp_path / "mine_train.h5")
    assert (source.name, source.test_start, len(source.y)) == ("mine", 9, 12)
    assert load_source(f"{tmp_path / 'mine_train.h5'}:0,2").y.tolist() == [0, 1] * 3 + [0, 1]


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_a_file_of_many_recordings(suffix, tmp_path):
    recordings = [events(seed=i, count=5 + i, width=9, height=7) for i in range(6)]
    write_flat(tmp_path / f"mine{suffix}", recordings, [0, 1] * 3)
    source = load_source(tmp_path / f"mine{suffix}", num_steps=4, options={"sensor": [7, 9]})
    assert source.name == "mine" and source.y.tolist() == [0, 1] * 3 and source.encoded
    np.testing.assert_array_equal(np.asarray(source.x), [by_hand(each, 4, 7, 9) for each in recordings])


def test_what_is_written_is_read(tmp_path):
    recordings = [Recording.of(events(seed=i, width=5, height=6)) for i in range(4)]
    write_events(tmp_path / "a.h5", recordings, [1, 0, 1, 0], sensor=(8, 8), class_names=("left", "right"))
    source = load_source(tmp_path / "a.h5")
    assert source.sample_shape == (10, 8, 8, 2) and source.class_names == ("left", "right")
    channels = [Recording.of({"t": each.t, "unit": each.x}) for each in recordings]
    write_events(tmp_path / "b.h5", channels, [1, 0, 1, 0])
    assert load_source(tmp_path / "b.h5").sample_shape == (10, max(int(each.x.max()) for each in recordings) + 1)


def test_a_folder_by_class(tmp_path):
    for number, name in enumerate(("wave", "clap")):
        for take in range(2):
            path = tmp_path / "set" / name / f"{take}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, **events(seed=2 * number + take, width=10, height=10))
    source = load_source(tmp_path / "set", options={"sensor": 10, "size": 5, "counts": True})
    assert source.class_names == ("clap", "wave") and source.sample_shape == (10, 5, 5, 2)
    assert int(np.asarray(source.x).sum()) == 4 * 40
    assert EventFolderReader().claims(tmp_path / "set") and holds_events(tmp_path / "set")
    assert not EventFolderReader().claims(tmp_path) and not EventFolderReader().claims(tmp_path / "absent")


def write_gestures(folder):
    """Write two users' recordings with their tables, one user in each part."""
    whole = events(count=200, width=128, height=128, until=10_000)
    folder.mkdir(parents=True)
    table = "class,startTime_usec,endTime_usec\n1,0,3000\n2,3000,6000\n3,6000,10000\n"
    for user, part in (("user01_led", "train"), ("user02_led", "test")):
        (folder / f"{user}.aedat").write_bytes(aedat3(whole))
        (folder / f"{user}_labels.csv").write_text(table)
        (folder / f"trials_to_{part}.txt").write_text(f"{user}.aedat\n")
    return whole


def test_dvs_gesture_as_published(tmp_path):
    whole = write_gestures(tmp_path / "DvsGesture")
    source = load_source("dvs_gesture", tmp_path, num_steps=5)
    assert source.y.tolist() == [0, 1, 2] * 2 and source.test_start == 3
    assert source.class_names == ("hand clapping", "right hand wave", "left hand wave")
    inside = (whole["t"] >= 3000) & (whole["t"] < 6000)
    np.testing.assert_array_equal(source.x[1], by_hand({n: c[inside] for n, c in whole.items()}, 5, 128, 128))


def test_dvs_gesture_as_tonic_stores_it(tmp_path):
    for part, user in (("Train", "user01_led"), ("Test", "user24_lab")):
        for label in range(2):
            one = events(seed=label, width=128, height=128, until=500)  # milliseconds
            path = tmp_path / "DVSGesture" / f"ibmGesture{part}" / user / f"{label}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.stack([one[name] for name in "xypt"], axis=1).astype(float))
    source = load_source("dvs_gesture", tmp_path, num_steps=5)
    assert source.y.tolist() == [0, 1, 0, 1] and source.test_start == 2
    np.testing.assert_array_equal(source.x[1], by_hand({**one, "t": one["t"] * 1000}, 5, 128, 128))


def test_tonic_sets_by_name(tmp_path):
    pytest.importorskip("tonic")
    labels = [0, 1, 2] * 2
    for part in ("train", "test"):
        write_shd(tmp_path / "SHD" / f"shd_{part}.h5", labels)
        (tmp_path / "SHD" / f"shd_{part}.h5.zip").touch()
    theirs = load_source("tonic:SHD", tmp_path, num_steps=4)
    mine = load_source(tmp_path / "SHD" / "shd_train.h5", num_steps=4, options={"sensor": 700})
    assert theirs.y.tolist() == mine.y.tolist() and theirs.test_start == 6 and theirs.sample_shape == (4, 700)
    # tonic cuts fractions of microseconds off, which float16 seconds have none of that matter to 4 steps
    np.testing.assert_array_equal(np.asarray(theirs.x), np.asarray(mine.x))
    with pytest.raises(InputError, match="dataset tonic:NMNIST is not in .*: .*NMNIST must hold what tonic downloads"):
        load_source("tonic:NMNIST", tmp_path)
    with pytest.raises(InputError, match="dataset tonic:Nothing is unknown: tonic has .*NMNIST"):
        load_source("tonic:Nothing", tmp_path)


def test_what_is_absent_is_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("KERASBURST_DATA", raising=False)
    for name, expected in (("nmnist", "NMNIST/Train/0/"), ("shd", "SHD/shd_train.h5"), ("dvs_gesture", "DVSGesture/")):
        with pytest.raises(
            InputError, match=f"^dataset {name} is not in .*: put {expected}.* into a folder and name it by"
        ):
            load_source(name, tmp_path)
        assert not availability(name, tmp_path).available
        with pytest.raises(InputError, match=f"^dataset {name} is not here: put"):
            load_source(name)
    monkeypatch.setitem(sys.modules, "tonic", None)
    with pytest.raises(InputError, match=r"tonic:SHD needs the package tonic: pip install 'kerasburst\[events\]'$"):
        load_source("tonic:SHD", tmp_path)
    rows = {row["name"]: row for row in list_datasets()}
    assert rows["moving_digits"]["available"] and rows["nmnist"]["sample_shape"] == [34, 34, 2]


def test_encodings_must_take_events():
    for encoding in ("rate", "poisson_burst"):
        with pytest.raises(
            InputError, match="encoding must be none or event_burst for moving_digits, which holds events"
        ):
            load_source("moving_digits", **kb.TrainConfig(dataset="moving_digits", encoding=encoding).reading())
    with pytest.raises(InputError, match="data.step_us must not be set for digits, which holds no events"):
        load_source("digits", options={"step_us": 5})


def flat(change):
    def make(path):
        recordings = [events(seed=i, width=9, height=7) for i in range(4)]
        arrays = {"labels": np.array([0, 1, 0, 1]), **change(recordings)}
        write_flat(path / "a.h5", recordings, arrays.pop("labels"), **arrays)
        return path / "a.h5"

    return make


def recording_with(number, **columns):
    def change(recordings):
        recordings[number] |= {name: np.asarray(column) for name, column in columns.items()}
        return {}

    return flat(change)


def shd_with(**changes):
    def make(path):
        write_shd(path / "a.h5", [0, 1, 0, 1])
        with h5py.File(path / "a.h5", "a") as file:
            for key, value in changes.items():
                key = key.replace("_", "/")
                del file[key]
                if value is not None:
                    file[key] = value
        return path / "a.h5"

    return make


def nmnist_with(content):
    def make(path):
        write_nmnist(path / "set", train=1, classes=2)
        (path / "set/Train/1/00000.bin").write_bytes(content)
        return path / "set"

    return make


def truncated(path):
    write_shd(path / "a.h5", [0, 1, 0, 1])
    (path / "a.h5").write_bytes((path / "a.h5").read_bytes()[:-500])
    return path / "a.h5"


BAD = {
    "unsorted": (recording_with(2, t=np.arange(40)[::-1]), "a.h5: recording 2: t must ascend, event 1 is at 38 us"),
    "negative": (recording_with(1, t=np.arange(40) - 1), "a.h5: recording 1: t must be at least 0, received -1"),
    "empty": (recording_with(3, **{name: [] for name in "txyp"}), "a.h5: recording 3 must hold at least one event"),
    "polarity": (recording_with(0, p=np.arange(40)), "a.h5: recording 0: p must be 0 and 1"),
    "labels": (
        flat(lambda _: {"labels": np.array([0, 1, 0])}),
        "a.h5: labels must be one for each of lengths, received 3 for 4",
    ),
    "label gap": (flat(lambda _: {"labels": np.array([0, 2, 0, 2])}), "a.h5: labels must hold every class from 0 to 2"),
    "float labels": (
        flat(lambda _: {"labels": np.array([0, 0.5, 0, 1])}),
        "a.h5: labels must be integer labels, received 0.5",
    ),
    "lengths": (
        flat(lambda _: {"lengths": np.array([40, 40, 40, 41])}),
        "a.h5: t must hold as many events as lengths add up to, 161",
    ),
    "no labels": (flat(lambda _: {"labels": None}), "a.h5 must hold t, x, y, p, lengths, labels; labels is missing"),
    "shd without units": (
        shd_with(spikes_units=None),
        "a.h5 must hold spikes/times, spikes/units, labels; spikes/units is missing",
    ),
    "shd without labels": (
        shd_with(labels=None),
        "a.h5 must hold spikes/times, spikes/units, labels; labels is missing",
    ),
    "shd with few labels": (
        shd_with(labels=[0, 1]),
        "a.h5: labels must be one for each recording of spikes/times, received 2 for 4",
    ),
    "truncated": (truncated, "a.h5 is not a readable HDF5 file .*truncated"),
    "nmnist cut short": (nmnist_with(bytes(7)), "Train/1/00000.bin must hold events of 5 bytes, it holds 7"),
    "nmnist empty": (nmnist_with(b""), "Train/1/00000.bin must hold at least one event, received none"),
}


@pytest.mark.parametrize("make, message", BAD.values(), ids=BAD)
def test_bad_data_is_one_line(make, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        load_source(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_events_outside_a_given_sensor(tmp_path):
    write_bin(tmp_path / "NMNIST/Train/0/1.bin", events(width=40))
    write_nmnist(tmp_path / "NMNIST", train=1)
    with pytest.raises(InputError, match="Train/0/1.bin: x must be 0 to 33 on this sensor, received 3"):
        load_source("nmnist", tmp_path)


def counting_set(count):
    """Return recordings that are made as they are read, and the list of what was read."""
    reads = []

    def read(number):
        reads.append(number)
        return events(seed=number, count=200)

    labels = np.arange(count) % 2
    return EventSet("counted", read, "recording {}".format, labels, ("a", "b"), sensor=(34, 34)), reads


def test_one_reading_for_each_example_and_epoch():
    recordings, reads = counting_set(20)
    source = recordings.source(10)
    reads.clear()
    data = kb.Dataset.from_source(source, kb.Splits(range(12), [], range(12, 20), pool_size=20))
    assert not reads  # neither splits, scaling nor slices read anything
    pipeline = make_dataset(data.x_train, data.y_train, kb.NoEncoder(10), 4, seed=0, shuffle=True, num_epochs=2)
    reads.clear()
    seen = [(spikes.shape, labels.numpy().tolist()) for spikes, labels in pipeline]
    assert [shape for shape, _ in seen] == [(4, 10, 34, 34, 2)] * 6
    assert sorted(reads) == sorted(list(range(12)) * 2)


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_number_of_recordings(collected):
    def peak(count):
        recordings, _ = counting_set(count)
        tracemalloc.start()
        source = recordings.source(10)
        pipeline = make_dataset(source.x, source.y, kb.NoEncoder(10), 8, seed=0, num_parallel_calls=1)
        for _ in pipeline:
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(16)  # what is loaded once
    few, many = peak(32), peak(320)
    whole = 288 * 10 * 34 * 34 * 2  # 288 recordings more, binned
    print(f"peak {few / 1e3:.0f} kB of 32 recordings, {many / 1e3:.0f} kB of 320; {whole / 1e3:.0f} kB would hold them")
    assert many - few < whole / 4  # what Python has not collected yet counts, too: up to a tenth was seen


@pytest.mark.parametrize("what", ["pipe", "device"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, what):
    path = tmp_path / "data.npz"
    os.mkfifo(path) if what == "pipe" else path.symlink_to("/dev/zero")
    assert not holds_events(str(path))
    with pytest.raises(InputError, match="not a file"):
        load_source(str(path))
