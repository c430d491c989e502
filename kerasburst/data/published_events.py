"""The layouts of published sets of recordings: N-MNIST, SHD, SSC, DVS Gesture, and those of tonic."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kerasburst import files
from kerasburst.data.class_folders import entries
from kerasburst.data.event_files import Aedat3
from kerasburst.data.event_readers import read_event_file, read_event_folder
from kerasburst.data.event_sets import EventSet, join_labels, name_classes
from kerasburst.data.readers import Arrays, load_npy
from kerasburst.validation import InputError, one_line


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
    y, classes, start = join_labels(
        [f"{path}: {n}" for n in ("train", "test")], [np.array([i[2] for i in p]) for p in parts]
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
    choices = {"train": ({"train": True}, {"train": False}), "split": ({"split": "train"}, {"split": "test"})}
    takes = cls.__init__.__code__.co_varnames
    for options in next((both for name, both in choices.items() if name in takes), ({},)):
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
    y, classes, start = join_labels([f"tonic:{name}"] * len(parts), [np.asarray(part) for part in targets])
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
        class_names=name_classes(names, classes, f"tonic:{name}"),
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
