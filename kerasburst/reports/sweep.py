"""A sweep: its tables, a heat map or line for each metric, and the Pareto front, from sweep.json."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasburst.pictures import save_picture
from kerasburst.reports.palette import GREY, STYLES, Drawing, errors, panel, svg, widen
from kerasburst.reports.table import Cell, Table, count, estimate, is_number, number, shown, table_of
from kerasburst.reports.view import Item, StudyView
from kerasburst.validation import visible

TITLES = {
    "test_accuracy": "test accuracy",
    "train_accuracy": "training accuracy",
    "input_firing_rate": "input firing rate",
    "audit_auc": "attack AUC",
}
_PAIRED = "paired by seed, averaged over points that are alike but for the parameter, with 95 % over seeds"
NOTHING_JUDGED = "Only the first point was chosen: no other is as accurate and leaks less. There is nothing to judge."
_MARK = STYLES[0][0], STYLES[1][0]
_SPAN = 0.05  # the least that an axis or the colours show of accuracies, rates and AUCs


def save_sweep_figures(result: dict, out: str | Path) -> list[Path]:
    """Write the pictures as PNGs.

    Args:
        result: `SweepResult.to_json()`.
        out: directory to write METRIC.png and pareto.png to.

    Returns:
        their paths.
    """
    return [save_picture(figure, Path(out) / f"{name}.png") for name, figure in sweep_figures(visible(result)).items()]


def sweep_figures(result: dict) -> dict[str, Figure]:
    """Draw the pictures.

    Args:
        result: `SweepResult.to_json()`.

    Returns:
        By metric, for one or two parameters, and "pareto" where there are AUCs.
    """
    found = {}
    parameters = result["config"]["parameters"]
    for metric in result["metrics"]:
        if not any(metric in point["estimates"] for point in result["points"]):
            continue
        if len(parameters) == 1:
            found[metric] = _line(result, metric)
        elif len(parameters) == 2 and not searched(result) and all(parameter["values"] for parameter in parameters):
            found[metric] = _heat_map(result, metric)
        elif len(parameters) == 2:
            found[metric] = _cloud(result, metric)
    if any(point["on_front"] is not None for point in result["points"]):
        found["pareto"] = _pareto(result)
    return found


def searched(result: dict) -> bool:
    """Return whether a result is a Pareto search's, whose points lie on no grid."""
    return result["config"].get("search") == "pareto"


def metric_title(result: dict, metric: str) -> str:
    """Return what a metric is called, the AUC with its attack and K."""
    if metric == "audit_auc" and result["attack"]:
        return f"AUC, {result['attack']['name']}, K = {result['attack']['queries']}"
    return TITLES[metric]


def fewer_queries(result: dict) -> list[str]:
    """Return the K of the AUCs beside `audit_auc`, which is at the largest."""
    ks = {k for point in result["points"] for k in point["auc_by_queries"] or {}}
    return [k for k in sorted(ks, key=int) if int(k) < result["attack"]["queries"]]


def pairs_used(effect: dict) -> str:
    """Return how many pairs an effect is averaged over, and of how many where some have no figures."""
    return str(effect["pairs"]) + f" of {effect['of']}" * (effect["pairs"] < effect["of"])


def _axes(width: float, height: float, title: str) -> Axes:
    axes = panel((width, height))
    axes.set_title(title, fontsize=10, loc="left")
    return axes


def _line(result: dict, metric: str) -> Figure:
    (label,) = result["parameters"]
    points = [point for point in result["points"] if metric in point["estimates"]]
    values = [point["values"][label] for point in points]
    numeric = all(map(is_number, values))
    x = values if numeric else list(range(len(values)))
    order = sorted(range(len(x)), key=lambda i: x[i])
    axes = _axes(4.6, 3.3, metric_title(result, metric))
    found = [points[i]["estimates"][metric] for i in order]
    means = [each["mean"] for each in found]
    bars = np.hstack([errors(each["mean"], each["interval"] or [each["mean"]] * 2) for each in found])
    axes.errorbar([x[i] for i in order], means, bars, fmt="o-", color=_MARK[0], ms=4, lw=1.2, capsize=3)
    if not numeric:
        axes.set_xticks(x, [shown(value) for value in values])
    elif len(values) <= 8:
        axes.set_xticks(sorted(values), [shown(value) for value in sorted(values)])
    axes.set(xlabel=_short(label))
    widen(axes, "y", _SPAN, (0, 1))
    axes.grid(alpha=0.3)
    return axes.figure


