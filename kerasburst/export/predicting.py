"""Predict from a run, an export of any format, or a Keras model: classes, probabilities, spread over encodings."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kerasburst import backend
from kerasburst.data.scaling import Scaling
from kerasburst.export.examples import read_examples, to_intensities
from kerasburst.export.exporting import load_run
from kerasburst.export.formats import NAME, Ask, Manifest, ask_spikes, read_manifest
from kerasburst.export.network import Network, asked_by
from kerasburst.models.base import SpikingNetwork
from kerasburst.registry import FORMATS
from kerasburst.training.run_directory import RunDirectory
from kerasburst.validation import LARGEST, InputError, check_int, one_line, user_path

_BATCH = 128
_OUT_OF_RANGE = {"range 0 to 1": "intensities from 0 to 1", "spikes, each 0 or 1": "spikes, each 0 or 1"}


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """Classes and probabilities of n examples, over K encodings of each.

    Args:
        classes: the class with the largest mean logit, `(n,)`.
        labels: its name for each example; the class's number if no names are known.
        probabilities: softmax of the mean logits over the encodings, `(n, C)`.
        spread: standard deviation of the single encodings' probabilities, `(n, C)`; 0 if there is one encoding.
        logits: mean over the encodings, `(n, C)`.
        queries: K, encodings of each example; 1 for a deterministic encoder.
        seed: seed of the encodings.
    """

    classes: np.ndarray
    labels: tuple[str, ...]
    probabilities: np.ndarray
    spread: np.ndarray
    logits: np.ndarray
    queries: int
    seed: int

    def to_json(self) -> dict:
        """Return the prediction as JSON values, an object for each example."""
        return {
            "queries": self.queries,
            "seed": self.seed,
            "predictions": [
                {
                    "class": int(c),
                    "label": self.labels[i],
                    "probability": float(self.probabilities[i, c]),
                    "spread": float(self.spread[i, c]),
                    "probabilities": self.probabilities[i].tolist(),
                    "spreads": self.spread[i].tolist(),
                    "logits": self.logits[i].tolist(),
                }
                for i, c in enumerate(self.classes)
            ],
        }


def predict(
    model: str | Path | keras.Model, x: str | Path | np.ndarray, *, queries: int = 16, seed: int | None = None
) -> Prediction:
    """Classify examples, each with K encodings.

    The same seed gives the same answer, whatever other examples are in the call. A run, its SavedModel and its other
    exports draw the same spikes from it.

    Args:
        model: a run directory, an export's directory, or a Keras model as `kerasburst.export.export` takes it.
        x: examples `(n, *features)` or one of them, or the path of an .npy, .npz or PNG file with examples, or of a
            recording of events, which is binned as the run's data were. Integers and tables are raw values and are
            scaled as the training data were; floats of images are intensities.
        queries: K, at least 1; always 1 with a deterministic encoder.
        seed: int of at least 0, or None for a fresh one, which the result has.

    Returns:
        Classes, probabilities, and their spread over the encodings.

    Raises:
        InputError: for a model that cannot be asked, a file that cannot be read, or examples that do not fit.

    Example:
        >>> from kerasburst.encoders.rate import RateEncoder
        >>> from kerasburst.models import SNNFCNet
        >>> network = SNNFCNet(3, hidden_units=4, encoder=RateEncoder(6), seed=0)
        >>> network.build((None, 5))
        >>> answer = predict(network, np.full((2, 5), 0.5), queries=4, seed=7)
        >>> answer.probabilities.shape, answer.queries, answer.seed
        ((2, 3), 4, 7)
    """
    check_int("queries", queries, low=1, high=LARGEST)
    seed = int.from_bytes(os.urandom(4), "little") >> 1 if seed is None else check_int("seed", seed, 0, LARGEST)
    opened = _open(model)
    if isinstance(x, (str, os.PathLike)):
        x = read_examples(x, opened.features, opened.data)
    x = to_intensities(x, opened.features, opened.scaling, counts=bool(opened.data.get("counts")))
    if x.dtype == np.int8 and not opened.masks:
        raise InputError(
            "input must fill all steps for an export, received steps that are padding; predict with the run"
        )
    queries = queries if opened.random else 1
    try:
        parts = [opened.ask(x[i : i + _BATCH], seed, queries) for i in range(0, len(x), _BATCH)]
    except tf.errors.InvalidArgumentError as error:
        what = next((words for sign, words in _OUT_OF_RANGE.items() if sign in str(error)), None)
        if what is None:
            raise
        came = f"received {x.min():g} to {x.max():g}"
        raise InputError(f"input must hold {what}, as the model's encoder sees it, {came}") from None
    logits, probabilities, spread = (
        np.concatenate([np.asarray(part[name]) for part in parts]) for name in ("logits", "probabilities", "spread")
    )
    classes = logits.argmax(axis=-1)
    names = tuple(str(c) if opened.labels is None else opened.labels[c] for c in classes)
    return Prediction(classes, names, probabilities, spread, logits, queries, seed)


@dataclasses.dataclass(frozen=True)
class _Opened:
    """A model that can be asked; `random`: whether its encoder is; `masks`: whether it takes padding, -1 in int8.

    `data` is how the data of its run was read.
    """

    ask: Ask
    features: tuple[int, ...]
    random: bool
    scaling: Scaling | None = None
    labels: tuple[str, ...] | None = None
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    masks: bool = True


def _open(model) -> _Opened:
    if isinstance(model, keras.Model):
        return _open_network(model)
    path = user_path("model", model)
    if (path / NAME).exists():
        return _open_export(path)
    if not (path / "config.json").exists():
        raise InputError(f"model must be a run directory or an export, {path} has neither config.json nor {NAME}")
    network, scaling, labels = load_run(path)
    opened = _open_network(network, scaling, labels)
    return dataclasses.replace(opened, data=RunDirectory(path).config().data)


def _open_network(model: keras.Model, scaling: Scaling | None = None, labels=None) -> _Opened:
    if backend.name != "tensorflow":
        return _open_elsewhere(model, scaling, labels)
    network = Network(model)
    _check_encoder(network.encoder)
    ask = asked_by(tf.function(network.ask, reduce_retracing=True, autograph=False))
    return _Opened(ask, network.features, network.encoder.random, scaling, labels)


def _open_elsewhere(model: keras.Model, scaling: Scaling | None, labels) -> _Opened:
    """Open a network on JAX or PyTorch; the encoder draws what it draws on TensorFlow."""
    if not isinstance(model, SpikingNetwork):
        raise InputError(
            f"model must be one of our networks while Keras runs on {backend.name}, received {type(model).__name__}: "
            "other models are asked on TensorFlow"
        )
    encoder, network = model.encoder, model.with_encoder(None)
    _check_encoder(encoder)

    def logits_of(spikes):
        return ops.convert_to_numpy(network.probe_batch(spikes, len(spikes))[0])

    features = tuple(model.spikes_shape[1 if encoder.encoded else 2 :])
    return _Opened(ask_spikes(encoder, logits_of), features, encoder.random, scaling, labels)


def _open_export(path: Path) -> _Opened:
    manifest = read_manifest(path)
    _check_encoder(manifest.encoder)
    if manifest.kind not in FORMATS:
        raise InputError(f"{path} is an export of an unknown kind, {manifest.kind!r}")
    ask = FORMATS[manifest.kind]().ask(path, manifest)
    manifest.check_files(path)  # after loading, which says more of a damaged file
    scaling = manifest.preprocessing.scaling
    ask = _refusing(ask, path, manifest)
    return _Opened(ask, manifest.features, manifest.random, scaling, manifest.labels, manifest.data, masks=False)


def _refusing(ask: Ask, path: Path, manifest: Manifest) -> Ask:
    """Return `ask`, which refuses an export whose model does not take what its manifest says, as after an edit."""

    def asked(images, seed, queries):
        try:
            return ask(images, seed, queries)
        except (InputError, MemoryError, OSError, tf.errors.ResourceExhaustedError):
            raise
        except Exception as error:  # whatever the format's runtime raises for another shape
            if any(sign in str(error) for sign in _OUT_OF_RANGE):
                raise
            says = f"num_steps is {manifest.num_steps} and features is {list(manifest.features)}"
            raise InputError(
                f"{path / NAME} must describe the model beside it; there {says}, which it does not take "
                f"({one_line(error, 200)})"
            ) from None

    return asked


def _check_encoder(encoder) -> None:
    if encoder is None:
        raise InputError("model must have an encoder inside to predict from examples, received one that takes spikes")
