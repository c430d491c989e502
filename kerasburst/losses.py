"""Losses of spikes and membranes, and a regulariser of firing rates, for `model.compile` and for layers.

The losses are those of `snntorch.functional`, batch-major: predictions are `(batch, time, classes)`, labels are classes
`(batch,)`. A model whose output is what `LIF` returns is trained by them directly.
"""

from __future__ import annotations

import keras
from keras import ops

from kerasburst import backend
from kerasburst.validation import InputError, check_float, fail, fits


def _cross_entropy(labels, logits):
    return keras.losses.sparse_categorical_crossentropy(labels, ops.cast(logits, "float32"), from_logits=True)


def _classes(labels, like):
    """Return labels as int32 `(batch,)`, each one of the classes of predictions `like`, `(batch, time, classes)`."""
    if len(like.shape) != 3:
        raise fail("y_pred", "of shape (batch, time, classes)", tuple(like.shape))
    if len(labels.shape) > 2 or (len(labels.shape) == 2 and labels.shape[1] not in (None, 1)):
        raise fail("y_true", "classes, of shape (batch,) or (batch, 1), not one-hot", tuple(labels.shape))
    if not fits(labels.shape[:1], like.shape[:1]):
        raise fail("y_true", f"one class for each of {like.shape[0]} predictions", tuple(labels.shape))
    given, labels = labels, ops.reshape(ops.cast(labels, "int32"), (-1,))
    allowed = f"y_true must be classes from 0 to {like.shape[-1] - 1}"

    def error() -> InputError:
        return InputError(f"{allowed}, received {float(ops.min(given)):g} to {float(ops.max(given)):g}")

    whole = ops.reshape(ops.cast(given, "float32"), (-1,)) == ops.cast(labels, "float32")
    inside = ops.all((labels >= 0) & (labels < like.shape[-1]) & whole)
    return backend.of(labels).check(labels, inside, error, allowed)


def _targets(labels, like, on: float, off: float):
    classes = ops.one_hot(_classes(labels, like), like.shape[-1], dtype="float32")
    return off + (on - off) * classes


