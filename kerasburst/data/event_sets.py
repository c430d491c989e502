"""Data sets of recordings: one file of many, a folder of files by class, and the layouts of published sets."""

from __future__ import annotations

import csv
import io
import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasburst import files
from kerasburst.data.class_folders import entries, first_file, list_classes
from kerasburst.data.event_files import READERS, Aedat3, hdf5_errors, open_hdf5, read_events
from kerasburst.data.events import Reading, Recording, bin_events
from kerasburst.data.lazy import Examples
from kerasburst.data.readers import Arrays, load_npy, load_npz
from kerasburst.data.sources import Reader, Source, check_classes, check_labels
from kerasburst.validation import InputError, fail, one_line

_SHD = {"t": "spikes/times", "unit": "spikes/units"}
_FLAT = ("lengths", "labels")  # of a file of many recordings, beside t, x, y, p or t, unit
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


def _labelled(name: str, where: Sequence[str], parts: Sequence[np.ndarray]) -> tuple[np.ndarray, int, int | None]:
    """Check the labels of one part or two; return them, the number of classes, and the start of the second."""
    labels = [check_labels(key, part) for key, part in zip(where, parts, strict=True)]
    classes = check_classes(list(where), labels)
    return np.concatenate(labels), classes, len(labels[0]) if len(labels) == 2 else None


def _names(given: Sequence[str] | None, classes: int, where: str) -> tuple[str, ...]:
    if given is None:
        return tuple(map(str, range(classes)))
    if len(given) < classes:
        raise InputError(f"{where} must name each of {classes} classes, received {len(given)} names")
    return tuple(given)[:classes]


