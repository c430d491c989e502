"""What the works do, on the backend that Keras runs on.

A builder takes a work's options and returns `run(steps)`, which does so many steps, waits for their end, and returns
`{"seconds": ...}`, with "steps" where it did another number of them, and further figures by name with unit.
"""

from __future__ import annotations

import itertools
import os
import queue
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kerasburst import backend
from kerasburst.config import TrainConfig
from kerasburst.data.dataset import Dataset
from kerasburst.data.pipeline import make_dataset
from kerasburst.models.snn_conv_net import SNNConvNet
from kerasburst.models.snn_fc_net import SNNFCNet
from kerasburst.neurons.lif import LIF
from kerasburst.profiling.works import Run
from kerasburst.training.callbacks import TrainingObserver
from kerasburst.training.fit import train
from kerasburst.training.setup import build, prepare

FC_STEPS_PER_EXECUTION = 10
_ENDLESS = 1_000_000  # epochs
_PREFETCHED = 2  # batches that the pipeline holds ready, besides those in work


def _uses_gpu() -> bool:
    """Return whether the backend computes on a GPU: its allocator then counts memory there."""
    return backend.device_peak_mb() is not None


def _repeated(step: Callable[[], Any], wait: Callable[[Any], Any]) -> Run:
    """Return the function that times steps; `wait` gets what the last one returns and waits for it."""

    def run(steps: int) -> dict:
        begun = time.perf_counter()
        for _ in range(steps):
            last = step()
        wait(last)
        return {"seconds": time.perf_counter() - begun}

    return run


def conv_train(options: dict) -> Run:
    """Build `SNNConvNet`'s training step: Adam, softmax cross-entropy on the last membrane."""
    spikes, labels = _batch(options)
    return training_step(_compiled(SNNConvNet(10, **_network(options))), spikes, labels)


def conv_train_bf16(options: dict) -> Run:
    """Build `conv_train` under Keras' policy mixed_bfloat16."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    return conv_train(options)


def conv_lif_train(options: dict) -> Run:
    """Build `conv_train` with LIF in place of both ReLUs."""
    return conv_train({**options, "network": {"conv_activation": "lif", **options.get("network", {})}})


def conv_infer(options: dict) -> Run:
    """Build `SNNConvNet`'s inference, the graph that `predict` runs."""
    spikes, _ = _batch(options)
    network = SNNConvNet(10, **_network(options))
    network.build(spikes.shape)
    infer = backend.jit(lambda x: network(x, training=False), network)
    return _repeated(lambda: infer(spikes), ops.convert_to_numpy)


def fc_train(options: dict) -> Run:
    """Build `SNNFCNet`'s training by `fit`, on TensorFlow and JAX the whole step under XLA, ten steps an execution.

    On a GPU it is on TensorFlow the step by itself, as in `training_step`.
    """
    spikes, labels = _batch(options)
    network = SNNFCNet(2, **_network(options))
    network.build(spikes.shape)
    if backend.name == "torch":  # which takes one step at a time
        return _fitted(_compiled(network), spikes, labels)
    if backend.name == "tensorflow" and _uses_gpu():
        return training_step(_compiled(network), spikes, labels)
    _compiled(network, jit_compile=True, steps_per_execution=FC_STEPS_PER_EXECUTION)
    return _fitted(network, spikes, labels, FC_STEPS_PER_EXECUTION)


def _fitted(network: keras.Model, x: Any, y: Any, at_once: int = 1) -> Run:
    """Return `fit` on one batch in memory, on JAX's GPU in the GPU's, `at_once` steps an execution.

    The clock runs from the beginning of an epoch to its end: the fixed cost of a call of `fit` is not counted.
    """
    if backend.name == "jax" and _uses_gpu():
        batches = ((x, y) for _ in itertools.count())
    else:
        batches = tf.data.Dataset.from_tensors((np.asarray(x), np.asarray(y))).repeat()
    clock = _EpochClock()

    def run(steps: int) -> dict:
        steps = -(-steps // at_once) * at_once
        network.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[clock])
        return {"seconds": clock.seconds, "steps": steps}

    return run


class _EpochClock(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seconds = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._begun = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self._begun


def training_step(network: keras.Model, x: Any, y: Any) -> Run:
    """Return the step that `fit` compiles for a compiled network, repeated on one batch in memory, a GPU's on a GPU.

    On JAX and PyTorch that step cannot be called by itself: there it is `fit` that runs.
    """
    if backend.name != "tensorflow":
        return _fitted(network, x, y)
    network.make_train_function()
    batches = itertools.repeat((x, y)) if _uses_gpu() else iter(tf.data.Dataset.from_tensors((x, y)).repeat())

    return _repeated(lambda: network.train_function(batches), lambda logs: float(logs["loss"]))


def _compiled(network: keras.Model, **how) -> keras.Model:
    network.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **how,
    )
    return network


