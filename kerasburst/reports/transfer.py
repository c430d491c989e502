"""The picture of a transfer experiment: it reads transfer.json."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from kerasburst import files

_ARMS = (("scratch", "#777777", "o"), ("transfer", "#0072b2", "s"), ("control", "#d55e00", "^"))
_LABELS = {"scratch": "from scratch", "transfer": "source's features, frozen", "control": "random features, frozen"}


def save_transfer_plot(result: dict, path: str | Path) -> Path:
    """Draw every seed's accuracy by encoding and arm, and the differences with their intervals, to a PNG.

    Args:
        result: `TransferResult.to_json()`.
        path: of the picture.

    Returns:
        the path.
    """
    encodings = list(result["encodings"])
    figure = Figure(figsize=(9, 1.6 + 0.75 * len(encodings)), layout="constrained")
    accuracy, difference = figure.subplots(1, 2, sharey=True)
    for row, name in enumerate(encodings):
        found = result["encodings"][name]
        for offset, (arm, colour, marker) in zip((-0.22, 0.0, 0.22), _ARMS, strict=True):
            values = [100 * value for value in found[arm]]
            label = _LABELS[arm] if row == 0 else None
            accuracy.plot(values, [row + offset] * len(values), marker, color=colour, alpha=0.6, label=label, ls="none")
            accuracy.plot([sum(values) / len(values)], [row + offset], "|", color=colour, ms=16, mew=2)
        for offset, (field, colour, against) in zip(
            (-0.12, 0.12), (("difference", "#777777", "scratch"), ("over_control", "#d55e00", "control")), strict=True
        ):
            centre, interval = 100 * found[field], found[f"{field}_interval"]
            ends = [[centre - 100 * interval[0]], [100 * interval[1] - centre]] if interval else None
            label = f"transfer − {against}" if row == 0 else None
            difference.errorbar([centre], [row + offset], xerr=ends, fmt="o", color=colour, capsize=3, label=label)
    difference.axvline(0.0, color="black", lw=0.8)
    accuracy.set(xlabel="test accuracy (%), one mark a seed", yticks=range(len(encodings)), yticklabels=encodings)
    difference.set_xlabel("difference (points), 95 % over seeds")
    accuracy.set_ylim(len(encodings) - 0.5, -0.5)
    for axes in (accuracy, difference):
        axes.grid(alpha=0.3, axis="x")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize="small")
    data = result["data"]
    figure.suptitle(f"{data['source']['name']} to {data['target']['name']}, {result['freeze']} frozen")
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
    return Path(path)
