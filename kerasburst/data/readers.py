"""Readers of files, of scikit-learn's data sets and of Keras' downloads.

Each function returns arrays `x_train, y_train, x_test, y_test`, or `x, y`; `Source.from_arrays` checks their content.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import lzma
import os
import pickle
import socket
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasburst import files
from kerasburst.data.sources import Reader, Source, array_keys
from kerasburst.validation import InputError, one_line

Arrays = dict[str, np.ndarray]

_DAMAGED = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)
_DAMAGED_NPZ = (
    *(KeyError, IndexError, TypeError, NotImplementedError, OverflowError, RuntimeError),
    *(SyntaxError, tokenize.TokenError),
)
_DOWNLOAD_TIMEOUT_S = 30.0
_LARGEST_IDX = 1 << 30  # bytes; MNIST's images are 47 million


@dataclass(frozen=True)
class Layout:
    """One form in which a data set may be stored in a folder.

    Args:
        files: Paths relative to the folder; all of them must be there.
        read: Returns the arrays, given the full paths in the order of `files`.
        note: A remark on data in this form, such as that it is a subset.

    Example:
        >>> Layout(("mnist.npz",), read_npz).find(Path("no-such-folder")) is None
        True
    """

    files: tuple[str, ...]
    read: Callable[[Sequence[Path]], Arrays]
    note: str = ""

    def find(self, folder: Path) -> tuple[Path, ...] | None:
        """Return the full paths if every file is in `folder`, else None."""
        paths = tuple(folder / file for file in self.files)
        return paths if all(path.exists() for path in paths) else None

    def missing(self, folder: Path) -> tuple[str, ...]:
        """Return the files that `folder` lacks, if it has others of this layout."""
        missing = tuple(file for file in self.files if not (folder / file).exists())
        return missing if len(missing) < len(self.files) else ()


def load_npz(path: Path, choose: Callable[[Sequence[str]], Sequence[str]]) -> Arrays:
    """Read arrays of an `.npz` file, pickles excluded.

    Args:
        path: The file.
        choose: Returns the keys to read, given the keys in the file.

    Returns:
        The chosen arrays by key.

    Raises:
        InputError: If the file is missing, a folder, damaged, or holds anything but plain arrays.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(files.reading(path))  # numpy leaves it open where it finds damage
        try:
            archive = np.load(file, allow_pickle=False)
        except (*_DAMAGED, *_DAMAGED_NPZ, pickle.UnpicklingError) as error:
            raise InputError(f"{path} is not a readable .npz file ({one_line(error)})") from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise InputError(f"{path} is a single array, not an .npz file: save it with numpy.savez")
        stack.enter_context(archive)
        keys = list(choose(archive.files))
        sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.zip.infolist()}
        files.check_memory(str(path), sum(sizes.get(key, 0) for key in keys))
        return {key: _npz_member(path, archive, key) for key in keys}


def load_npy(path: Path) -> np.ndarray:
    """Read the array of an `.npy` file, pickles excluded.

    Raises:
        InputError: If the file cannot be read, is damaged, or holds anything but a plain array.
    """
    with files.reading(path) as file:
        try:
            array = np.lib.format.read_array(file, allow_pickle=False)
        except MemoryError:
            raise InputError(f"{path} is damaged, or too large for this machine's memory") from None
        except (*_DAMAGED, *_DAMAGED_NPZ) as error:
            raise InputError(f"{path} is not a readable .npy file without pickles ({one_line(error)})") from None
    return array


def read_npz(paths: Sequence[Path], more: Sequence[str] = ()) -> Arrays:
    """Read `x_train, y_train, x_test, y_test`, or `x, y`, from the `.npz` file in `paths`; `more` if it is there."""
    (path,) = paths
    return load_npz(path, lambda keys: (*array_keys(keys, str(path)), *(key for key in more if key in keys)))


class NpzReader(Reader):
    """Read a user's own `.npz` file; its errors name the file and the array."""

    what = "an .npz file"
    contents = "x_train, y_train, x_test, y_test, or x, y; class_names if there are any"

    def claims(self, path: Path) -> bool:
        """Return whether the name ends with `.npz`, in any case."""
        return path.suffix.lower() == ".npz"

    def read(self, path: Path) -> Source:
        """Return the source, named after the file."""
        arrays = read_npz([path], ["class_names"])
        names = _names(path, arrays.pop("class_names", np.array([], str)))
        return Source.from_arrays(path.stem, arrays, str(path), class_names=names)


def _names(path: Path, array: np.ndarray) -> tuple[str, ...]:
    """Return the classes' names, which must be texts."""
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise InputError(
            f"{path}: class_names must be a text for each class, received {array.dtype} of shape {array.shape}"
        )
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    return tuple(array.tolist())


