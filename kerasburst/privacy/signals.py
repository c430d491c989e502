"""Ask Keras models about examples, and return their answers as arrays.

A stochastic encoder is asked K times, each time with new encodings. Members and non-members go through the model in
one seeded, shuffled order, so that only the model can distinguish them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from kerasburst import backend, files
from kerasburst.data.events import Reading
from kerasburst.data.lazy import as_examples, live_steps, padded
from kerasburst.data.pipeline import make_dataset
from kerasburst.encoders.base import Encoder
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.observing import as_arrays
from kerasburst.privacy.checks import are_bits, looks_like_probabilities
from kerasburst.seeding import derive_seed
from kerasburst.validation import InputError, check_choice, check_float, check_int, fail

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
    model: keras.Model | Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    *,
    encoder: Encoder | None = None,
    queries: int = 1,
    seed: int = 0,
    batch_size: int = 128,
    outputs: str = "logits",
) -> Signals:
    """Collect a classifier's answers on examples, the signals that attacks work on.

    Args:
        model: any Keras classifier, or a function of arrays. It returns logits `(batch, C)`, C of at least 2, or a
            membrane trace `(batch, T, C)` whose last step is the logits; a `SpikingNetwork` returns both. Logarithms of
            probabilities are logits too.
        x: the model's inputs, `(n, ...)`; with `encoder`, intensities in [0, 1].
        encoder: encodes `x` again for each query; None for a model that takes `x` itself.
        queries: K, answers for each example, at least 1; always 1 with a deterministic encoder.
        seed: of the encodings and the order. The first queries of a larger K are those of a smaller K.
        batch_size: examples at once.
        outputs: "logits", or "probabilities" for a model that ends with a softmax.

    Raises:
        InputError: for bad arguments, answers that are no finite logits of at least two classes, probabilities
            where logits are expected or the other way round, or if all of several queries get the same answers.

    Example:
        >>> from kerasburst.encoders.rate import RateEncoder
        >>> from kerasburst.models.snn_fc_net import SNNFCNet
        >>> x = np.full((3, 4), 0.5, "float32")
        >>> signals = collect_signals(SNNFCNet(2, hidden_units=5), x, encoder=RateEncoder(6), queries=2)
        >>> signals.logits.shape, signals.trace.shape
        ((3, 2, 2), (3, 2, 6, 2))
    """
    queries, batch_size = check_int("queries", queries, low=1), check_int("batch_size", batch_size, low=1)
    seed = check_int("seed", seed, low=0)
    check_choice("outputs", outputs, OUTPUTS)
    if not callable(model):
        raise fail("model", "a Keras model or a function", model)
    x = as_examples(x)
    if x.ndim < 2 or len(x) == 0:
        raise fail("x", "at least one example with features", f"shape {x.shape}")
    if encoder is None and isinstance(model, SpikingNetwork) and isinstance(x, np.ndarray):
        as_arrays(x)  # neurons stay silent for NaN, and the logits are finite
    if encoder is not None and not encoder.random:
        queries = 1
    if encoder is not None and queries > 1:
        _check_fresh(encoder, np.asarray(x[:batch_size]), seed)
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
        batch_logits, batch_trace = ask(inputs)
        if logits is None:
            logits = np.empty((len(x), queries, *batch_logits.shape[1:]), np.float32)
            trace = None if batch_trace is None else np.empty((len(x), queries, *batch_trace.shape[1:]), np.float32)
        if batch_logits.shape != (len(index), *logits.shape[2:]):
            wanted = (len(index), *logits.shape[2:])
            raise InputError(f"model must return {wanted} for a batch, received the shape {batch_logits.shape}")
        logits[index, query] = batch_logits
        if trace is not None:
            trace[index, query] = batch_trace
    _check_answers(logits, trace, outputs, own=isinstance(model, SpikingNetwork))
    if encoder is None and queries > 1 and np.array_equal(logits[:, 0], logits[:, 1]):
        raise fail("queries", "1 for a model that answers all of them alike", queries)
    if outputs == "probabilities":
        logits, trace = (None if part is None else np.log(np.maximum(part, 1e-12)) for part in (logits, trace))
    return Signals(logits, trace)


def collect_dropped(
    model: keras.Model | Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    *,
    encoder: Encoder | None = None,
    rate: float = 0.05,
    copies: int = 8,
    seed: int = 0,
    batch_size: int = 128,
    outputs: str = "logits",
) -> np.ndarray:
    """Ask a classifier about copies of examples with features dropped, for the attack `input_dropout`.

    Args:
        model: as for `collect_signals`.
        x: the model's inputs, `(n, ...)`; with `encoder`, intensities in [0, 1], dropped before they are encoded.
        encoder: encodes each copy once; None for a model that takes `x` itself.
        rate: share of the features that are set to 0 in a copy, above 0 to below 1.
        copies: D, at least 1.
        seed: of what is dropped, the encodings and the order. The first copies of a larger D are those of a smaller D.
        batch_size: examples at once.
        outputs: as for `collect_signals`.

    Returns:
        logits, float32 `(n, D, C)`.

    Raises:
        InputError: as `collect_signals`.

    Example:
        >>> collect_dropped(lambda x: x @ np.ones((4, 2)), np.ones((3, 4)), rate=0.5, copies=5).shape
        (3, 5, 2)

    References:
        Guan et al., On the Privacy Risks of Spiking Neural Networks, arXiv 2502.13191, 2025.
    """
    rate, copies = check_float("rate", rate, above=0.0, below=1.0), check_int("copies", copies, low=1)
    seed, x = check_int("seed", seed, low=0), np.asarray(x)
    parts = []
    for copy in range(copies):
        own = derive_seed(seed, "dropped", copy)
        kept = (np.random.default_rng(own).random(x.shape) >= rate) | padded(x)
        dropped = np.where(kept, x, np.zeros((), x.dtype))
        asked = collect_signals(model, dropped, encoder=encoder, seed=own, batch_size=batch_size, outputs=outputs)
        parts.append(asked.logits)
    return np.concatenate(parts, axis=1)


def collect_replay(
    network: SpikingNetwork,
    x: np.ndarray,
    rows: np.ndarray,
    *,
    encoder: Encoder,
    seed: int,
    epochs: Sequence[int],
    batch_size: int = 128,
    augmented: Reading | None = None,
) -> np.ndarray:
    """Ask a network about examples with the very spikes of training epochs, for the attack `replay`.

    Training encodes the example in row r of its training set, in epoch e, by (seed, e, r) alone: who knows the seed,
    which stands in config.json, can encode any example as if it stood in that row.

    Args:
        network: takes spikes.
        x: intensities in [0, 1], `(n, *features)`, scaled as for training.
        rows: of each example in the training set, of `replay_rows`, `(n,)`.
        encoder: that of training.
        seed: of training.
        epochs: E numbers of epochs, from 0.
        batch_size: examples at once.
        augmented: how training changed its examples, which it did by the same three numbers.

    Returns:
        logits, float32 `(n, E, C)`.

    Raises:
        InputError: for bad arguments.
    """
    x = as_examples(x)
    rows, epochs = np.asarray(rows), [check_int("epochs", epoch, low=0) for epoch in epochs]
    if rows.shape != (len(x),) or not np.issubdtype(rows.dtype, np.integer) or not len(rows) or rows.min() < 0:
        raise fail("rows", f"a row of at least 0 for each of {len(x)} examples", f"{rows.dtype} of shape {rows.shape}")
    ask = _asker(network, min(batch_size, int(rows.max()) + 1))
    logits: np.ndarray | None = None
    for first in _distinct(rows):
        # A pass has each row once: the pipeline of training then gives the example in it that row's spikes.
        placed = np.zeros((int(rows[first].max()) + 1, *x.shape[1:]), x.dtype)
        placed[rows[first]] = np.asarray(x[first])
        for place, epoch in enumerate(epochs):
            labels = np.arange(len(placed))
            batches = make_dataset(placed, labels, encoder, batch_size, seed, epoch=epoch, augmented=augmented)
            answers = np.concatenate([ask(spikes)[0] for spikes, _ in batches])
            if logits is None:
                logits = np.empty((len(x), len(epochs), answers.shape[-1]), np.float32)
            logits[first, place] = answers[rows[first]]
    if logits is None:
        raise fail("epochs", "one or more numbers", list(epochs))
    return logits


def replay_rows(asked: np.ndarray, train: np.ndarray, seed: int) -> np.ndarray:
    """Return the row of each asked example in a training set; for one that is not in it, a row dealt at random.

    Args:
        asked: indices of the examples, `(n,)`.
        train: indices of the training set, in its order, `(r,)`.
        seed: of the rows that are dealt.

    Returns:
        int64 `(n,)`.

    Example:
        >>> replay_rows([7, 5, 9], [9, 8, 7], seed=0)[[0, 2]].tolist()
        [2, 0]
    """
    asked, train = np.asarray(asked), np.asarray(train)
    place = {int(index): row for row, index in enumerate(train)}
    dealt = np.resize(np.random.default_rng(derive_seed(seed, "replay")).permutation(len(train)), len(asked))
    return np.array([place.get(int(index), dealt[i]) for i, index in enumerate(asked)], np.int64)


def _distinct(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield positions in passes, each of which has a row at most once."""
    left = np.arange(len(rows))
    while len(left):
        _, first = np.unique(rows[left], return_index=True)
        yield left[first]
        left = np.delete(left, first)


