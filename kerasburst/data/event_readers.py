"""Recordings in one file of many, and in a folder of files by class."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerasburst import files
from kerasburst.data.class_folders import first_file, list_classes
from kerasburst.data.event_files import READERS, hdf5_errors, listed, open_hdf5, read_events
from kerasburst.data.event_sets import EventSet, join_labels, name_classes
from kerasburst.data.events import Recording
from kerasburst.data.readers import Arrays, load_npz
from kerasburst.data.sources import Reader, Source
from kerasburst.validation import InputError

_SHD = {"t": "spikes/times", "unit": "spikes/units"}
_FLAT = ("lengths", "labels")  # of a file of many recordings, beside t, x, y, p or t, unit


class _Hdf5:
    """Recordings in an HDF5 file: SHD's layout, or all events behind each other with their `lengths`."""

    def __init__(self, path: Path):
        self.path, self._lock, self._file = path, threading.Lock(), None
        with open_hdf5(path) as file:
            self.columns, self._ends, self.labels, self.names, self.sensor = self._layout(file)

    def _layout(self, file):
        if "spikes" in file:
            columns = dict(_SHD)
            needed = (*_SHD.values(), "labels")
        else:
            columns = {key: key for key in (("t", "unit") if "unit" in file else "txyp") if key != "p" or key in file}
            needed = (*columns.values(), *_FLAT)
        for key in needed:
            if key not in file:
                raise InputError(
                    f"{self.path} must hold {', '.join(needed)}; {key} is missing, it holds {listed(file)}"
                )
        labels = file["labels"][()]
        names = file["extra/keys"][()] if "extra" in file and "keys" in file["extra"] else file.get("class_names")
        names = None if names is None else [_text(each) for each in names[()]]
        sensor = file.attrs.get("sensor")
        sensor = None if sensor is None else tuple(int(size) for size in np.ravel(sensor))
        if "spikes" in file:
            for key in _SHD.values():
                if len(file[key]) != len(labels):
                    counts = f"received {len(labels)} for {len(file[key])}"
                    raise InputError(f"{self.path}: labels must be one for each recording of {key}, {counts}")
            return columns, None, labels, names, sensor
        sizes = {key: len(file[key]) for key in columns.values()}
        return columns, check_lengths(str(self.path), file["lengths"][()], sizes, labels), labels, names, sensor

    def read(self, number: int) -> Arrays:
        import h5py

        with self._lock, hdf5_errors(self.path):
            self._file = self._file or h5py.File(self.path, "r")
            if self._ends is None:
                arrays = {name: np.asarray(self._file[key][number]) for name, key in self.columns.items()}
                # The published files have seconds.
                seconds = arrays["t"].astype(np.float64)
                return {**arrays, "t": np.round(seconds * 1e6) if np.isfinite(seconds).all() else seconds}
            part = slice(self._ends[number], self._ends[number + 1])
            return {name: self._file[key][part] for name, key in self.columns.items()}


class _Npz:
    """Recordings in an .npz file, all events behind each other with their `lengths`; they are held in memory."""

    def __init__(self, path: Path):
        self.path = path
        arrays = load_npz(path, lambda keys: keys)
        columns = ("t", "unit") if "unit" in arrays else ("t", "x", "y", "p")
        for key in (*columns, *_FLAT):
            if key not in arrays and key != "p":
                raise InputError(f"{path} must hold {', '.join(columns)}, lengths, labels; {key} is missing")
        self._columns = {name: arrays[name] for name in columns if name in arrays}
        self.labels, self.names = arrays["labels"], None
        if "class_names" in arrays:
            self.names = [_text(each) for each in arrays["class_names"]]
        self.sensor = tuple(int(size) for size in np.ravel(arrays["sensor"])) if "sensor" in arrays else None
        sizes = {name: len(column) for name, column in self._columns.items()}
        self._ends = check_lengths(str(path), arrays["lengths"], sizes, self.labels)

    def read(self, number: int) -> Arrays:
        part = slice(self._ends[number], self._ends[number + 1])
        return {name: column[part] for name, column in self._columns.items()}


def check_lengths(where: str, lengths: np.ndarray, sizes: dict[str, int], labels: np.ndarray) -> np.ndarray:
    """Return where recordings end, `(n + 1,)` from 0; refuse lengths that do not fit, by file and field."""
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (len(lengths) and lengths.min() < 0):
        raise InputError(
            f"{where}: lengths must be integers of at least 0, received {lengths.dtype} of {lengths.shape}"
        )
    if len(labels) != len(lengths):
        raise InputError(f"{where}: labels must be one for each of lengths, received {len(labels)} for {len(lengths)}")
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    for name, size in sizes.items():
        if size != ends[-1]:
            raise InputError(
                f"{where}: {name} must hold as many events as lengths add up to, {ends[-1]}, received {size}"
            )
    return ends


