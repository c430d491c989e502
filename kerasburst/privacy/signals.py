"""Ask Keras models about examples, and return their answers as arrays.

A stochastic encoder is asked K times, each time with new encodings. Members and non-members go through the model in
one seeded, shuffled order, so that only the model can distinguish them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasburst import files
from kerasburst.data.pipeline import make_dataset
from kerasburst.encoders.base import Encoder
from kerasburst.models.base import SpikingNetwork
from kerasburst.seeding import derive_seed
from kerasburst.validation import InputError, check_choice, check_int, fail

OUTPUTS = ("logits", "probabilities")


@dataclass(frozen=True)
class Signals:
    """A model's answers about n examples, K queries each.

    Args:
        logits: float32 `(n, K, C)`.
        trace: the output neurons' membrane, float32 `(n, K, T, C)`; None for a model without one.
    """

    logits: np.ndarray
    trace: np.ndarray | None = None

    @property
    def queries(self) -> int:
        """K, queries of each example."""
        return self.logits.shape[1]


def collect_signals(
    model: keras.Model,
    x: np.ndarray,
    *,
    encoder: Encoder | None = None,
    queries: int = 1,
    seed: int = 0,
    batch_size: int = 128,
    outputs: str = "logits",
) -> Signals:
    """Ask a classifier about examples.

    Args:
        model: any Keras classifier. It returns logits `(batch, C)`, or a membrane trace `(batch, T, C)` whose last step
            is the logits; a `SpikingNetwork` returns both.
        x: the model's inputs, `(n, ...)`; with `encoder`, intensities in [0, 1].
        encoder: encodes `x` again for each query; None for a model that takes `x` itself.
        queries: K, at least 1. A deterministic encoder is asked once, whatever K.
        seed: of the encodings and the order. The first queries of a larger K are those of a smaller K.
        batch_size: examples at once.
        outputs: "logits", or "probabilities" for a model that ends with a softmax.

    Raises:
        InputError: for bad arguments, or if all of several queries get the same answers.

    Example:
        >>> from kerasburst.encoders.rate import RateEncoder
        >>> from kerasburst.models.snn_fc_net import SNNFCNet
        >>> x = np.full((3, 4), 0.5, "float32")
        >>> signals = collect_signals(SNNFCNet(2, hidden_units=5), x, encoder=RateEncoder(6), queries=2)
        >>> signals.logits.shape, signals.trace.shape
        ((3, 2, 2), (3, 2, 6, 2))
    """
    queries = check_int("queries", queries, low=1)
    check_choice("outputs", outputs, OUTPUTS)
    x = np.asarray(x)
    if x.ndim < 2 or len(x) == 0:
        raise fail("x", "at least one example with features", f"shape {x.shape}")
    if encoder is not None and not encoder.random:
        queries = 1
    if encoder is not None and queries > 1:
        _check_fresh(encoder, x[:batch_size], seed)
    if encoder is None:
        batches = _plain_batches(x, batch_size, seed, queries)
    else:
        batches = make_dataset(x, np.arange(len(x)), encoder, batch_size, seed, shuffle=True, num_epochs=queries)
    ask = _asker(model, min(batch_size, len(x)))
    logits = trace = None
    position = 0
    for inputs, index in batches:
        query = position // len(x)
        position += len(index)
        index = np.asarray(index)
        batch_logits, batch_trace = (None if part is None else part.numpy() for part in ask(inputs))
        if logits is None:
            logits = np.empty((len(x), queries, *batch_logits.shape[1:]), np.float32)
            trace = None if batch_trace is None else np.empty((len(x), queries, *batch_trace.shape[1:]), np.float32)
        logits[index, query] = batch_logits
        if trace is not None:
            trace[index, query] = batch_trace
    if encoder is None and queries > 1 and np.array_equal(logits[:, 0], logits[:, 1]):
        raise fail("queries", "1 for a model that answers all of them alike", queries)
    if outputs == "probabilities":
        logits = np.log(np.maximum(logits, 1e-12))
    return Signals(logits, trace)


def fed_probabilities(network: SpikingNetwork, encoder: Encoder, x: np.ndarray, batch_size: int = 128) -> Signals:
    """Ask a spiking network with the exact spike probabilities in place of spikes, K = 1.

    An attacker who knows the encoder can compute these probabilities: the query has no encoding noise.

    Args:
        network: takes spikes.
        encoder: has `spike_probability`.
        x: intensities `(n, *features)` in [0, 1].
        batch_size: examples at once.
    """
    fed = tf.function(encoder.spike_probability, reduce_retracing=True, autograph=False)
    ask = _asker(network, min(batch_size, len(x)))
    parts = [ask(fed(tf.convert_to_tensor(x[i : i + batch_size]))) for i in range(0, len(x), batch_size)]
    logits, trace = (np.concatenate([part.numpy() for part in column])[:, None] for column in zip(*parts, strict=True))
    return Signals(logits, trace)


def cached(path: str | Path, key: dict, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Load arrays from `path` if they were written under `key`, else compute and write them.

    Args:
        path: an `.npz` file.
        key: everything that the arrays depend on, as JSON values.
        compute: returns the arrays.
    """
    path = Path(path)
    text = key_text(key)
    if stored_key(path) == text:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files if name != "key"}
    arrays = compute()
    with files.replacing(path) as temporary:
        np.savez(temporary, key=np.array(text), **arrays)
    return arrays


def key_text(key: dict) -> str:
    """Return the text that a file of `cached` holds for a key."""
    return json.dumps(key, sort_keys=True)


def stored_key(path: str | Path) -> str | None:
    """Return the text of the key that a file of `cached` was written under; None without a whole file."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return str(stored["key"])
    except Exception:  # missing or damaged in any way: the caller computes it again
        return None


def _plain_batches(x: np.ndarray, batch_size: int, seed: int, queries: int):
    """Yield batches of the examples and their indices, in a new order for each query."""
    for query in range(queries):
        order = np.random.default_rng(derive_seed(seed, "order", query)).permutation(len(x))
        for start in range(0, len(x), batch_size):
            index = order[start : start + batch_size]
            yield tf.convert_to_tensor(x[index]), index


def _asker(model: keras.Model, size: int):
    """Return a function from a batch of at most `size` examples to logits and the membrane trace or None."""
    if isinstance(model, SpikingNetwork):
        return lambda inputs: model.probe_batch(inputs, size)[:2]

    @tf.function(reduce_retracing=True, autograph=False)
    def ask(inputs):
        outputs = model(inputs, training=False)
        if outputs.shape.rank == 2:
            return tf.cast(outputs, tf.float32), None
        if outputs.shape.rank == 3:
            trace = tf.cast(outputs, tf.float32)
            return trace[:, -1], trace
        raise InputError(f"model must give logits (batch, C) or a trace (batch, T, C), its output has {outputs.shape}")

    return ask


def _check_fresh(encoder: Encoder, x: np.ndarray, seed: int) -> None:
    """Check that two queries of a random encoder have different encodings."""
    first, second = (next(iter(make_dataset(x, x[:, 0], encoder, len(x), seed, epoch=k)))[0].numpy() for k in (0, 1))
    certain = encoder.spike_probability(x).numpy()
    if np.array_equal(first, second) and ((certain > 0.01) & (certain < 0.99)).sum() > 1000:
        raise RuntimeError("two queries of a random encoder have the same encodings")
