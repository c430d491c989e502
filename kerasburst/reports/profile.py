"""A profile: its tables and pictures, from profile.json and power_trace.csv."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasburst import files
from kerasburst.pictures import save_picture
from kerasburst.profiling.config import BASELINES, FEEDS, arm_name
from kerasburst.reports.palette import Style, styles_of
from kerasburst.reports.table import Cell, Table, is_number, name_cell, number, table_of
from kerasburst.reports.view import Item, StudyView
from kerasburst.validation import InputError, visible

# field: (title with unit, factor)
_PANELS = {
    "wall_s": ("wall time of a pass, s", 1),
    "cpu_time_s": ("processor time of a pass, s", 1),
    "peak_rss_mb": ("peak host memory, MB", 1),
    "effective_acs_per_sample": ("accumulates (AC) per example, thousands", 1e-3),
    "energy_estimate_j_per_sample": ("energy per example, µJ (estimate)", 1e6),
    "accuracy": ("test accuracy", 1),
    "gpu_power_w": ("GPU power, W", 1),
    "gpu_energy_j": ("GPU energy of a pass, J", 1),
    "gpu_energy_j_per_sample": ("GPU energy per example, mJ", 1e3),
    "gpu_energy_above_idle_j_per_sample": ("GPU energy above idle per example, mJ", 1e3),
    "gpu_peak_mb": ("peak GPU memory, MB", 1),
    "cpu_package_power_w": ("processor package power, W", 1),
}
# Of the table alone.
_OTHERS = {
    "samples_per_s": ("examples per second", 1),
    "peak_rss_increase_mb": ("rise of host memory, MB", 1),
    "gpu_energy_above_idle_j": ("GPU energy above idle of a pass, J", 1),
    "gpu_idle_power_w": ("idle GPU power, W", 1),
    "gpu_nvml_peak_mb": ("peak GPU memory by NVML, MB", 1),
    "gpu_utilisation_percent": ("GPU utilisation, %", 1),
    "cpu_package_energy_j": ("processor package energy, J", 1),
    "cpu_package_idle_power_w": ("idle processor package power, W", 1),
    "dense_macs_per_sample": ("multiplications (MAC) of a dense pass per example, thousands", 1e-3),
    "effective_macs_per_sample": ("multiplications (MAC) per example, thousands", 1e-3),
}
# The claim: its encoding, what that is compared with, by how much, and what is said beside power.
_CLAIM_OF, _CLAIM_TO, _CLAIM_PERCENT = "poisson_burst", "rate_regular", (10, 15)
_CLAIM_FIELDS = {
    "gpu_power_w": "GPU power",
    "gpu_energy_j_per_sample": "energy per example",
    "gpu_energy_above_idle_j_per_sample": "energy above idle per example",
}
_DEVICES = {"gpu": "GPU", "cpu_package": "processor packages"}
_COLUMNS = 3


def write_report(out: str | Path) -> list[Path]:
    """Draw a profile: `out`/profile.png, and `out`/power.png where there was power to sample.

    Args:
        out: directory of a finished profile.

    Returns:
        the pictures' paths.

    Raises:
        InputError: where there is no finished profile.
    """
    out = Path(out)
    if not (out / "profile.json").exists():
        raise InputError(f"out must be a finished profile, {out} has no profile.json")
    profile = visible(files.read_json(out / "profile.json"))
    pictures = {out / "profile.png": _bars(profile)}
    if (out / "power_trace.csv").exists():
        pictures[out / "power.png"] = _traces(out / "power_trace.csv", list(profile["encodings"]))
    return [save_picture(figure, path) for path, figure in pictures.items()]


def _bars(profile: dict) -> Figure:
    encodings = profile["encodings"]
    shown = [name for name in _PANELS if all(one.get(name) is not None for one in encodings.values())]
    rows = -(-len(shown) // _COLUMNS)
    figure = Figure(figsize=(4.2 * _COLUMNS, rows * (1.0 + 0.38 * len(encodings)) + 0.6), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False, sharey=True).ravel()
    base = _base(encodings)
    for axes, name in zip(panels, shown, strict=False):
        _panel(axes, name, encodings, base)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    repeats = f"median of {profile['repeats']} processes, a dot each" if profile["repeats"] > 1 else "one process"
    title = f"{profile['data']['name']}: a pass is {profile['pass_is']}\n{repeats}"
    if base is not None and len(encodings) > 1:
        title += f"; × is the ratio to {base}, paired by repeat"
    figure.suptitle(title, fontsize=11)
    return figure


def _panel(axes: Axes, name: str, encodings: dict[str, dict], base: str | None) -> None:
    title, factor = _PANELS[name]
    heights = range(len(encodings))
    medians = [factor * one[name] for one in encodings.values()]
    styles = _styles(encodings)
    bars = axes.barh(heights, medians, color=[styles[_encoding(arm)].colour for arm in encodings], height=0.62)
    for bar, arm in zip(bars, encodings, strict=True):
        if arm != _encoding(arm):
            bar.set(hatch="///", edgecolor="white", linewidth=0)
    largest = max(medians)
    for height, ((encoding, one), median) in enumerate(zip(encodings.items(), medians, strict=True)):
        values = [factor * value for value in one["values"].get(name, ())]
        axes.plot(values, [height] * len(values), "o", ms=3.5, mfc="white", mec="black", mew=0.8)
        largest = max([largest, *values])
        ratio = None if _encoding(encoding) == base else one["ratios"].get(base, {}).get(name)
        label = f"{median:.3g}" if median < 1000 else f"{median:,.0f}"
        label += "" if ratio is None else f"  (×{ratio[1]:.2f})"
        at = {"xytext": (5, 0), "textcoords": "offset points"}
        axes.annotate(label, (max([median, *values]), height), **at, va="center", fontsize=8)
    axes.set_yticks(heights, list(encodings), fontsize=9)
    axes.set_ylim(len(encodings) - 0.5, -0.5)
    axes.set_xlim(0, 1.45 * largest or 1)
    axes.set_title(title, fontsize=10)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _traces(path: Path, encodings: list[str]) -> Figure:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    devices = [device for device in _DEVICES if any(row["device"] == device for row in rows)]
    figure = Figure(figsize=(8, 3.2 * len(devices)), layout="constrained")
    for axes, device in zip(figure.subplots(len(devices), 1, squeeze=False).ravel(), devices, strict=True):
        lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for row in rows:
            if row["device"] == device:
                point = (float(row["seconds"]), float(row["power_w"]))
                lines.setdefault((row["encoding"], row["repeat"]), []).append(point)
        styles = _styles(encodings)
        for arm in encodings:
            label, line = arm, "-" if arm == _encoding(arm) else "--"
            for (name, _), points in lines.items():
                if name == arm:
                    colour = styles[_encoding(arm)].colour
                    axes.plot(*zip(*points, strict=True), line, color=colour, lw=1, alpha=0.8, label=label)
                    label = None  # a line for each repeat, named once
        axes.set(title=f"power of the {_DEVICES[device]}", xlabel="seconds into the measurement", ylabel="W")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return figure


def _encoding(arm: str) -> str:
    """Return the encoding of what is measured: NAME, or NAME/encoded."""
    return arm.partition("/")[0]


def _base(arms: Iterable[str]) -> str | None:
    """Return the encoding that the others are compared with; None where it is not there."""
    names = [_encoding(arm) for arm in arms]
    return next((name for name in BASELINES if name in names), None)


def _styles(arms: Iterable[str]) -> dict[str, Style]:
    """Return a style for each encoding."""
    return {style.label: style for style in styles_of(dict.fromkeys(map(_encoding, arms)))}


_HEADLINE = {"wall_s": "time", "peak_rss_mb": "memory", "gpu_power_w": "GPU power"}
# (field, heading, factor, digits after the point)
_FIGURES = (
    ("wall_s", "wall s", 1, 3),
    ("cpu_time_s", "CPU s", 1, 2),
    ("peak_rss_mb", "peak MB", 1, 0),
    ("cpu_package_energy_j", "CPU package J", 1, 2),
    ("effective_acs_per_sample", "AC", 1, 0),
    ("effective_macs_per_sample", "MAC", 1, 0),
    ("energy_estimate_j_per_sample", "energy estimate, µJ", 1e6, 2),
)
_GPU_FIGURES = (
    ("gpu_power_w", "GPU W", 1, 1),
    ("gpu_idle_power_w", "idle W", 1, 1),
    ("gpu_utilisation_percent", "busy %", 1, 0),
    ("samples_per_s", "examples/s", 1, 0),
    ("gpu_energy_j", "GPU J", 1, 2),
    ("gpu_energy_j_per_sample", "mJ/example", 1e3, 3),
    ("gpu_energy_above_idle_j_per_sample", "mJ above idle", 1e3, 3),
    ("gpu_peak_mb", "GPU peak MB", 1, 1),
)
_OF_RATIOS = ("gpu_idle_power_w", "gpu_energy_j")  # left out: the same, and per pass


def _columns(profile: dict, figures: Sequence[tuple]) -> list[tuple]:
    """Return the columns that some encoding has a figure of."""
    encodings = profile["encodings"].values()
    return [column for column in figures if any(one.get(column[0]) is not None for one in encodings)]


def medians_table(profile: dict) -> Table:
    """Return each encoding's accuracy and medians, with the quartiles of several repeats."""
    columns = _columns(profile, _FIGURES)
    rows = [
        (name, number(one["evaluation"]["accuracy"], None, 1, 100), *_medians(one, columns))
        for name, one in profile["encodings"].items()
    ]
    return table_of(("encoding", "accuracy, %", *(head for _, head, *_ in columns)), rows)


