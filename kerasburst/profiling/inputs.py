"""The inputs of a measurement: made once, written to a file, read by every process that takes part."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerasburst.data.datasets import availability, load_source
from kerasburst.data.splits import make_splits
from kerasburst.seeding import derive_seed
from kerasburst.validation import check_choice, check_int

KINDS = ("images", "table", "current", "intensities", "training_set")
FEATURES = 30  # of the table
MAPS = (28, 28, 32)  # of the current: the feature maps of SNNConvNet's first convolution on 28 x 28 images
PICTURE = (32, 32, 3)  # of the intensities
EPOCH_STEPS = 20  # batches of the training set


def make_inputs(
    kind: str,
    path: str | Path,
    *,
    batch_size: int,
    num_steps: int,
    seed: int = 0,
    data_dir: str | None = None,
    epoch_steps: int = EPOCH_STEPS,
) -> str:
    """Write one batch of inputs to `path`, an .npz file.

    - "images": rate-coded `spikes` uint8 `(batch, num_steps, 28, 28, 1)` of MNIST or, where it is not at hand, of
      scikit-learn's digits enlarged to 28 x 28; and `labels`.
    - "table": rate-coded `spikes` uint8 `(batch, num_steps, 30)` of uniform values; and `labels` of two classes.
    - "current": `current`, a float32 normal of mean 0.2 and deviation 0.5, `(batch, num_steps, 28, 28, 32)`.
    - "intensities": `x`, uniform float32 `(batch, 32, 32, 3)`.
    - "training_set": images for `kerasburst train`, `epoch_steps` batches of them and one test batch.

    Args:
        kind: one of the above.
        path: where to write.
        batch_size: examples.
        num_steps: T; "intensities" and "training_set" have no time axis.
        seed: of the draws.
        data_dir: folder of data files; None for KERASBURST_DATA.
        epoch_steps: batches of the training set.

    Returns:
        Where the values come from, one line.

    Raises:
        InputError: for an unknown kind, a size below 1, or a folder that is none.
    """
    check_choice("kind", kind, KINDS)
    check_int("batch_size", batch_size, low=1)
    check_int("num_steps", num_steps, low=1)
    rng = np.random.default_rng(derive_seed(seed, "bench", kind))
    if kind == "current":
        values = rng.standard_normal((batch_size, num_steps, *MAPS), dtype="float32")
        np.savez(path, current=np.float32(0.2) + np.float32(0.5) * values)
        return "normal values"
    if kind == "intensities":
        np.savez(path, x=rng.random((batch_size, *PICTURE), dtype="float32"))
        return "uniform values"
    if kind == "table":
        x = rng.random((batch_size, FEATURES), dtype="float32")
        np.savez(path, spikes=_rate_coded(x, num_steps, rng), labels=rng.integers(0, 2, batch_size))
        return "uniform values, rate-coded"
    if kind == "images":
        x, y, where = _images(batch_size, rng, data_dir)
        np.savez(path, spikes=_rate_coded(x, num_steps, rng), labels=y)
        return f"{where}, rate-coded"
    x, y, where = _images((epoch_steps + 1) * batch_size, rng, data_dir)
    x = np.round(x * 255).astype("uint8")
    np.savez(path, x_train=x[:-batch_size], y_train=y[:-batch_size], x_test=x[-batch_size:], y_test=y[-batch_size:])
    return where


def _rate_coded(x: np.ndarray, num_steps: int, rng: np.random.Generator) -> np.ndarray:
    uniforms = rng.random((x.shape[0], num_steps, *x.shape[1:]), dtype="float32")
    return (uniforms < x[:, None]).astype("uint8")


def _images(count: int, rng: np.random.Generator, data_dir: str | None) -> tuple[np.ndarray, np.ndarray, str]:
    """Give `count` images in [0, 1], `(count, 28, 28, 1)`, labels of ten classes, and where they come from."""
    if availability("mnist", data_dir).available:
        source, where = load_source("mnist", data_dir, download=False), "MNIST"
    else:
        source, where = load_source("digits"), "scikit-learn's digits enlarged to 28 x 28"
    pool = make_splits(source, 0, None, 0.0).train
    # Each of the ten classes comes first, so that a data set of few examples holds them all.
    first = [np.flatnonzero(source.y[pool] == label)[0] for label in range(10)]
    rest = rng.permutation(np.setdiff1d(np.arange(len(pool)), first))
    chosen = np.asarray(pool)[np.resize(np.concatenate([first, rest]), count)]
    x = source.x[chosen].astype("float32") / (source.full_scale or 255.0)
    side = x.shape[1]
    nearest = np.arange(28) * side // 28
    return x[:, nearest][:, :, nearest], source.y[chosen], where
