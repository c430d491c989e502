"""The pictures of the page of many results."""

from __future__ import annotations

import dataclasses
import itertools

from markupsafe import Markup
from matplotlib.axes import Axes

from kerasburst.privacy.result import MAIN_ATTACK, failed_controls
from kerasburst.reports.svg import GREY, GUESS, SIZE, STYLES, WIDE, Style, legend, panel, styles_of, svg
from kerasburst.reports.sweep_figures import metric_title, sweep_figures

_ENCODINGS = ("rate", "poisson_burst", "delayed_burst")
_ARMS = ("scratch", "transfer", "control")
_BAND = 0.01  # differences of AUCs inside it do not matter


@dataclasses.dataclass(frozen=True)
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


def draw(kind: str, items: list) -> list[Drawing]:
    """Draw what there is to draw of results of one kind.

    Args:
        kind: "reproduction", "sweep", "audit", "transfer", "run" or "profile".
        items: of that kind.
    """
    makers = {"reproduction": _reproductions, "sweep": _sweeps, "audit": _audits, "transfer": _transfers, "run": _runs}
    return makers[kind](items) if kind in makers else []


def _reproductions(items) -> list[Drawing]:
    drawings = []
    for item in items:
        auc = [(c, row) for c in item.value["claims"] for row in c["rows"] if row["accuracies"] is not None]
        other = [(c, row) for c in item.value["claims"] for row in c["rows"] if row["accuracies"] is None]
        panels = []
        for name, rows, unit in (("AUC", auc, "difference of AUCs"), ("all else", other, "points or %")):
            rows = [(c, row) for c, row in rows if row["verdict"]["figure"] is not None]
            if rows:
                panels.append((f"{item.label}, {name}", _forest(rows, unit, band=_BAND if name == "AUC" else None)))
        if panels:
            drawings.append(
                Drawing(
                    f"{item.label}: every figure with its interval",
                    tuple(svg(axes.figure, name) for name, axes in panels),
                    (),
                    "One row a data set and way of measuring. Bars: 95 % over seeds; an arrow leaves the picture. "
                    "Grey band: ±0.01, where a difference of AUCs does not matter. Which side speaks for a claim is "
                    "the rule's to say.",
                )
            )
    return drawings


def _forest(rows, unit: str, band: float | None) -> Axes:
    figures = [row["verdict"]["figure"] for _, row in rows]
    ends = [end for _, row in rows for end in row["verdict"]["interval"] or ()]
    # The widest intervals, of two seeds, would press all figures into one line.
    reach = 3.0 * max(max(map(abs, figures)), band or 0.0, 1e-6)
    reach = min(reach, max([*map(abs, figures), *map(abs, ends), 1e-6]))
    groups = list(dict.fromkeys(claim["name"] for claim, _ in rows))
    axes = panel((4.4, 0.8 + 0.24 * (len(rows) + len(groups))))
    labels = []
    for style, name in zip(itertools.cycle(STYLES), groups, strict=False):
        labels.append(name)
        for _, row in [(claim, row) for claim, row in rows if claim["name"] == name]:
            y, colour, found = len(labels), style[0], row["verdict"]
            if found["interval"] is not None:
                low, high = found["interval"]
                shown = max(low, -reach), min(high, reach)
                axes.plot(shown, [y, y], color=colour, lw=1.4)
                for end, mark, cut in ((shown[0], "<", low < -reach), (shown[1], ">", high > reach)):
                    axes.plot([end], [y], mark if cut else "|", color=colour, ms=5 if cut else 6)
            axes.plot([found["figure"]], [y], "o", color=colour, ms=4)
            at = "" if row["queries"] is None else f", K = {row['queries']}"
            how = row["measured"] if row["kind"] == "profile" else row["kind"]
            labels.append(f"{row['dataset']}, {how}{at}")
    axes.axvline(0.0, color=GREY, lw=0.9)
    if band is not None:
        axes.axvspan(-band, band, color=GREY, alpha=0.15, lw=0)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    for tick, label in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if label in groups else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(labels) - 0.5, -0.5), xlim=(-1.08 * reach, 1.08 * reach), xlabel=unit)
    axes.grid(alpha=0.3, axis="x")
    return axes


def _sweeps(items) -> list[Drawing]:
    drawings = []
    for item in items:
        figures = sweep_figures(item.value)
        titles = {name: metric_title(item.value, name) for name in figures if name != "pareto"}
        panels = [svg(figure, f"{item.label}, {titles.get(name, 'Pareto front')}") for name, figure in figures.items()]
        if panels:
            caption = "Means over seeds with the half-width of their 95 % interval; dark is more, of an AUC less."
            if "pareto" in figures:
                caption += " Squares: by their means no other point is as accurate and leaks as little."
            drawings.append(Drawing(item.label, tuple(panels), (), caption))
    return drawings


