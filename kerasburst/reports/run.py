"""A training run: its table and pictures, from result.json and config.json."""

from __future__ import annotations

from kerasburst.data.datasets import may_have_moved
from kerasburst.intervals import wilson
from kerasburst.reports.palette import SIZE, Drawing, encoding_styles, errors, panel, svg, widen
from kerasburst.reports.table import Cell, Table, name_cell, number, percent
from kerasburst.reports.view import Item, StudyView
from kerasburst.validation import InputError, shown

_MAY_DIFFER = ("format", "kerasburst", "epochs", "data_dir")


def headline(item: Item) -> str:
    """Return in one line what a result found.

    Raises:
        InputError: where config.json is of another run than the result.
    """
    for name, want in (item.value.get("config") or {}).items():
        have = item.config.get(name, want)
        if isinstance(want, dict) and isinstance(have, dict):  # a parameter that an earlier version did not know
            have, want = ({key: each[key] for key in have.keys() & want.keys()} for each in (have, want))
        moved = name == "dataset" and may_have_moved(str(have), str(want))
        if have != want and name not in _MAY_DIFFER and not moved:
            raise InputError(f"config.json: {name} must be {shown(want)}, as in result.json, received {shown(have)}")
    low, high = item.value["test_accuracy_interval"]
    what = f"{item.config.get('dataset', '')} {item.config.get('encoding', '')}".strip()
    return f"{what}: test accuracy {percent(item.value['test_accuracy'])} ({percent(low)} to {percent(high)})"


def tables(items: list[Item]) -> list[Table]:
    """Return the tables of the page of many results."""
    rows = []
    for item in items:
        value, config = item.value, item.config
        warned = "; ".join(value["warnings"])
        rows.append(
            (
                item.cell,
                name_cell(str(config.get("dataset", "–"))),
                name_cell(str(config.get("encoding", "–"))),
                Cell(str(value["seed"]), sort=value["seed"]),
                number(value["test_accuracy"], value["test_accuracy_interval"], 1, 100),
                number(value["train_accuracy"], wilson(value["train_accuracy"], value["examples"]["train"]), 1, 100),
                number(value["firing_rates"].get("input")),
                Cell(str(value["epochs"]), sort=value["epochs"]),
                number(value["train_seconds"], None, 1),
                Cell(warned or "–", mark="text" if warned else "name muted"),
            )
        )
    head = ("run", "data", "encoding", "seed", "test accuracy, %", "on training part, %", "input rate", "epochs")
    return [Table("", (*head, "trained, s", "warnings"), tuple(rows), "Intervals are of 95 %, over examples.")]


def drawings(items: list[Item]) -> list[Drawing]:
    """Return the pictures of the page of many results."""
    panels = []
    for dataset in dict.fromkeys(str(item.config.get("dataset")) for item in items):
        mine = [item for item in items if str(item.config.get("dataset")) == dataset]
        axes = panel(SIZE)
        styles = encoding_styles(str(item.config.get("encoding")) for item in mine)
        names = list(styles)
        for x, (name, style) in enumerate(styles.items()):
            runs = [item for item in mine if str(item.config.get("encoding")) == name]
            for i, item in enumerate(runs):
                value, place = item.value["test_accuracy"], x + 0.5 * ((i + 0.5) / len(runs) - 0.5)
                bars = errors(value, item.value["test_accuracy_interval"], 100.0)
                look = {"fmt": style.marker, "color": style.colour, "ms": 4, "elinewidth": 0.8}
                axes.errorbar(place, 100 * value, yerr=bars, **look)
        axes.set_xticks(range(len(names)), names, fontsize=8)
        axes.set(title=dataset, ylabel="test accuracy, %", xlim=(-0.6, len(names) - 0.4))
        widen(axes, "y", 5, (0, 100))
        axes.grid(alpha=0.3, axis="y")
        panels.append(svg(axes.figure, f"test accuracy, {dataset}"))
    return [Drawing("Test accuracy", tuple(panels), (), "One mark a run, with the 95 % interval over test examples.")]


VIEW = StudyView(
    "Training runs", "result.json", ("test_accuracy", "test_accuracy_interval", "epochs"), headline, tables, drawings
)
