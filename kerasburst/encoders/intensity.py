"""Intensity maps: f of Poisson-Burst, from an intensity to the probability that a burst starts."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kerasburst.validation import InputError, check_float, fail, shown

NAMES = ("linear", "power")


def resolve(intensity_map: str | Callable, gamma: float) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function that `intensity_map` names, checked on a grid of [0, 1].

    Raises:
        InputError: for an unknown name, or a callable that is not monotone with f(0) = 0, f(1) <= 1.
    """
    check_float("gamma", gamma, above=0.0)
    if not callable(intensity_map):
        if intensity_map not in NAMES:
            raise fail("intensity_map", f"one of {', '.join(NAMES)}, or a callable", intensity_map)
        return tf.identity if intensity_map == "linear" else lambda x: x**gamma
    values = np.asarray(intensity_map(tf.linspace(0.0, 1.0, 257)))
    good = values.shape == (257,) and values[0] == 0.0 and values[-1] <= 1.0 and np.all(np.diff(values) >= 0.0)
    if not good:
        raise InputError(
            "intensity_map must be an elementwise monotone function with f(0) = 0 and f(1) <= 1, "
            f"received {shown(intensity_map)}"
        )
    return intensity_map


def serialize(intensity_map: str | Callable) -> object:
    """Give the map as it stands in a layer's config: a name, or Keras' serialised callable."""
    return keras.saving.serialize_keras_object(intensity_map) if callable(intensity_map) else intensity_map


def deserialize(config: object) -> str | Callable:
    """Undo `serialize`."""
    return keras.saving.deserialize_keras_object(config) if isinstance(config, dict) else config
