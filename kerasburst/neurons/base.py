"""The parameters that the LIF cell and the LIF layer share."""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasburst.neurons import surrogate as surrogates
from kerasburst.neurons.functional import RESET_MECHANISMS
from kerasburst.neurons.surrogate import Surrogate
from kerasburst.validation import InputError, check_bool, check_choice, check_float


class LIFBase(keras.layers.Layer):
    """Check, create, hold and serialise beta, threshold, reset mechanism and surrogate."""

    def __init__(
        self,
        *,
        beta: float = 0.95,
        threshold: float = 1.0,
        reset_mechanism: str = "subtract",
        surrogate: str | Surrogate = "atan",
        trainable_beta: bool = False,
        trainable_threshold: bool = False,
        per_neuron: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs, autocast=False)
        self.beta = check_float("beta", beta, low=0.0, high=1.0)
        self.threshold = check_float("threshold", threshold, above=0.0)
        self.reset_mechanism = check_choice("reset_mechanism", reset_mechanism, RESET_MECHANISMS)
        self.surrogate = surrogates.get(surrogate)
        self.trainable_beta = check_bool("trainable_beta", trainable_beta)
        self.trainable_threshold = check_bool("trainable_threshold", trainable_threshold)
        self.per_neuron = check_bool("per_neuron", per_neuron)
        if self.per_neuron and not (self.trainable_beta or self.trainable_threshold):
            raise InputError("per_neuron must be false unless trainable_beta or trainable_threshold is set")

    def _build_parameters(self, features: tuple[int | None, ...]) -> None:
        """Create the trained parameters, of shape () or, per neuron, `features`."""
        if self.per_neuron and None in features:
            raise InputError(f"per_neuron needs features of known size, received {features}")
        shape = features if self.per_neuron else ()
        self._beta = self._threshold = None
        if self.trainable_beta:
            self._beta = self.add_weight(name="beta", shape=shape, initializer=_constant(self.beta), autocast=False)
        if self.trainable_threshold:
            self._threshold = self.add_weight(
                name="threshold",
                shape=shape,
                initializer=_constant(self.threshold),
                constraint=_positive,
                autocast=False,
            )

    def neuron_parameters(self) -> dict:
        """Give the equation's parameters as they stand now; a trained beta is clipped to [0, 1]."""
        beta, threshold = self.beta, self.threshold
        if self._beta is not None:
            beta = tf.clip_by_value(tf.convert_to_tensor(self._beta), 0.0, 1.0)
        if self._threshold is not None:
            threshold = tf.convert_to_tensor(self._threshold)
        return {
            "beta": beta,
            "threshold": threshold,
            "reset_mechanism": self.reset_mechanism,
            "surrogate": self.surrogate,
        }

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "beta": self.beta,
            "threshold": self.threshold,
            "reset_mechanism": self.reset_mechanism,
            "surrogate": keras.saving.serialize_keras_object(self.surrogate),
            "trainable_beta": self.trainable_beta,
            "trainable_threshold": self.trainable_threshold,
            "per_neuron": self.per_neuron,
        }


def _constant(value: float) -> keras.initializers.Initializer:
    return keras.initializers.Constant(value)


def _positive(threshold):
    """Keep a trained threshold above 0."""
    return keras.ops.maximum(threshold, 1e-3)
