"""Tables of results: one shape, drawn on the terminal, as Markdown, and on pages by a template."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Sequence
from typing import Any

from kerasburst.validation import is_number

_LAST = -1e300  # sorts unknown values below all others


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: what it shows.
        sort: the key that the table is sorted by; None for the text.
        link: where it leads, relative to the page; empty for nowhere.
        note: a second line; in brackets where there is only one.
        mark: classes: "text" for a sentence, "name" for a word, neither for a number; "bold", "good", "bad", "muted".
    """

    text: str
    sort: Any = None
    link: str = ""
    note: str = ""
    mark: str = ""

    @property
    def line(self) -> str:
        """Text and note on one line."""
        return f"{self.text} ({self.note})" if self.note and self.text else self.text or self.note

    @property
    def is_words(self) -> bool:
        """Whether it holds words, not a number."""
        return "text" in self.mark or "name" in self.mark


@dataclasses.dataclass(frozen=True)
class Table:
    """One table.

    Args:
        title: heading above it; empty for none.
        head: the columns' titles, with their units.
        rows: of cells.
        note: text below it.
        link: where the title leads, if the rows have no links.
        points: a list below the note.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    link: str = ""
    points: tuple[str, ...] = ()


def table_of(head: Iterable[str], rows: Iterable[Iterable], title: str = "", note: str = "") -> Table:
    """Return a table of cells, words and numbers; words become cells of the mark "name".

    A column of unknown figures alone is left out.

    Example:
        >>> print(markdown(table_of(["attack", "K"], [["loss", 4]])))
        | attack | K |
        | --- | --- |
        | loss | 4 |
    """
    head, cells = tuple(head), [tuple(map(_cell, row)) for row in rows]
    kept = [i for i in range(len(head)) if not cells or any(row[i].line not in ("", "–") for row in cells)]
    return Table(title, tuple(head[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in cells), note)


def _cell(value: Any) -> Cell:
    if isinstance(value, Cell):
        return value
    return Cell(str(value), sort=value) if is_number(value) else Cell(str(value), mark="name")


def markdown(table: Table) -> str:
    """Return the head and rows as a Markdown table."""
    lines = [table.head, ["---"] * len(table.head), *([cell.line for cell in row] for row in table.rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def terminal(table: Table) -> str:
    """Return title, head, rows and note as plain text, in columns, numbers to the right.

    Example:
        >>> print(terminal(table_of(["attack", "K"], [["loss", 4], ["rmia", 16]])))
        attack   K
        loss     4
        rmia    16
    """
    from rich.console import Console
    from rich.table import Table as Columns
    from rich.text import Text

    columns = Columns(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for i, head in enumerate(table.head):
        words = all(row[i].is_words for row in table.rows)
        columns.add_column(Text(head), justify="left" if words else "right", no_wrap=True)
    for row in table.rows:
        columns.add_row(*(Text(cell.line) for cell in row))
    out = io.StringIO()
    Console(file=out, width=10_000, color_system=None).print(columns)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    return "\n".join([table.title] * bool(table.title) + lines + ["", table.note] * bool(table.note))


def span(ends: Sequence[float] | None, digits: int = 3, scale: float = 1.0, sign: str = "") -> str:
    """Return an interval as text.

    Example:
        >>> span((0.58, 0.641)), span((-0.01, 0.02), 1, 100, "+"), span(None)
        ('0.580 to 0.641', '-1.0 to +2.0', '–')
        >>> span((-0.0001, 0.02))  # no zero below zero
        '0.000 to 0.020'
    """
    return "–" if ends is None else " to ".join(_figure(scale * end, digits, sign) for end in ends)


def _figure(value: float, digits: int, sign: str) -> str:
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"  # 0 is added to what rounds to -0


def number(
    value: float | None, ends: Sequence[float] | None = None, digits: int = 3, scale: float = 1.0, sign: str = ""
) -> Cell:
    """Return the cell of a figure with its interval as note.

    Args:
        value: the figure; None for unknown.
        ends: of its interval; None for none.
        digits: after the point.
        scale: factor of value and ends.
        sign: "+" to show the sign of positive values.
    """
    if value is None:
        return Cell("–", sort=_LAST, mark="muted")
    note = "" if ends is None else span(ends, digits, scale, sign)
    return Cell(_figure(scale * value, digits, sign), sort=value, note=note)


def estimate(
    value: float | None, ends: Sequence[float] | None = None, digits: int = 3, scale: float = 1.0, sign: str = ""
) -> str:
    """Return a figure with its interval as text; the arguments are `number`'s.

    Example:
        >>> estimate(0.612, (0.58, 0.64))
        '0.612 (0.580 to 0.640)'
    """
    return number(value, ends, digits, scale, sign).line


def over_seeds(values: Iterable[float]) -> tuple[float | None, tuple[float, float] | None]:
    """Return the mean of shares over seeds, and its 95 % interval cut to 0 to 1; None for what too few seeds tell."""
    from kerasburst.intervals import seed_interval  # scipy's, which a table without seeds need not wait for

    values = list(values)
    if len(values) < 2:
        return (values[0] if values else None), None
    mean, low, high = seed_interval(values, ends=(0.0, 1.0))
    return mean, (low, high)


def percent(value: float) -> str:
    """Return a share in percent, with one digit."""
    return f"{100 * value:.1f} %"


def count(number: int, what: str, many: str = "") -> str:
    """Return a number of things, in the singular or plural.

    Example:
        >>> count(1, "seed"), count(2, "seed"), count(2, "process", "processes")
        ('1 seed', '2 seeds', '2 processes')
    """
    return f"{number} {what if number == 1 else many or what + 's'}"


def duration(seconds: float) -> str:
    """Return a time to the precision of an estimate.

    Example:
        >>> duration(41.2), duration(170), duration(9000)
        ('41 s', '3 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def name_cell(text: str, note: str = "") -> Cell:
    """Return the cell of a word."""
    return Cell(text, note=note, mark="name")


def shown(value: Any) -> str:
    """Return a parameter's value as text, as `--set` takes it.

    Example:
        >>> shown(2.0), shown(None), shown(True), shown([8, 16])
        ('2', 'none', 'true', '8,16')
    """
    if isinstance(value, list | tuple):
        return ",".join(map(shown, value))
    return f"{value:g}" if is_number(value) else str(value).lower() if value in (None, True, False) else str(value)
