"""Evaluate a finished run again, over as many encodings as wanted."""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from pathlib import Path

from kerasburst.models.base import SpikingNetwork
from kerasburst.models.loading import load_model
from kerasburst.seeding import derive_seed
from kerasburst.training.evaluation import Evaluation, evaluate_network
from kerasburst.training.fit import prepare
from kerasburst.training.resume import check_same_data
from kerasburst.training.run_directory import RunDirectory
from kerasburst.validation import InputError, check_int, one_line


def evaluate(
    run: str | Path,
    *,
    queries: int = 16,
    data_dir: str | None = None,
    dataset: str | None = None,
    batch_size: int | None = None,
) -> Evaluation:
    """Measure a run's network on its test part.

    Args:
        run: directory of a finished run.
        queries: K, encodings of each example, at least 1; one is enough for a deterministic encoder.
        data_dir: folder of data files, if it is not the one the run was trained from.
        dataset: the run's .npz file, if it has moved.
        batch_size: examples at once; None for the run's.

    Returns:
        Accuracy with its interval, firing rates and loss. With the K of the training it equals the
        figures in the run's result.json.

    Raises:
        InputError: where `run` is not a finished run, or its data has changed.
    """
    directory = RunDirectory(run)
    config = directory.config()
    if not directory.finished:
        raise InputError(f"run must be finished, {directory.path} is not: kerasburst train --resume --out {run}")
    if data_dir is not None:
        config = dataclasses.replace(config, data_dir=data_dir)
    if dataset is not None:
        config = dataclasses.replace(config, dataset=dataset)
    if batch_size is not None:
        check_int("batch_size", batch_size, low=1)
    check_int("queries", queries, low=1)
    config, data = prepare(config, directory.splits())
    check_same_data(data, directory)
    return evaluate_network(
        load_network(directory.path).with_encoder(None),
        config.make_encoder(),
        data.x_test,
        data.y_test,
        queries=queries,
        seed=derive_seed(config.seed, "test"),
        batch_size=batch_size or config.batch_size,
    )


def load_network(run: str | Path) -> SpikingNetwork:
    """Load a run's trained network, its encoder inside; `with_encoder(None)` gives it on spikes.

    Raises:
        InputError: where `run` is not a run directory with a trained network, or its file is damaged.
    """
    path = RunDirectory(run).path / "model.keras"
    if not path.exists():
        raise InputError(f"run must be a finished run, {path} does not exist")
    try:
        return load_model(path)
    except (ValueError, OSError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be loaded: {one_line(error, 200)}") from None