def read_idx(paths: Sequence[Path]) -> Arrays:
    """Read gzipped idx files: training images, training labels, test images, test labels."""
    keys = ("x_train", "y_train", "x_test", "y_test")
    return {key: _read_idx_file(path, 3 if key[0] == "x" else 1) for key, path in zip(keys, paths, strict=True)}


def read_fashion_mnist(paths: Sequence[Path]) -> Arrays:
    """Read Fashion-MNIST's idx files; MNIST's, which have the same names, are refused."""
    arrays = read_idx(paths)
    if arrays["y_train"][:5].tolist() == [5, 0, 4, 1, 9] and len(arrays["y_train"]) == 60000:
        raise InputError(f"{paths[0]} is MNIST's file of that name, not Fashion-MNIST's (its labels begin 5 0 4 1 9)")
    return arrays


def read_cifar_files(paths: Sequence[Path], labels: str) -> Arrays:
    """Read CIFAR batch files, the test batch last; `labels` is the key of the labels."""
    return _cifar_arrays([(str(path), _content(path)) for path in paths], labels)


def read_cifar_tar(paths: Sequence[Path], members: Sequence[str], labels: str) -> Arrays:
    """Read CIFAR batches out of the one archive in `paths`, in memory; `members` has the test batch last."""
    (path,) = paths
    found = {}
    with files.reading(path) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:*") as archive:
                for member in archive:  # in the archive's order: rewinding a compressed stream is slow
                    if member.name.removeprefix("./") in members and member.isreg():
                        files.check_memory(f"{path}: {member.name}", member.size)
                        found[member.name.removeprefix("./")] = archive.extractfile(member).read()
        except InputError:
            raise
        except _DAMAGED as error:
            raise InputError(f"{path} is not a readable tar archive ({one_line(error)})") from error
    if missing := [member for member in members if member not in found]:
        raise InputError(f"{path} must hold {', '.join(members)}; {missing[0]} is missing")
    return _cifar_arrays([(f"{path}: {member}", found[member]) for member in members], labels)


def read_sklearn(name: str) -> Arrays:
    """Read the data set that scikit-learn ships as `load_NAME`; digits come as images of uint8 0 to 16."""
    bunch = getattr(importlib.import_module("sklearn.datasets"), f"load_{name}")()
    x = bunch.images.astype(np.uint8) if "images" in bunch else bunch.data
    return {"x": x, "y": bunch.target}


def read_keras(name: str) -> Arrays:
    """Load a data set by Keras' own loader, from its cache or the network, without its output.

    Raises:
        InputError: If that fails, with the reason.
    """
    timeout = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_S)  # Keras sets none: a silent firewall would hang the run
        with contextlib.redirect_stdout(io.StringIO()):
            loader = importlib.import_module(f"keras.datasets.{name}")
            (x_train, y_train), (x_test, y_test) = loader.load_data()
    except Exception as error:  # Keras raises bare Exception for a failed download
        raise InputError(f"could not be downloaded ({one_line(error)})") from error
    finally:
        socket.setdefaulttimeout(timeout)
    return {"x_train": _channels_last(x_train), "y_train": y_train, "x_test": _channels_last(x_test), "y_test": y_test}


def _channels_last(x: np.ndarray) -> np.ndarray:
    """Undo Keras' image_data_format "channels_first", which its CIFAR loaders follow."""
    return np.moveaxis(x, 1, -1) if x.ndim == 4 and x.shape[1] == 3 and x.shape[-1] != 3 else x


def _content(path: Path) -> bytes:
    with files.reading(path) as file:
        files.check_memory(str(path), os.fstat(file.fileno()).st_size)
        return file.read()


def _npz_member(path: Path, archive: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    try:
        array = archive[key]
    except MemoryError as error:
        raise InputError(f"{path}: {key} is damaged, or too large for this machine's memory") from error
    except (*_DAMAGED, *_DAMAGED_NPZ) as error:
        raise InputError(f"{path}: {key} cannot be read ({one_line(error)})") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: {key} is not an array")
    return array


def _read_idx_file(path: Path, rank: int) -> np.ndarray:
    start = 4 + 4 * rank
    with files.reading(path) as file:
        try:
            with gzip.open(file, "rb") as unpacked:
                content = unpacked.read(_LARGEST_IDX + 1)
        except _DAMAGED as error:
            raise InputError(f"{path} is not a readable gzip file ({one_line(error)})") from error
    if len(content) > _LARGEST_IDX:
        raise InputError(f"{path} must hold at most {_LARGEST_IDX} bytes, it holds more")
    if len(content) < start or content[:4] != bytes((0, 0, 8, rank)):
        raise InputError(f"{path} is not an idx file of bytes in {rank} dimension(s)")
    shape = struct.unpack(f">{rank}I", content[4:start])
    data = np.frombuffer(content, np.uint8, offset=start)
    expected = int(np.prod(shape, dtype=object))
    if data.size != expected:
        raise InputError(f"{path} must hold {expected} values of shape {shape}, it holds {data.size}")
    return data.reshape(shape)


def _cifar_arrays(batches: Sequence[tuple[str, bytes]], labels: str) -> Arrays:
    read = [_cifar_batch(where, content, labels) for where, content in batches]
    return {
        "x_train": np.concatenate([x for x, _ in read[:-1]]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1),
        "y_train": np.concatenate([y for _, y in read[:-1]]),
        "x_test": read[-1][0].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1),
        "y_test": read[-1][1],
    }


