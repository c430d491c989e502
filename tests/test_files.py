"""Files that are read whole or refused in one line, and written whole or not at all."""

import errno
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from kerasburst import files
from kerasburst.data.readers import load_npy, load_npz
from kerasburst.data.splits import Splits
from kerasburst.study.lease import hold_lease
from kerasburst.training.run_directory import RunDirectory
from kerasburst.validation import InputError, user_path

TEXTS = {
    "empty": (b"", "must hold JSON"),
    "cut short": (b'{"a": [1, 2', "must hold JSON"),
    "nested": (b"[" * 100_000 + b"]" * 100_000, "nested at most 100 deep"),
    "nested a little": (b'{"a":' * 101 + b"1" + b"}" * 101, "nested at most 100 deep"),
    "no UTF-8": (b'{"a": "\xff"}', "must hold JSON"),
    "a field twice": (b'{"a": 1, "b": 2, "a": 3}', "the field a twice"),
    "a field twice within": (b'[{"a": {"b": 2, "b": 2}}]', "the field b twice"),
    "a number without end": (b"1" * 10_000, "must hold JSON"),
    "two values": (b"{} {}", "must hold JSON"),
}


@pytest.mark.parametrize("text, message", TEXTS.values(), ids=TEXTS)
def test_what_is_no_json_is_refused_by_the_name_of_the_file(tmp_path, text, message):
    path = tmp_path / "config.json"
    path.write_bytes(text)
    with pytest.raises(InputError, match=f"config.json {message}|config.json must hold JSON.*{message}") as error:
        files.read_json(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_a_byte_order_mark_is_no_harm(tmp_path):
    (tmp_path / "config.json").write_bytes(b'\xef\xbb\xbf{"a": "\xc3\xa9"}')
    assert files.read_json(tmp_path / "config.json") == {"a": "é"}


PLACES = {
    "absent": (lambda path: None, "does not exist"),
    "folder": (Path.mkdir, "is a folder, not a file"),
    "pipe": (os.mkfifo, "is a pipe or a device, not a file"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "is a pipe or a device, not a file"),
    "link to nothing": (lambda path: path.symlink_to("nowhere"), "does not exist"),
    "links in a circle": (lambda path: path.symlink_to(path.name), "cannot be read: .*symbolic links"),
}


@pytest.mark.parametrize("make, message", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(
    "read",
    [files.read_json, load_npy, lambda path: load_npz(path, lambda keys: keys), Splits.load],
    ids=["json", "npy", "npz", "splits"],
)
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, make, message, read):
    path = tmp_path / "it.npz"
    make(path)
    with pytest.raises(InputError, match=f"it.npz {message}"):
        read(path)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match="config.json cannot be read: Permission denied"):
        files.read_json(tmp_path / "config.json")


def header(shape, descr="<f8"):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


ARRAYS = {
    "10^12 numbers": header((10**12,)),
    "10^18 numbers": header((10**18,)),
    "a negative size": header((-4,)),
    "a header of nothing": b"\x93NUMPY\x01\x00\x04\x00(((\n",
    "a header that is no dictionary": b"\x93NUMPY\x01\x00\x04\x00[1]\n",
    "a type of nothing": header((2,), "what"),
    "objects": header((2,), "|O"),
    "another version": b"\x93NUMPY\x09\x00",
    "text": b"1,2,3",
    "nothing": b"",
}


@pytest.mark.parametrize("content", ARRAYS.values(), ids=ARRAYS)
def test_an_array_that_does_not_parse_is_refused(tmp_path, content):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(InputError, match="x.npy is"):
        load_npy(tmp_path / "x.npy")