# One file of many recordings ----------------------------------------------------------------------


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
            columns = (
                {name: name for name in ("t", "unit")}
                if "unit" in file
                else {n: n for n in "txyp" if n != "p" or n in file}
            )
            needed = (*columns.values(), *_FLAT)
        for key in needed:
            if key not in file:
                raise InputError(
                    f"{self.path} must hold {', '.join(needed)}; {key} is missing, it holds {_shown(file)}"
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
                file[key] = np.concatenate([getattr(each, name) for each in recordings]).astype(
                    types.get(key, np.uint16)
                )
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
    y, classes, start = _labelled(name, keys, [store.labels for store in stores])
    owner = [(store, number) for store in stores for number in range(len(store.labels))]
    if sensor is None and stores[0].sensor is not None:
        sensor = stores[0].sensor
    return EventSet(
        name=name or path.stem,
        read=lambda number: owner[number][0].read(owner[number][1]),
        where=lambda number: f"{owner[number][0].path}: recording {owner[number][1]}",
        y=y,
        class_names=_names(stores[0].names, classes, f"{path}: class_names"),
        test_start=start,
        sensor=sensor,
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
            with zipfile.ZipFile(path) as archive:
                return {"t.npy", "labels.npy"} <= set(archive.namelist())
        except (OSError, zipfile.BadZipFile):
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
    listed = list_classes(path, tuple(READERS), "recordings")
    names = tuple(next(iter(listed.values())))
    paths = [file for classes in listed.values() for found in classes.values() for file in found]
    counts = [[len(found) for found in classes.values()] for classes in listed.values()]
    return EventSet(
        name=name or path.resolve().name,
        read=lambda number: read_events(paths[number]),
        where=lambda number: str(paths[number]),
        y=np.concatenate([np.repeat(np.arange(len(names)), each) for each in counts]),
        class_names=names,
        test_start=sum(counts[0]) if len(counts) == 2 else None,
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


# Published layouts ---------------------------------------------------------------------------------


def find_nmnist(folder: Path) -> Path | None:
    """Return the folder of N-MNIST's Train and Test in a folder of data."""
    return _first(
        folder, ("NMNIST", "N-MNIST", "nmnist", "."), lambda at: (at / "Train").is_dir() and (at / "Test").is_dir()
    )


def read_nmnist(path: Path) -> EventSet:
    """Read N-MNIST as published, Train/0/*.bin ... Test/9/*.bin."""
    return read_event_folder(path, "nmnist", (34, 34))


def find_hsd(name: str) -> Callable[[Path], Path | None]:
    """Return the function that finds the folder of SHD's or SSC's files."""
    wanted = [f"{name}_train.h5", f"{name}_test.h5"]
    return lambda folder: _first(
        folder, (name.upper(), name, "."), lambda at: all((at / file).exists() for file in wanted)
    )


def read_hsd(name: str) -> Callable[[Path], EventSet]:
    """Return the function that reads SHD's or SSC's files of training and of test."""
    return lambda path: read_event_file(path / f"{name}_train.h5", name, (700,), path / f"{name}_test.h5")


GESTURES = (
    *("hand clapping", "right hand wave", "left hand wave", "right arm clockwise", "right arm counter clockwise"),
    *("left arm clockwise", "left arm counter clockwise", "arm roll", "air drums", "air guitar", "other gestures"),
)


def find_dvs_gesture(folder: Path) -> Path | None:
    """Return the folder of DVS Gesture, as published or as tonic stores it."""

    def is_it(at: Path) -> bool:
        return (at / "trials_to_train.txt").exists() or (at / "ibmGestureTrain").is_dir()

    return _first(folder, ("DVSGesture", "DvsGesture", "dvs_gesture", "."), is_it)


def read_dvs_gesture(path: Path) -> EventSet:
    """Read DVS Gesture: user*.aedat with their _labels.csv, or tonic's ibmGestureTrain/USER/LABEL.npy."""
    parts = _tonic_gestures(path) if (path / "ibmGestureTrain").is_dir() else _trials(path)
    found = [item for part in parts for item in part]
    y, classes, start = _labelled(
        "dvs_gesture", [f"{path}: {n}" for n in ("train", "test")], [np.array([i[2] for i in p]) for p in parts]
    )
    return EventSet(
        name="dvs_gesture",
        read=lambda number: found[number][0](),
        where=lambda number: found[number][1],
        y=y,
        class_names=GESTURES[:classes],
        test_start=start,
        sensor=(128, 128),
        polarities=2,
    )


def _tonic_gestures(path: Path) -> list[list[tuple[Callable[[], Arrays], str, int]]]:
    def read(file: Path) -> Arrays:
        events = load_npy(file)
        if events.ndim != 2 or events.shape[1] != 4:
            raise InputError(f"{file} must hold x, y, p, t in four columns, received the shape {events.shape}")
        x, y, p, t = events.T
        return {"t": np.round(t * 1000), "x": x, "y": y, "p": p}  # it is stored in milliseconds

    parts = []
    for part in ("ibmGestureTrain", "ibmGestureTest"):
        part_files = [
            file for user in entries(path / part) if user.is_dir() for file in entries(user) if file.suffix == ".npy"
        ]
        if wrong := [file for file in part_files if not file.stem.isdigit()]:
            raise InputError(f"{wrong[0]} must be named after its label, such as 3.npy")
        parts.append([((lambda file=file: read(file)), str(file), int(file.stem)) for file in part_files])
        if not part_files:
            raise InputError(f"{path / part} must hold USER/LABEL.npy, received none")
    return parts


def _trials(path: Path) -> list[list[tuple[Callable[[], Arrays], str, int]]]:
    parts = []
    for part in ("train", "test"):
        listed = path / f"trials_to_{part}.txt"
        with files.reading(listed) as file:
            names = file.read().decode("utf-8", "replace").split()
        found = []
        for name in names:
            recording, table = Aedat3(path / name), path / f"{Path(name).stem}_labels.csv"
            with files.reading(table) as file:
                rows = list(csv.DictReader(io.StringIO(file.read().decode("utf-8", "replace"))))
            for row in rows:
                try:
                    label, begin, end = (int(row[key]) for key in ("class", "startTime_usec", "endTime_usec"))
                except (KeyError, TypeError, ValueError):
                    raise InputError(
                        f"{table} must hold class, startTime_usec, endTime_usec, received {one_line(row)}"
                    ) from None
                where = f"{path / name}: {begin} to {end} us"
                found.append(((lambda r=recording, b=begin, e=end: r.read(b, e)), where, label - 1))
        if not found:
            raise InputError(f"{listed} must name recordings, received none")
        parts.append(found)
    return parts


def read_tonic(name: str, folder: Path | None) -> EventSet:
    """Return a data set of the package tonic that is in a folder already; nothing is downloaded.

    Args:
        name: Of the class in `tonic.datasets`.
        folder: Where tonic stored it.

    Raises:
        InputError: without tonic, for an unknown name, or data that is not there.
    """
    try:
        import tonic
    except ImportError:
        raise InputError(f"dataset tonic:{name} needs the package tonic: pip install 'kerasburst[events]'") from None
    cls = getattr(tonic.datasets, name, None)
    if not isinstance(cls, type):
        known = ", ".join(sorted(n for n, each in vars(tonic.datasets).items() if isinstance(each, type)))
        raise InputError(f"dataset tonic:{name} is unknown: tonic has {known}")
    if folder is None:
        raise InputError(f"dataset tonic:{name} needs --data-dir, the folder that tonic stored {name} in")

    def refuse(self) -> None:
        raise InputError(f"dataset tonic:{name} is not in {folder}: {folder / name} must hold what tonic downloads")

    local = type(name, (cls,), {"download": refuse})
    parts = []
    for options in (
        ({"train": True}, {"train": False})
        if "train" in cls.__init__.__code__.co_varnames
        else (({"split": "train"}, {"split": "test"}) if "split" in cls.__init__.__code__.co_varnames else ({},))
    ):
        try:
            parts.append(local(save_to=str(folder), **options))
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"dataset tonic:{name} cannot be read from {folder / name} ({one_line(error)})") from None
    owner = [(part, number) for part in parts for number in range(len(part))]
    targets = [_targets(part) for part in parts]
    names = sorted({str(t) for part in targets for t in part}) if isinstance(targets[0][0], str) else None
    if names is not None:
        targets = [[names.index(str(each)) for each in part] for part in targets]
    y, classes, start = _labelled(name, [f"tonic:{name}"] * len(parts), [np.asarray(part) for part in targets])
    width, height, polarities = cls.sensor_size

    def read(number: int) -> Arrays:
        part, own = owner[number]
        events = part[own][0]
        columns = {"t": events["t"], "x": events["x"]}
        return columns if height == 1 else {**columns, "y": events["y"], "p": events["p"]}

    return EventSet(
        name=name.lower(),
        read=read,
        where=lambda number: f"tonic:{name}: recording {number}",
        y=y,
        class_names=_names(names, classes, f"tonic:{name}"),
        test_start=start,
        sensor=(width,) if height == 1 else (height, width),
        polarities=polarities if height > 1 else None,
    )


def _targets(part) -> list:
    """Return a tonic data set's labels, without reading recordings where it knows them."""
    targets = list(getattr(part, "targets", []))
    return targets if len(targets) == len(part) else [part[number][1] for number in range(len(part))]


def _first(folder: Path, names: Sequence[str], is_it: Callable[[Path], bool]) -> Path | None:
    return next((folder / name for name in names if is_it(folder / name)), None)


def _shown(file) -> str:
    return one_line(", ".join(sorted(file)), 80) or "nothing"


def _text(value) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
