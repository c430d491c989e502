"""What the burst encoders share: an intensity map, the law of a burst's size, and how both are trained."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy import special

from kerasburst import backend
from kerasburst.encoders.base import Encoder
from kerasburst.encoders.draws import burst_survival
from kerasburst.validation import InputError, check_bool, check_choice, check_float, fail, shown

MAPS = ("linear", "power")
GRADIENTS = ("straight_through", "score_function")
PIECES = 8  # of a trained linear map, each 1 / PIECES wide
LEAST = 1e-3  # that trained parameters are kept at
_EXTENT = ("min", "mean", "max")


def linear(x):
    """Return `x`: the map of intensities to themselves."""
    return x


def resolve_map(intensity_map: str | Callable, gamma: float) -> Callable:
    """Return the function that `intensity_map` names, checked on a grid of [0, 1].

    Raises:
        InputError: for an unknown name, or a callable that is not monotone with f(0) = 0, f(1) <= 1.
    """
    check_float("gamma", gamma, above=0.0)
    if not callable(intensity_map):
        if intensity_map not in MAPS:
            raise fail("intensity_map", f"one of {', '.join(MAPS)}, or a callable", intensity_map)
        return linear if intensity_map == "linear" else lambda x: x**gamma
    grid = keras.ops.convert_to_tensor(np.linspace(0.0, 1.0, 257, dtype="float32"))
    values = keras.ops.convert_to_numpy(intensity_map(grid))
    good = values.shape == (257,) and values[0] == 0.0 and values[-1] <= 1.0 and np.all(np.diff(values) >= 0.0)
    if not good:
        raise InputError(
            "intensity_map must be an elementwise monotone function with f(0) = 0 and f(1) <= 1, "
            f"received {shown(intensity_map)}"
        )
    return intensity_map


class BurstEncoder(Encoder):
    """The base class of burst encoders, whose mean burst size lambda and intensity map f can be trained.

    Inside a network they are trained like any weight: `mean_burst_size` is lambda, kept at 0.001 or more;
    `intensity_map` is the exponent of a "power" map, kept at 0.001 or more, or the slopes of a "linear" one, which
    becomes piecewise linear on 8 equal pieces of [0, 1], each slope kept positive and f(1) at most 1.

    Args:
        num_steps: T, time steps, at least 1.
        mean_burst_size: lambda, spikes, above 0; where it is trained, the value it begins with.
        intensity_map: f, monotone with f(0) = 0 and f(1) <= 1: "linear" (x), "power" (x**gamma), or a
            callable that Keras can serialise, which cannot be trained.
        gamma: exponent of "power", above 0; where it is trained, the value it begins with.
        trainable_burst_size: whether lambda is trained.
        trainable_intensity_map: whether f is trained.
        per_feature: whether each input feature has trained values of its own, instead of one for all.
        gradient: "straight_through" or "score_function"; used where something is trained.
        temperature: width of the straight-through derivative, in probability, above 0.
        seed: int of at least 0 that fixes the sequence of draws, or None.
        **kwargs: as for `keras.layers.Layer`.
    """

    def __init__(
        self,
        num_steps: int,
        *,
        mean_burst_size: float,
        intensity_map: str | Callable,
        gamma: float,
        trainable_burst_size: bool,
        trainable_intensity_map: bool,
        per_feature: bool,
        gradient: str,
        temperature: float,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_steps, seed=seed, **kwargs)
        self.mean_burst_size = check_float("mean_burst_size", mean_burst_size, above=0.0)
        self.intensity_map = (
            keras.saving.deserialize_keras_object(intensity_map) if isinstance(intensity_map, dict) else intensity_map
        )
        self.gamma = check_float("gamma", gamma, above=0.0)
        self.trainable_burst_size = check_bool("trainable_burst_size", trainable_burst_size)
        self.trainable_intensity_map = check_bool("trainable_intensity_map", trainable_intensity_map)
        self.per_feature = check_bool("per_feature", per_feature)
        self.gradient = check_choice("gradient", gradient, GRADIENTS)
        self.temperature = check_float("temperature", temperature, above=0.0)
        self._map = resolve_map(self.intensity_map, gamma)
        if trainable_intensity_map and callable(self.intensity_map):
            raise fail("intensity_map", f"one of {', '.join(MAPS)} to be trained", self.intensity_map)
        if trainable_burst_size and mean_burst_size < LEAST:
            raise fail("mean_burst_size", f"at least {LEAST:g} to be trained", mean_burst_size)
        if trainable_intensity_map and self.intensity_map == "power" and gamma < LEAST:
            raise fail("gamma", f"at least {LEAST:g} to be trained", gamma)
        self._size = self._shape = None  # the weights, where lambda and f are trained
        self.built = not self.is_trained

    @property
    def is_trained(self) -> bool:
        """Whether lambda or f is a weight."""
        return self.trainable_burst_size or self.trainable_intensity_map

    def build(self, input_shape):
        """Create the trained weights for inputs of shape `(batch, *features)`.

        Raises:
            InputError: where each feature is to have a value and their number is not known.
        """
        features = tuple(input_shape[1:]) if self.per_feature else ()
        self._features = features
        if self.is_trained and None in features:
            raise fail("inputs", "of known features for per_feature", tuple(input_shape))
        if self.trainable_burst_size:
            self._size = self._weight("mean_burst_size", features, self.mean_burst_size, _at_least)
        if self.trainable_intensity_map and self.intensity_map == "power":
            self._shape = self._weight("intensity_map", features, self.gamma, _at_least)
        elif self.trainable_intensity_map:
            self._shape = self._weight("intensity_map", (PIECES, *features), 1.0, _slopes)
        self.built = True

    def _weight(self, name: str, shape: tuple, value: float, constraint: Callable) -> keras.Variable:
        start = keras.initializers.Constant(value)
        return self.add_weight(
            name=name, shape=shape, initializer=start, constraint=constraint, dtype="float32", autocast=False
        )

    def check(self, inputs, argument: str = "inputs"):
        """Return intensities as a tensor after checking them, and create the weights for them if they are missing."""
        x = super().check(inputs, argument)
        if not self.built:
            self.build(tuple(x.shape))
        return x

    def trained_values(self) -> dict[str, np.ndarray]:
        """Return the present values of what is trained, by the weight's name.

        Example:
            >>> from kerasburst.encoders.poisson_burst import PoissonBurstEncoder
            >>> encoder = PoissonBurstEncoder(4, mean_burst_size=2.0, trainable_burst_size=True)
            >>> _ = encoder.spike_probability([[0.5]])
            >>> {name: float(value) for name, value in encoder.trained_values().items()}
            {'mean_burst_size': 2.0}
        """
        weights = {"mean_burst_size": self._size, "intensity_map": self._shape}
        return {name: ops.convert_to_numpy(weight) for name, weight in weights.items() if weight is not None}

    def summary(self) -> dict:
        """Return `trained_values` as JSON values; of values for each feature their least, mean and greatest."""
        found: dict[str, Any] = {}
        for name, values in self.trained_values().items():
            found[name] = values.tolist()
            if self.per_feature:
                over = tuple(range(values.ndim))[1 if values.ndim == len(self._features) + 1 else 0 :]
                found[name] = {f"{each}_over_features": getattr(values, each)(axis=over).tolist() for each in _EXTENT}
        return found

    def mapped(self, x):
        """Return f(x) of checked intensities `x`, `(batch, *features)`."""
        if self._shape is None:
            return self._map(x)
        shape = _value(self._shape, x)
        if self.intensity_map != "power":
            clip = backend.of(x).ops.clip
            return sum(shape[i] * clip(x - i / PIECES, 0.0, 1.0 / PIECES) for i in range(PIECES))
        if isinstance(shape, np.ndarray):
            return x**shape
        return ops.where(x > 0.0, ops.exp(shape * ops.log(ops.where(x > 0.0, x, 1.0))), 0.0)  # no NaN as gradient at 0

    def sizes(self, x, length: int) -> Any:
        """Return SF(j) = P(N > j) for j in 0..length-1, `(length,)` or `(length, *features)`, a tensor if trained."""
        value = self.mean_burst_size if self._size is None else _value(self._size, x)
        known = isinstance(value, float | np.ndarray)
        return burst_survival(value, length).astype("float32") if known else survival(value, length)

    def size_probabilities(self, x, length: int) -> Any:
        """Return P(N = j) for j in 0..length-1, as `sizes` does."""
        if self._size is None:
            return -np.diff(burst_survival(self.mean_burst_size, length), prepend=1.0).astype("float32")
        return probability_of_size(_value(self._size, x), length)

    def log_prob(self, inputs, spikes):
        """Return the log-probability of spikes, in closed form and differentiable in what is trained.

        Args:
            inputs: intensities `(batch, *features)`, values in [0, 1].
            spikes: `(batch, num_steps, *features)`, 0 or 1, which are taken as given: no gradient passes through them.

        Returns:
            float32 `(batch,)`, summed over the features, which are independent; -inf for what is never drawn.

        Example:
            >>> from kerasburst.encoders.poisson_burst import PoissonBurstEncoder
            >>> encoder = PoissonBurstEncoder(2, burst_interval=2, mean_burst_size=2.0)
            >>> log_p = encoder.log_prob([[0.5]], keras.ops.array([[[1.0], [0.0]]]))
            >>> round(float(keras.ops.exp(log_p[0])), 4)  # 0.5 P(N = 1)
            0.1353
        """
        x, spikes = self.check(inputs), ops.stop_gradient(ops.cast(ops.convert_to_tensor(spikes), "float32"))
        if tuple(spikes.shape[1:]) != (self.num_steps, *x.shape[1:]):
            raise fail("spikes", f"of shape {('batch', self.num_steps, *x.shape[1:])}", tuple(spikes.shape))
        log_p = self.train_log_prob(x, spikes)
        return ops.sum(ops.reshape(log_p, (ops.shape(log_p)[0], -1)), axis=1)

    @abstractmethod
    def train_log_prob(self, x, spikes):
        """Return the log-probability of each feature's spikes, `(batch, *features)`, of checked arguments."""

    def softness(self, dtype: str) -> float | None:
        """Return the temperature where spikes in `dtype` have a straight-through derivative, else None."""
        return self.temperature if self.is_trained and self.gradient == GRADIENTS[0] and dtype != "uint8" else None


