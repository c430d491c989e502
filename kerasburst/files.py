"""Files that are either the old ones or the new ones, never half of one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasburst.validation import InputError

_LEFTOVER = ".writing-"


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with its suffix; on success it is renamed to `path`.

    On any failure, a full disk included, the temporary file goes and `path` is as it was.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=_LEFTOVER, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


_UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENOENT)


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
                    os.rename(path, temporary / "old")
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


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        InputError: where the file cannot be read or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} must hold JSON, received {error}") from None
