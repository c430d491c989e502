"""Load saved models that hold our layers."""

from __future__ import annotations

import importlib
from pathlib import Path

import keras


def load_model(path: str | Path) -> keras.Model:
    """Load a `.keras` file: a network of ours, or any Keras model composed from our layers.

    `keras.saving.load_model` does the same in a process that has already used the classes in the file.

    Args:
        path: the file, such as a run directory's model.keras.

    Example:
        >>> import tempfile
        >>> from kerasburst.models import SNNFCNet
        >>> network = SNNFCNet(2, hidden_units=4)
        >>> _ = network(keras.ops.zeros((1, 3, 5)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     network.save(f"{folder}/model.keras")
        ...     load_model(f"{folder}/model.keras").hidden_units
        4
    """
    importlib.import_module("kerasburst.layers")

    return keras.saving.load_model(path)
