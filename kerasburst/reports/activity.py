"""Pictures of recorded spikes and membranes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasburst.pictures import save_picture
from kerasburst.validation import check_int, fail, user_path

_MOST_TRACES = 5


def draw_activity(
    activity: Mapping[str, Mapping[str, np.ndarray]],
    out: str | Path | None = None,
    *,
    example: int = 0,
    neurons: int = 24,
    title: str = "",
) -> Figure:
    """Draw what the neurons of a model did on one example: a raster of spikes and membrane traces for each layer.

    Args:
        activity: what `kerasburst.record` returns.
        out: a .png file to write; None to write nothing.
        example: which example of the batch.
        neurons: at most so many neurons of each layer, spread over it. The membranes of five of them are drawn: those
            that fire most, and silent ones if fewer than five fire.
        title: heading of the picture.

    Returns:
        The matplotlib figure: on the left the rasters, on the right the membranes.

    Raises:
        InputError: for an example that is not there, or what is no recording.

    Example:
        >>> activity = {"lif": {"spk": np.float32([[[0], [1]]]), "mem": np.float32([[[0.6], [1.2]]])}}
        >>> [axes.get_title() for axes in draw_activity(activity).axes]
        ['lif: spikes', 'lif: membranes']
    """
    if not isinstance(activity, Mapping) or not activity:
        raise fail("activity", "what kerasburst.record returns", activity)
    check_int("neurons", neurons, low=1)
    shapes = {
        name: {part: np.shape(each) for part, each in layer.items()} if isinstance(layer, Mapping) else {}
        for name, layer in activity.items()
    }
    for name, found in shapes.items():
        if len(found.get("spk", ())) < 3 or found.get("mem", found["spk"]) != found["spk"]:
            raise fail(f"activity of {name}", "spk and mem, each (batch, num_steps, *features)", found)
    check_int("example", example, low=0, high=min(found["spk"][0] for found in shapes.values()) - 1)
    if out is not None and user_path("out", out).suffix != ".png":
        raise fail("out", "a .png file", str(out))
    figure = Figure(figsize=(11, 0.6 + 2.6 * len(activity)), layout="constrained")
    grid = figure.subplots(len(activity), 2, squeeze=False, sharex="row")
    for (name, arrays), (left, right) in zip(activity.items(), grid, strict=True):
        spk = np.asarray(arrays["spk"][example])
        spk = spk.reshape(len(spk), -1)
        chosen = spread(np.arange(spk.shape[1]), neurons)
        raster(left, spk[:, chosen], [str(i) for i in chosen], "neuron")
        left.set_title(f"{name}: spikes", fontsize=10)
        right.set_title(f"{name}: membranes", fontsize=10)
        right.set_xlabel("step t")
        right.xaxis.set_major_locator(MaxNLocator(integer=True))
        if "mem" in arrays:
            mem = np.asarray(arrays["mem"][example]).reshape(len(spk), -1)
            busiest = np.argsort(-spk[:, chosen].sum(axis=0), kind="stable")[:_MOST_TRACES]
            for i in chosen[np.sort(busiest)]:
                (line,) = right.plot(mem[:, i], lw=1.2, label=str(i))
                fired = np.flatnonzero(spk[:, i])
                right.plot(fired, mem[fired, i], "o", ms=4, color=line.get_color())
            beside = {"bbox_to_anchor": (1.0, 1.0), "loc": "upper left"}
            right.legend(title="neuron", frameon=False, fontsize=8, title_fontsize=8, **beside)
    figure.suptitle(title)
    if out is not None:
        save_picture(figure, out)
    return figure


def spread(values: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many values, spread over all, with the first and the last."""
    return values[np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))]


def raster(axes: Axes, spikes: np.ndarray, labels: list[str], what: str) -> None:
    """Draw spikes `(num_steps, rows)`, a row for each of `labels`; `what` names the rows' axis."""
    axes.eventplot([np.flatnonzero(row) for row in spikes.T], colors="black", linelengths=0.7, linewidths=3)
    shown = range(0, len(labels), max(1, len(labels) // 12))
    axes.set_yticks(list(shown), [labels[i] for i in shown], fontsize=8)
    axes.set(xlim=(-0.6, len(spikes) - 0.4), ylim=(-0.6, len(labels) - 0.4), xlabel="step t", ylabel=what)
