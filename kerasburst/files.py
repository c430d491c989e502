"""Files that are either the old ones or the new ones, never half of one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from kerasburst.validation import InputError, one_line

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None  # type: ignore[assignment]

_LEFTOVER = ".writing-"
_LARGEST_JSON, _DEEPEST_JSON = 1 << 28, 100  # bytes, and objects and lists inside each other


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with its suffix; on success it is renamed to `path`.

    On any failure, a full disk included, the temporary file goes and `path` is as it was.
    """
    path = Path(os.path.realpath(path))  # a link stays, and what it leads to is replaced
    if path.exists() and not path.is_file():  # renaming would put a file in the place of /dev/null
        raise InputError(f"{path} must be new or a file, it is a folder, a pipe or a device")
    try:
        handle, name = tempfile.mkstemp(prefix=_LEFTOVER, suffix=path.suffix, dir=path.parent)
    except OSError as error:
        if error.errno in _UNUSABLE:
            raise InputError(f"{path} cannot be written: {error.strerror}") from None
        raise
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _to_disk(temporary)
        with contextlib.suppress(OSError):  # not every file system has modes
            os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _to_disk(path: Path) -> None:
    with open(path, "rb") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in _REFUSED:  # a full or broken disk
                raise


_UNUSABLE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENOENT),
    *(errno.EEXIST, errno.ELOOP, errno.EINVAL, errno.EISDIR),
)
_REFUSED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM, errno.EROFS)


def check_directory(argument: str, path: Path) -> None:
    """Check that a directory is there or can be made, before long work whose result goes into it.

    Raises:
        InputError: where what stands there is no directory, or may not be written to.
    """
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"{argument} must be a directory that can be written, {path} is not")


@contextlib.contextmanager
def new_directory(argument: str, path: Path) -> Iterator[None]:
    """Create a directory and its parents for what the body writes; on failure those that are empty go again.

    Raises:
        InputError: where the place cannot be written to.
    """
    created = [p for p in (path, *path.parents) if not p.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        for p in created:
            if p.is_dir() and not any(p.iterdir()):
                p.rmdir()
        if error.errno in _UNUSABLE:
            raise InputError(f"{argument} must be a directory that can be written, {path}: {error.strerror}") from None
        raise


@contextlib.contextmanager
def replacing_directory(argument: str, path: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; on success it is renamed to `path`, which it replaces.

    On any failure the temporary directory goes and `path` is as it was.

    Raises:
        InputError: where the place cannot be written to.
    """
    created = [p for p in path.parents if not p.exists()]
    try:
        with new_directory(argument, path.parent):
            temporary = Path(tempfile.mkdtemp(prefix=_LEFTOVER, dir=path.parent))
            try:
                (new := temporary / "new").mkdir()
                yield new
                if path.exists():
                    _move_away(argument, path, temporary / "old")
                try:
                    os.rename(new, path)
                except OSError:
                    if (temporary / "old").exists():
                        os.rename(temporary / "old", path)
                    raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    finally:
        for p in created:
            if p.is_dir() and not any(p.iterdir()):
                p.rmdir()


def _move_away(argument: str, path: Path, to: Path) -> None:
    try:
        os.rename(path, to)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.EXDEV):
            raise InputError(
                f"{argument} must be a directory that can be renamed, {path} is a mount point: use a folder below it"
            ) from None
        raise


def lock(handle: int) -> bool | None:
    """Lock an open file against other processes until it is closed, without waiting.

    Returns:
        Whether it is locked now, False if another process has it; None where the system or the file system, such as
        that of another machine, has no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextlib.contextmanager
def temporary_place(folder: Path) -> Iterator[None]:
    """Let the libraries that the body calls put their temporary files into `folder`, for `remove_leftovers` to find."""
    before, tempfile.tempdir = tempfile.tempdir, tempfile.mkdtemp(prefix=_LEFTOVER, dir=folder)
    try:
        yield
    finally:
        shutil.rmtree(tempfile.tempdir, ignore_errors=True)
        tempfile.tempdir = before


def is_leftover(path: Path) -> bool:
    """Return whether `path` is a temporary file of a process that was killed while writing."""
    return path.name.startswith(_LEFTOVER)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes left half-written in `folder`."""
    for path in folder.iterdir():
        if is_leftover(path) and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif is_leftover(path):
            path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> None:
    """Replace `path` by `text`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Replace `path` by `value` as JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n")


@contextlib.contextmanager
def reading(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """Open a file to read its bytes; what is no regular file is refused, and never waited for.

    Raises:
        InputError: where the file is absent or cannot be opened, or is a folder, a pipe or a device.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise InputError(f"{os.fspath(path)} does not exist") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{os.fspath(path)} cannot be read: {getattr(error, 'strerror', error)}") from None
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise InputError(f"{os.fspath(path)} is {what}, not a file")
    with open(handle, "rb") as file:
        yield file


def check_memory(what: str, size: int) -> None:
    """Check that this machine can hold so many bytes.

    Args:
        what: needs them, as the message names it.
        size: bytes.

    Raises:
        InputError: where it has less memory available.
    """
    import psutil

    available = psutil.virtual_memory().available
    if size > available:
        raise InputError(f"{what} must fit this machine's memory: {size:.3g} bytes, {available:.3g} are available")


def read_json(path: str | os.PathLike) -> Any:
    """Read JSON.

    Raises:
        InputError: where the file cannot be read or is not JSON; see `parse_json`.
    """
    with reading(path) as file:
        if os.fstat(file.fileno()).st_size > _LARGEST_JSON:
            raise InputError(f"{os.fspath(path)} must hold JSON of at most {_LARGEST_JSON >> 20} MB")
        return parse_json(file.read(), os.fspath(path))


def parse_json(text: str | bytes, source: str) -> Any:
    """Return the value of a JSON text, in which no object has two fields of one name and nesting has an end.

    Args:
        text: the text; bytes are UTF-8, with or without a byte order mark.
        source: where it comes from, as errors name it.

    Raises:
        InputError: for anything else.

    Example:
        >>> parse_json('{"a": 1, "a": 2}', "config.json")
        Traceback (most recent call last):
        kerasburst.validation.InputError: config.json must hold JSON, received the field a twice
    """
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        value = json.loads(decoded, object_pairs_hook=_distinct)
    except RecursionError:
        raise _too_deep(source) from None
    except ValueError as error:
        raise InputError(f"{source} must hold JSON, received {one_line(error)}") from None
    level, depth = [value], 0
    while level:
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        depth += 1
        if depth > _DEEPEST_JSON:
            raise _too_deep(source)
    return value


def parse_word(text: str) -> Any:
    """Return the value of a word on the command line: none, true or false in any case, JSON, or else the text.

    Example:
        >>> parse_word("True"), parse_word("[8, 16]"), parse_word("lif")
        (True, [8, 16], 'lif')
    """
    words = {"none": None, "null": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return parse_json(text, "the word")
    except InputError:
        return text


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the field {name} twice")
    return value


def _too_deep(source: str) -> InputError:
    return InputError(f"{source} must hold JSON that is nested at most {_DEEPEST_JSON} deep, received more")
