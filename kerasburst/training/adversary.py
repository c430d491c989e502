"""Adversarial regularisation: a network and an attacker on its membranes, trained against each other."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kerasburst.data.events import Reading
from kerasburst.data.pipeline import count_batches, make_dataset
from kerasburst.encoders.base import Encoder
from kerasburst.encoders.bursts import only_gradient
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.encoded import EncodedModel
from kerasburst.neurons.surrogate import Tensor
from kerasburst.seeding import derive_seed
from kerasburst.validation import check_float

_UNITS = 64  # of the attacker's hidden layer


class AdversarialModel(EncodedModel):
    """A network that is trained to classify, and to tell an attacker little about who trained it.

        network: minimise cross-entropy - weight * b,   attacker: minimise b
        b = mean over members of -log h / 2 + mean over the reference examples of -log(1 - h) / 2

    h is the attacker's probability of "member" from an example's output membranes of all steps and its label: one
    hidden layer of 64 units. Both learn in each step, from one backward pass in which the gradient of b changes its
    sign on the way from the attacker into the network. The reported loss is the cross-entropy of the members.

    Args:
        encoder: what intensities pass first; it is trained too, if it can be.
        model: the network.
        weight: of the attacker's loss, at least 0.
        spike_cost: as for `EncodedModel`.
        seed: int of the attacker's initial weights.

    Call arguments:
        inputs: intensities `(batch, *features)`; `with_reference` makes the batches that `fit` takes.

    References:
        Nasr, Shokri, Houmansadr 2018, Machine Learning with Membership Privacy using Adversarial Regularization;
        Ganin, Lempitsky 2015 (the reversed gradient).
    """

    def __init__(
        self, encoder: Encoder, model: SpikingNetwork, *, weight: float, spike_cost: float = 0.0, seed: int = 0
    ):
        super().__init__(encoder, model, spike_cost=spike_cost)
        self.weight = check_float("adversary", weight, low=0.0)
        rules = [keras.initializers.GlorotUniform(derive_seed(seed, "adversary", layer)) for layer in range(2)]
        self.attacker = keras.Sequential(
            [
                keras.layers.Dense(_UNITS, activation="relu", kernel_initializer=rules[0], dtype="float32"),
                keras.layers.Dense(1, kernel_initializer=rules[1], dtype="float32"),
            ]
        )
        self._mem = self._gains = None

    def build(self, input_shape):
        """Build encoder, network and attacker."""
        super().build(input_shape)
        classes = self.model.num_classes
        self.attacker.build((None, (self.encoder.num_steps + 1) * classes))

    def respond(self, spikes, training):
        """Return the logits, and keep the membranes for this step's loss."""
        logits, mem = self.model.respond(spikes, training)
        self._mem = mem if training else None
        return logits

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the cross-entropy of the members, with the gradients of the game."""
        mem, self._mem = self._mem, None
        if not training or mem is None or sample_weight is None:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        losses, member = self._attackers_losses(mem, y, sample_weight)
        shares = member / ops.sum(member) + (1.0 - member) / ops.maximum(ops.sum(1.0 - member), 1.0)
        count = ops.cast(ops.shape(losses)[0], "float32")
        self._gains = -self.weight * ops.stop_gradient(losses * shares) * count / 2.0
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        self._gains = None
        return loss + only_gradient(ops.sum(losses * shares) / 2.0)

    def losses_of_examples(self, y, y_pred, sample_weight) -> Tensor:
        """Return what the network minimises on each example, whose mean is the whole."""
        return super().losses_of_examples(y, y_pred, sample_weight) + self._gains

    def _attackers_losses(self, mem, y, sample_weight) -> tuple[Tensor, Tensor]:
        """Return the attacker's loss on each example, with its sign turned towards the network, and who is a member."""
        member = ops.cast(ops.reshape(sample_weight, (-1,)) > 0.0, "float32")
        turned = ops.stop_gradient(mem) - self.weight * only_gradient(mem)
        label = ops.one_hot(ops.reshape(ops.cast(y, "int32"), (-1,)), self.model.num_classes, dtype="float32")
        seen = ops.concatenate([ops.reshape(turned, (ops.shape(mem)[0], -1)), label], axis=1)
        score = self.attacker(seen)[:, 0]
        return ops.softplus(score) - member * score, member


def with_reference(
    members: tf.data.Dataset,
    x: np.ndarray,
    y: np.ndarray,
    *,
    batch_size: int,
    steps: int,
    seed: int,
    epochs: range,
    augmented: Reading | None = None,
) -> tf.data.Dataset:
    """Return batches of members followed by reference examples, with the weights that tell them apart.

    Args:
        members: batches `(intensities, labels)` of the training part, `steps` for each epoch.
        x: intensities of the reference part.
        y: its labels.
        batch_size: reference examples in a batch; the part is gone through as often as an epoch needs.
        steps: batches of an epoch.
        seed: of their order, which depends on the epoch, too.
        epochs: numbers of the epochs.
        augmented: what changes the members at random, and so the reference examples, which could be told by it.

    Returns:
        A data set of `(intensities, labels, weights)`: batch / members for members, 0 for the others.
    """
    passes = -(-steps // count_batches(len(x), batch_size))
    given = {"batch_size": batch_size, "seed": derive_seed(seed, "reference"), "shuffle": True}
    given["augmented"] = augmented
    others = make_dataset(x, y, None, **given, epoch=epochs.start * passes, num_epochs=len(epochs) * passes)
    whole = passes * count_batches(len(x), batch_size)
    others = others.enumerate().filter(lambda i, _: i % whole < steps).map(lambda _, batch: batch)

    def join(mine, theirs):
        count, more = tf.shape(mine[1])[0], tf.shape(theirs[1])[0]
        weight = tf.cast(count + more, tf.float32) / tf.cast(count, tf.float32)
        weights = tf.concat([tf.fill([count], weight), tf.zeros([more])], axis=0)
        return tf.concat([mine[0], theirs[0]], axis=0), tf.concat([mine[1], theirs[1]], axis=0), weights

    joined = tf.data.Dataset.zip((members, others)).map(join)
    return joined.apply(tf.data.experimental.assert_cardinality(steps * len(epochs))).prefetch(2)