def _audits(items) -> list[Drawing]:
    panels = []
    for dataset in dict.fromkeys(item.value["data"]["name"] for item in items):
        axes = panel(SIZE)
        for item in items:
            if item.value["data"]["name"] != dataset:
                continue
            for name, found in item.value["encodings"].items():
                attacks = [a for a in found["attacks"] if a["name"] == MAIN_ATTACK[item.value["protocol"]]]
                for attack in attacks[:1] + attacks[1:][-1:]:  # the fewest and the most queries
                    most = attack is attacks[-1]
                    low, high = attack["auc_interval"]
                    style = _style(name)
                    failed = bool(failed_controls(item.value, name))
                    axes.errorbar(
                        attack["auc"],
                        100 * found["test_accuracy"],
                        xerr=[[attack["auc"] - low], [high - attack["auc"]]] if most and not failed else None,
                        fmt="x" if failed else style.marker,
                        color=style.colour,
                        mfc=style.colour if most else "white",
                        alpha=0.5 if failed else 1.0,
                        ms=5,
                        elinewidth=0.7,
                    )
        axes.axvline(0.5, color=GREY, ls=(0, GUESS), lw=1)
        axes.set(title=dataset, xlabel="AUC", ylabel="test accuracy, %")
        panels.append(svg(axes.figure, f"accuracy against AUC, {dataset}"))
    keys = legend([_style(name) for name in _ENCODINGS], line=False)
    caption = (
        "One mark an audit's encoding: its main attack at the most queries, with the 95 % interval over examples, and "
        "hollow at the fewest. Left is more privacy; left and lower may be underfitting. A pale cross: its controls "
        "failed, the figure is not to be used."
    )
    return [Drawing("Accuracy against AUC", tuple(panels), tuple(keys), caption)]


def _transfers(items) -> list[Drawing]:
    styles = styles_of(_ARMS)
    panels = []
    for item in items:
        axes = panel(WIDE)
        encodings = list(item.value["encodings"])
        for style, aside in zip(styles, (-0.2, 0.0, 0.2), strict=True):
            for x, name in enumerate(encodings):
                values = [100 * v for v in item.value["encodings"][name][style.label]]
                axes.plot([x + aside] * len(values), values, style.marker, color=style.colour, ms=4, alpha=0.6)
                axes.plot([x + aside], [sum(values) / len(values)], "_", color=style.colour, ms=14, mew=2)
        names = f"{item.value['data']['source']['name']} to {item.value['data']['target']['name']}"
        axes.set_xticks(range(len(encodings)), encodings)
        axes.set(title=names, ylabel="test accuracy, %", xlim=(-0.5, len(encodings) - 0.5))
        axes.grid(alpha=0.3, axis="y")
        panels.append(svg(axes.figure, f"{item.label}, arms"))
    caption = "One mark a seed, a bar at the mean. Transfer that does not beat the control has carried nothing over."
    return [Drawing("Transferred, from scratch, on random features", tuple(panels), tuple(legend(styles)), caption)]


def _runs(items) -> list[Drawing]:
    panels = []
    for dataset in dict.fromkeys(str(item.config.get("dataset")) for item in items):
        mine = [item for item in items if str(item.config.get("dataset")) == dataset]
        axes = panel(SIZE)
        names = list(dict.fromkeys(str(item.config.get("encoding")) for item in mine))
        names.sort(key=lambda name: _ENCODINGS.index(name) if name in _ENCODINGS else len(_ENCODINGS))
        for x, name in enumerate(names):
            runs = [item for item in mine if str(item.config.get("encoding")) == name]
            for i, item in enumerate(runs):
                value, (low, high) = item.value["test_accuracy"], item.value["test_accuracy_interval"]
                style = _style(name)
                axes.errorbar(
                    x + 0.5 * ((i + 0.5) / len(runs) - 0.5),
                    100 * value,
                    yerr=[[100 * max(0.0, value - low)], [100 * max(0.0, high - value)]],
                    fmt=style.marker,
                    color=style.colour,
                    ms=4,
                    elinewidth=0.8,
                )
        axes.set_xticks(range(len(names)), names, fontsize=8)
        axes.set(title=dataset, ylabel="test accuracy, %", xlim=(-0.6, len(names) - 0.4))
        axes.grid(alpha=0.3, axis="y")
        panels.append(svg(axes.figure, f"test accuracy, {dataset}"))
    return [Drawing("Test accuracy", tuple(panels), (), "One mark a run, with the 95 % interval over test examples.")]


def _style(encoding: str) -> Style:
    place = _ENCODINGS.index(encoding) if encoding in _ENCODINGS else len(_ENCODINGS)
    return Style(encoding, *STYLES[place])
