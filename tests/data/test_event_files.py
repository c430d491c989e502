"""Each format of one recording is read as its layout says; damage is one line that names the file."""

import sys

import h5py
import numpy as np
import pytest

from kerasburst.data.event_files import Aedat3, read_events
from kerasburst.data.events import Recording
from kerasburst.validation import InputError

from .event_layouts import aedat3, events, write_bin

ONE = events(count=50)


def assert_same(found, expected=ONE, names="txyp"):
    recording = Recording.of(found)
    for name in names:
        np.testing.assert_array_equal(getattr(recording, name), expected[name])


def structured(order=("x", "y", "t", "p")):
    table = np.zeros(50, [(name, "i8") for name in order])
    for name in order:
        table[name] = ONE[name]
    return table


def test_npz_and_npy(tmp_path):
    np.savez(tmp_path / "a.npz", **ONE)
    np.savez(tmp_path / "b.npz", timestamp=ONE["t"], x=ONE["x"], y=ONE["y"], polarity=ONE["p"].astype(bool))
    np.savez(tmp_path / "c.npz", structured())
    np.save(tmp_path / "d.npy", structured())
    for path in sorted(tmp_path.iterdir()):
        assert_same(read_events(path))
    np.savez(tmp_path / "e.npz", t=ONE["t"], units=ONE["x"])
    assert_same(read_events(tmp_path / "e.npz"), names="tx")


def test_hdf5(tmp_path):
    with h5py.File(tmp_path / "root.h5", "w") as file:
        file.update(ONE)
    with h5py.File(tmp_path / "group.hdf5", "w") as file:
        file["events/t"], file["events/x"], file["events/y"], file["events/p"] = (ONE[name] for name in "txyp")
        file["ms_to_idx"] = np.arange(3)
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["events"] = structured()
    for path in tmp_path.iterdir():
        assert_same(read_events(path))


def test_bin(tmp_path):
    write_bin(tmp_path / "a.bin", ONE)
    assert_same(read_events(tmp_path / "a.bin"))
    late = dict(ONE, t=np.full(50, 100))
    late["y"] = np.where(np.arange(50) % 10 == 0, 240, late["y"])  # every tenth says that the clock ran over
    write_bin(tmp_path / "b.bin", late)
    found = read_events(tmp_path / "b.bin")
    kept = np.arange(50)[np.arange(50) % 10 > 0]
    np.testing.assert_array_equal(found["t"], 100 + (kept // 10 + 1) * 2**13)
    np.testing.assert_array_equal(found["x"], ONE["x"][kept])


def test_bin_and_tonic_agree(tmp_path):
    io = pytest.importorskip("tonic.io")
    late = dict(ONE, y=np.where(np.arange(50) % 7 == 0, 240, ONE["y"]))
    write_bin(tmp_path / "a.bin", late)
    theirs = io.read_mnist_file(str(tmp_path / "a.bin"), np.dtype([(n, int) for n in "xytp"]))
    for name, column in read_events(tmp_path / "a.bin").items():
        np.testing.assert_array_equal(column, theirs[name])


def test_aedat3(tmp_path):
    (tmp_path / "a.aedat").write_bytes(aedat3(ONE))
    assert_same(read_events(tmp_path / "a.aedat"))
    begin, end = int(ONE["t"][7]), int(ONE["t"][40])
    inside = (ONE["t"] >= begin) & (ONE["t"] < end)
    assert_same(Aedat3(tmp_path / "a.aedat").read(begin, end), {name: column[inside] for name, column in ONE.items()})


def test_aedat4_needs_a_package(tmp_path, monkeypatch):
    (tmp_path / "a.aedat4").write_bytes(b"#!AER-DAT4.0\r\n")
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(InputError, match="a.aedat4 needs the package aedat: pip install aedat$"):
        read_events(tmp_path / "a.aedat4")


def test_aedat4(tmp_path):
    pytest.importorskip("aedat")
    (tmp_path / "a.aedat4").write_bytes(b"#!AER-DAT4.0\r\n")
    with pytest.raises(InputError, match="a.aedat4 is not a readable AEDAT 4 file"):
        read_events(tmp_path / "a.aedat4")


def cut(path, content, by):
    path.write_bytes(content[:-by])


def hdf5_content(path):
    with h5py.File(path, "w") as file:
        file.update(ONE)
    return path.read_bytes()


BAD = {
    "absent": ("a.bin", lambda p: None, "a.bin does not exist"),
    "folder": ("a.bin", lambda p: p.mkdir(), "a.bin is a folder, not a file"),
    "bin cut short": (
        "a.bin",
        lambda p: p.write_bytes(bytes(12)),
        "a.bin must hold events of 5 bytes, it holds 12: it is cut",
    ),
    "no npz": ("a.npz", lambda p: p.write_bytes(b"text"), "a.npz is not a readable .npz file"),
    "npz without t": (
        "a.npz",
        lambda p: np.savez(p, x=[1], y=[1], p=[1]),
        "a.npz must hold t, x, y, p .* t is missing, it holds p, x, y",
    ),
    "npy of numbers": (
        "a.npy",
        lambda p: np.save(p, np.zeros(3)),
        "a.npy must be a structured array with fields t, x, y, p",
    ),
    "no hdf5": ("a.h5", lambda p: p.write_bytes(b"text"), "a.h5 is not a readable HDF5 file"),
    "hdf5 cut short": ("a.h5", lambda p: cut(p, hdf5_content(p), 700), "a.h5 is not a readable HDF5 file .*truncated"),
    "hdf5 of numbers": (
        "a.h5",
        lambda p: h5py.File(p, "w").__setitem__("events", [1]),
        "a.h5: events must be a group of t",
    ),
    "aedat of another version": (
        "a.aedat",
        lambda p: p.write_bytes(b"#!AER-DAT2.0\r\n"),
        "must be an AEDAT 3.1 file, received #!AER-DAT2.0",
    ),
    "no aedat": (
        "a.aedat",
        lambda p: p.write_bytes(b"text"),
        "a.aedat must be an AEDAT 3.1 file, received no #!AER-DAT line",
    ),
    "aedat cut short": ("a.aedat", lambda p: cut(p, aedat3(ONE), 20), "a.aedat is cut short: the packet at byte"),
}


@pytest.mark.parametrize("name, make, message", BAD.values(), ids=BAD)
def test_damage_is_one_line(name, make, message, tmp_path):
    make(tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        Recording.of(read_events(tmp_path / name), name)
    assert "\n" not in str(caught.value)
