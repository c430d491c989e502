"""The pictures of a profile: they read profile.json and power_trace.csv."""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasburst import files
from kerasburst.profiling.config import BASELINES
from kerasburst.validation import InputError

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
    "gpu_peak_mb": ("peak GPU memory, MB", 1),
    "cpu_package_power_w": ("processor package power, W", 1),
}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's
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
    profile = files.read_json(out / "profile.json")
    pictures = {out / "profile.png": _bars(profile)}
    if (out / "power_trace.csv").exists():
        pictures[out / "power.png"] = _traces(out / "power_trace.csv", list(profile["encodings"]))
    for path, figure in pictures.items():
        with files.replacing(path) as temporary:
            figure.savefig(temporary, dpi=120)
    return list(pictures)


def _bars(profile: dict) -> Figure:
    encodings = profile["encodings"]
    shown = [name for name in _PANELS if all(one[name] is not None for one in encodings.values())]
    rows = -(-len(shown) // _COLUMNS)
    figure = Figure(figsize=(4.2 * _COLUMNS, rows * (1.0 + 0.38 * len(encodings)) + 0.6), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False, sharey=True).ravel()
    base = next((name for name in BASELINES if name in encodings), None)
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
    axes.barh(heights, medians, color=_of(_COLOURS, len(encodings)), height=0.62)
    largest = max(medians)
    for height, ((encoding, one), median) in enumerate(zip(encodings.items(), medians, strict=True)):
        values = [factor * value for value in one["values"].get(name, ())]
        axes.plot(values, [height] * len(values), "o", ms=3.5, mfc="white", mec="black", mew=0.8)
        largest = max([largest, *values])
        ratio = None if encoding == base else one["ratios"].get(base, {}).get(name)
        label = f"{median:.3g}" if median < 1000 else f"{median:,.0f}"
        axes.annotate(
            label if ratio is None else f"{label}  (×{ratio[1]:.2f})",
            (max([median, *values]), height),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
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
        for encoding, colour in zip(encodings, _of(_COLOURS, len(encodings)), strict=True):
            label = encoding
            for (name, _), points in lines.items():
                if name == encoding:
                    axes.plot(*zip(*points, strict=True), color=colour, lw=1, alpha=0.8, label=label)
                    label = None  # a line for each repeat, named once
        axes.set(title=f"power of the {_DEVICES[device]}", xlabel="seconds into the measurement", ylabel="W")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return figure


def _of(colours: tuple[str, ...], count: int) -> list[str]:
    return [colours[i % len(colours)] for i in range(count)]