def _heat_map(result: dict, metric: str) -> Figure:
    rows, columns = (list(parameter["values"]) for parameter in result["config"]["parameters"])
    row_label, column_label = result["parameters"]
    values, text = np.full((len(rows), len(columns)), np.nan), {}
    for point in result["points"]:
        found = point["estimates"].get(metric)
        place = rows.index(point["values"][row_label]), columns.index(point["values"][column_label])
        if found is None:
            text[place] = "no run" if point["reason"] else "–"
            continue
        values[place] = found["mean"]
        ends = "" if found["interval"] is None else "\n{:.3f}–{:.3f}".format(*found["interval"])
        text[place] = f"{found['mean']:.3f}{ends}"
    axes = _axes(1.9 + 0.72 * len(columns), 1.3 + 0.52 * len(rows), metric_title(result, metric))
    axes.spines[:].set_visible(False)
    axes.set_facecolor("#eeeeee")
    colours = _colours(values, metric)
    image = axes.imshow(values, aspect="auto", **colours)
    for (row, column), said in text.items():
        share = (values[row, column] - colours["vmin"]) / (colours["vmax"] - colours["vmin"])
        dark = np.isfinite(share) and (share < 0.5) == (metric == "audit_auc")
        axes.text(column, row, said, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    axes.set_xticks(range(len(columns)), [shown(value) for value in columns])
    axes.set_yticks(range(len(rows)), [shown(value) for value in rows])
    axes.set(xlabel=_short(column_label), ylabel=_short(row_label))
    axes.figure.colorbar(image, ax=axes, shrink=0.9)
    return axes.figure


def _colours(values: np.ndarray, metric: str) -> dict:
    """Return the colours of a map: so wide that noise does not fill them, and dark is better, as are low AUCs."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    edge = max(0.0, (_SPAN - (high - low)) / 2)
    return {"vmin": low - edge, "vmax": high + edge, "cmap": "viridis" if metric == "audit_auc" else "viridis_r"}


def _cloud(result: dict, metric: str) -> Figure:
    points = [point for point in result["points"] if metric in point["estimates"]]
    row_label, column_label = result["parameters"]
    axes = _axes(5.2, 3.8, metric_title(result, metric))
    columns, rows = ([point["values"][label] for point in points] for label in (column_label, row_label))
    for values, ticks in ((columns, axes.set_xticks), (rows, axes.set_yticks)):
        if not all(map(is_number, values)):  # a place for each, in the order of the search
            places = {text: i for i, text in enumerate(dict.fromkeys(map(shown, values)))}
            values[:] = [places[shown(value)] for value in values]
            ticks(range(len(places)), list(places))
    means = np.array([point["estimates"][metric]["mean"] for point in points])
    marks = axes.scatter(columns, rows, c=means, s=60, edgecolors=GREY, lw=0.5, **_colours(means, metric))
    axes.set(xlabel=_short(column_label), ylabel=_short(row_label))
    axes.grid(alpha=0.3)
    axes.figure.colorbar(marks, ax=axes, shrink=0.9)
    return axes.figure


def _pareto(result: dict) -> Figure:
    axes = _axes(5.2, 4.0, "accuracy against attack: upper left is better")
    means = {}
    for i, point in enumerate(result["points"]):
        if point["on_front"] is not None:
            of_front = {"fmt": "s", "color": _MARK[1], "ms": 5, "alpha": 1.0}
            style = of_front if point["on_front"] else {"fmt": "o", "color": GREY, "ms": 4, "alpha": 0.55}
            means[i] = _mark(axes, point, elinewidth=0.6, **style)
    front = [means[i] for i in result["front"]]
    axes.step([x for x, _ in front], [y for _, y in front], where="pre", color=_MARK[1], lw=1, ls=(0, (5, 2)))
    for place, i in enumerate(result["front"]):
        said = ", ".join(shown(value) for value in result["points"][i]["values"].values())
        # By turns below and above, where the front has no point: neighbours may lie close.
        at = {"xytext": (-6, 5), "ha": "right"} if place % 2 else {"xytext": (6, -11), "ha": "left"}
        axes.annotate(said, means[i], **at, textcoords="offset points", fontsize=8, color=_MARK[1])
    judged = result["judged"]["points"] if result.get("judged") else ()
    for point, face, name in zip(judged, (_MARK[0], "white"), ("chosen", "first"), strict=False):
        if {"test_accuracy", "audit_auc"} <= point["estimates"].keys():
            means[name] = _mark(axes, point, elinewidth=0.8, fmt="D", color=_MARK[0], mfc=face, ms=7)
            at = {"xytext": (7, 7), "textcoords": "offset points"}
            axes.annotate(f"{name}, judged", means[name], **at, fontsize=8, color=_MARK[0])
    names = ", ".join(map(_short, result["parameters"]))
    # Intervals of two seeds are wider than all else: the means set the frame.
    for axis, values in zip("xy", zip(*means.values(), strict=True), strict=True):
        edge = 0.25 * (max(values) - min(values)) or 0.01
        getattr(axes, f"set_{axis}lim")(min(values) - edge, max(values) + edge)
    widen(axes, "x", _SPAN, (0, 1))
    widen(axes, "y", 100 * _SPAN, (0, 100))
    axes.set(xlabel=metric_title(result, "audit_auc"), ylabel="test accuracy, %")
    axes.annotate(f"labels: {names}", (1, 0), xycoords="axes fraction", ha="right", va="bottom", fontsize=8, color=GREY)
    axes.grid(alpha=0.3)
    return axes.figure


def _mark(axes: Axes, point: dict, **style) -> tuple[float, float]:
    """Draw a point with its intervals, and return where it lies: AUC, and accuracy in percent."""
    accuracy, auc = point["estimates"]["test_accuracy"], point["estimates"]["audit_auc"]
    at = auc["mean"], 100 * accuracy["mean"]
    bars = errors(accuracy["mean"], accuracy["interval"], 100.0)
    axes.errorbar(*at, xerr=errors(auc["mean"], auc["interval"]), yerr=bars, **style)
    return at


def headline(item: Item) -> str:
    """Return in one line what a result found."""
    value = item.value
    text = f"{', '.join(map(_short, value['parameters']))}: {count(len(value['points']), 'point')}"
    best = [p for p in value["points"] if "test_accuracy" in p["estimates"]]
    if best:
        text += "; most accurate " + _point(max(best, key=lambda p: p["estimates"]["test_accuracy"]["mean"]), value)
    least = [p for p in best if "audit_auc" in p["estimates"]]
    if least:
        lowest = min(least, key=lambda p: p["estimates"]["audit_auc"]["mean"])
        text += f"; least AUC, K = {value['attack']['queries']}, {_point(lowest, value)}"
    if judged := value.get("judged"):
        text += f"; chosen and judged on other data {_point(judged['points'][0], value)}"
    return text


def _point(point: dict, sweep: dict) -> str:
    """Return a point with its accuracy, its AUC where it has one, and the seeds where some do not count."""
    values = ", ".join(f"{_short(label)} {shown(value)}" for label, value in point["values"].items())
    parts = [
        f"{name} {estimate(found['mean'], found['interval'])}"
        for metric, name in (("test_accuracy", "accuracy"), ("audit_auc", "AUC"))
        if (found := point["estimates"].get(metric)) is not None
    ]
    counted, of = point["estimates"]["test_accuracy"]["seeds"], len(sweep["seeds"])
    return f"at {values}: {', '.join(parts)}" + (f", of {counted} of {of} seeds" if counted < of else "")


def points_table(value: dict) -> Table:
    """Return the figures of each point, and what is on the front."""
    ks, seeds = fewer_queries(value), len(value["seeds"])
    rows = []
    for i, point in enumerate(value["points"]):
        values = [_value(point["values"][label]) for label in value["parameters"]]
        found = [point["estimates"].get(metric) for metric in value["metrics"]]
        found += [(point["auc_by_queries"] or {}).get(k) for k in ks]
        why = [f"seed {each['seed']}: {each['reason']}" for each in point["seeds"] if each["reason"]]
        why += [point["reason"]] if point["reason"] else []
        front, mark = ("on the front", "text good") if i in value["front"] else ("", "text")
        rows.append(
            (*values, *(_figure_cell(each, seeds) for each in found), Cell(front, note="; ".join(why), mark=mark))
        )
    head = (*map(_short, value["parameters"]), *(metric_title(value, metric) for metric in value["metrics"]))
    head += tuple(f"AUC, K = {k}" for k in ks)
    title = f"{value['config']['train']['encoding']} on {value['data']['name']}"
    return table_of((*head, "Pareto"), rows, title, _over(seeds))


def _over(seeds: int) -> str:
    return f"Means and 95 % over {seeds} seeds." if seeds > 1 else "Of one seed, and so without intervals."


def effects_table(value: dict) -> Table | None:
    """Return what each parameter does; None where nothing is compared, or an older version did not write it."""
    seeds = len(value["seeds"])
    rows = [
        (
            _short(each["parameter"]),
            *(_value(each[name]) for name in ("against", "value")),
            Cell(pairs_used(each), sort=each["pairs"]),
            *(_figure_cell(each["estimates"].get(metric), seeds, "+") for metric in value["metrics"]),
        )
        for each in value.get("effects") or ()
    ]
    head = ("parameter", "from", "to", "pairs", *(metric_title(value, metric) for metric in value["metrics"]))
    return table_of(head, rows, "what each parameter does", f"Differences {_PAIRED}.") if rows else None


def judged_table(value: dict) -> Table | None:
    """Return the chosen point and the first one on the data that chose nothing; None where nothing was judged."""
    judged = value.get("judged")
    if judged is None:
        return None
    seeds = len(value["seeds"])
    rows = [
        (
            name,
            *(_value(point["values"][label]) for label in value["parameters"]),
            *(_figure_cell(point["estimates"].get(metric), seeds) for metric in value["metrics"]),
            "",
        )
        for name, point in zip(("chosen", "first"), judged["points"], strict=True)
    ]
    differences = [_figure_cell(judged["difference"].get(metric), seeds, "+") for metric in value["metrics"]]
    matched = _figure_cell(judged["matched"], seeds, "+")
    rows.append(("chosen - first", *("" for _ in value["parameters"]), *differences, matched))
    head = ("", *map(_short, value["parameters"]), *(metric_title(value, metric) for metric in value["metrics"]))
    note = (
        f"Chosen among {count(judged['compared'], 'point')}: {judged['rule']}. The lowest of many AUCs is too low by "
        "chance, so its figures above prove nothing. These figures are of audits on the half of the data that the "
        "search did not use, with the same seeds for both points. Last column: the difference of AUCs at equal test "
        f"accuracy, by the strongest attack. Means and 95 % intervals over {count(seeds, 'seed')}."
    )
    return table_of((*head, "at equal accuracy"), rows, "the chosen point, judged on other data", note)


def tables(items: list[Item]) -> list[Table]:
    """Return the tables of the page of many results."""
    pairs = [(item, of(item.value)) for item in items for of in (points_table, effects_table, judged_table)]
    return [
        dataclasses.replace(table, title=f"{item.label}: {table.title}", link=item.link)
        for item, table in pairs
        if table is not None
    ]


def _value(value: object) -> Cell:
    return Cell(shown(value), sort=value if is_number(value) else None)


def _short(label: str) -> str:
    """Leave a parameter's scope out, which the summary shows: a phone has no room for it."""
    return label.partition(".")[2].replace("_", " ")


def _figure_cell(found: dict | None, seeds: int, sign: str = "") -> Cell:
    cell = number(found and found["mean"], found and found["interval"], sign=sign)
    if found and found["seeds"] < seeds:
        cell = dataclasses.replace(cell, note=f"{cell.note}, {found['seeds']} of {seeds} seeds".strip(", "))
    return cell


def drawings(items: list[Item]) -> list[Drawing]:
    """Return the pictures of the page of many results."""
    drawings = []
    for item in items:
        figures = sweep_figures(item.value)
        titles = {name: metric_title(item.value, name) for name in figures if name != "pareto"}
        panels = [svg(figure, f"{item.label}, {titles.get(name, 'Pareto front')}") for name, figure in figures.items()]
        if panels:
            several = len(item.value["seeds"]) > 1
            caption = "Means over seeds with their 95 % intervals. " if several else "Of one seed. "
            caption += "Darker means larger; of an AUC, darker means lower."
            if "pareto" in figures:
                caption += " Squares: no other point is as accurate and leaks as little, by the means."
            if item.value.get("judged"):
                caption += " Diamonds: the chosen and the first point, on the half that the search did not use."
            drawings.append(Drawing(item.label, tuple(panels), (), caption))
    return drawings


VIEW = StudyView(
    "Sweeps", "sweep.json", ("points", "parameters", "metrics"), headline, tables, drawings, parts=("point-", "judged-")
)
