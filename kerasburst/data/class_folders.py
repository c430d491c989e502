"""Folders with one folder for each class, in which examples are files."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerasburst.validation import InputError, one_line

_PARTS = ("train", "test")


def list_classes(
    path: Path, suffixes: Sequence[str], what: str
) -> tuple[list[Path], np.ndarray, tuple[str, ...], int | None]:
    """Return the files, by part, class and name; their labels; the classes' names; where the test part begins, or None.

    `DIR/cat/1.png` has one part; `DIR/train/cat/1.png, DIR/test/cat/1.png` has two. Hidden files and
    folders are ignored.

    Args:
        path: The folder.
        suffixes: Of the files, in lower case.
        what: What the files are, in the plural, for messages.

    Raises:
        InputError: If the folder holds anything else; the message names it.
    """
    if not path.is_dir():
        raise InputError(f"{path} does not exist")
    parts = _parts(path)
    listed = {part: _classes(folder, suffixes, what) for part, folder in parts.items()}
    names = tuple(next(iter(listed.values())))
    if len(names) < 2:
        first = next(iter(parts.values()))
        raise InputError(f"{first} must hold folders of at least two classes of {what}, received {_shown(names)}")
    for part, classes in list(listed.items())[1:]:
        if different := sorted(set(names) ^ set(classes)):
            problem = "is missing" if different[0] in names else "is no class of the training part"
            folder = parts[part]
            raise InputError(f"{folder} must hold the classes {_shown(names)}: {folder / different[0]} {problem}")
    found = [files for classes in listed.values() for files in classes.values()]
    counts = [len(files) for files in found]
    y = np.repeat(np.tile(np.arange(len(names)), len(listed)), counts)
    start = sum(counts[: len(names)]) if len(listed) == 2 else None
    return [file for files in found for file in files], y, names, start


def first_file(path: Path) -> Path | None:
    """Return one of the files of the first class, to see of what kind they are; None where there is none."""
    for folder in _parts(path).values():
        for each in filter(_is_folder, entries(folder)):
            return next(iter(entries(each)), None)
    return None


def entries(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted by name, hidden entries left out."""
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror})") from None
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def _parts(path: Path) -> dict[str, Path]:
    """Return the folders of the official parts, or the one folder under an empty name."""
    found = {each.name.lower() if each.name.lower() in _PARTS else each.name: each for each in entries(path)}
    if not any(
        name in found and _is_folder(found[name]) and any(map(_is_folder, entries(found[name]))) for name in _PARTS
    ):
        return {"": path}
    for name in (*_PARTS, *sorted(set(found).difference(_PARTS))):
        if name not in found or name not in _PARTS:
            problem = "is neither" if name in found else "is missing"
            raise InputError(f"{path} must hold the folders train and test alone, {path / name} {problem}")
    return {name: found[name] for name in _PARTS}


def _classes(path: Path, suffixes: Sequence[str], what: str) -> dict[str, list[Path]]:
    """Return the files of each class, both sorted."""
    folders = entries(path)
    for folder in folders:
        if not _is_folder(folder):
            raise InputError(f"{path} must hold one folder of {what} for each class, {folder} is no folder")
    return {folder.name: _files(folder, suffixes, what) for folder in folders}


def _files(folder: Path, suffixes: Sequence[str], what: str) -> list[Path]:
    found = entries(folder)
    for file in found:
        if file.suffix.lower() not in suffixes:
            raise InputError(f"{folder} must hold only files of {', '.join(suffixes)}, {file} is none")
    if not found:
        raise InputError(f"{folder} must hold {what} ({', '.join(suffixes)}), received none")
    return found


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None


def _shown(names: Sequence[str]) -> str:
    return one_line(", ".join(names), 80) if names else "none"
