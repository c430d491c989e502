"""Whether a directory's work is begun, gone on with, or replaced."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerasburst import files
from kerasburst.validation import InputError


def goes_on(
    out: Path, config: Any, *, what: str, load: Callable[[Path], Any], result: str, resume: bool, force: bool
) -> bool:
    """Tell whether the work in `out` is gone on with, rather than begun.

    Args:
        out: the directory; it need not exist.
        config: a dataclass, what the work is to be.
        what: the work with its article, such as "an audit".
        load: reads the config of the work in `out` from its config.json, or raises for another program's.
        result: name of the file whose presence means finished.
        resume: whether to go on with an unfinished work.
        force: whether to replace what is there.

    Raises:
        InputError: where `out` is a file or holds other files, or a work without `resume` or `force` or of another
            config.

    Example:
        >>> goes_on(Path("nowhere"), None, what="an audit", load=Path, result="x", resume=True, force=False)
        False
    """
    noun = what.split()[-1]
    if not out.exists():
        return False
    if not out.is_dir():
        raise InputError(f"out must be a directory, {out} is a file")
    if not (out / "config.json").exists():
        if any(not files.is_leftover(path) for path in out.iterdir()):
            raise InputError(f"out must be new, empty or {what}'s directory; {out} holds other files")
        return False
    begun = load(out / "config.json")
    if force:
        return False
    if not resume:
        state = "a finished" if (out / result).exists() else "an unfinished"
        raise InputError(
            f"out must be a new directory, {out} holds {state} {noun}: --resume goes on with it, --force replaces it"
        )
    differ = [f.name for f in dataclasses.fields(config) if getattr(begun, f.name) != getattr(config, f.name)]
    if differ:
        raise InputError(f"{what} goes on with the config it was begun with, {', '.join(differ)} differs from {out}")
    return True