def fed_probabilities(network: SpikingNetwork, encoder: Encoder, x: np.ndarray, batch_size: int = 128) -> Signals:
    """Ask a spiking network with the exact spike probabilities in place of spikes, K = 1.

    An attacker who knows the encoder can compute these probabilities: the query has no encoding noise.

    Args:
        network: takes spikes.
        encoder: has `spike_probability`.
        x: intensities `(n, *features)` in [0, 1].
        batch_size: examples at once.
    """
    fed = backend.jit(encoder.spike_probability)
    ask = _asker(network, min(batch_size, len(x)))
    batches = (np.asarray(x[i : i + batch_size]) for i in range(0, len(x), batch_size))
    parts = [ask(fed(keras.ops.convert_to_tensor(batch)), live_steps(batch)) for batch in batches]
    logits, trace = (np.concatenate(column)[:, None] for column in zip(*parts, strict=True))
    return Signals(logits, trace)


def store(path: str | Path, key: str, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays to `path` (`.npz`) under a key, the JSON text of everything that they depend on."""
    with files.replacing(path) as temporary:
        np.savez(temporary, key=np.array(key), **arrays)


def stored_key(path: str | Path) -> str | None:
    """Return the key that a file of `store` was written under; None without a whole file."""
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
            yield np.asarray(x[index]), index


def _asker(model, size: int):
    """Return a function from a batch of at most `size` examples to arrays of logits and the membrane trace or None."""
    if isinstance(model, SpikingNetwork):
        return lambda inputs, mask=None: tuple(_array(part) for part in model.probe_batch(inputs, size, mask)[:2])
    call = model
    if isinstance(model, keras.Layer):
        # A compiled function of JAX must not change the state of a random layer inside; Keras' own takes care of it.
        jax = backend.name == "jax" and isinstance(model, keras.Model)
        call = model.predict_on_batch if jax else backend.jit(lambda inputs: model(inputs, training=False))

    def ask(inputs):
        if not isinstance(model, keras.Layer) or backend.name != "tensorflow":
            inputs = np.asarray(inputs)  # spikes come as TensorFlow's tensors
        outputs = _array(call(keras.ops.convert_to_tensor(inputs) if isinstance(model, keras.Layer) else inputs))
        if outputs.ndim == 2:
            return outputs, None
        if outputs.ndim == 3:
            return outputs[:, -1], outputs
        raise InputError(
            f"model must give logits (batch, C) or a trace (batch, T, C), its output has the shape {outputs.shape}"
        )

    return ask


def _array(outputs) -> np.ndarray:
    try:
        values = np.asarray(keras.ops.convert_to_numpy(outputs))
        if values.dtype.kind in "cSUmM":
            raise TypeError
        return values.astype(np.float32, copy=False)
    except (TypeError, ValueError):
        raise InputError(f"model must return one array of numbers, received {type(outputs).__name__}") from None


def _check_answers(logits: np.ndarray, trace: np.ndarray | None, outputs: str, own: bool) -> None:
    """Check that answers `(n, K, C)` are finite and of the kind that was announced; `own` networks return logits."""
    if logits.shape[-1] < 2:
        raise InputError(
            f"model must return at least 2 columns, received {logits.shape[-1]}: for one logit z of class 1, wrap the "
            "model to return [0, z]; for one probability p, [1 - p, p]"
        )
    if not np.isfinite(logits).all():
        raise InputError(
            f"model must return finite numbers, {int((~np.isfinite(logits)).sum())} of {logits.size} are not"
        )
    if own and outputs == "logits":
        return
    alike = looks_like_probabilities(logits)
    if outputs == "logits" and are_bits(logits if trace is None else trace) and not alike:
        raise InputError(
            "model must return logits, its answers are spikes, 0 and 1: return the membrane, such as of LIF with "
            "return_mem, or the number of spikes"
        )
    if outputs == "logits" and alike:
        raise InputError(
            "model must return logits, its answers are probabilities (0 to 1, and each row sums to 1): "
            "give outputs='probabilities', or return the logits before the softmax"
        )
    if outputs == "probabilities" and not alike:
        raise InputError("model must return probabilities (0 to 1, rows that sum to 1), it returns something else")


_fresh: weakref.WeakSet = weakref.WeakSet()  # encoders whose queries were seen to differ


def _check_fresh(encoder: Encoder, x: np.ndarray, seed: int) -> None:
    """Check, once for each encoder, that two queries of a random encoder have different encodings."""
    if encoder in _fresh:
        return
    queries = make_dataset(x, np.arange(len(x)), encoder, len(x), seed, num_epochs=2)
    first, second = (spikes.numpy() for spikes, _ in queries)
    certain = keras.ops.convert_to_numpy(encoder.spike_probability(x))
    if np.array_equal(first, second) and ((certain > 0.01) & (certain < 0.99)).sum() > 1000:
        raise RuntimeError("two queries of a random encoder have the same encodings")
    _fresh.add(encoder)
