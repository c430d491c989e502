"""What every encoder layer shares."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod

import keras
import tensorflow as tf

from kerasburst.encoders.draws import check_intensity
from kerasburst.validation import LARGEST, check_int


class Encoder(keras.layers.Layer, ABC):
    """Turn intensities into spikes: the base class of all encoders.

    Each call draws afresh from the layer's own seed generator; two layers built with one seed draw the same sequence.
    `encode` is the stateless form, for pipelines and tests.

    A new encoder is one subclass with:

    - `__init__(self, num_steps, *, <its parameters>, seed=None, **kwargs)`, which checks its parameters, calls
      `super().__init__(num_steps, seed=seed, **kwargs)`, and stores each parameter as the attribute of its name;
    - `encode(x, seed)`, the spikes; `kerasburst.encoders.draws` has the random numbers;
    - `probability(x)`, the exact marginals of these spikes;
    - `random = False`, on the class or the layer, if the spikes do not depend on the seed.

    Everything else follows: `get_config` from the signature, `--set encoder.<parameter>=` on the command line, and
    saving, once the class is decorated with `keras.saving.register_keras_serializable(<package>)`. A line in
    `kerasburst.registry.ENCODERS`, or `kerasburst.register("encoder", name, cls)` outside this package, names it.

    Args:
        num_steps: T, time steps, at least 1.
        seed: int of at least 0 that fixes the sequence of draws, or None.
        **kwargs: as for `keras.layers.Layer`. The dtype is that of the spikes alone: intensities
            are float32 or wider under every policy.

    Call arguments:
        inputs: `(batch, *features)`, any rank of features, values in [0, 1].

    Returns:
        Spikes `(batch, num_steps, *features)`, exactly 0 or 1, in the layer's compute dtype.

    Raises:
        InputError: (a ValueError) for bad parameters, and eagerly for inputs outside [0, 1], NaN, or
            without a batch axis. In a graph: `tf.errors.InvalidArgumentError`.

    Example:
        >>> class Threshold(Encoder):
        ...     def __init__(self, num_steps, *, level=0.5, seed=None, **kwargs):
        ...         super().__init__(num_steps, seed=seed, **kwargs)
        ...         self.level = level
        ...         self.random = False
        ...     def encode(self, x, seed):
        ...         return tf.repeat(tf.cast(x > self.level, tf.uint8)[:, None], self.num_steps, axis=1)
        ...     def probability(self, x):
        ...         return tf.cast(self.encode(x, None), tf.float32)
        >>> encoder = Threshold(2, level=0.4)
        >>> encoder(tf.constant([[0.2, 0.6]])).numpy().tolist(), encoder.get_config()["level"]
        ([[[0.0, 1.0], [0.0, 1.0]]], 0.4)
    """

    random = True  # whether two calls on one input can differ

    def __init__(self, num_steps: int, *, seed: int | None = None, **kwargs):
        super().__init__(**kwargs, autocast=False)
        self.num_steps = check_int("num_steps", num_steps, low=1, high=LARGEST)
        self.seed = None if seed is None else check_int("seed", seed, low=0, high=LARGEST)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.built = True

    @abstractmethod
    def encode(self, x: tf.Tensor, seed) -> tf.Tensor:
        """Return the uint8 spikes of checked intensities `x` for a stateless `seed`."""

    @abstractmethod
    def probability(self, x: tf.Tensor) -> tf.Tensor:
        """Return the float32 marginals of checked intensities `x`."""

    def call(self, inputs):
        """Encode `inputs` with fresh randomness."""
        x = check_intensity(inputs)
        return self.encode_as(x, self.seed_generator.next(), self.compute_dtype)

    def encode_as(self, x: tf.Tensor, seed, dtype) -> tf.Tensor:
        """Return `encode`'s spikes in another dtype; a subclass may do so faster than by a cast."""
        return tf.cast(self.encode(x, seed), dtype)

    def spike_probability(self, inputs) -> tf.Tensor:
        """Return the exact marginals P(spike at t | inputs), float32 `(batch, num_steps, *features)`."""
        return self.probability(check_intensity(inputs))

    def compute_output_shape(self, input_shape):
        """Insert the time axis after the batch axis."""
        return (input_shape[0], self.num_steps, *input_shape[1:])

    def get_config(self):
        """Return the constructor's arguments, from the attributes of their names."""
        config = super().get_config()
        for cls in type(self).__mro__:
            arguments = inspect.signature(vars(cls).get("__init__", _passes_on)).parameters.values()
            named = [each.name for each in arguments if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
            config.update({name: _serialized(getattr(self, name)) for name in named if name != "self"})
            if cls is Encoder or all(each.kind is not each.VAR_KEYWORD for each in arguments):
                return config


def _passes_on(self, **kwargs):
    """Stand for the constructor of a class that has none of its own."""


def _serialized(value):
    return keras.saving.serialize_keras_object(value) if callable(value) else value