def gpu_table(profile: dict) -> list[Table]:
    """Return the table of the GPU's figures; none where there are none."""
    columns = _columns(profile, _GPU_FIGURES)
    if not any(field.startswith("gpu_") for field, *_ in columns):
        return []
    rows = [(name, *_medians(one, columns)) for name, one in profile["encodings"].items()]
    gpu = next((one["gpu"] for one in profile["encodings"].values() if one.get("gpu")), None)
    return [table_of(("encoding", *(head for _, head, *_ in columns)), rows, (gpu or {}).get("name") or "GPU")]


def _medians(one: dict, columns: Sequence[tuple]) -> list[Cell]:
    cells = []
    for field, _, factor, digits in columns:
        value = one.get(field)
        ends = one["spread"][field] if len(one["values"].get(field, ())) > 1 else None
        cells.append(number(value, ends, _digits(value, factor, digits), factor, ","))
    return cells


def _digits(value: float | None, factor: float, digits: int) -> int:
    """Return the digits after the point: more than usual where a figure above 0 would read as 0."""
    shown = (value or 0) * factor
    return max(digits, 1 - math.floor(math.log10(shown))) if 0 < shown < 0.5 * 10**-digits else digits


def ratio_tables(profile: dict) -> list[Table]:
    """Return the ratios to each baseline that is there, with their quartiles."""
    tables = []
    groups = [_columns(profile, _FIGURES)]
    if gpu_table(profile):
        groups.append([column for column in _columns(profile, _GPU_FIGURES) if column[0] not in _OF_RATIOS])
    for base in BASELINES:
        ratios = {
            name: one["ratios"][base]
            for name, one in profile["encodings"].items()
            if base in one["ratios"] and _encoding(name) != base
        }
        for columns in groups:
            rows = [(name, *(_ratio(each.get(field)) for field, *_ in columns)) for name, each in ratios.items()]
            if rows:
                head = ("encoding", *(head for _, head, *_ in columns))
                tables.append(table_of(head, rows, f"ratio to {base}"))
    return tables


