"""What a network's weights are, in one line."""

from __future__ import annotations

import hashlib

import keras
import numpy as np


def weights_hash(model: keras.Model | keras.layers.Layer) -> str:
    """Give the SHA-256 (hex) of a model's or a layer's weights, in order, types and shapes included.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
        >>> weights_hash(model) == weights_hash(keras.models.clone_model(model))
        True
    """
    digest = hashlib.sha256()
    for value in model.get_weights():
        digest.update(f"|{value.dtype.str} {value.shape}|".encode())
        digest.update(np.ascontiguousarray(value))
    return digest.hexdigest()
