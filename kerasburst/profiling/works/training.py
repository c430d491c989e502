"""`kerasburst train` as it runs, and the same step without its pipeline."""

from __future__ import annotations

import os
import queue
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasburst.config import TrainConfig
from kerasburst.data.dataset import Dataset
from kerasburst.data.pipeline import make_dataset
from kerasburst.profiling.works.network import training_step
from kerasburst.training.fit import build, prepare, train
from kerasburst.training.observer import TrainingObserver

Run = Callable[[int], dict]

_ENDLESS = 1_000_000  # epochs
_PREFETCHED = 2  # batches that the pipeline holds ready, besides those that it is at work on


def train_epoch(options: dict) -> Run:
    """Build the training that `kerasburst train` does; `run` lets it go on for whole epochs.

    Seconds are those of the epochs in `fit`, as history.csv has them; what saving them cost comes beside.
    """
    config = _config(options)
    with np.load(options["inputs"]) as file:
        epoch_steps = -(-len(file["y_train"]) // config.batch_size)
    training = _Training(config, tempfile.mkdtemp(dir=Path(options["inputs"]).parent))  # goes with the inputs

    def run(steps: int) -> dict:
        epochs = max(1, round(steps / epoch_steps))
        begun = time.perf_counter()
        seconds = sum(training.epoch() for _ in range(epochs))
        saving = time.perf_counter() - begun - seconds
        return {"seconds": seconds, "steps": epochs * epoch_steps, "saving_s": saving / epochs}

    return run


class _Training(TrainingObserver):
    """A training in a thread that rests after every epoch until it is told to go on."""

    def __init__(self, config: TrainConfig, folder: str):
        self._config, self._folder = config, folder
        self._rows: queue.Queue = queue.Queue()
        self._go = threading.Semaphore(0)
        self._thread: threading.Thread | None = None

    def epoch(self, row: dict | None = None) -> float | None:
        """Called with a row by the training: rest. Called without: let an epoch run, give its seconds."""
        if row is not None:
            self._rows.put(row)
            self._go.acquire()
            return None
        if self._thread is None:
            self._thread = threading.Thread(target=self._train, daemon=True)
            self._thread.start()
        else:
            self._go.release()
        row = self._rows.get()
        if isinstance(row, BaseException):
            raise row
        return row["seconds"]

    def _train(self) -> None:
        try:
            train(self._config, f"{self._folder}/run", observer=self)
        except BaseException as error:
            self._rows.put(error)
            raise


def train_bare(options: dict) -> Run:
    """Build the step that the training compiles, on one encoded batch in memory."""
    network, encoder, config, data = _parts(options)
    batch = next(iter(_pipeline(encoder, config, data)))
    return training_step(network, *batch)


def train_wait(options: dict) -> Run:
    """Build the training as a loop, with a clock around every request to the pipeline.

    `run` does an epoch's batches at least, after those that the pipeline had ready: they would cost no waiting.
    """
    network, encoder, config, data = _parts(options)
    network.make_train_function()
    batches = iter(_pipeline(encoder, config, data))
    epoch_steps, ready = -(-len(data.x_train) // config.batch_size), _PREFETCHED + (os.cpu_count() or 1)

    def run(steps: int) -> dict:
        steps = max(steps, epoch_steps)
        wait = begun = 0.0
        for number in range(ready + steps):
            if number == ready:
                wait, begun = 0.0, time.perf_counter()
            asked = time.perf_counter()
            batch = next(batches)
            wait += time.perf_counter() - asked
            float(network.train_function(iter([batch]))["loss"])
        seconds = time.perf_counter() - begun
        return {"seconds": seconds, "steps": steps, "wait_percent": 100.0 * wait / seconds}

    return run


def _config(options: dict) -> TrainConfig:
    return TrainConfig(
        dataset=options["inputs"],
        encoding=options.get("encoding", "delayed_burst"),
        num_steps=options["num_steps"],
        batch_size=options["batch_size"],
        epochs=_ENDLESS,
        network=options.get("network", {}),
        seed=options.get("seed", 0),
    )


def _parts(options: dict):
    config, data = prepare(_config(options))
    network, encoder = build(config, data)
    return network, encoder, config, data


def _pipeline(encoder, config: TrainConfig, data: Dataset) -> tf.data.Dataset:
    x, y = data.x_train, data.y_train
    return make_dataset(x, y, encoder, config.batch_size, config.seed, shuffle=True, num_epochs=_ENDLESS)
