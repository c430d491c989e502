"""`EncodedModel`: an encoder and a model of its spikes, trained together."""

from __future__ import annotations

import keras
from keras import ops

from kerasburst.encoders.base import Encoder
from kerasburst.encoders.bursts import GRADIENTS, BurstEncoder, only_gradient
from kerasburst.neurons.surrogate import Tensor
from kerasburst.validation import check_float, fail

_MEANS = ("sum_over_batch_size", "mean")


@keras.saving.register_keras_serializable("kerasburst")
class EncodedModel(keras.Model):
    """A model of spikes behind an encoder whose parameters are trained with it.

        loss = compiled loss + spike_cost * mean over features and steps of P(spike)

    With `gradient="straight_through"` the loss reaches the encoder through the spikes, as in any Keras model that
    contains it. With "score_function" it does not, and this class adds the estimate

        mean over the batch of (loss_i - mean of the others' losses) d log P(spikes_i | x_i)

    which is unbiased: an example's spikes do not depend on the other examples. The penalties of layers are not part of
    loss_i. The encoder and the model stay usable by themselves, and keep what was learnt.

    Args:
        encoder: a burst encoder with something to train, or any other encoder.
        model: takes spikes `(batch, num_steps, *features)`.
        spike_cost: weight of the mean expected input spike per feature and step, at least 0; its gradient is exact.
        **kwargs: as for `keras.Model`.

    Call arguments:
        inputs: what the encoder takes, such as intensities `(batch, *features)` in [0, 1].

    Returns:
        What `model` returns.

    Raises:
        InputError: for an encoder that is none, or a weight below 0.

    Example:
        >>> from kerasburst.encoders.poisson_burst import PoissonBurstEncoder
        >>> from kerasburst.models import SNNFCNet
        >>> encoder = PoissonBurstEncoder(4, trainable_burst_size=True, gradient="score_function", seed=0)
        >>> model = EncodedModel(encoder, SNNFCNet(2, hidden_units=4), spike_cost=0.1)
        >>> model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> model.build((None, 3))
        >>> model(keras.ops.ones((5, 3))).shape, [weight.name for weight in encoder.trainable_weights]
        (TensorShape([5, 2]), ['mean_burst_size'])

    References:
        Williams 1992 (the score function); Kool, van Hoof, Welling 2019 (the mean of the others as a baseline).
    """

    def __init__(self, encoder: Encoder, model: keras.Model, *, spike_cost: float = 0.0, **kwargs):
        super().__init__(**kwargs, autocast=False)
        encoder, model = (
            keras.saving.deserialize_keras_object(each) if isinstance(each, dict) else each for each in (encoder, model)
        )
        if not isinstance(encoder, Encoder):
            raise fail("encoder", "an encoder layer", encoder)
        if not isinstance(model, keras.Model):
            raise fail("model", "a Keras model of spikes", model)
        self.encoder, self.model = encoder, model
        self.spike_cost = check_float("spike_cost", spike_cost, low=0.0)
        self._scored = isinstance(encoder, BurstEncoder) and encoder.is_trained and encoder.gradient == GRADIENTS[1]
        self._log_prob = None

    def build(self, input_shape):
        """Build the encoder, and the model for its spikes."""
        for layer, shape in ((self.encoder, input_shape), (self.model, self.encoder.compute_output_shape(input_shape))):
            if not layer.built:
                layer.build(shape)
        self.built = True

    def call(self, inputs, training=None):
        """Encode `inputs` afresh and return the model's outputs."""
        return self.respond(self.encode(inputs, training), training)

    def encode(self, inputs, training) -> Tensor:
        """Return spikes, and keep their log-probability for this step's loss where its gradient needs it."""
        spikes = self.encoder(inputs)
        if training and self._scored:
            self._log_prob = self.encoder.log_prob(inputs, spikes)
        return spikes

    def respond(self, spikes, training) -> Tensor:
        """Return the model's outputs."""
        return self.model(spikes, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the loss, with the gradient's further parts while training."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if self.spike_cost and training:
            loss = loss + self.spike_cost * ops.mean(self.encoder.spike_probability(x))
        if self._log_prob is not None and training:
            losses = ops.stop_gradient(self.losses_of_examples(y, y_pred, sample_weight))
            loss = loss + score_function_term(losses, self._log_prob)
        self._log_prob = None
        return loss

    def losses_of_examples(self, y, y_pred, sample_weight) -> Tensor:
        """Return the compiled loss of each example, `(batch,)`.

        Raises:
            InputError: for several losses, or one that is not averaged over the batch.
        """
        given = keras.tree.flatten(self.loss)
        loss = keras.losses.get(given[0])
        if len(given) > 1 or getattr(loss, "reduction", _MEANS[0]) not in _MEANS:
            raise fail("loss", f"one, with the reduction {_MEANS[0]}, for the gradient score_function", self.loss)
        losses = loss.call(y, y_pred) if isinstance(loss, keras.losses.Loss) else loss(y, y_pred)
        losses = ops.mean(ops.reshape(losses, (ops.shape(losses)[0], -1)), axis=1)
        return losses if sample_weight is None else losses * ops.cast(ops.reshape(sample_weight, (-1,)), losses.dtype)

    def get_config(self):
        """Return the constructor's arguments."""
        parts = {"encoder": self.encoder, "model": self.model}
        parts = {name: keras.saving.serialize_keras_object(each) for name, each in parts.items()}
        return {**super().get_config(), **parts, "spike_cost": self.spike_cost}


def score_function_term(losses: Tensor, log_prob: Tensor) -> Tensor:
    """Return 0 with the gradient of the mean loss in what the spikes were drawn with, without bias.

    Args:
        losses: of each example, `(batch,)`; no gradient passes through them.
        log_prob: of each example's spikes, `(batch,)`, from the encoder's `log_prob`.

    Example:
        >>> float(score_function_term(keras.ops.array([1.0, 2.0]), keras.ops.array([-0.5, -0.7])))
        0.0
    """
    losses = ops.stop_gradient(ops.convert_to_tensor(losses))
    count = ops.cast(ops.shape(losses)[0], losses.dtype)
    others = (ops.sum(losses) - losses) / ops.maximum(count - 1.0, 1.0)
    return ops.mean((losses - others) * only_gradient(log_prob))