def _network(options: dict) -> dict:
    return {"beta": options.get("beta", 0.95), "seed": options.get("seed", 0), **options.get("network", {})}


def _batch(options: dict) -> tuple[Any, Any]:
    with np.load(options["inputs"]) as file:
        return ops.convert_to_tensor(file["spikes"].astype("float32")), ops.convert_to_tensor(file["labels"])


def lif(options: dict) -> Run:
    """Build the forward and backward pass of a LIF layer over feature maps, compiled as in a network.

    The gradient with respect to the spikes is another example's current; its values do not matter.
    """
    with np.load(options["inputs"]) as file:
        current = ops.convert_to_tensor(file["current"])
    upstream = ops.roll(current, 1, axis=0)
    layer = LIF(beta=options.get("beta", 0.95))
    layer.build(current.shape)
    step = _forward_and_backward(layer)
    return _repeated(lambda: step(current, upstream), lambda both: [float(each[-1, -1, -1, -1, -1]) for each in both])


def _forward_and_backward(layer: keras.layers.Layer) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Return the function of a current and a gradient of the spikes to the spikes and the gradient of the current."""
    if backend.name == "jax":
        import jax

        @jax.jit
        def on_jax(current, upstream):
            spikes, back = jax.vjp(layer, current)
            return spikes, back(upstream)[0]

        return on_jax
    if backend.name == "torch":
        import torch

        def on_torch(current, upstream):
            current = current.detach().requires_grad_()
            spikes = layer(current)
            return spikes.detach(), torch.autograd.grad(spikes, current, upstream)[0]

        return on_torch

    def on_tensorflow(current, upstream):
        with tf.GradientTape() as tape:
            tape.watch(current)
            spikes = layer(current)
        return spikes, tape.gradient(spikes, current, output_gradients=upstream)

    return backend.jit(on_tensorflow)


def encode(name: str, options: dict) -> Run:
    """Build an encoder layer with float32 spikes, compiled as in a model.

    Args:
        name: the encoder's.
        options: the work's.
    """
    with np.load(options["inputs"]) as file:
        x = ops.convert_to_tensor(file["x"])
    encoder = TrainConfig(encoding=name, num_steps=options["num_steps"], seed=options.get("seed", 0)).make_encoder()
    encode = backend.jit(lambda x: encoder(x), encoder)
    return _repeated(lambda: encode(x), lambda spikes: float(spikes[-1, -1, -1, -1, -1]))


def train_epoch(options: dict) -> Run:
    """Build the training of `kerasburst train`; `run` continues it for whole epochs.

    Seconds are those of the epochs in `fit`, as in history.csv; the time of saving is a figure of its own.
    """
    config = _config(options)
    with np.load(options["inputs"]) as file:
        epoch_steps = -(-len(file["y_train"]) // config.batch_size)
    training = _Training(config, tempfile.mkdtemp(dir=Path(options["inputs"]).parent))  # deleted with the inputs

    def run(steps: int) -> dict:
        epochs = max(1, round(steps / epoch_steps))
        begun = time.perf_counter()
        seconds = sum(training.epoch() for _ in range(epochs))
        saving = time.perf_counter() - begun - seconds
        return {"seconds": seconds, "steps": epochs * epoch_steps, "saving_s": saving / epochs}

    return run


class _Training(TrainingObserver):
    """A training in a thread that pauses after every epoch until the next one is requested."""

    def __init__(self, config: TrainConfig, folder: str):
        self._config, self._folder = config, folder
        self._rows: queue.Queue = queue.Queue()
        self._go = threading.Semaphore(0)
        self._thread: threading.Thread | None = None

    def epoch(self, row: dict | None = None) -> float | None:
        """Pause, when the training calls this with a row; without one, run an epoch and return its seconds."""
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

    `run` does at least an epoch's batches, after those that the pipeline had ready, which cost no waiting.
    """
    network, encoder, config, data = _parts(options)
    step = _step_on_batches(network)
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
            step(batch)
        seconds = time.perf_counter() - begun
        return {"seconds": seconds, "steps": steps, "wait_percent": 100.0 * wait / seconds}

    return run


def _step_on_batches(network: keras.Model) -> Callable[[Any], float]:
    """Return the function that takes a training step on a batch and waits for its loss."""
    if backend.name != "tensorflow":
        return lambda batch: float(network.train_on_batch(*map(np.asarray, batch), return_dict=True)["loss"])
    network.make_train_function()
    return lambda batch: float(network.train_function(iter([batch]))["loss"])


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