def write_events(
    path: str | Path,
    recordings: Sequence[Recording],
    labels: Sequence[int],
    *,
    sensor: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
) -> None:
    """Write recordings as one HDF5 file: the events behind each other as t, x, y, p or t, unit; lengths; labels.

    Args:
        path: The file, `.h5`; it appears whole or not at all.
        recordings: All of event cameras or all of channels.
        labels: One for each recording.
        sensor: Height and width, or number of channels.
        class_names: One for each class.
    """
    import h5py

    columns = {"t": "t", "x": "x", "y": "y", "p": "p"} if recordings[0].y is not None else {"t": "t", "unit": "x"}
    types = {"t": np.int64, "p": np.uint8}
    with files.replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for key, name in columns.items():
            if getattr(recordings[0], name) is not None:
                joined = np.concatenate([getattr(each, name) for each in recordings])
                file[key] = joined.astype(types.get(key, np.uint16))
        file["lengths"] = np.array([len(each.t) for each in recordings], np.int64)
        file["labels"] = np.asarray(labels, np.int64)
        if class_names is not None:
            file["class_names"] = [name.encode() for name in class_names]
        if sensor is not None:
            file.attrs["sensor"] = np.asarray(sensor, np.int64)


def read_event_file(
    path: Path, name: str = "", sensor: tuple[int, ...] | None = None, test: Path | None = None
) -> EventSet:
    """Return the recordings of a file of many, and of a second as the official test part."""
    stores = [(_Npz if each.suffix.lower() == ".npz" else _Hdf5)(each) for each in (path, test) if each is not None]
    keys = [f"{store.path}: labels" for store in stores]
    y, classes, start = join_labels(keys, [store.labels for store in stores])
    owner = [(store, number) for store in stores for number in range(len(store.labels))]
    return EventSet(
        name=name or path.stem,
        read=lambda number: owner[number][0].read(owner[number][1]),
        where=lambda number: f"{owner[number][0].path}: recording {owner[number][1]}",
        y=y,
        class_names=name_classes(stores[0].names, classes, f"{path}: class_names"),
        test_start=start,
        sensor=sensor or stores[0].sensor,
    )


class EventFileReader(Reader):
    """Read one file of many recordings: HDF5 in SHD's layout, or HDF5 or .npz of t, x, y, p, lengths, labels.

    Of `NAME_train.h5` with `NAME_test.h5` beside it the second is the official test part.
    """

    what = "an .h5 file of recordings"
    contents = "spikes/times, spikes/units, labels (as SHD), or t, x, y, p (or t, unit), lengths, labels; also as .npz"
    encoded = True

    def claims(self, path: Path) -> bool:
        """Return whether the name ends with .h5 or .hdf5, or it is an .npz file of events."""
        if path.suffix.lower() != ".npz":
            return path.suffix.lower() in (".h5", ".hdf5")
        try:
            with files.reading(path) as file, zipfile.ZipFile(file) as archive:  # a pipe is not waited for
                return {"t.npy", "labels.npy"} <= set(archive.namelist())
        except (InputError, OSError, zipfile.BadZipFile):
            return False

    def read_events(self, path: Path) -> EventSet:
        """Return the recordings, the file's name as theirs."""
        test = path.with_name(path.name.replace("_train", "_test"))
        stem = path.stem.removesuffix("_train")
        return read_event_file(path, stem, test=test if test != path and test.exists() else None)

    def read(self, path: Path) -> Source:
        """Return the recordings in 10 steps."""
        return self.read_events(path).source()


# A file for each recording ------------------------------------------------------------------------


def read_event_folder(path: Path, name: str = "", sensor: tuple[int, ...] | None = None) -> EventSet:
    """Return the recordings of a folder with one folder for each class, as `list_classes` takes it."""
    paths, y, names, start = list_classes(path, tuple(READERS), "recordings")
    return EventSet(
        name=name or path.resolve().name,
        read=lambda number: read_events(paths[number]),
        where=lambda number: str(paths[number]),
        y=y,
        class_names=names,
        test_start=start,
        sensor=sensor,
    )


class EventFolderReader(Reader):
    """Read a folder of recordings by class: `DIR/CLASS/*`, or `DIR/train/CLASS/*` and `DIR/test/CLASS/*`."""

    what = "a folder of recordings by class"
    contents = "CLASS/* of " + ", ".join(READERS) + ", or train/CLASS/* and test/CLASS/*"
    encoded = True

    def claims(self, path: Path) -> bool:
        """Return whether `path` is a folder whose first class holds recordings."""
        try:
            first = first_file(path) if path.is_dir() else None
        except (InputError, OSError):
            return False  # the reader of images says what is wrong
        return first is not None and first.suffix.lower() in READERS

    def read_events(self, path: Path) -> EventSet:
        """Return the recordings, named after the folder."""
        return read_event_folder(path)

    def read(self, path: Path) -> Source:
        """Return the recordings in 10 steps."""
        return self.read_events(path).source()


def _text(value) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
