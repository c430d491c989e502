"""Surrogate derivatives of the spike, each named for what it is.

A spike is a step of v = mem - threshold, whose derivative is 0 or infinite. Backward, the derivative of
a smooth `primitive` stands in for it. Each surrogate has both, so that one can be checked against the other.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import keras
from keras import ops

from kerasburst.validation import InputError, check_float, fail, one_line, shown, suggestion

Tensor = Any  # of Keras' backend


class Surrogate(ABC):
    """A smooth stand-in for the spike; subclasses define `primitive` and its `derivative`."""

    @abstractmethod
    def primitive(self, v: Tensor) -> Tensor:
        """Return the smooth function whose derivative replaces the step's."""

    @abstractmethod
    def derivative(self, v: Tensor) -> Tensor:
        """Return d primitive / dv, the same shape as `v`."""

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict) -> Surrogate:
        """Build from `get_config`."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        """Equal if of the same kind with the same parameters."""
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash((type(self), *sorted(vars(self).items())))

    def __repr__(self) -> str:
        """Show the constructor call."""
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


@keras.saving.register_keras_serializable("kerasburst")
class ATan(Surrogate):
    """Derivative (alpha/2) / (1 + (pi alpha v / 2)^2); primitive arctan(pi alpha v / 2) / pi + 1/2.

    Example:
        >>> float(ATan(alpha=2.0).derivative(0.0))
        1.0
    """

    def __init__(self, alpha: float = 2.0):
        self.alpha = check_float("alpha", alpha, above=0.0)

    def primitive(self, v):
        """Return arctan(pi alpha v / 2) / pi + 1/2."""
        return ops.arctan(math.pi * self.alpha / 2 * v) / math.pi + 0.5

    def derivative(self, v):
        """Return (alpha/2) / (1 + (pi alpha v / 2)^2)."""
        return (self.alpha / 2) / (1.0 + ops.square(math.pi * self.alpha / 2 * v))


@keras.saving.register_keras_serializable("kerasburst")
class FastSigmoid(Surrogate):
    """Derivative 1 / (1 + k|v|)^2; primitive v / (1 + k|v|).

    Example:
        >>> float(FastSigmoid(slope=25.0).derivative(-0.04))
        0.25
    """

    def __init__(self, slope: float = 25.0):
        self.slope = check_float("slope", slope, above=0.0)

    def primitive(self, v):
        """Return v / (1 + k|v|)."""
        return v / (1.0 + self.slope * ops.abs(v))

    def derivative(self, v):
        """Return 1 / (1 + k|v|)^2."""
        return 1.0 / ops.square(1.0 + self.slope * ops.abs(v))


@keras.saving.register_keras_serializable("kerasburst")
class Sigmoid(Surrogate):
    """Derivative k s (1 - s) with s = sigmoid(k v); primitive s.

    Example:
        >>> float(Sigmoid(slope=4.0).derivative(0.0))
        1.0
    """

    def __init__(self, slope: float = 25.0):
        self.slope = check_float("slope", slope, above=0.0)

    def primitive(self, v):
        """Return sigmoid(k v)."""
        return ops.sigmoid(self.slope * v)

    def derivative(self, v):
        """Return k s (1 - s)."""
        s = ops.sigmoid(self.slope * v)
        return self.slope * s * (1.0 - s)


@keras.saving.register_keras_serializable("kerasburst")
class Triangular(Surrogate):
    """Derivative max(0, 1 - |v|); primitive 1/2 + v - v|v|/2 for |v| <= 1, constant outside.

    Example:
        >>> ops.convert_to_numpy(Triangular().derivative(ops.array([0.0, -0.5, 3.0]))).tolist()
        [1.0, 0.5, 0.0]
    """

    def primitive(self, v):
        """Return 1/2 + v - v|v|/2 with v clipped to [-1, 1]."""
        v = ops.clip(v, -1.0, 1.0)
        return 0.5 + v - v * ops.abs(v) / 2

    def derivative(self, v):
        """Return max(0, 1 - |v|)."""
        return ops.relu(1.0 - ops.abs(v))


@keras.saving.register_keras_serializable("kerasburst")
class StraightThrough(Surrogate):
    """Derivative 1; primitive v.

    Example:
        >>> float(StraightThrough().derivative(5.0))
        1.0
    """

    def primitive(self, v):
        """Return v."""
        return v

    def derivative(self, v):
        """Return 1."""
        return ops.ones_like(v)


SURROGATES: dict[str, type[Surrogate]] = {
    "atan": ATan,
    "fast_sigmoid": FastSigmoid,
    "sigmoid": Sigmoid,
    "triangular": Triangular,
    "straight_through": StraightThrough,
}


def get(surrogate: str | dict | Surrogate) -> Surrogate:
    """Return the surrogate that a name, a call such as "atan(alpha=4)", a serialised config, or an object stands for.

    Raises:
        InputError: for an unknown name; the message lists the known ones.

    Example:
        >>> get("atan"), get("fast_sigmoid(slope=10)")
        (ATan(alpha=2.0), FastSigmoid(slope=10.0))
    """
    if isinstance(surrogate, Surrogate):
        return surrogate
    if isinstance(surrogate, dict):
        try:
            restored = keras.saving.deserialize_keras_object(surrogate)
        except InputError:
            raise
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            reason = one_line(error, 120)
            raise InputError(f"surrogate {shown(surrogate)} is no serialised surrogate ({reason})") from None
        if isinstance(restored, Surrogate):
            return restored
    if isinstance(surrogate, str):
        name, _, argument = surrogate.partition("(")
        parameter, _, value = argument.removesuffix(")").partition("=")
        if name in SURROGATES:
            try:
                return SURROGATES[name](**({parameter.strip(): float(value)} if argument else {}))
            except TypeError:
                raise InputError(f"surrogate {name} has no parameter {parameter.strip()}") from None
            except ValueError as error:
                if isinstance(error, InputError):
                    raise
                raise fail(f"{parameter} of surrogate {name}", "a number", value) from None
    raise InputError(
        f"surrogate must be a Surrogate or one of {', '.join(SURROGATES)}, received {shown(surrogate)}"
        + suggestion(surrogate, SURROGATES)
    )


def spike(v: Tensor, surrogate: Surrogate) -> Tensor:
    """Return 1 where v > 0, else 0; the backward pass uses the surrogate's derivative.

    All neurons of this package fire by this function.

    Args:
        v: membrane minus threshold, any shape.
        surrogate: its derivative in v stands in for the spike's.

    Returns:
        Spikes of v's shape and dtype.

    Example:
        >>> ops.convert_to_numpy(spike(ops.array([-1.0, 0.0, 0.5]), ATan())).tolist()
        [0.0, 0.0, 1.0]
    """

    @ops.custom_gradient
    def step(v):
        def gradient(*inputs, upstream=None):
            upstream = inputs[0] if upstream is None else upstream  # Keras passes it by name on PyTorch alone
            return upstream * surrogate.derivative(v)

        return ops.cast(v > 0.0, v.dtype), gradient

    return step(v)
