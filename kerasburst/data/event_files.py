"""Files of one recording: .npz, .npy, HDF5, N-MNIST's .bin, AEDAT 3.1 and AEDAT 4."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerasburst import files
from kerasburst.data.readers import Arrays, load_npy, load_npz
from kerasburst.validation import InputError, one_line

FIELDS = ("t", "x", "y", "p", "unit")
_ALIASES = {"ts": "t", "timestamp": "t", "pol": "p", "polarity": "p", "on": "p", "units": "unit"}
_BIN_OVERFLOW_ROW, _BIN_OVERFLOW_US = 240, 1 << 13
_AEDAT3 = np.dtype([("data", "<u4"), ("t", "<i4")])
_AEDAT3_HEADER = np.dtype([("type", "<u2"), ("source", "<u2"), *((f"f{i}", "<u4") for i in range(6))])
_POLARITY_EVENTS = 1  # AEDAT 3.1's number of their type


def read_events(path: Path) -> Arrays:
    """Read one recording, unchecked; `Recording.of` checks it.

    Args:
        path: The file. Arrays are named t, x, y, p or t, unit (also ts, timestamp, pol, polarity, on, units), or are
            the fields of one structured array; in HDF5 at the root or in the group `events`.

    Returns:
        Arrays by name; t in microseconds.

    Raises:
        InputError: If the file is missing, damaged, or lacks a field.
    """
    with files.reading(path):  # says what is wrong with a path that is no file
        pass
    return READERS[path.suffix.lower()](path)


def _named(path: Path, columns: Any) -> Arrays:
    """Return columns by their usual names."""
    found = {}
    for name in columns:
        usual = _ALIASES.get(name.lower(), name.lower())
        if usual in FIELDS:
            found[usual] = columns[name]
    for needed in ("t", "unit" if "unit" in found else "x"):
        if needed not in found:
            raise InputError(f"{path} must hold t, x, y, p or t, unit; {needed} is missing, it holds {listed(columns)}")
    return {name: np.asarray(column) for name, column in found.items()}


def listed(names) -> str:
    """Return names as a message lists them."""
    return one_line(", ".join(sorted(map(str, names))), 80) or "nothing"


def _read_npz(path: Path) -> Arrays:
    arrays = load_npz(path, lambda keys: keys)
    if len(arrays) == 1 and (only := next(iter(arrays.values()))).dtype.names:
        arrays = {name: only[name] for name in only.dtype.names}
    return _named(path, arrays)


def _read_npy(path: Path) -> Arrays:
    array = load_npy(path)
    if not array.dtype.names:
        raise InputError(f"{path} must be a structured array with fields t, x, y, p, received {array.dtype}")
    return _named(path, {name: array[name] for name in array.dtype.names})


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Open an HDF5 file to read; damage becomes one line that names the file."""
    import h5py

    with files.reading(path):
        pass
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path} is not a readable HDF5 file ({one_line(error)})") from None
    with file, hdf5_errors(path):
        yield file


@contextlib.contextmanager
def hdf5_errors(path: Path) -> Iterator[None]:
    """Name the file in what h5py raises for damage that it finds while it reads."""
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} is not a readable HDF5 file ({one_line(error)})") from None


def _read_hdf5(path: Path) -> Arrays:
    import h5py

    with open_hdf5(path) as file:
        group = file["events"] if "events" in file else file
        if isinstance(group, h5py.Dataset) and group.dtype.names:
            table = group[()]
            return _named(path, {name: table[name] for name in table.dtype.names})
        if isinstance(group, h5py.Dataset):
            raise InputError(
                f"{path}: events must be a group of t, x, y, p or a structured array, received {group.dtype}"
            )
        return _named(path, {name: each[()] for name, each in group.items() if isinstance(each, h5py.Dataset)})


def _read_bin(path: Path) -> Arrays:
    """Read N-MNIST's and N-Caltech101's events of 40 bits: x, y, then p in the first of 24 bits and t in the others."""
    content = np.fromfile(path, np.uint8)
    if len(content) % 5:
        raise InputError(
            f"{path} must hold events of 5 bytes, it holds {len(content)}: it is cut short, or no such file"
        )
    x, y, high, middle, low = content.reshape(-1, 5).astype(np.int64).T
    overflow = y == _BIN_OVERFLOW_ROW
    t = ((high & 127) << 16 | middle << 8 | low) + np.cumsum(overflow) * _BIN_OVERFLOW_US
    kept = ~overflow
    return {"t": t[kept], "x": x[kept], "y": y[kept], "p": high[kept] >> 7}