def power_verdicts(profile: dict) -> list[str]:
    """Return what the profile says of the claim that Poisson-Burst draws less power, one line for each feed.

    Ratios are to deterministic rate coding, paired by repeat. The claim is judged by the quartiles of the repeats: a
    verdict on one machine, not a test.
    """
    lines = []
    for arm, one in profile["encodings"].items():
        ratios = (one.get("ratios") or {}).get(_CLAIM_TO, {})
        if _encoding(arm) != _CLAIM_OF or "gpu_power_w" not in ratios:
            continue
        least, most = _CLAIM_PERCENT
        lowest, highest = 1 - most / 100, 1 - least / 100
        low, _, high = ratios["gpu_power_w"]
        if lowest <= low and high <= highest:
            verdict = "holds here"
        elif high < lowest:
            verdict = "more is saved here"
        elif highest < low and high < 1:
            verdict = "less is saved here"
        elif low >= 1:
            verdict = "none is saved here"
        else:
            verdict = "undecided here"
        energy = ratios.get("gpu_energy_j_per_sample")
        if low < 1 and energy is not None and energy[1] >= 1:  # a GPU that waits draws less, for longer
            verdict += ", but an example costs no less energy"
        said = [f"{what} × {_quartiles(ratios[field])}" for field, what in _CLAIM_FIELDS.items() if field in ratios]
        lines.append(
            f"{arm} against {arm_name(_CLAIM_TO, one.get('feed', FEEDS[0]))}: {', '.join(said)}; "
            f"the claim of {least} to {most} % less GPU power: {verdict}"
        )
    return lines


