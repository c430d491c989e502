"""Predict from a run, an export of any format, or a Keras model: classes, probabilities, spread over encodings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasburst.data.scaling import Scaling
from kerasburst.encoders.base import Encoder
from kerasburst.encoders.functional import check_intensity
from kerasburst.export.examples import read_examples, to_intensities
from kerasburst.export.exporting import load_run
from kerasburst.export.manifest import NAME, read_manifest
from kerasburst.export.network import Network, take_apart
from kerasburst.export.prediction import Prediction
from kerasburst.export.queries import ask, draw_spikes
from kerasburst.export.runtimes import open_spikes_to_logits
from kerasburst.validation import LARGEST, InputError, check_int, one_line, user_path

_BATCH = 128

# (images, seed, queries) -> logits, probabilities, spread
Ask = Callable[[np.ndarray, int, int], dict[str, np.ndarray]]


def predict(
    model: str | Path | keras.Model, x: str | Path | np.ndarray, *, queries: int = 16, seed: int | None = None
) -> Prediction:
    """Ask a model K times of each example, each time with another encoding.

    The same seed gives the same answer, whatever else is asked in the same call. A run, its SavedModel and its other
    exports draw the same spikes from it.

    Args:
        model: a run directory, an export's directory, or a Keras model as `kerasburst.export.export` takes it.
        x: examples `(n, *features)` or one of them, or the path of an .npy, .npz or PNG file that holds them. Integers,
            and tables, are raw values, and scaled as the training data were; floats of images are intensities.
        queries: K, at least 1; one is enough for a deterministic encoder, and more are not asked of it.
        seed: int of at least 0, or None for a fresh one, which the result tells.

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
    if isinstance(x, (str, os.PathLike)):
        x = read_examples(x)
    asked, features, random, scaling, labels = _opened(model)
    x = to_intensities(x, features, scaling)
    queries = queries if random else 1
    try:
        parts = [asked(x[i : i + _BATCH], seed, queries) for i in range(0, len(x), _BATCH)]
    except tf.errors.InvalidArgumentError as error:
        if "must be in the range 0 to 1" not in str(error):
            raise
        raise InputError(
            "input must hold intensities from 0 to 1, as the model's encoder sees it, "
            f"received {x.min():g} to {x.max():g}"
        ) from None
    logits, probabilities, spread = (
        np.concatenate([np.asarray(part[name]) for part in parts]) for name in ("logits", "probabilities", "spread")
    )
    classes = logits.argmax(axis=-1)
    names = tuple(str(c) if labels is None else labels[c] for c in classes)
    return Prediction(classes, names, probabilities, spread, logits, queries, seed)


def _opened(model) -> tuple[Ask, tuple[int, ...], bool, Scaling | None, tuple[str, ...] | None]:
    """Give how to ask a model, the shape of an example, whether its encoder is random, scaling, and labels."""
    if isinstance(model, keras.Model):
        return _of_network(take_apart(model), None, None)
    path = user_path("model", model)
    if (path / NAME).exists():
        return _of_export(path)
    if not (path / "config.json").exists():
        raise InputError(f"model must be a run directory or an export, {path} has neither config.json nor {NAME}")
    network, scaling, labels = load_run(path)
    return _of_network(take_apart(network), scaling, labels)


def _of_network(network: Network, scaling, labels):
    if network.encoder is None:
        raise _takes_spikes()
    graph = tf.function(
        lambda images, seed, queries: ask(network, images, seed, queries), reduce_retracing=True, autograph=False
    )
    return _through(graph), network.features, network.encoder.random, scaling, labels


def _takes_spikes() -> InputError:
    return InputError("model must have an encoder inside to predict from examples, received one that takes spikes")


def _through(signature) -> Ask:
    def asked(images, seed, queries):
        return signature(
            images=tf.constant(images, tf.float32),
            seed=tf.constant(seed, tf.int64),
            queries=tf.constant(queries, tf.int32),
        )

    return asked


def _of_export(path: Path):
    manifest = read_manifest(path)
    if manifest["encoder"] is None:
        raise _takes_spikes()
    scaling = manifest["preprocessing"]["scaling"]
    scaling = None if scaling is None else Scaling.from_json(scaling)
    labels = None if manifest["labels"] is None else tuple(manifest["labels"])
    if manifest["kind"] == "savedmodel":
        try:
            loaded = tf.saved_model.load(str(path))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise InputError(f"{path} cannot be loaded: {one_line(error)}") from None
        # A signature belongs to its model, and dies with it.
        asked = _through(loaded.signatures["seeded"])
        asked.loaded = loaded
    else:
        if manifest["layers_before_encoder"]:
            raise InputError(f"{path} lacks the layers before the encoder; the SavedModel of this model has them")
        try:
            encoder = keras.saving.deserialize_keras_object(manifest["encoder"])
        except (TypeError, ValueError) as error:
            raise InputError(f"{path} has an encoder that is not known here: {one_line(error)}") from None
        asked = _by_spikes(encoder, open_spikes_to_logits(path, manifest))
    return asked, tuple(manifest["features"]), manifest["random"], scaling, labels


def _by_spikes(encoder: Encoder, logits_of: Callable[[np.ndarray], np.ndarray]) -> Ask:
    """Ask a format that has no encoder: encode here."""

    def asked(images, seed, queries):
        x = check_intensity(images, "input")
        logits = []
        for query in range(queries):
            spikes = draw_spikes(encoder, x, tf.constant(seed, tf.int64), tf.constant(query))
            logits.append(logits_of(spikes.numpy().astype("float32")))
        p = tf.nn.softmax(np.stack(logits)).numpy()
        mean = np.mean(logits, axis=0)
        return {"logits": mean, "probabilities": tf.nn.softmax(mean).numpy(), "spread": p.std(axis=0)}

    return asked