@keras.saving.register_keras_serializable("kerasburst")
class CERateLoss(keras.losses.Loss):
    """Cross-entropy of the spikes at each step, averaged over the steps: the right class should fire all the time.

        mean over t of -log softmax(spk[t])[label]

    Args:
        name: of the loss.
        **kwargs: as for `keras.losses.Loss`.

    Example:
        >>> spk = keras.ops.array([[[1.0, 0.0], [1.0, 0.0]]])
        >>> round(float(CERateLoss()(keras.ops.array([0]), spk)), 4)  # log(1 + 1/e)
        0.3133

    References:
        snnTorch `ce_rate_loss`.
    """

    def __init__(self, name: str = "ce_rate_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """Return the loss of each example."""
        steps = ops.shape(y_pred)[1]
        labels = ops.repeat(ops.reshape(_classes(y_true, y_pred), (-1, 1)), steps, axis=1)
        flat = ops.reshape(y_pred, (-1, y_pred.shape[-1]))
        return ops.mean(ops.reshape(_cross_entropy(ops.reshape(labels, (-1,)), flat), (-1, steps)), axis=1)


@keras.saving.register_keras_serializable("kerasburst")
class CECountLoss(keras.losses.Loss):
    """Cross-entropy of the spike counts: the right class should fire most.

        -log softmax(sum over t of spk[t])[label]

    Args:
        name: of the loss.
        **kwargs: as for `keras.losses.Loss`.

    Example:
        >>> spk = keras.ops.array([[[1.0, 0.0], [1.0, 0.0]]])
        >>> round(float(CECountLoss()(keras.ops.array([0]), spk)), 4)  # log(1 + 1/e^2)
        0.1269

    References:
        snnTorch `ce_count_loss`.
    """

    def __init__(self, name: str = "ce_count_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """Return the loss of each example."""
        return _cross_entropy(_classes(y_true, y_pred), ops.sum(y_pred, axis=1))


@keras.saving.register_keras_serializable("kerasburst")
class CEMaxMembraneLoss(keras.losses.Loss):
    """Cross-entropy of the largest membrane over time; predictions are membranes.

        -log softmax(max over t of mem[t])[label]

    Args:
        name: of the loss.
        **kwargs: as for `keras.losses.Loss`.

    Example:
        >>> mem = keras.ops.array([[[0.0, 0.0], [2.0, 0.0]]])
        >>> round(float(CEMaxMembraneLoss()(keras.ops.array([0]), mem)), 4)
        0.1269

    References:
        snnTorch `ce_max_membrane_loss`.
    """

    def __init__(self, name: str = "ce_max_membrane_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """Return the loss of each example."""
        return _cross_entropy(_classes(y_true, y_pred), ops.max(y_pred, axis=1))


@keras.saving.register_keras_serializable("kerasburst")
class MSECountLoss(keras.losses.Loss):
    """Squared distance of spike counts from those wanted, divided by the number of steps.

        mean over classes of (count - wanted)^2 / T,   wanted = floor(T correct_rate), for other classes incorrect_rate

    Args:
        correct_rate: share of the steps at which the right class should fire, 0 to 1.
        incorrect_rate: likewise of the other classes.
        name: of the loss.
        **kwargs: as for `keras.losses.Loss`.

    Example:
        >>> spk = keras.ops.array([[[1.0, 0.0], [0.0, 0.0]]])
        >>> float(MSECountLoss()(keras.ops.array([0]), spk))  # ((1 - 2)^2 + 0) / 2 / 2
        0.25

    References:
        snnTorch `mse_count_loss`.
    """

    def __init__(self, correct_rate: float = 1.0, incorrect_rate: float = 0.0, name: str = "mse_count_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.correct_rate = check_float("correct_rate", correct_rate, low=0.0, high=1.0)
        self.incorrect_rate = check_float("incorrect_rate", incorrect_rate, low=0.0, high=1.0)

    def call(self, y_true, y_pred):
        """Return the loss of each example."""
        steps = ops.cast(ops.shape(y_pred)[1], "float32")
        wanted = (ops.floor(steps * rate) for rate in (self.correct_rate, self.incorrect_rate))
        count = ops.sum(ops.cast(y_pred, "float32"), axis=1)
        return ops.mean(ops.square(count - _targets(y_true, y_pred, *wanted)), axis=-1) / steps

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "correct_rate": self.correct_rate, "incorrect_rate": self.incorrect_rate}


@keras.saving.register_keras_serializable("kerasburst")
class MSEMembraneLoss(keras.losses.Loss):
    """Squared distance of membranes from a target at every step; predictions are membranes.

        mean over t and classes of (mem[t] - target)^2,   target = on_target for the right class, else off_target

    Args:
        on_target: membrane wanted of the right class.
        off_target: membrane wanted of the other classes.
        name: of the loss.
        **kwargs: as for `keras.losses.Loss`.

    Example:
        >>> mem = keras.ops.array([[[1.0, 0.0], [0.0, 0.0]]])
        >>> float(MSEMembraneLoss()(keras.ops.array([0]), mem))
        0.25

    References:
        snnTorch `mse_membrane_loss`.
    """

    def __init__(self, on_target: float = 1.0, off_target: float = 0.0, name: str = "mse_membrane_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.on_target = check_float("on_target", on_target)
        self.off_target = check_float("off_target", off_target)

    def call(self, y_true, y_pred):
        """Return the loss of each example."""
        target = _targets(y_true, y_pred, self.on_target, self.off_target)
        return ops.mean(ops.square(ops.cast(y_pred, "float32") - target[:, None]), axis=(1, 2))

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "on_target": self.on_target, "off_target": self.off_target}


@keras.saving.register_keras_serializable("kerasburst")
class FiringRate(keras.regularizers.Regularizer):
    """Activity regulariser that draws each neuron's firing rate to a target.

        strength * sum over examples of the mean over neurons of (rate - target)^2,   rate = mean over t of spk[t]

    Our layers divide activity regularisers by the batch size, as Keras' do. For the number of spikes itself, snnTorch's
    `l1_rate_sparsity`, use `keras.regularizers.L1`.

    Args:
        strength: factor of the penalty, at least 0.
        target: spikes per neuron and step, 0 to 1.

    Example:
        >>> spk = keras.ops.array([[[1.0], [0.0]]])
        >>> float(FiringRate(strength=2.0, target=0.0)(spk))  # 2 * 0.5^2
        0.5
    """

    def __init__(self, strength: float = 0.01, target: float = 0.1):
        self.strength = check_float("strength", strength, low=0.0)
        self.target = check_float("target", target, low=0.0, high=1.0)

    def __call__(self, x):
        """Return the penalty of spikes `(batch, time, *features)`."""
        if len(x.shape) < 3:
            raise fail("spikes of FiringRate", "of shape (batch, time, *features)", tuple(x.shape))
        rate = ops.mean(ops.cast(x, "float32"), axis=1)
        rate = ops.reshape(rate, (ops.shape(rate)[0], -1))
        return self.strength * ops.sum(ops.mean(ops.square(rate - self.target), axis=-1))

    def get_config(self):
        """Return the constructor's arguments."""
        return {"strength": self.strength, "target": self.target}