def _quartiles(ratio: Sequence[float]) -> str:
    low, median, high = (f"{value:.3f}" for value in ratio)
    return median if low == high else f"{median} ({low} to {high})"


def _ratio(found: list[float] | None) -> Cell:
    low, median, high = found or (None, None, None)
    return number(median, None if low == high else (low, high), 2)


def reasons(profile: dict) -> dict[str, list[str]]:
    """Return the fields without a figure by the reason."""
    found: dict[str, list[str]] = {}
    for one in profile["encodings"].values():
        for field, reason in one["reasons"].items():
            fields = found.setdefault(reason, [])
            fields += [field] if field not in fields else []
    return found


def headline(item: Item) -> str:
    """Return in one line what a result found: each encoding's wall time and memory as multiples of the baseline's."""
    encodings = item.value["encodings"]
    base = _base(encodings)
    parts = []
    for name, one in encodings.items():
        ratios = (one.get("ratios") or {}).get(base) or {}
        told = [f"{ratios[field][1]:.1f} × the {what}" for field, what in _HEADLINE.items() if ratios.get(field)]
        parts += [f"{name} takes {' and '.join(told)}"] if told and _encoding(name) != base else []
    found = f"against {base}: {'; '.join(parts)}" if parts else f"{', '.join(encodings)}: nothing to compare"
    return ". ".join([found, *power_verdicts(item.value)])


def tables(items: list[Item]) -> list[Table]:
    """Read profiles by their JSON alone: encodings.NAME.FIELD, null with a reason in reasons.FIELD.

    A field without any figure is named once, below the table.
    """
    found = [
        (item, name, values, {**(item.value.get("reasons") or {}), **(values.get("reasons") or {})})
        for item in items
        for name, values in item.value["encodings"].items()
    ]
    fields: dict[str, bool] = {}  # whether any has a figure of it
    for _, _, values, _ in found:
        for field, value in values.items():
            if value is None or is_number(value):
                fields[field] = fields.get(field, False) or value is not None
    if not all(any(map(is_number, values.values())) for _, _, values, _ in found):
        raise ValueError("an encoding without figures")
    measured = [field for field, has_figures in fields.items() if has_figures]
    rows = []
    for item, name, values, reasons in found:
        cells = [item.cell, name_cell(name)]
        for field in measured:
            value, ends, factor = values.get(field), (values.get("spread") or {}).get(field), _heading(field)[1]
            if is_number(value):
                note = f"{factor * ends[0]:.4g} to {factor * ends[1]:.4g}" if ends and ends[0] < ends[1] else ""
                cells.append(Cell(f"{factor * value:.4g}", sort=value, note=note))
            else:
                cells.append(Cell("–", sort=-1e300, note=str(reasons.get(field, "")), mark="muted"))
        rows.append(tuple(cells))
    missing: dict[str, list[str]] = {}
    for field in fields.keys() - set(measured):
        why = "; ".join(dict.fromkeys(str(reasons.get(field) or "no reason given") for *_, reasons in found))
        missing.setdefault(why, []).append(_heading(field)[0])
    note = "Medians of the repeats, with their quartiles where there are several. "
    note += "A figure that this machine cannot measure is a dash with the reason, never 0."
    note += "".join(
        f" Without any figure: {'; '.join(sorted(names))}: {why}." for why, names in sorted(missing.items())
    )
    return [Table("", ("profile", "encoding", *(_heading(field)[0] for field in measured)), tuple(rows), note)]


def _heading(field: str) -> tuple[str, float]:
    """Return a field's heading with its unit, and the factor of its figures; a field of a later version as it is."""
    return _PANELS.get(field) or _OTHERS.get(field) or (field.replace("_", " "), 1)


VIEW = StudyView("Profiles", "profile.json", ("encodings",), headline, tables)
