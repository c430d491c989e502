"""What the page of many results knows of each kind of study, and how pages are made of templates."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from kerasburst.reports.palette import Drawing
from kerasburst.reports.table import Cell, Table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Item:
    """One result that was found.

    Args:
        kind: a name in the registry of studies.
        path: of its JSON.
        label: its folder, without the part that is common to all folders searched.
        link: to the JSON, relative to the page.
        value: what the JSON holds.
        config: what config.json beside it holds; empty without one.
        inside: whether it is a part of another result that was found, too.
    """

    kind: str
    path: Path
    label: str
    link: str
    value: dict
    config: dict
    inside: bool = False

    @property
    def cell(self) -> Cell:
        """The cell that leads to the JSON."""
        return Cell(self.label, link=self.link, mark="text")


@dataclasses.dataclass(frozen=True)
class StudyView:
    """How the page of many results shows one kind of study; register it as a "study".

    Args:
        title: heading of its section.
        file: name of the JSON that a finished study leaves in its directory.
        fields: what the JSON must hold at least; a file without is another program's.
        headline: returns one line on an item.
        tables: returns the tables of all items.
        drawings: returns the pictures of all items; None for none.
        page: writes the page of one directory, and returns its path; None where the command does it in another way.
        parts: folders inside a study's, by how their names begin, whose results are not shown by themselves.
        owns_inside: whether results below its folder are parts of it, with no line of their own at the top.

    Example:
        >>> from kerasburst.reports.table import table_of
        >>> view = StudyView(
        ...     "Timings",
        ...     "timing.json",
        ...     ("seconds",),
        ...     headline=lambda item: f"{item.value['seconds']} s",
        ...     tables=lambda items: [table_of(["run", "s"], [[item.cell, item.value["seconds"]] for item in items])],
        ... )
        >>> view.file
        'timing.json'
    """

    title: str
    file: str
    fields: tuple[str, ...]
    headline: Callable[[Item], str]
    tables: Callable[[list[Item]], list[Table]]
    drawings: Callable[[list[Item]], list[Drawing]] | None = None
    page: Callable[[str | Path], Path] | None = None
    parts: tuple[str, ...] = ()
    owns_inside: bool = False


@functools.cache
def make_environment() -> jinja2.Environment:
    """Return the environment of all templates: everything is escaped, and nothing may be undefined."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kerasburst.reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(text: str) -> Markup:
    """Return a name as HTML that a browser may break after its punctuation, not inside its words."""
    return Markup(re.sub(r"(?<=\w)([:,=/])(?=\w)", r"\1<wbr>", str(escape(text))))
