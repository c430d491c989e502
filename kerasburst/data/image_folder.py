"""Reader of folders of images, one folder for each class."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kerasburst import files
from kerasburst.data.sources import Reader, Source
from kerasburst.validation import InputError, one_line

SUFFIXES = (".png", ".jpg", ".jpeg")
_MODES = {"L": "8-bit greyscale", "RGB": "RGB"}  # Pillow's names
_PARTS = ("train", "test")


class ImageFolderReader(Reader):
    """Read a folder of images by class; its errors name the folder or file.

    `DIR/cat/1.png, DIR/dog/1.jpg` is a pool; `DIR/train/cat/1.png, DIR/test/cat/1.png` has an official test part.
    Labels follow the classes' names in sorted order, and examples their class and then their file's name. All images
    have one size, and are all 8-bit greyscale or all RGB, with pixels as stored: an orientation in EXIF is not
    applied. Hidden files and folders are ignored. All images are held in memory: a byte for each value, two while they
    are read, and four more once they are scaled. A folder for which that is too much cannot be used.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, value in (("cat", 10), ("dog", 200)):
        ...         (Path(folder) / name).mkdir()
        ...         Image.new("L", (6, 4), value).save(Path(folder) / name / "1.png")
        ...     source = ImageFolderReader().read(Path(folder))
        >>> source.class_names, source.x.shape, source.y.tolist(), source.x[:, 0, 0, 0].tolist()
        (('cat', 'dog'), (2, 4, 6, 1), [0, 1], [10, 200])
    """

    what = "a folder of images by class"
    contents = "CLASS/*.png, .jpg or .jpeg of one size, or train/CLASS/* and test/CLASS/*"
    catch_all = True

    def claims(self, path: Path) -> bool:
        """Return whether `path` is a folder, or is absent but looks like one: a/path without a suffix; never .npz."""
        if path.suffix.lower() == ".npz":
            return False
        return path.is_dir() or (not path.exists() and not path.suffix and len(path.parts) > 1)

    def read(self, path: Path) -> Source:
        """Return the source, named after the folder."""
        if not path.is_dir():
            raise InputError(f"{path} does not exist")
        parts = _parts(path)
        listed = [_classes(folder) for folder in parts.values()]
        names = tuple(listed[0])
        if len(names) < 2:
            first = next(iter(parts.values()))
            raise InputError(f"{first} must hold folders of at least two classes of images, received {_shown(names)}")
        for folder, classes in zip(list(parts.values())[1:], listed[1:], strict=True):
            if different := sorted(set(names) ^ set(classes)):
                problem = "is missing" if different[0] in names else "is no class of the training part"
                raise InputError(f"{folder} must hold the classes {_shown(names)}: {folder / different[0]} {problem}")
        images = _Images()
        arrays = {}
        for part, classes in zip(parts, listed, strict=True):
            ending = f"_{part}" if part else ""
            arrays["x" + ending] = images.read([file for files in classes.values() for file in files], path)
            arrays["y" + ending] = np.repeat(np.arange(len(names)), [len(files) for files in classes.values()])
        return Source.from_arrays(os.path.basename(os.path.abspath(path)), arrays, str(path), class_names=names)


class _Images:
    """Read images that must be as the first is, whichever part they are in."""

    def __init__(self) -> None:
        self._first: tuple[Path, tuple[int, int], str] | None = None

    def read(self, paths: Sequence[Path], folder: Path) -> np.ndarray:
        """Return the images as uint8, `(n, height, width)` or `(n, height, width, 3)`."""
        first = self._pixels(paths[0])
        try:
            x = np.empty((len(paths), *first.shape), np.uint8)
        except MemoryError as error:
            raise InputError(f"{folder} holds more images than this machine's memory ({one_line(error)})") from None
        x[0] = first
        for i, file in enumerate(paths[1:], 1):
            x[i] = self._pixels(file)
        return x

    def _pixels(self, path: Path) -> np.ndarray:
        return read_image(path, ("PNG", "JPEG"), lambda size, mode: self._check(path, size, mode))

    def _check(self, path: Path, size: tuple[int, int], mode: str) -> None:
        if mode not in _MODES:
            raise InputError(f"{path} must be 8-bit greyscale or RGB, not transparent; its mode is {mode}")
        self._first = self._first or (path, size, mode)
        first, first_size, first_mode = self._first
        if size != first_size:
            wanted = "{} x {} pixels".format(*first_size)
            raise InputError(f"{path} must be of {wanted} as {first} is, it is of {size[0]} x {size[1]}")
        if mode != first_mode:
            raise InputError(f"{path} must be {_MODES[first_mode]} as {first} is, it is {_MODES[mode]}")


def read_image(path: Path, formats: Sequence[str], check: Callable[[tuple[int, int], str], None]) -> np.ndarray:
    """Return the pixels of an image as uint8, `(height, width)` or `(height, width, 3)`.

    Args:
        path: The file.
        formats: Pillow's names of the formats that it may have.
        check: Receives (width, height) and Pillow's mode before the pixels are read, and raises what it refuses.

    Raises:
        InputError: If the file cannot be read, is damaged, or unpacks to an image beyond all use.
    """
    from PIL import Image, UnidentifiedImageError

    known = " or ".join(formats)
    with files.reading(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file, formats=formats) as image:
                check(image.size, image.mode)
                return np.asarray(image.convert("L") if image.mode == "1" else image)
        except InputError:
            raise
        except UnidentifiedImageError:
            raise InputError(f"{path} is no {known} image") from None
        except Exception as error:  # a damaged image raises nearly anything
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise InputError(f"{path} is not a readable {known} image ({one_line(reason)})") from None


def _parts(path: Path) -> dict[str, Path]:
    """Return the folders of the official parts, or the one folder under an empty name."""
    entries = _entries(path)
    if not any(each.name in _PARTS and _is_folder(each) and any(map(_is_folder, _entries(each))) for each in entries):
        return {"": path}
    found = {each.name for each in entries}
    for name in (*_PARTS, *sorted(found.difference(_PARTS))):
        if name not in found or name not in _PARTS:
            problem = "is neither" if name in found else "is missing"
            raise InputError(f"{path} must hold the folders train and test alone, {path / name} {problem}")
    return {name: path / name for name in _PARTS}


def _classes(path: Path) -> dict[str, list[Path]]:
    """Return the files of each class, both sorted."""
    folders = _entries(path)
    for folder in folders:
        if not _is_folder(folder):
            raise InputError(f"{path} must hold one folder of images for each class, {folder} is no folder")
    return {folder.name: _files(folder) for folder in folders}


def _files(folder: Path) -> list[Path]:
    found = _entries(folder)
    for file in found:
        if file.suffix.lower() not in SUFFIXES:
            raise InputError(f"{folder} must hold only files of {', '.join(SUFFIXES)}, {file} is none")
    if not found:
        raise InputError(f"{folder} must hold images ({', '.join(SUFFIXES)}), received none")
    return found


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted by name, hidden entries left out."""
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror})") from None
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None


def _shown(names: Sequence[str]) -> str:
    return one_line(", ".join(names), 80) if names else "none"
