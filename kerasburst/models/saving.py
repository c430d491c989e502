"""Load saved models that contain our layers, and fingerprint weights."""

from __future__ import annotations

import hashlib
import importlib
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np

from kerasburst import files
from kerasburst.validation import InputError, one_line, user_path


def load_model(path: str | Path) -> keras.Model:
    """Load a `.keras` file: one of our networks, or any Keras model composed from our layers.

    Args:
        path: the file, such as a run directory's model.keras.

    Raises:
        InputError: where it cannot be read, is damaged, or needs more memory than there is.

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
    path = user_path("model", path)
    try:
        with files.reading(path) as file, zipfile.ZipFile(file) as archive:
            files.check_memory(str(path), sum(entry.file_size for entry in archive.infolist()))
            files.parse_json(archive.read("config.json"), f"{path}: config.json")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras says more than once what it then raises
            model = keras.saving.load_model(path)
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from None
    except Exception as error:  # a damaged archive raises nearly anything
        raise InputError(f"{path} cannot be loaded: {one_line(error, 200)}") from None
    for variable in model.variables:
        if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
            raise InputError(f"{path}: {variable.path} must hold finite numbers, received NaN or infinity")
    return model


def save_model(model: keras.Model, path: str | Path) -> None:
    """Save a `.keras` file as a whole or not at all; a process that is killed leaves nothing outside of its folder."""
    with files.replacing(path) as temporary, files.temporary_place(Path(path).parent):
        model.save(temporary)


def load_recorded(model_path: str | Path, record_path: str | Path) -> tuple[keras.Model, dict] | None:
    """Load a model and the record of its training.

    Args:
        model_path: a `.keras` file.
        record_path: JSON with the model's `weights_hash` as "weights".

    Returns:
        The model and the record; None where they are missing, damaged, or do not belong together.
    """
    try:
        record, model = files.read_json(record_path), load_model(model_path)
        return (model, record) if record["weights"] == weights_hash(model) else None
    except Exception:  # damaged in any way: the caller trains anew
        return None


def weights_hash(model: keras.Model | keras.layers.Layer) -> str:
    """Compute the SHA-256 (hex) of a model's or a layer's weights, in order, types and shapes included.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
        >>> weights_hash(model) == weights_hash(keras.models.clone_model(model))
        True
    """
    digest = hashlib.sha256()
    for value in model.get_weights():
        digest.update(f"|{value.dtype.str} {value.shape}|".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