def test_an_archive_that_unpacks_beyond_memory_is_not_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(1 << 20), y=np.zeros(2))
    psutil = pytest.importorskip("psutil")
    memory = psutil.virtual_memory()._replace(available=1 << 20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with pytest.raises(InputError, match=r"x.npz must fit this machine's memory: 8.39e\+06 bytes, 1.05e\+06 are"):
        load_npz(tmp_path / "x.npz", lambda keys: keys)
    assert load_npz(tmp_path / "x.npz", lambda keys: ["y"])["y"].tolist() == [0, 0]


# Writing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [PLACES["link to a device"][0], os.mkfifo, Path.mkdir])
def test_no_file_takes_the_place_of_something_else(tmp_path, make):
    make(tmp_path / "out")
    with pytest.raises(InputError, match="must be new or a file"):
        files.write_text(tmp_path / "out", "it")
    assert os.listdir(tmp_path) == ["out"] and Path("/dev/zero").is_char_device()


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    files.write_json(tmp_path / "link.json", [1])
    assert (tmp_path / "link.json").is_symlink() and json.loads((tmp_path / "real.json").read_text()) == [1]


def refusing(code):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize(
    "name, code",
    [
        ("chmod", errno.EPERM),
        ("chmod", errno.ENOTSUP),
        ("fsync", errno.EINVAL),
        ("fsync", errno.ENOTSUP),
        ("fsync", errno.EBADF),
    ],
)
def test_what_a_file_system_lacks_does_not_keep_a_file_from_being_written(tmp_path, monkeypatch, name, code):
    monkeypatch.setattr(os, name, refusing(code))
    files.write_text(tmp_path / "x", "it")
    assert (tmp_path / "x").read_text() == "it" and os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("name, code", [("fsync", errno.EIO), ("fsync", errno.ENOSPC), ("replace", errno.EBUSY)])
def test_a_disk_that_fails_leaves_the_old_file(tmp_path, monkeypatch, name, code):
    (tmp_path / "x").write_text("old")
    monkeypatch.setattr(os, name, refusing(code))
    with pytest.raises(OSError):
        files.write_text(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "old" and os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOENT])
def test_a_place_that_cannot_be_written_is_refused(tmp_path, monkeypatch, code):
    monkeypatch.setattr(tempfile, "mkstemp", refusing(code))
    with pytest.raises(InputError, match="x cannot be written"):
        files.write_text(tmp_path / "x", "it")


def test_a_mount_point_is_not_replaced_and_the_message_has_a_way_out(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    monkeypatch.setattr(os, "rename", refusing(errno.EBUSY))
    with pytest.raises(InputError, match="is a mount point: use a folder below it"):
        with files.replacing_directory("out", tmp_path / "out") as folder:
            (folder / "new").touch()
    assert os.listdir(tmp_path) == ["out"] and os.listdir(tmp_path / "out") == ["old"]


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EBADF, errno.EINVAL])
def test_where_there_are_no_locks_work_goes_on_without(tmp_path, monkeypatch, code):
    monkeypatch.setattr("fcntl.flock", refusing(code))
    with RunDirectory(tmp_path / "run").claimed():
        files.write_text(tmp_path / "run" / "config.json", "{}")
    with hold_lease(tmp_path) as lease:
        assert lease.host == "" and not lease.lost()


def test_without_fcntl_work_goes_on_too(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    with RunDirectory(tmp_path / "run").claimed(), hold_lease(tmp_path) as lease:
        assert lease.host == ""


def test_a_folder_that_cannot_be_opened_is_not_locked(tmp_path, monkeypatch):
    def claim_twice():
        with RunDirectory(tmp_path / "run").claimed(), RunDirectory(tmp_path / "run").claimed():
            return "claimed"

    with pytest.raises(InputError, match="another process is training"):
        claim_twice()
    monkeypatch.setattr("kerasburst.training.run_directory.os.open", refusing(errno.EACCES))  # as on Windows
    assert claim_twice() == "claimed"


def test_a_path_is_a_path_whatever_its_type(tmp_path):
    class Place:
        def __fspath__(self):
            return str(tmp_path)

    assert user_path("out", Place()) == user_path("out", tmp_path) == user_path("out", str(tmp_path)) == tmp_path
    for bad in (b"bytes", "", 3, None, "a\0b", "x" * 300, "~no-such-user/run"):
        with pytest.raises(InputError, match="out must be"):
            user_path("out", bad)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(InputError, match="link to nothing"):
        user_path("out", tmp_path / "link")
