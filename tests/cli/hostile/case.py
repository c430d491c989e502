"""A call of bad input, and what is right about its answer."""

import dataclasses
from collections.abc import Callable
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Case:
    """A call that must be refused.

    Args:
        name: of the case.
        arguments: of the command.
        needs: names of the finished directories that are copied into the folder first.
        prepare: changes the folder before the call.
        mentions: what the line on standard error must contain.
        codes: the exit codes that are right.
        refused: whether nothing may be written; else only a traceback, a hang or silence is a defect.
    """

    name: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...] = ()
    prepare: Callable[[Path], object] = lambda folder: None
    mentions: tuple[str, ...] = ()
    codes: tuple[int, ...] = (2,)
    refused: bool = True
