"""What every encoder layer shares."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod

import keras
import numpy as np

from kerasburst import backend
from kerasburst.encoders.draws import as_tensor, check_intensity, ops_of
from kerasburst.validation import LARGEST, InputError, check_dense, check_int, fail, fits, known_keywords


class Encoder(keras.layers.Layer, ABC):
    """Turn intensities into spikes: the base class of all encoders.

    Each call draws afresh from the layer's own seed generator; two layers built with one seed draw the same sequence.
    Model files and `keras.callbacks.BackupAndRestore` do not keep how far it has drawn: a model that was loaded or
    restored draws from the start of the sequence again. (`kerasburst train --resume` goes on where it was.)
    `encode` is the stateless form, for pipelines and tests.

    A new encoder is one subclass with:

    - `__init__(self, num_steps, *, <its parameters>, seed=None, **kwargs)`, which checks its parameters, calls
      `super().__init__(num_steps, seed=seed, **kwargs)`, and stores each parameter as the attribute of its name;
    - `encode(x, seed)`, the uint8 spikes, and `probability(x)`, their exact marginals, computed by `ops_of(x)` and
      drawn by `draws`, both of `kerasburst.encoders.draws`, so that they run on every backend and in tf.data;
    - `random = False`, on the class or the layer, if the spikes do not depend on the seed.
    - `spiking = False` if the outputs are no spikes; `encode` then returns float32.

    `get_config`, `--set encoder.<parameter>=` and saving follow from the signature; the page "Extend
    kerasburst" has an example.

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
        InputError: (a ValueError) for bad parameters, and eagerly for inputs outside [0, 1] by more than 1e-6, NaN, or
            without a batch axis. In a TensorFlow graph: `tf.errors.InvalidArgumentError`; compiled functions of XLA,
            JAX and torch do not check values.

    Example:
        >>> class Threshold(Encoder):
        ...     random = False
        ...     def __init__(self, num_steps, *, level=0.5, seed=None, **kwargs):
        ...         super().__init__(num_steps, seed=seed, **kwargs)
        ...         self.level = level
        ...     def encode(self, x, seed):
        ...         ops = ops_of(x)
        ...         return ops.repeat(ops.cast(x > self.level, "uint8")[:, None], self.num_steps, axis=1)
        ...     def probability(self, x):
        ...         return ops_of(x).cast(self.encode(x, None), "float32")
        >>> encoder = Threshold(2, level=0.4)
        >>> encoder(keras.ops.convert_to_tensor([[0.2, 0.6]])).numpy().tolist(), encoder.get_config()["level"]
        ([[[0.0, 1.0], [0.0, 1.0]]], 0.4)
    """

    random = True  # whether two calls on one input can differ
    spiking = True  # whether the outputs are spikes, exactly 0 or 1
    encoded = False  # whether the inputs are spikes already, (batch, num_steps, *features)

    def __init__(self, num_steps: int, *, seed: int | None = None, **kwargs):
        with known_keywords(self):
            super().__init__(**kwargs, autocast=False)
        self.num_steps = check_int("num_steps", num_steps, low=1, high=LARGEST)
        self.seed = None if seed is None else check_int("seed", seed, low=0, high=LARGEST)
        if type(self).encode is Encoder.encode and type(self).encode_as is Encoder.encode_as:
            raise InputError(f"{type(self).__name__} must define encode(x, seed), which returns uint8 spikes")
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.built = True

    def encode(self, x, seed):
        """Return the uint8 spikes of checked intensities `x` for a stateless `seed`; see `draws` for its forms."""
        return self.encode_as(x, seed, "uint8")

    def encode_as(self, x, seed, dtype: str):
        """Return the spikes in `dtype`; a subclass has `encode`, or this where it saves a cast."""
        return ops_of(x).cast(self.encode(x, seed), dtype)

    @abstractmethod
    def probability(self, x):
        """Return the float32 marginals of checked intensities `x`."""

    def check(self, inputs, argument: str = "inputs"):
        """Return inputs as a tensor that `encode` takes, or raise an `InputError` that names the argument."""
        return check_intensity(inputs, argument)

    def __call__(self, inputs, *args, **kwargs):
        """Encode `inputs` with fresh randomness."""
        check_dense("inputs", inputs)
        if type(inputs).__module__.startswith("tensorflow.") and backend.name != "tensorflow":
            raise InputError(
                f"inputs must be no tensor of TensorFlow while Keras runs on {backend.name}; in tf.data, "
                "kerasburst.make_dataset encodes on every backend"
            )
        if isinstance(inputs, np.ndarray | list | tuple):
            array = as_tensor(inputs, convert=lambda x: x)  # which Keras would cast, or fail to
            inputs = inputs if isinstance(inputs, np.ndarray) else array
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs):
        """Encode `inputs` with fresh randomness."""
        if self.random and (backend.exporting_onnx() or backend.exporting_litert()):
            raise InputError(
                f"layer {self.name} must be left out of an export to ONNX or LiteRT, which draw no numbers: export it "
                "on spikes, or write a SavedModel with kerasburst.export.savedmodel"
            )
        own = type(self).__module__.startswith("kerasburst.")  # XLA may not compile a user's
        encode = backend.on_gpu(_encode) if own else _encode
        seed = backend.fresh_seed(self.seed_generator)  # not in XLA, which in tf.data may use no variable of a GPU
        return encode(self, self.check(inputs), seed)

    def check_encoded(self, spikes, x):
        """Return what `encode` returned for `x`, or raise an `InputError` for another shape."""
        expected = tuple(self.compute_output_shape(tuple(x.shape)))
        if not fits(spikes.shape, expected):
            raise fail(f"{type(self).__name__}.encode", f"spikes of shape {expected}", tuple(spikes.shape))
        return spikes

    def spike_probability(self, inputs):
        """Return the exact marginals P(spike at t | inputs), float32 `(batch, num_steps, *features)`."""
        return self.probability(self.check(inputs))

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


def _encode(encoder: Encoder, x, seed):
    """Return the spikes of checked intensities `x`."""
    return encoder.check_encoded(encoder.encode_as(x, seed, encoder.compute_dtype), x)


def _passes_on(self, **kwargs):
    """Stand for the constructor of a class that has none of its own."""


def _serialized(value):
    return keras.saving.serialize_keras_object(value) if callable(value) else value
