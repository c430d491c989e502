"""Defences that an audit can compare with burst encoders: what plain noise and regularisation buy.

A defence changes how a model is trained or how its inputs are encoded. It is a frozen dataclass under a name in the
registry; its fields are the parameters that `--arm NAME:parameter=value` sets.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from scipy.special import ndtri

from kerasburst.config import TrainConfig
from kerasburst.encoders.base import Encoder
from kerasburst.encoders.draws import draws
from kerasburst.validation import InputError, check_bool, check_float, check_int

_LEVELS = 32  # quantiles of the noise that stand for it where exact probabilities are asked for


@dataclasses.dataclass(frozen=True)
class Defence:
    """What a defence may change; the base class changes nothing. Register a subclass as a "defence".

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class SlowLearning(Defence):
        ...     factor: float = 0.1
        ...     def optimizer(self, learning_rate):
        ...         return keras.optimizers.Adam(self.factor * learning_rate)
        >>> round(float(SlowLearning(0.5).optimizer(0.01).learning_rate), 4)
        0.005
    """

    def training(self, config: TrainConfig) -> TrainConfig:
        """Return the training of targets and shadows."""
        return config

    def encoder(self, encoder: Encoder) -> Encoder:
        """Return the encoder that training and queries use."""
        return encoder

    def optimizer(self, learning_rate: float) -> keras.optimizers.Optimizer | None:
        """Return the optimizer; None for the usual one."""
        return None

    def loss(self) -> keras.losses.Loss | None:
        """Return the loss of integer labels and logits; None for the usual one."""
        return None

    def callbacks(self, held_out) -> Sequence[keras.callbacks.Callback]:
        """Return callbacks of the training.

        Args:
            held_out: returns a pipeline of spikes and labels that no model trains on and no attack is judged on.
        """
        return ()


@dataclasses.dataclass(frozen=True)
class InputNoise(Defence):
    """Add Gaussian noise to the intensities, drawn anew for every encoding, and cut them to [0, 1].

    Args:
        sd: standard deviation, in units of the intensity, above 0.
    """

    sd: float = 0.2

    def __post_init__(self):
        """Check the parameter."""
        check_float("input_noise.sd", self.sd, above=0.0)

    def encoder(self, encoder: Encoder) -> Encoder:
        """Return the encoder behind the noise."""
        return _Altered(encoder, lambda x, u: tf.clip_by_value(x + self.sd * tf.math.ndtri(u), 0.0, 1.0), self._levels)

    def _levels(self, x):
        steps = ndtri((np.arange(_LEVELS) + 0.5) / _LEVELS)
        return [(1.0 / _LEVELS, tf.clip_by_value(x + float(self.sd * step), 0.0, 1.0)) for step in steps]


@dataclasses.dataclass(frozen=True)
class InputDropout(Defence):
    """Set each intensity to 0 with a fixed probability, drawn anew for every encoding.

    Args:
        rate: probability, above 0 and below 1.
    """

    rate: float = 0.2

    def __post_init__(self):
        """Check the parameter."""
        check_float("input_dropout.rate", self.rate, above=0.0, below=1.0)

    def encoder(self, encoder: Encoder) -> Encoder:
        """Return the encoder behind the dropout."""
        levels = lambda x: [(1.0 - self.rate, x), (self.rate, tf.zeros_like(x))]  # noqa: E731
        return _Altered(encoder, lambda x, u: tf.where(u < self.rate, 0.0, x), levels)


@dataclasses.dataclass(frozen=True)
class LabelSmoothing(Defence):
    """Train towards (1 - amount) on the label and amount / C on every class.

    Args:
        amount: above 0 and below 1.
    """

    amount: float = 0.1

    def __post_init__(self):
        """Check the parameter."""
        check_float("label_smoothing.amount", self.amount, above=0.0, below=1.0)

    def loss(self) -> keras.losses.Loss:
        """Return the cross-entropy with smoothed labels."""
        return _Smoothed(self.amount)


@dataclasses.dataclass(frozen=True)
class WeightDecay(Defence):
    """Let the weights decay at each step, by AdamW.

    Args:
        amount: share of a weight that a learning rate of 1 would take off at each step, above 0.
    """

    amount: float = 0.01

    def __post_init__(self):
        """Check the parameter."""
        check_float("weight_decay.amount", self.amount, above=0.0)

    def optimizer(self, learning_rate: float) -> keras.optimizers.Optimizer:
        """Return AdamW."""
        return keras.optimizers.AdamW(learning_rate, weight_decay=self.amount)


@dataclasses.dataclass(frozen=True)
class EarlyStopping(Defence):
    """Stop when the loss on held-out examples no longer falls, and keep the best weights.

    A snapshot after the stop shows the model that was kept.

    Args:
        patience: epochs without a lower loss, at least 1.
    """

    patience: int = 3

    def __post_init__(self):
        """Check the parameter."""
        check_int("early_stopping.patience", self.patience, low=1)

    def callbacks(self, held_out) -> Sequence[keras.callbacks.Callback]:
        """Return the callback that watches the loss."""
        return (_Stop(held_out, self.patience),)


@dataclasses.dataclass(frozen=True)
class Private(Defence):
    """Train with differential privacy, which needs Keras on JAX.

    Args:
        epsilon: as for `TrainConfig`, like the others.
        delta: of the guarantee.
        clipping_norm: of an example's gradient.
        encodings_per_example: K.
    """

    epsilon: float = 8.0
    delta: float = 1e-5
    clipping_norm: float = 1.0
    encodings_per_example: int = 1

    def __post_init__(self):
        """Check the parameters."""
        check_float("private.epsilon", self.epsilon, above=0.0)
        TrainConfig(**dataclasses.asdict(self))

    def training(self, config: TrainConfig) -> TrainConfig:
        """Return the private training."""
        return dataclasses.replace(config, **dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class Adversary(Defence):
    """Train against an attacker on the membranes, which is trained along; the audit's attackers are others.

    Args:
        weight: of the attacker's loss, above 0.
        trainable: whether the encoder's bursts are trained, too.
    """

    weight: float = 1.0
    trainable: bool = False

    def __post_init__(self):
        """Check the parameters."""
        check_float("adversary.weight", self.weight, above=0.0)
        check_bool("adversary.trainable", self.trainable)

    def training(self, config: TrainConfig) -> TrainConfig:
        """Return the training with the attacker."""
        encoder = {**config.encoder, **({"trainable": True} if self.trainable else {})}
        return dataclasses.replace(config, adversary=self.weight, encoder=encoder)


class _Altered(Encoder):
    """An encoder whose intensities are altered at random first; it lives in an audit alone and is not saved."""

    def __init__(self, inner: Encoder, alter, levels):
        super().__init__(inner.num_steps, seed=inner.seed)
        if getattr(inner, "is_trained", False):
            raise InputError("a defence that alters intensities needs an encoder that is not trained")
        self.inner, self._alter, self._levels = inner, alter, levels

    def encode(self, x, seed):
        seed = tf.convert_to_tensor([0, int(seed)] if isinstance(seed, numbers.Integral) else seed)
        apart = seed + tf.constant([1, 0], seed.dtype)  # a stream of its own
        u = (tf.cast(draws(x, 1, apart)[:, 0], tf.float32) + 0.5) * 2.0**-23
        return self.inner.encode(self._alter(x, u), seed)

    def probability(self, x):
        return tf.add_n([share * self.inner.probability(altered) for share, altered in self._levels(x)])


class _Smoothed(keras.losses.Loss):
    def __init__(self, amount: float):
        super().__init__(name="smoothed_cross_entropy")
        self.amount = amount

    def call(self, y_true, y_pred):
        log_p = keras.ops.log_softmax(keras.ops.cast(y_pred, "float32"), axis=-1)
        one_hot = keras.ops.one_hot(keras.ops.reshape(keras.ops.cast(y_true, "int32"), (-1,)), y_pred.shape[-1])
        return -keras.ops.sum(((1.0 - self.amount) * one_hot + self.amount / y_pred.shape[-1]) * log_p, axis=-1)


class _Stop(keras.callbacks.Callback):
    def __init__(self, held_out, patience: int):
        super().__init__()
        self.held_out, self.patience = held_out, patience
        self.best, self.weights, self.waited = np.inf, None, 0

    def on_epoch_end(self, epoch, logs=None):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        found = float(np.mean([loss(y, self.model(x, training=False)) for x, y in self.held_out()]))
        if found < self.best:
            self.best, self.weights, self.waited = found, self.model.get_weights(), 0
        else:
            self.waited += 1
            self.model.stop_training = self.waited >= self.patience

    def on_train_end(self, logs=None):
        self.model.set_weights(self.weights)
