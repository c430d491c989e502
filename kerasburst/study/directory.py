"""The directory of a study: new, resumed, or replaced."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasburst import files, records
from kerasburst.config import TrainConfig, same_config
from kerasburst.validation import InputError

if TYPE_CHECKING:
    from kerasburst.study.study import Study


def resumes(study: Study, *, resume: bool, force: bool) -> bool:
    """Return whether to resume what stands in a study's directory; if not, the directory is free or to be replaced.

    Args:
        study: the study.
        resume: whether that is wanted.
        force: whether to replace what stands there.

    Raises:
        InputError: where the directory is a file, holds other files, or holds such a study without `resume` or
            `force`, or one that was begun with another config.
    """
    out, what = study.out, study.what
    if not out.exists():
        return False
    if not out.is_dir():
        raise InputError(f"out must be a directory, {out} is a file")
    if not (out / "config.json").exists():
        if any(not files.is_leftover(path) for path in out.iterdir()):
            raise InputError(f"out must be new, empty or {what}'s directory; {out} holds other files")
        return False
    begun = records.load(study.config_class, out / "config.json")
    if force:
        return False
    if not resume:
        state = "a finished" if study.finished else "an unfinished"
        raise InputError(
            f"out must be a new directory, {out} holds {state} {what.split()[-1]}: --resume goes on with it, "
            "--force replaces it"
        )
    names = [f.name for f in dataclasses.fields(study.config) if f.name not in study.may_differ]
    differ = [name for name in names if not _same(getattr(begun, name), getattr(study.config, name))]
    if differ:
        raise InputError(f"{what} goes on with the config it was begun with, {', '.join(differ)} differs from {out}")
    return True


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, TrainConfig) and isinstance(other, TrainConfig):
        return same_config(records.to_json(one), records.to_json(other))
    return one == other


def clear(out: Path, own_names: tuple[str, ...], own_folders: str) -> None:
    """Delete what a study has left in `out`, and nothing else.

    Args:
        out: the directory.
        own_names: names of the study's own files and folders, besides "logs".
        own_folders: pattern of what is in a folder of its results, and in no other.
    """
    for path in out.iterdir():
        own = path.name in (*own_names, "logs") or files.is_leftover(path)
        if path.is_dir() and (own or (own_folders and any(path.glob(own_folders)))):
            shutil.rmtree(path)
        elif own:
            path.unlink()
