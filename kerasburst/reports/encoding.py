"""The picture of an encoding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from matplotlib.figure import Figure

from kerasburst import files, records
from kerasburst.config import TrainConfig
from kerasburst.data.datasets import load_dataset
from kerasburst.encoders.base import Encoder
from kerasburst.encoders.bursts import BurstEncoder
from kerasburst.encoders.statistics import EncodingStatistics, encoding_statistics
from kerasburst.pictures import save_picture
from kerasburst.reports.activity import raster, spread
from kerasburst.training.setup import is_trained
from kerasburst.validation import InputError, check_int, user_path, visible

_MOST_FRAMES, _MOST_FEATURES = 10, 24


def encode(
    encoding: str = "rate",
    *,
    out: str | Path,
    dataset: str | Path = "digits",
    index: int = 0,
    num_steps: int = 10,
    encoder: Mapping[str, Any] | None = None,
    features: list[int] | None = None,
    draws: int = 200,
    seed: int = 0,
    data_dir: str | Path | None = None,
) -> dict:
    """Draw what an encoder does to a test example of a data set: `kerasburst encode`.

    Args:
        encoding: an encoder's name.
        out: new or empty directory to write encoding.png and encoding.json to.
        dataset: a known data set's name, or a path that a reader reads, such as an .npz file.
        index: which test example.
        num_steps: T, at least 1.
        encoder: the encoder's parameters by name, beyond num_steps and seed.
        features: flat indices of the features in the raster; None for up to 24 spread over the intensities.
        draws: encodings behind the empirical probabilities.
        seed: of the split and the draws, at least 0.
        data_dir: folder of data files; None for KERASBURST_DATA.

    Returns:
        What encoding.json holds: firing statistics.

    Raises:
        InputError: for bad input; nothing is written then.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     encode("delayed_burst", out=folder, dataset="iris", draws=10)["example"]
        {'dataset': 'iris', 'index': 0, 'label': 'setosa'}
    """
    out = check_new(out)
    config = TrainConfig(
        dataset=dataset, encoding=encoding, encoder=encoder or {}, num_steps=num_steps, seed=seed, data_dir=data_dir
    )
    layer = config.make_encoder()
    data = load_dataset(dataset, seed=seed, **config.reading())
    check_int("index", index, low=0, high=len(data.x_test) - 1)
    example = {"dataset": data.name, "index": index, "label": data.class_names[int(data.y_test[index])]}
    title = f"{encoding}: {data.name}, test example {index} (class {example['label']}), T = {num_steps}"
    return draw_encoding(
        layer, data.x_test[index], out, features=features, draws=draws, seed=seed, title=title, example=example
    )


def check_new(out: str | Path) -> Path:
    """Return `out` as a path that is absent or an empty directory.

    Raises:
        InputError: where it is a file, or holds files.
    """
    out = user_path("out", out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"out must be a new or empty directory, {out} is not")
    return out


def draw_encoding(
    encoder: Encoder,
    x: np.ndarray,
    out: str | Path,
    *,
    features: list[int] | None = None,
    draws: int = 200,
    seed: int = 0,
    title: str = "",
    example: dict | None = None,
) -> dict:
    """Draw what an encoder does to one example.

    Writes `out`/encoding.png (raster of chosen features, encoded frames of an image, empirical against exact
    spike probability, what a trained encoder has learnt) and `out`/encoding.json.

    Args:
        encoder: the encoder layer.
        x: intensities `(*features)` in [0, 1], or what the encoder takes.
        out: directory to write to.
        features: flat indices of the features in the raster; None for up to 24 spread over the intensities.
        draws: encodings behind the empirical probabilities.
        seed: int of at least 0.
        title: heading of the picture.
        example: what encoding.json says of the example.

    Returns:
        What encoding.json holds: firing statistics.

    Raises:
        InputError: for a feature that `x` does not have, or intensities outside [0, 1].
    """
    size = int(np.size(x)) // (encoder.num_steps if encoder.encoded else 1)
    for feature in features or []:
        check_int("feature", feature, low=0, high=size - 1)
    statistics = encoding_statistics(encoder, x, draws=draws, seed=seed)
    chosen = features or _features(statistics.x.ravel())
    summary = {
        "example": example,
        "title": title,
        "encoder": type(encoder).__name__,
        "features_drawn": [int(f) for f in chosen],
        **({"trained": encoder.summary()} if is_trained(encoder) else {}),
        **records.to_json(statistics),
    }
    out = Path(out)
    with files.new_directory("out", out):
        save_picture(_draw(statistics, chosen, visible(title), encoder), out / "encoding.png")
        files.write_json(out / "encoding.json", summary)
    return summary


def _features(x: np.ndarray) -> list[int]:
    """Return features from the darkest to the brightest, silent background once."""
    order = np.argsort(x, kind="stable")
    bright = order[x[order] > 0]
    pool = np.concatenate([order[:1], bright]) if len(bright) < len(order) else order
    return spread(pool, _MOST_FEATURES).tolist()


def _draw(statistics: EncodingStatistics, chosen: list[int], title: str, encoder: Encoder) -> Figure:
    num_steps = len(statistics.spikes)
    image, trained = statistics.x.ndim == 3, is_trained(encoder)
    figure = Figure(figsize=(11 + 3 * trained, 5.9 if image else 4.2), layout="constrained")
    grid = figure.add_gridspec(2 if image else 1, 2 + trained, height_ratios=[3, 0.85] if image else None)
    if trained:
        _learnt(figure.add_subplot(grid[0, 2]), encoder, statistics.x.shape)
    _raster(figure.add_subplot(grid[0, 0]), statistics, chosen)
    _agreement(figure.add_subplot(grid[0, 1]), statistics)
    if image:
        shown = spread(np.arange(num_steps), _MOST_FRAMES)
        frames = grid[1, :].subgridspec(1, len(shown) + 1)
        _frame(figure.add_subplot(frames[0, 0]), statistics.x, "intensity")
        for i, t in enumerate(shown):
            _frame(figure.add_subplot(frames[0, i + 1]), statistics.spikes[t], f"t = {t}")
    figure.suptitle(title)
    return figure


def _raster(axes, statistics: EncodingStatistics, chosen: list[int]) -> None:
    spikes = statistics.spikes.reshape(len(statistics.spikes), -1)[:, chosen]
    intensities = statistics.x.ravel()[chosen]
    raster(axes, spikes, [f"{i}: {x:.2f}" for i, x in zip(chosen, intensities, strict=True)], "feature: its intensity")
    axes.set_title("spikes of one encoding", fontsize=10)


def _agreement(axes, statistics: EncodingStatistics) -> None:
    exact, empirical = statistics.exact.ravel(), statistics.empirical.ravel()
    grid = np.linspace(0, 1, 101)
    band = 2 * np.sqrt(grid * (1 - grid) / statistics.draws)
    axes.fill_between(grid, grid - band, grid + band, color="tab:blue", alpha=0.15, lw=0, label="2 standard errors")
    axes.plot(exact, empirical, ".", ms=3, alpha=0.5, color="tab:blue", label="one feature at one step")
    axes.plot([0, 1], [0, 1], color="grey", lw=0.8)
    axes.set(xlabel="exact spike probability", ylabel=f"share of {statistics.draws} draws", xlim=(0, 1), ylim=(0, 1))
    axes.set_title("measured against exact spike probability", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _learnt(axes, encoder: BurstEncoder, features: tuple[int, ...]) -> None:
    """Draw the map f of intensities, and write lambda above it; of values for each feature their extent."""
    x = np.linspace(0.0, 1.0, 101, dtype="float32")
    every = np.broadcast_to(x.reshape(-1, *(1,) * len(features)), (len(x), *features))
    f = ops.convert_to_numpy(encoder.mapped(ops.convert_to_tensor(np.ascontiguousarray(every)))).reshape(len(x), -1)
    axes.plot([0, 1], [0, 1], color="grey", lw=0.8)
    axes.fill_between(x, f.min(axis=1), f.max(axis=1), color="tab:blue", alpha=0.2, lw=0)
    axes.plot(x, f.mean(axis=1), color="tab:blue")
    size = encoder.trained_values().get("mean_burst_size", np.float32(encoder.mean_burst_size))
    text = f"{size.min():.3g}" if size.min() == size.max() else f"{size.min():.3g} to {size.max():.3g}"
    axes.set(xlabel="intensity x", ylabel="f(x)", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"learnt map, mean burst size {text}", fontsize=10)


def _frame(axes, values: np.ndarray, title: str) -> None:
    values = values if values.shape[-1] in (1, 3) else values.mean(axis=-1)  # of other channels, such as on and off
    axes.imshow(values.astype(float).squeeze(), cmap="gray", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=8)
