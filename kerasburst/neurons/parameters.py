"""A neuron's parameters: a number, a value for each neuron, or an initializer; trained or not."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops

from kerasburst.validation import InputError, check_float, fail

Value: TypeAlias = float | np.ndarray | keras.initializers.Initializer


@dataclass(frozen=True)
class Parameter:
    """What one parameter may be, and whether it is trained.

    Args:
        name: of the constructor's argument.
        value: checked, see `checked`.
        bounds: as for `kerasburst.validation.check_float`. A weight is clipped to `low` and `high` where it is used,
            and a trained one kept at `above` + 0.001 or more.
        trainable: whether it is trained.
        per_neuron: whether a trained number becomes a value for each neuron.
        regularizer: of the trained weight.
        constraint: likewise.
    """

    name: str
    value: Value
    bounds: dict[str, float]
    trainable: bool = False
    per_neuron: bool = False
    regularizer: Any = None
    constraint: Any = None

    def add_to(self, layer: keras.layers.Layer, features: tuple[int | None, ...]) -> keras.Variable | None:
        """Create the weight of neurons of shape `features`; None for a number that is not trained.

        Raises:
            InputError: for an array that does not broadcast to `features`, or features of unknown size.
        """
        is_number = isinstance(self.value, float)
        if is_number and not self.trainable:
            return None
        whole = self.per_neuron or isinstance(self.value, keras.initializers.Initializer)
        if whole and None in features:
            what = "per_neuron" if self.per_neuron else f"an initializer of {self.name}"
            raise InputError(f"{what} needs features of known size, received {features}")
        shape: Any = features if whole else ()
        start = self.value
        if isinstance(self.value, np.ndarray):
            shape = shape or self.value.shape
            _check_shape(self.name, self.value.shape, features)
        if not isinstance(start, keras.initializers.Initializer):
            array = np.broadcast_to(np.asarray(start, "float64"), shape)

            def start(shape, dtype=None):
                return ops.convert_to_tensor(array, dtype)

        return layer.add_weight(
            name=self.name,
            shape=shape,
            initializer=start,
            trainable=self.trainable,
            regularizer=self.regularizer,
            constraint=self._constrain if self.trainable else None,
            autocast=False,
        )

    def read(self, weight: keras.Variable, dtype: str) -> Any:
        """Return the weight inside its bounds as a tensor of `dtype`."""
        value = ops.cast(ops.convert_to_tensor(weight), dtype)
        return bounded(value, self.bounds.get("low"), self.bounds.get("high"))

    def _constrain(self, value):
        if self.constraint is not None:
            value = self.constraint(value)
        if "above" not in self.bounds:
            return value
        return bounded(ops.convert_to_tensor(value), self.bounds["above"] + 1e-3, None)  # JAX passes the variable


def bounded(value: Any, low: float | None, high: float | None) -> Any:
    """Clip a tensor; at the bounds themselves the gradient passes, on every backend.

    Example:
        >>> ops.convert_to_numpy(bounded(ops.array([-1.0, 0.5, 2.0]), 0.0, 1.0)).tolist()
        [0.0, 0.5, 1.0]
    """
    if low is not None:
        value = ops.where(value < low, ops.cast(low, value.dtype), value)
    return value if high is None else at_most(value, high)


def at_most(value: Any, high: float) -> Any:
    """Return min(value, high) in the tensor's dtype; Keras' minimum of two float64 is float32 on PyTorch."""
    return ops.where(value > high, ops.cast(high, value.dtype), value)


def checked(name: str, value: object, **bounds: float) -> Value:
    """Return a parameter as a float, an array, or an initializer.

    Args:
        name: of the argument.
        value: a number; an array or nested lists of numbers, which must broadcast to the neurons; or a Keras
            initializer, its config or its name, which draws a value for each neuron.
        **bounds: as for `kerasburst.validation.check_float`.

    Raises:
        InputError: for anything else, or a number out of bounds.

    Example:
        >>> checked("beta", 1, low=0.0, high=1.0), checked("beta", [0.5, 0.9], low=0.0, high=1.0)
        (1.0, array([0.5, 0.9]))
    """
    if isinstance(value, keras.initializers.Initializer):
        return value
    if isinstance(value, str | dict):
        try:
            return keras.initializers.get(value)
        except (ValueError, TypeError, KeyError, AttributeError):
            return check_float(name, value, **bounds)  # raises: no number
    if isinstance(value, list | tuple) or (hasattr(value, "shape") and tuple(value.shape)):
        try:
            array = np.asarray(ops.convert_to_numpy(value) if ops.is_tensor(value) else value, "float64")
        except (TypeError, ValueError):
            raise fail(name, "numbers in the shape of the neurons", value) from None
        for number in array.ravel():
            check_float(name, float(number), **bounds)
        return array
    if hasattr(value, "shape") and not isinstance(value, numbers.Real):
        value = np.asarray(ops.convert_to_numpy(value)).item()
    return check_float(name, value, **bounds)


def _check_shape(name: str, shape: tuple[int, ...], features: tuple[int | None, ...]) -> None:
    padded = (1,) * (len(features) - len(shape)) + shape
    fits = len(padded) == len(features) and all(
        size == 1 or known is None or size == known for size, known in zip(padded, features, strict=True)
    )
    if not fits:
        raise fail(name, f"of a shape that broadcasts to the neurons' {features}", shape)
