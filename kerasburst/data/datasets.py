"""Loading data sets, known by name or given by a path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from kerasburst.data.catalogue import DATASETS, DatasetInfo
from kerasburst.data.dataset import Dataset
from kerasburst.data.derived import as_spikes, split_classes, take_classes
from kerasburst.data.event_sets import EventSet
from kerasburst.data.events import Reading
from kerasburst.data.published_events import read_tonic
from kerasburst.data.readers import Arrays, Layout, read_keras
from kerasburst.data.sources import Reader, Source
from kerasburst.data.splits import make_splits
from kerasburst.registry import READERS
from kerasburst.validation import InputError, shown, suggestion, user_path

DATA_VARIABLE = "KERASBURST_DATA"


class Availability(NamedTuple):
    """Whether a data set can be loaded without a network, where it is or what to do, and a note."""

    available: bool
    where: str
    note: str = ""


_TONIC = "tonic:"


def load_source(
    name: str | Path,
    data_dir: str | Path | None = None,
    download: bool = True,
    spikes: bool | None = None,
    num_steps: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Source:
    """Load a data set, neither split nor scaled.

    Other arguments than `download`, whether Keras may download what is not found, are those of `load_dataset`.

    Returns:
        The checked source.

    Raises:
        InputError: If the name is unknown, the folder does not exist, the data is absent or bad, or holds spikes
            against expectation.

    Example:
        >>> load_source("iris").x.shape
        (150, 4)
    """
    name, classes = split_classes(name)
    if classes is not None:
        return take_classes(load_source(name, data_dir, download, spikes, num_steps, options), classes)
    reading, of_events = Reading.of(options), holds_events(name)
    if spikes and str(name) in DATASETS and not of_events:
        raise InputError(f"encoding must not be none or event_burst for {name}, which holds no spikes")
    if spikes is False and of_events:
        raise InputError(f"encoding must be none or event_burst for {name}, which holds events")
    if of_events:
        return _recordings(name, data_dir).source(num_steps, options)
    if reading.of_events:
        raise InputError(f"data.{reading.of_events[0]} must not be set for {name}, which holds no events")
    source = _load(name, data_dir, download)
    if spikes is False and source.encoded:
        raise InputError(
            f"encoding must be none or event_burst for {source.name}, which holds spikes of shape {source.x.shape}"
        )
    if reading.augments and source.kind != "image":
        raise InputError(f"data.flip and data.crop must not be set for {source.name}, which holds no images")
    return as_spikes(source) if spikes else source


def holds_events(name: str | Path) -> bool:
    """Return whether a data set is of recordings of events, judged by its name or what its path looks like.

    Example:
        >>> holds_events("moving_digits"), holds_events("digits"), holds_events("shd_train.h5")
        (True, False, True)
    """
    name, _ = split_classes(name)
    if str(name) in DATASETS:
        return DATASETS[str(name)].events is not None
    reader = path_reader(name)
    return reader is None or reader.encoded


def _recordings(name: str | Path, data_dir: str | Path | None) -> EventSet:
    """Return the recordings of a data set that `holds_events`."""
    reader, folder = path_reader(name), _folder(data_dir)
    if reader is not None:
        return reader.read_events(_path(name))
    folder = folder or _variable_folder()
    if str(name).startswith(_TONIC):
        return read_tonic(str(name).removeprefix(_TONIC), folder)
    info = DATASETS[str(name)]
    if info.place is None:
        return info.events(Path())
    place = None if folder is None else info.place(folder)
    if place is None:
        raise InputError(f"dataset {info.name} is not {f'in {folder}' if folder else 'here'}: {_expected(info)}")
    found = info.events(place)
    sizes = (found.test_start, None if found.test_start is None else len(found.y) - found.test_start)
    whole = sizes == (info.num_train, info.num_test)
    return found if whole else replace(found, note=f"not the whole {info.title}: {sizes[0]:,} + {sizes[1]:,}")


def _expected(info: DatasetInfo) -> str:
    return f"put {info.expected} into a folder and name it by --data-dir or {DATA_VARIABLE}"


def _load(name: str | Path, data_dir: str | Path | None, download: bool) -> Source:
    reader = path_reader(name)
    folder = _folder(data_dir)
    if reader is not None:
        return reader.read(_path(name))
    info = DATASETS[str(name)]
    if info.bundled is not None:
        return _source(info, info.bundled(), f"{info.origin}'s {info.name}")
    folder = folder or _variable_folder()
    for place in filter(None, (folder, _keras_cache())):
        if found := _find(info, place):
            layout, paths, where = found
            try:
                return _source(info, layout.read(paths), where)
            except InputError:
                if place is folder or not download:
                    raise  # else Keras finds the damage too, and downloads the file anew
    reason = "and downloading is off"
    if download:
        try:
            arrays = read_keras(info.name)
        except InputError as error:
            reason = f"and {error}"
        else:
            return _source(info, arrays, info.origin)
    place = f"in {folder}" if folder else "here"
    raise InputError(f"dataset {info.name} is not {place} {reason}: {_advice(info, folder)}")


def availability(name: str | Path, data_dir: str | Path | None = None) -> Availability:
    """Return whether a data set is on this machine, without reading or downloading it.

    Args:
        name: As for `load_source`.
        data_dir: As for `load_source`.

    Returns:
        Whether it is there, and where; if not, which file to put where; and a note if it is a subset.

    Raises:
        InputError: If the name is unknown or the folder does not exist.

    Example:
        >>> availability("digits")
        Availability(available=True, where='scikit-learn', note='')
    """
    name, _ = split_classes(name)
    reader = path_reader(name)
    folder = _folder(data_dir)
    if reader is not None:
        return Availability(_path(name).exists(), str(_path(name)))
    if str(name).startswith(_TONIC):
        return Availability(True, str(folder or _variable_folder()))
    info = DATASETS[str(name)]
    if info.bundled is not None or (info.events is not None and info.place is None):
        return Availability(True, info.origin)
    folder = folder or _variable_folder()
    if info.place is not None:
        place = None if folder is None else info.place(folder)
        return Availability(place is not None, str(place or _expected(info)))
    for place in filter(None, (folder, _keras_cache())):
        if found := _find(info, place):
            layout, _, where = found
            return Availability(True, where, layout.note)
    return Availability(False, f"downloaded when first used; without a network, {_advice(info, folder)}")


def list_datasets(data_dir: str | Path | None = None) -> list[dict]:
    """List the known data sets, their sizes, and whether each is on this machine.

    Args:
        data_dir: Folder to search for files; None: the one that KERASBURST_DATA names, if any. Keras' cache is searched
            next.

    Returns:
        One dict of JSON values for each data set: its name, kind, sizes, default epochs and shape of an example,
        whether it is `available` here, `where`, and a `note`.

    Raises:
        InputError: If the folder does not exist.

    Example:
        >>> [(row["name"], row["available"]) for row in list_datasets()][:2]
        [('digits', True), ('iris', True)]
    """
    shown_fields = ("name", "kind", "num_classes", "num_train", "num_test", "num_examples", "default_epochs")
    return [
        {
            **{name: getattr(info, name) for name in shown_fields},
            "sample_shape": list(info.sample_shape),
            **availability(info.name, data_dir)._asdict(),
        }
        for info in DATASETS.values()
    ]


def load_dataset(
    name: str | Path,
    data_dir: str | Path | None = None,
    seed: int = 0,
    train_limit: int | None = None,
    validation_split: float = 0.0,
    spikes: bool | None = None,
    num_steps: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Dataset:
    """Load a data set, split it, and scale it to [0, 1] by its training part.

    Args:
        name: A name that `list_datasets` lists, or a path of your own data, such as an `.npz` file with `x_train,
            y_train, x_test, y_test` or `x, y`; with `:0-4,7` appended, these classes alone. `tonic:NAME` is a data set
            of the package tonic.
        data_dir: Folder to search for files; None: the one that KERASBURST_DATA names, if any. Keras' cache is searched
            next.
        seed: Seed of the splits, an integer of at least 0.
        train_limit: Training examples to keep, validation included; None: all.
        validation_split: Fraction of these that validates instead of training, in [0, 1).
        spikes: Whether the examples are spikes, `(num_steps, *features)`, as the encoding "none" takes them; None:
            those with 4 dimensions or more are.
        num_steps: T, steps that recordings of events are binned into; None: 10. Other data has its own.
        options: How the data is read: the parameters `data.NAME` of `kerasburst train --list-parameters`, without the
            prefix.

    Returns:
        The data set.

    Raises:
        InputError: If an argument is out of range, or the data is absent or bad.

    Example:
        >>> digits = load_dataset("digits", train_limit=1000, validation_split=0.1)
        >>> digits.x_train.shape, len(digits.y_validation), len(digits.y_test), float(digits.x_train.max())
        ((900, 8, 8, 1), 100, 359, 1.0)
    """
    source = load_source(name, data_dir, spikes=spikes, num_steps=num_steps, options=options)
    return Dataset.from_source(source, make_splits(source, seed, train_limit, validation_split))


def known_dataset(name: str | Path) -> DatasetInfo | None:
    """Return a known data set by its name, with the classes that the name asks for; None for a path.

    Example:
        >>> known_dataset("digits:5-9").num_classes, known_dataset("mine.npz")
        (5, None)
    """
    name, classes = split_classes(name)
    info = DATASETS.get(str(name))
    if info is None or classes is None:
        return info
    names = tuple(info.class_names[label] for label in classes if label < info.num_classes)
    return replace(info, num_classes=len(classes), class_names=names)


def may_have_moved(dataset: str, stored: str) -> bool:
    """Return whether two data sets are named by paths and ask for the same classes: they may hold the same data.

    Example:
        >>> may_have_moved("new/mine.npz", "mine.npz"), may_have_moved("mine.npz:0,1", "mine.npz")
        (True, False)
    """
    (path, classes), (stored_path, stored_classes) = split_classes(dataset), split_classes(stored)
    return classes == stored_classes and not {path, stored_path} & set(DATASETS)


def path_reader(name: str | Path, argument: str = "dataset") -> Reader | None:
    """Return the reader for the path of a data set, without classes; None for the name of a known one or of tonic's.

    Args:
        name: the data set.
        argument: as errors call it.

    Raises:
        InputError: If it is neither.

    Example:
        >>> type(path_reader("mine.npz")).__name__, path_reader("digits")
        ('NpzReader', None)
    """
    if str(name) in DATASETS or str(name).startswith(_TONIC):
        return None
    readers = [cls() for cls in READERS.values()]
    if isinstance(name, str | os.PathLike) and str(name):
        path = user_path(argument, name)
        for reader in sorted(readers, key=lambda reader: reader.catch_all):
            if reader.claims(path):
                return reader
    raise InputError(
        f"{argument} must be one of {', '.join(DATASETS)}, or the path of "
        f"{' or '.join(reader.what for reader in readers)}, received {shown(name)}" + suggestion(name, DATASETS)
    )


def _path(text: str | Path) -> Path:
    return Path(os.path.expanduser(text))


def _folder(data_dir: str | Path | None, argument: str = "data_dir") -> Path | None:
    if data_dir is None:
        return None
    folder = user_path(argument, data_dir)
    if not os.path.isdir(folder):
        problem = "is a file" if os.path.isfile(folder) else "does not exist"
        raise InputError(f"{argument} must be an existing folder, {folder} {problem}")
    return folder


def _variable_folder() -> Path | None:
    return _folder(os.environ.get(DATA_VARIABLE) or None, DATA_VARIABLE)


def _keras_cache() -> Path:
    return _path(os.environ.get("KERAS_HOME") or "~/.keras") / "datasets"


def _find(info: DatasetInfo, folder: Path) -> tuple[Layout, tuple[Path, ...], str] | None:
    """Return the form in which a data set is in a folder, its files, and where they are."""
    for layout in info.layouts:
        if paths := layout.find(folder):
            return layout, paths, str(paths[0] if len(paths) == 1 else paths[0].parent)
    return None


def _source(info: DatasetInfo, arrays: Arrays, where: str) -> Source:
    source = Source.from_arrays(info.name, arrays, where, class_names=info.class_names, full_scale=info.full_scale)
    if source.sample_shape != info.sample_shape:
        raise InputError(
            f"{where}: examples of {info.name} must have shape {info.sample_shape}, received {source.sample_shape}"
        )
    return replace(source, note=_note(info, source))


def _note(info: DatasetInfo, source: Source) -> str:
    """Return a note where the data is not all of the named data set, else nothing."""
    count, start = len(source.y), source.test_start
    sizes = (None, None) if start is None else (start, count - start)
    if sizes == (info.num_train, info.num_test) and count == info.num_examples:
        return ""
    if start is None:
        return f"{count:,} examples under {info.title}'s name, without its official split"
    less = start <= info.num_train and count - start <= info.num_test
    return f"{'a subset of' if less else 'not the standard'} {info.title}: {start:,} + {count - start:,}"


def _advice(info: DatasetInfo, folder: Path | None) -> str:
    for layout in info.layouts if folder else ():
        if missing := layout.missing(folder):
            return f"{', '.join(missing)} missing in {folder}, though other files of {info.title} are there"
    return (
        f"put {info.name}.npz (x_train, y_train, x_test, y_test) into a folder and name it by --data-dir "
        f"or {DATA_VARIABLE}"
    )
