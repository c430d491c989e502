"""Colours and line styles of all pictures, legends, and figures as inline SVG."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasburst.pictures import plain_text
from kerasburst.registry import ENCODERS

SIZE, WIDE = (3.5, 3.1), (4.6, 3.4)  # inches of 96 pixels: a phone shows either without shrinking its text much
GREY, GUESS = "#777777", (2, 2)


@dataclass(frozen=True)
class Style:
    """How one thing is drawn in every panel: told apart without colour, too.

    Args:
        label: what it is.
        colour: Okabe and Ito's, which the colour-blind tell apart.
        dash: lengths of strokes and gaps; none for a full line.
        marker: matplotlib's marker.
    """

    label: str
    colour: str
    dash: tuple[float, ...] = ()
    marker: str = "o"

    @property
    def ls(self) -> str | tuple:
        """The dash, as matplotlib takes it."""
        return (0, self.dash) if self.dash else "-"


@dataclass(frozen=True)
class Drawing:
    """One figure of the page.

    Args:
        title: its heading.
        panels: inline SVGs, side by side or one above the other.
        legend: inline SVGs of a line or marker, each with what it stands for.
        caption: how to read it.
    """

    title: str
    panels: tuple[Markup, ...]
    legend: tuple[tuple[Markup, str], ...]
    caption: str


STYLES = (
    ("#0072b2", (), "o"),
    ("#d55e00", (5, 2), "s"),
    ("#009e73", (6, 2, 1.5, 2), "^"),
    ("#cc79a7", (1.5, 1.5), "D"),
    ("#e69f00", (5, 1, 1, 1, 1, 1), "v"),
    ("#56b4e9", (3, 1), "P"),
)


def styles_of(labels) -> list[Style]:
    """Return a style for each label, in order; past the sixth, colours come again with another dash and marker."""
    styles, n = [], len(STYLES)
    for i, label in enumerate(labels):
        _, dash, marker = STYLES[(i + i // n) % n]
        styles.append(Style(label, STYLES[i % n][0], dash, marker))
    return styles


def encoding_styles(names: Iterable[str]) -> dict[str, Style]:
    """Return a style for each encoding: one known to the registry looks alike in every picture."""
    names = list(names)
    order = list(dict.fromkeys([*ENCODERS, *names]))
    return {style.label: style for style in styles_of(order) if style.label in names}


def panel(size: tuple[float, float]) -> Axes:
    """Return the axes of a new figure."""
    axes = Figure(figsize=size, layout="constrained").subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def widen(axes: Axes, axis: str, span: float, ends: tuple[float, float]) -> None:
    """Let an axis show a span of at least so much, within the ends of what it measures: no noise fills a picture.

    Example:
        >>> axes = panel(SIZE)
        >>> _ = axes.set_ylim(26.0, 26.25)
        >>> widen(axes, "y", 5, (0, 100))
        >>> [float(end) for end in axes.get_ylim()]
        [23.625, 28.625]
    """
    low, high = getattr(axes, f"get_{axis}lim")()
    if high - low < span:
        low = min(max((low + high - span) / 2, ends[0]), ends[1] - span)
        getattr(axes, f"set_{axis}lim")(low, low + span)


def errors(value: float, ends: Sequence[float] | None, scale: float = 1.0) -> list[list[float]] | None:
    """Return an interval as matplotlib's error bars of a scaled value; an interval need not hold the value."""
    return None if ends is None else [[scale * max(0.0, value - ends[0])], [scale * max(0.0, ends[1] - value)]]


_MARKERS = {
    "|": '<path d="M15 2v8"/>',
    "o": '<circle cx="15" cy="6" r="3.4"/>',
    "s": '<path d="M12 3h6v6h-6z"/>',
    "^": '<path d="M15 2l4 7h-8z"/>',
    "D": '<path d="M15 2l4 4-4 4-4-4z"/>',
    "v": '<path d="M15 10l4-7h-8z"/>',
    "P": '<path d="M14 2h2v3h3v2h-3v3h-2V7h-3V5h3z"/>',
}


def legend(styles: list[Style], line: bool = True, marker: bool = True) -> list[tuple[Markup, str]]:
    """Return each style's line or marker with its label."""
    return [(key(style, line, marker), style.label) for style in styles]


def key(style: Style, line: bool = True, marker: bool = True) -> Markup:
    """Return a style's line or marker as an inline SVG."""
    dash = f' stroke-dasharray="{" ".join(map(str, style.dash))}"' if style.dash else ""
    shapes = (f'<path d="M0 6h30"{dash}/>' if line else "") + (_MARKERS[style.marker] if marker else "")
    return Markup(  # of this file's own numbers and colours
        f'<svg class="key" viewBox="0 0 30 12" width="30" height="12" stroke="{style.colour}" fill="{style.colour}" '
        f'stroke-width="1.6" aria-hidden="true">{shapes}</svg>'
    )


def svg(figure: Figure, name: str) -> Markup:
    """Return a figure as an inline SVG, with text as text, no date, and identifiers of its own."""
    buffer = io.StringIO()
    with plain_text(figure), rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)  # the page's
    prefix = f"figure-{zlib.crc32(name.encode()):08x}"
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{prefix}-", text)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{Markup.escape(name)}"', 1))