class Aedat3:
    """The polarity events of an AEDAT 3.1 file, of which a span can be read without the rest.

    Args:
        path: The file.

    Raises:
        InputError: If it is of another format, or cut short.
    """

    def __init__(self, path: Path):
        self.path = path
        # Where events begin, how many, their timestamps' high bits, the first t.
        self._packets: list[tuple[int, int, int, int]] = []
        with files.reading(path) as file:
            version = b""
            start = 0
            while (line := file.readline(1 << 16)).startswith(b"#"):
                version = line if line.startswith(b"#!AER-DAT") else version
                start = file.tell()
                if line.startswith(b"#!END-HEADER"):
                    break
            if not version.startswith(b"#!AER-DAT3"):
                named = one_line(version.decode("latin1")) if version else "no #!AER-DAT line"
                raise InputError(f"{path} must be an AEDAT 3.1 file, received {named}")
            end = file.seek(0, 2)
            while start < end:
                file.seek(start)
                header = np.frombuffer(file.read(_AEDAT3_HEADER.itemsize), np.uint8)
                if len(header) < _AEDAT3_HEADER.itemsize:
                    raise self._cut(start)
                (packet,) = header.view(_AEDAT3_HEADER)
                size, high, number = int(packet["f0"]), int(packet["f2"]) << 31, int(packet["f4"])
                start += _AEDAT3_HEADER.itemsize
                if start + size * number > end:
                    raise self._cut(start)
                if packet["type"] == _POLARITY_EVENTS and number:
                    if size != _AEDAT3.itemsize:
                        raise InputError(
                            f"{path} must hold polarity events of 8 bytes, received {size} at byte {start}"
                        )
                    (first,) = np.frombuffer(file.read(8), _AEDAT3)
                    self._packets.append((start, number, high, high + int(first["t"])))
                start += size * number

    def _cut(self, start: int) -> InputError:
        return InputError(f"{self.path} is cut short: the packet at byte {start} is not whole")

    def read(self, begin: int = 0, end: int | None = None) -> Arrays:
        """Return the valid events from `begin` to before `end`, microseconds of the file's own clock."""
        found = []
        with files.reading(self.path) as file:
            for i, (start, number, high, first) in enumerate(self._packets):
                following = self._packets[i + 1][3] if i + 1 < len(self._packets) else None
                if (end is not None and first >= end) or (following is not None and following < begin):
                    continue
                file.seek(start)
                events = np.frombuffer(file.read(8 * number), _AEDAT3)
                data, t = events["data"].astype(np.int64), events["t"].astype(np.int64) + high
                kept = (data & 1 == 1) & (t >= begin) & (t < (2**62 if end is None else end))
                found.append((t[kept], data[kept]))
        t, data = (
            np.concatenate(column) if found else np.zeros(0, np.int64)
            for column in zip(*found or [((), ())], strict=True)
        )
        return {"t": t, "x": data >> 17 & 0x7FFF, "y": data >> 2 & 0x7FFF, "p": data >> 1 & 1}


def _read_aedat4(path: Path) -> Arrays:
    try:
        import aedat
    except ImportError:
        raise InputError(f"{path} needs the package aedat: pip install aedat") from None
    try:
        decoder = aedat.Decoder(str(path))
        streams = [number for number, stream in decoder.id_to_stream().items() if stream["type"] == "events"]
        packets = [packet["events"] for packet in decoder if streams and packet["stream_id"] == min(streams)]
    except Exception as error:  # a damaged file raises nearly anything
        raise InputError(f"{path} is not a readable AEDAT 4 file ({one_line(error)})") from None
    if not packets:
        raise InputError(f"{path} must hold at least one event, received none")
    events = np.concatenate(packets)
    return _named(path, {name: events[name] for name in events.dtype.names})


READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".bin": _read_bin,
    ".aedat": lambda path: Aedat3(path).read(),
    ".aedat4": _read_aedat4,
}
