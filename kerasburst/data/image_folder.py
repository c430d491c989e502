"""Reader of folders of images, one folder for each class."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kerasburst import files
from kerasburst.data.class_folders import list_classes
from kerasburst.data.lazy import Examples
from kerasburst.data.sources import Reader, Source
from kerasburst.validation import InputError, one_line

SUFFIXES = (".png", ".jpg", ".jpeg")
_MODES = {"L": "8-bit greyscale", "RGB": "RGB"}  # Pillow's names


class ImageFolderReader(Reader):
    """Read a folder of images by class; its errors name the folder or file.

    `DIR/cat/1.png, DIR/dog/1.jpg` is a pool; `DIR/train/cat/1.png, DIR/test/cat/1.png` has an official test part.
    Labels follow the classes' names in sorted order, and examples their class and then their file's name. All images
    have one size, and are all 8-bit greyscale or all RGB, with pixels as stored: an orientation in EXIF is not
    applied. Hidden files and folders are ignored. Images are read when they are needed: memory does not grow with their
    number.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, value in (("cat", 10), ("dog", 200)):
        ...         (Path(folder) / name).mkdir()
        ...         Image.new("L", (6, 4), value).save(Path(folder) / name / "1.png")
        ...     source = ImageFolderReader().read(Path(folder))
        ...     corners = source.x[:, 0, 0, 0].tolist()
        >>> source.class_names, source.x.shape, source.y.tolist(), corners
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
        paths, y, names, start = list_classes(path, SUFFIXES, "images")
        return image_source(os.path.basename(os.path.abspath(path)), stream_images(paths), y, names, start)


def image_source(name: str, x: Examples, y: np.ndarray, names: tuple[str, ...], test_start: int | None) -> Source:
    """Return the source of images that are read when they are needed; each is read once now, and checked.

    Args:
        name: Name of the data set.
        x: Images, uint8 `(n, height, width, channels)`.
        y: Labels, int64 `(n,)`.
        names: One for each class.
        test_start: First index of the official test part, or None.
    """
    source = Source(
        name=name,
        kind="image",
        x=x,
        y=y,
        num_classes=len(names),
        class_names=names,
        test_start=test_start,
        full_scale=255.0 if any(image.max() > 1 for image in x) else 1.0,  # the first image decides, nearly always
    )
    source.fingerprint  # noqa: B018  # which reads all: damage is found here, not in the middle of a training
    return source


def stream_images(paths: Sequence[Path], colour: bool = False) -> Examples:
    """Return images as uint8 `(n, height, width, channels)`, read when they are needed.

    Args:
        paths: Of PNG or JPEG files, all of the size and the mode of the first.
        colour: Whether greyscale images, too, become RGB.

    Raises:
        InputError: If the first cannot be read; for another, when it is read.
    """
    read = _Images(paths, colour)
    first = read(0)
    return Examples(read, np.arange(len(paths)), first.shape, first.dtype)


class _Images:
    """Read images that must be as the first is."""

    def __init__(self, paths: Sequence[Path], colour: bool) -> None:
        self._paths, self._colour = paths, colour
        self._first: tuple[Path, tuple[int, int], str] | None = None

    def __call__(self, number: int) -> np.ndarray:
        path = self._paths[number]
        pixels = read_image(path, ("PNG", "JPEG"), lambda size, mode: self._check(path, size, mode))
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        return np.repeat(pixels, 3, axis=2) if self._colour and pixels.shape[2] == 1 else pixels

    def _check(self, path: Path, size: tuple[int, int], mode: str) -> None:
        if mode not in _MODES:
            raise InputError(f"{path} must be 8-bit greyscale or RGB, not transparent; its mode is {mode}")
        self._first = self._first or (path, size, mode)
        first, first_size, first_mode = self._first
        if size != first_size:
            wanted = "{} x {} pixels".format(*first_size)
            raise InputError(f"{path} must be of {wanted} as {first} is, it is of {size[0]} x {size[1]}")
        if mode != first_mode and not self._colour:
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
