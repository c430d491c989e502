"""Pictures in files: names of data and files are drawn as they are."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kerasburst import files
from kerasburst.validation import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST = 100  # characters of a line in a picture


def save_picture(figure: Figure, path: str | Path) -> Path:
    """Write a figure to a PNG, whole or not at all, and return its path."""
    with files.replacing(path) as temporary, plain_text(figure):
        figure.savefig(temporary, dpi=120)
    return Path(path)


@contextlib.contextmanager
def plain_text(figure: Figure) -> Iterator[None]:
    """Draw names as they are: a name may hold a formula's signs, be long, or have letters no font has."""
    from matplotlib import rc_context
    from matplotlib.text import Text

    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        for text in figure.findobj(Text):
            text.set_parse_math(False)
            lines = map(visible, text.get_text().split("\n"))
            text.set_text("\n".join(line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…" for line in lines))
        yield
