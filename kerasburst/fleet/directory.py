"""The directory that a command's fleet fills: new, gone on with, or replaced."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerasburst import files
from kerasburst.config import TrainConfig, same_config
from kerasburst.validation import InputError


def goes_on(
    out: Path,
    what: str,
    load: Callable[[Path], Any],
    config: Any,
    finished: bool,
    *,
    resume: bool,
    force: bool,
    may_differ: tuple[str, ...] = (),
) -> bool:
    """Tell whether what stands in `out` is gone on with; where it is not, `out` is free, or `force` replaces it.

    Args:
        out: the directory; it need not exist.
        what: it holds, with its article: "an audit".
        load: reads `out`/config.json, and refuses another command's.
        config: a dataclass, what is to be done; its data may lie elsewhere than when it was begun.
        finished: whether what stands there is; it is only told.
        resume: go on with it.
        force: replace it.
        may_differ: fields of the config that may change on the way.

    Raises:
        InputError: where `out` is a file, holds other files, or holds such work without `resume` or `force`, or one
            that was begun otherwise.
    """
    if not out.exists():
        return False
    if not out.is_dir():
        raise InputError(f"out must be a directory, {out} is a file")
    name = what.split()[-1]
    if not (out / "config.json").exists():
        if any(not files.is_leftover(path) for path in out.iterdir()):
            raise InputError(f"out must be new, empty or {what}'s directory; {out} holds other files")
        return False
    begun = load(out / "config.json")
    if force:
        return False
    if not resume:
        state = "a finished" if finished else "an unfinished"
        raise InputError(
            f"out must be a new directory, {out} holds {state} {name}: --resume goes on with it, --force replaces it"
        )
    names = [field.name for field in dataclasses.fields(config) if field.name not in may_differ]
    differ = [name for name in names if not _same(getattr(begun, name), getattr(config, name))]
    if differ:
        raise InputError(f"{what} goes on with the config it was begun with, {', '.join(differ)} differs from {out}")
    return True


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, TrainConfig) and isinstance(other, TrainConfig):
        return same_config(one.to_json(), other.to_json())
    return one == other


def clear(out: Path, own: tuple[str, ...], folders: str = "seed-*") -> None:
    """Delete what a fleet has left in `out`, and nothing else.

    Args:
        out: the directory.
        own: names of the command's own files.
        folders: pattern of what is in a folder of an encoding, and in no other.
    """
    for path in out.iterdir():
        if path.is_dir() and (path.name == "logs" or any(path.glob(folders))):
            shutil.rmtree(path)
        elif path.name in own or files.is_leftover(path):
            path.unlink()
