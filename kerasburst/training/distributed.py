"""Training on several devices or machines, each of which takes its part of every batch.

Whatever the number of parts, an epoch sees the same examples in the same order with the same spikes, and
the gradients are those of the whole batch: the loss curve is one process's, up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kerasburst.config import TrainConfig
from kerasburst.data.dataset import Dataset
from kerasburst.data.events import Reading
from kerasburst.data.pipeline import count_batches, make_parts
from kerasburst.encoders.base import Encoder
from kerasburst.models.base import SpikingNetwork
from kerasburst.seeding import derive_seed
from kerasburst.training.team import Team


def run_epochs(
    team: Team,
    network: SpikingNetwork,
    encoder: Encoder,
    config: TrainConfig,
    data: Dataset,
    *,
    first_epoch: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Train a network that was built and compiled in the team's scope, from `first_epoch` to the config's last.

    Args:
        team: the replicas.
        network: its variables, and its optimiser's, which is built too, become the chief's on every worker.
        encoder: encodes the examples.
        config: the training's.
        data: the same on every worker.
        first_epoch: finished epochs; the chief's counts.
        callbacks: of this worker; what sets `network.stop_training` on the chief stops all.

    Raises:
        WorkerLost: where another worker has gone.
    """
    if team.workers > 1:
        with team.reporting_loss("before the first epoch"):
            first_epoch = int(team.from_chief(np.int64(first_epoch)))
            for variable in (*network.weights, *network.optimizer.variables):
                variable.assign(team.from_chief(variable.numpy()))
    if first_epoch >= config.epochs:
        return

    def parts(x, y, seed, **order):
        def of_worker(_):
            return make_parts(x, y, encoder, config.batch_size, seed, team.parts, team.replicas, **order)

        return team.strategy.distribute_datasets_from_function(of_worker)

    train_step, test_step = _steps(team.strategy, network)
    order = {"epoch": first_epoch, "shuffle": True, "num_epochs": config.epochs - first_epoch}
    order["augmented"] = Reading.of(config.data)
    batches = iter(parts(data.x_train, data.y_train, config.seed, **order))
    validation = None
    if len(data.x_validation):
        validation = parts(data.x_validation, data.y_validation, derive_seed(config.seed, "validation"))
    steps = count_batches(len(data.x_train), config.batch_size)
    callback = keras.callbacks.CallbackList(list(callbacks), model=network)
    network.stop_training = False
    callback.on_train_begin()
    for epoch in range(first_epoch, config.epochs):
        with team.reporting_loss(f"in epoch {epoch + 1} of {config.epochs}"):
            callback.on_epoch_begin(epoch)
            totals = np.zeros(3)
            for step in range(steps):
                callback.on_train_batch_begin(step)
                totals += train_step(next(batches)).numpy()
                callback.on_train_batch_end(step, _logs(totals))
            logs = _logs(totals)
            if validation is not None:
                totals = sum((test_step(batch).numpy() for batch in validation), np.zeros(3))
                logs |= {f"val_{name}": value for name, value in _logs(totals).items()}
            callback.on_epoch_end(epoch, logs)
            if team.from_chief(np.int64(network.stop_training)):
                break
    callback.on_train_end()


def _logs(totals: np.ndarray) -> dict[str, float]:
    loss, right, examples = totals
    return {"loss": loss / examples, "accuracy": right / examples}


def _steps(strategy: tf.distribute.Strategy, network: SpikingNetwork):
    """Return the compiled steps of training and of testing: from each replica's part to the batch's sums.

    A part is `(spikes, labels, examples of the whole batch)`, the sums are of loss, right answers and examples.
    """
    variables, optimizer = network.trainable_variables, network.optimizer

    def forward(spikes, labels, training):
        logits = network(spikes, training=training)
        loss = tf.reduce_sum(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
        right = tf.reduce_sum(tf.cast(tf.argmax(logits, -1, labels.dtype) == labels, tf.float32))
        return loss, tf.stack([loss, right, tf.cast(tf.size(labels), tf.float32)])

    def train(spikes, labels, whole):
        with tf.GradientTape() as tape:
            loss, sums = forward(spikes, labels, training=True)
            scaled = optimizer.scale_loss(loss / tf.cast(whole, tf.float32))
        optimizer.apply(tape.gradient(scaled, variables), variables)
        return sums

    def test(spikes, labels, whole):
        return forward(spikes, labels, training=False)[1]

    def over_replicas(function):
        @tf.function(reduce_retracing=True, autograph=False)
        def step(parts):
            return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(function, args=parts), axis=None)

        return step

    return over_replicas(train), over_replicas(test)
