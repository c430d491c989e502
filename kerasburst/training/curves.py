"""The picture of a training: loss and accuracy over the epochs."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasburst.files import replacing


def save_curves(history: list[dict], path: Path, title: str) -> None:
    """Draw `history`, one row an epoch, to a PNG at `path`."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    epochs = [row["epoch"] for row in history]
    panels = (("loss", "cross-entropy (nats)"), ("accuracy", "accuracy"))
    for axes, (name, label) in zip(figure.subplots(1, 2), panels, strict=True):
        for key, text, style in ((name, "training", "-"), (f"val_{name}", "validation", "--")):
            if key in history[0]:
                marker = "o" if len(epochs) < 3 else None
                axes.plot(epochs, [row[key] for row in history], style, marker=marker, label=text)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.suptitle(title)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