def _cifar_batch(where: str, content: bytes, labels: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _CifarUnpickler(io.BytesIO(content), where).load()
    except InputError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise InputError(f"{where} is not a readable CIFAR batch ({one_line(error)})") from error
    batch = batch if isinstance(batch, dict) else {}
    entries = {key.decode(errors="replace") if isinstance(key, bytes) else key: value for key, value in batch.items()}
    x, y = entries.get("data"), entries.get(labels)
    try:
        x = x.uint8().reshape(-1, 3072) if isinstance(x, _PickledArray) else None
    except (ValueError, TypeError, AttributeError):
        x = None
    if x is None:
        raise InputError(f"{where} must hold `data`, bytes of shape (n, 3072)")
    if not isinstance(y, list) or len(y) != len(x) or not all(type(label) is int for label in y):
        raise InputError(f"{where} must hold `{labels}`, a list of {len(x)} integers")
    return x, np.array(y)


class _PickledArray:
    """Stand for a pickled array, so that numpy does not restore an untrusted state."""

    def __init__(self, *arguments: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def uint8(self) -> np.ndarray:
        """Return the array, if it is one of bytes."""
        _, shape, dtype, fortran, values = self.state
        if dtype.spec not in ("u1", b"u1"):
            raise ValueError("not an array of bytes")
        return np.frombuffer(values, np.uint8).reshape(shape, order="F" if fortran else "C")


class _PickledDtype:
    def __init__(self, spec: object, *arguments: object) -> None:
        self.spec = spec

    def __setstate__(self, state: object) -> None:
        """Ignore the state: the type of single bytes has no byte order, fields or alignment."""


def _pickled_buffer(values: object, dtype: _PickledDtype, shape: object, order: str) -> _PickledArray:
    array = _PickledArray()
    array.state = (1, shape, dtype, order == "F", values)
    return array


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise ValueError(f"encoding {encoding}")
    return text.encode("latin1")


# Stand-ins for all that a pickled array needs (and a bytes object pickled by Python 3 in protocol 2).
_REBUILD = {
    ("numpy", "ndarray"): _PickledArray,
    ("numpy", "dtype"): _PickledDtype,
    ("_codecs", "encode"): _latin1,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _PickledArray for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _pickled_buffer for core in ("core", "_core")},
}


class _CifarUnpickler(pickle.Unpickler):
    """Unpickle arrays and nothing else."""

    def __init__(self, file: io.BytesIO, where: str) -> None:
        super().__init__(file, encoding="bytes")
        self._where = where

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _REBUILD:
            raise InputError(f"{self._where} asks for {module}.{name}, which no CIFAR batch needs: refused, not run")
        return _REBUILD[module, name]


def cifar_layouts(number: int, train: Sequence[str], test: str, folder: str, labels: str) -> Iterator[Layout]:
    """Yield the layouts of CIFAR-10 or CIFAR-100: unpacked, in Keras' cache, and as archives.

    Args:
        number: 10 or 100.
        train: Names of the training batches.
        test: Name of the test batch.
        folder: Folder of the batches inside the archive.
        labels: Key of the labels in a batch.

    Yields:
        The layouts, first choice first.

    Example:
        >>> layouts = cifar_layouts(100, ("train",), "test", "cifar-100-python", "fine_labels")
        >>> next(layouts).files
        ('cifar-100-python/train', 'cifar-100-python/test')
    """
    members = tuple(f"{folder}/{batch}" for batch in (*train, test))
    archives = (f"cifar-{number}-python.tar.gz", f"{folder}.tar.gz", f"{folder}-target_archive")
    for base in ("", f"{folder}-target/"):
        yield Layout(tuple(base + member for member in members), lambda paths: read_cifar_files(paths, labels))
    for archive in dict.fromkeys(archives):
        yield Layout((archive,), lambda paths: read_cifar_tar(paths, members, labels))