def _at_least(value):
    return ops.maximum(value, LEAST)


def _slopes(value):
    value = ops.maximum(value, LEAST)
    return value / ops.maximum(ops.mean(value, axis=0, keepdims=True), 1.0)  # f(1) is their mean


def _value(weight: keras.Variable, x) -> Any:
    """Return a weight as a tensor that computes with `x`; in tf.data of another backend as an array."""
    if backend.name != "tensorflow" and type(x).__module__.startswith("tensorflow."):
        return ops.convert_to_numpy(weight)
    return ops.convert_to_tensor(weight) + 0.0  # a tensor, where TensorFlow would return its variable


def straight_through(v, temperature: float):
    """Return 1.0 where v > 0, else 0.0; backward the derivative of sigmoid(v / temperature).

    Example:
        >>> straight_through(keras.ops.array([-0.1, 0.0, 0.1]), 0.5).numpy().tolist()
        [0.0, 0.0, 1.0]
    """
    return ops.cast(v > 0.0, v.dtype) + only_gradient(ops.sigmoid(v / temperature))


def only_gradient(value):
    """Return zeros with the gradient of `value`."""
    return value - ops.stop_gradient(value)


def probability_of_size(mean_burst_size, length: int):
    """Return P(N = j) for N ~ Poisson(mean_burst_size), j in 0..length-1, of a float32 tensor.

    exp(-j phi(lambda / j)) j**j e**-j / j! with phi(r) = r - 1 - log(r): no large terms cancel, so that float32 is
    enough for any lambda.

    Example:
        >>> [round(float(p), 4) for p in probability_of_size(keras.ops.array(2.0), 3)]
        [0.1353, 0.2707, 0.2707]
    """
    j = np.arange(length, dtype="float64")
    peak = np.exp(special.xlogy(j, j) - j - special.gammaln(j + 1.0))
    column = (length, *(1,) * len(mean_burst_size.shape))
    at, none, peak = (ops.convert_to_tensor(a.astype("float32").reshape(column)) for a in (j.clip(1.0), j == 0, peak))
    ratio, excess = mean_burst_size / at, (mean_burst_size - at) / at
    near = ops.abs(excess) < 0.5
    away = at * (excess - ops.where(near, ops.log1p(ops.where(near, excess, 0.0)), ops.log(ratio)))
    return peak * ops.exp(-ops.where(none > 0.0, mean_burst_size + ops.zeros_like(away), away))


def survival(mean_burst_size, length: int):
    """Return SF(j) = P(N > j) for N ~ Poisson(mean_burst_size), j in 0..length-1, of a float32 tensor.

    d SF(j) / d lambda = P(N = j), exactly.

    Example:
        >>> [round(float(p), 4) for p in survival(keras.ops.array(2.0), 2)]
        [0.8647, 0.594]
    """
    terms = length + 8 * int(length**0.5) + 20  # beyond them nothing is left where a tail is summed

    @ops.custom_gradient
    def sf(value):
        p = probability_of_size(value, terms)
        above = ops.flip(ops.cumsum(ops.flip(p, 0), 0), 0)[1 : length + 1]
        up_to = ops.cumsum(p, 0)[:length]
        found = ops.where(up_to < 0.5, 1.0 - up_to, above)  # a small tail as 1 - up_to would lose its digits

        def gradient(*inputs, upstream=None):
            upstream = inputs[0] if upstream is None else upstream  # Keras passes it by name on PyTorch alone
            return ops.sum(upstream * probability_of_size(value, length), axis=0)

        return ops.clip(found, 0.0, 1.0), gradient

    return sf(mean_burst_size)
