"""Training and inference of the networks, as `fit` and `predict` run them."""

from __future__ import annotations

import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kerasburst.models.snn_conv_net import SNNConvNet
from kerasburst.models.snn_fc_net import SNNFCNet

Run = Callable[[int], dict]

FC_STEPS_PER_EXECUTION = 10


def conv_train(options: dict) -> Run:
    """Build `SNNConvNet`'s training step: Adam, softmax cross-entropy on the last membrane."""
    spikes, labels = _batch(options)
    return training_step(_compiled(SNNConvNet(10, **_network(options))), spikes, labels)


def conv_train_bf16(options: dict) -> Run:
    """Build the same under Keras' policy mixed_bfloat16."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    return conv_train(options)


def conv_lif_train(options: dict) -> Run:
    """Build the same with LIF in place of both ReLUs."""
    return conv_train({**options, "network": {"conv_activation": "lif", **options.get("network", {})}})


def conv_infer(options: dict) -> Run:
    """Build `SNNConvNet`'s inference, the graph that `predict` runs."""
    spikes, _ = _batch(options)
    network = SNNConvNet(10, **_network(options))
    network.build(spikes.shape)
    infer = tf.function(lambda x: network(x, training=False), autograph=False)

    def run(steps: int) -> dict:
        begun = time.perf_counter()
        for _ in range(steps):
            logits = infer(spikes)
        logits.numpy()
        return {"seconds": time.perf_counter() - begun}

    return run


def fc_train(options: dict) -> Run:
    """Build `SNNFCNet`'s training by `fit`, the whole step under XLA, ten steps an execution.

    The clock runs from the beginning of an epoch to its end: what a call of `fit` costs once is no cost of a step.
    """
    spikes, labels = _batch(options)
    network = SNNFCNet(2, **_network(options))
    network.build(spikes.shape)
    _compiled(network, jit_compile=True, steps_per_execution=FC_STEPS_PER_EXECUTION)
    batches = tf.data.Dataset.from_tensors((spikes, labels)).repeat()
    clock = _EpochClock()

    def run(steps: int) -> dict:
        steps = -(-steps // FC_STEPS_PER_EXECUTION) * FC_STEPS_PER_EXECUTION
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


def training_step(network: keras.Model, x: tf.Tensor, y: tf.Tensor) -> Run:
    """Give the step that `fit` compiles for a compiled network, on one batch in memory again and again."""
    network.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors((x, y)).repeat())

    def run(steps: int) -> dict:
        begun = time.perf_counter()
        for _ in range(steps):
            logs = network.train_function(batches)
        float(logs["loss"])
        return {"seconds": time.perf_counter() - begun}

    return run


def _compiled(network: keras.Model, **how) -> keras.Model:
    network.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **how,
    )
    return network


def _network(options: dict) -> dict:
    return {"beta": options.get("beta", 0.95), "seed": options.get("seed", 0), **options.get("network", {})}


def _batch(options: dict) -> tuple[tf.Tensor, tf.Tensor]:
    with np.load(options["inputs"]) as file:
        return tf.constant(file["spikes"].astype("float32")), tf.constant(file["labels"])
