"""A transfer experiment: its tables and pictures, from transfer.json."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from kerasburst.pictures import save_picture
from kerasburst.reports.palette import WIDE, Drawing, errors, legend, panel, styles_of, svg, widen
from kerasburst.reports.table import Table, estimate, name_cell, number, over_seeds, table_of
from kerasburst.reports.view import Item, StudyView
from kerasburst.validation import visible

_NOTE = "95 % intervals over seeds, for differences over pairs of seeds; intervals of accuracies are cut to 0 to 100."
_ARMS = ("scratch", "transfer", "control")
_LABELS = {"scratch": "from scratch", "transfer": "source's features, frozen", "control": "random features, frozen"}


def save_transfer_plot(result: dict, path: str | Path) -> Path:
    """Draw every seed's accuracy by encoding and arm, and the differences with their intervals, to a PNG.

    Args:
        result: `TransferResult.to_json()`.
        path: of the picture.

    Returns:
        the path.
    """
    result = visible(result)
    encodings = list(result["encodings"])
    figure = Figure(figsize=(9, 1.6 + 0.75 * len(encodings)), layout="constrained")
    scratch, _, control = styles_of(_ARMS)
    accuracy, difference = figure.subplots(1, 2, sharey=True)
    for row, name in enumerate(encodings):
        found = result["encodings"][name]
        for offset, style in zip((-0.22, 0.0, 0.22), styles_of(_ARMS), strict=True):
            values, colour = [100 * value for value in found[style.label]], style.colour
            heights, label = [row + offset] * len(values), _LABELS[style.label] if row == 0 else None
            accuracy.plot(values, heights, style.marker, color=colour, alpha=0.6, label=label, ls="none")
            accuracy.plot([sum(values) / len(values)], [row + offset], "|", color=colour, ms=16, mew=2)
        pairs = ((-0.12, "difference", scratch.colour, "scratch"), (0.12, "over_control", control.colour, "control"))
        for offset, field, colour, against in pairs:
            centre, bars = 100 * found[field], errors(found[field], found[f"{field}_interval"], 100.0)
            label = f"transfer − {against}" if row == 0 else None
            difference.errorbar([centre], [row + offset], xerr=bars, fmt="o", color=colour, capsize=3, label=label)
    difference.axvline(0.0, color="black", lw=0.8)
    accuracy.set(xlabel="test accuracy (%), one mark a seed", yticks=range(len(encodings)), yticklabels=encodings)
    difference.set_xlabel("difference (points), 95 % over seeds")
    accuracy.set_ylim(len(encodings) - 0.5, -0.5)
    widen(accuracy, "x", 5, (0, 100))
    widen(difference, "x", 5, (-100, 100))
    for axes in (accuracy, difference):
        axes.grid(alpha=0.3, axis="x")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize="small")
    figure.suptitle(f"{_pair(result)}, {result['freeze']} frozen")
    return save_picture(figure, path)


def headline(item: Item) -> str:
    """Return in one line what a result found."""
    value = item.value
    found = value["encodings"].items()
    parts = [f"{name} {estimate(each['difference'], each['difference_interval'], 1, 100, '+')}" for name, each in found]
    return f"{_pair(value)}, points over training from scratch: " + ", ".join(parts)


def arms_table(value: dict) -> Table:
    """Return the accuracies of each encoding's arms and their differences."""
    rows = []
    for name, found in value["encodings"].items():
        cells = [number(*over_seeds(found[arm]), 1, 100) for arm in _ARMS]
        cells += [number(found[f], found[f"{f}_interval"], 1, 100, "+") for f in ("difference", "over_control")]
        rows.append((name, *cells, len(value["seeds"])))
    head = ("encoding", "from scratch, %", "transferred, %", "random features, %")
    head += ("transferred − scratch, points", "transferred − random, points", "seeds")
    return table_of(head, rows, note=" ".join(filter(None, [_NOTE, _guarantee(value)])))


def tables(items: list[Item]) -> list[Table]:
    """Return the tables of the page of many results."""
    each = [(item, arms_table(item.value)) for item in items]
    rows = []
    for item, table in each:
        how = "; ".join(filter(None, [f"{item.value['freeze']} frozen", _guarantee(item.value)]))
        rows += [(item.cell, name_cell(_pair(item.value), how), *row) for row in table.rows]
    return [table_of(("transfer", "data", *each[0][1].head), rows, note=_NOTE)]


def _guarantee(value: dict) -> str:
    """Return what is private of a transfer from a run that was trained privately; else nothing."""
    if not (privacy := value.get("source_privacy")):
        return ""
    return (
        f"The source was trained with epsilon {privacy['epsilon']:.3g} at delta {privacy['delta']:g}, which protects "
        "its examples; the target was learnt without privacy."
    )


def _pair(value: dict) -> str:
    encoding = value.get("config", {}).get("source_encoding")
    source = value["data"]["source"]["name"] + (f" ({encoding})" if encoding else "")
    return f"{source} to {value['data']['target']['name']}"


def drawings(items: list[Item]) -> list[Drawing]:
    """Return the pictures of the page of many results."""
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
        axes.set_xticks(range(len(encodings)), encodings)
        axes.set(title=_pair(item.value), ylabel="test accuracy, %", xlim=(-0.5, len(encodings) - 0.5))
        widen(axes, "y", 5, (0, 100))
        axes.grid(alpha=0.3, axis="y")
        panels.append(svg(axes.figure, f"{item.label}, arms"))
    caption = (
        "One mark for each seed, a bar at the mean. If transfer is no better than the control, the source's features "
        "did not help."
    )
    return [Drawing("Transferred, from scratch, on random features", tuple(panels), tuple(legend(styles)), caption)]


VIEW = StudyView("Transfers", "transfer.json", ("encodings", "freeze", "budget"), headline, tables, drawings)
