"""Batches for private training: each example is in each batch by a draw of its own."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf

from kerasburst.encoders.base import Encoder
from kerasburst.encoders.draws import as_tensor
from kerasburst.seeding import derive_seed


class PoissonBatches(keras.utils.PyDataset):
    """Draw batches by Poisson sampling, and encode their examples.

        P(example i in the batch of step s) = batch_size / n,  independently for all i and s

    Who is in a batch, and its spikes, depend only on the seed and the number of the step. Batches are filled up with
    examples of weight 0 to a size that hardly any draw exceeds, so that one shape is compiled.

    Args:
        x: intensities `(n, *features)` in [0, 1].
        y: labels `(n,)`.
        encoder: the encoder layer; its own seed is not used.
        batch_size: expected number of examples, from 1 to n.
        steps: numbers of the training's steps to draw batches for.
        seed: int of at least 0.
        encodings_per_example: K, at least 1.
        multiple: the size of a batch, filling included, is a multiple of it.

    Returns:
        For each step `(spikes, labels, weights)`: uint8 `(size, K, num_steps, *features)`, `(size,)`, and 1 or 0
        `(size,)`.

    Example:
        >>> from kerasburst.encoders.rate import RateEncoder
        >>> x, y = np.full((100, 2), 0.5, "float32"), np.arange(100)
        >>> batches = PoissonBatches(x, y, RateEncoder(3), batch_size=10, steps=range(5), seed=0)
        >>> spikes, labels, weights = batches[0]
        >>> spikes.shape, np.array_equal(labels[weights > 0], batches.members(0))
        ((28, 1, 3, 2), True)
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        encoder: Encoder,
        *,
        batch_size: int,
        steps: range,
        seed: int,
        encodings_per_example: int = 1,
        multiple: int = 1,
    ):
        super().__init__()
        with tf.device("cpu:0"):
            self._x = encoder.check(as_tensor(x, "x", tf.convert_to_tensor), "x")
        self._y, self._steps, self._seed = np.asarray(y), steps, seed
        self._encode = tf.function(encoder.encode)  # one call an example otherwise, from Python
        self._rate, self._k, self._multiple = batch_size / len(x), encodings_per_example, multiple
        self._usual = batch_size + 6.0 * math.sqrt(batch_size * (1.0 - self._rate))  # exceeded once in 1e9 batches

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self._steps)

    def members(self, step: int) -> np.ndarray:
        """Return the indices of the examples in a step's batch."""
        generator = np.random.default_rng([derive_seed(self._seed, "batches"), step])
        return np.flatnonzero(generator.random(len(self._y)) < self._rate)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the batch of a step, counted from the first."""
        step = self._steps[index]
        members = self.members(step)
        size = self._multiple * math.ceil(max(self._usual, len(members)) / self._multiple)
        filled = np.zeros(size, np.int64)
        filled[: len(members)] = members
        weights = (np.arange(size) < len(members)).astype("float32")
        numbers = (filled[:, None] * self._k + np.arange(self._k)).reshape(-1)
        seeds = np.stack([np.full_like(numbers, derive_seed(self._seed, "spikes", step)), numbers], axis=1)
        with tf.device("cpu:0"):
            spikes = self._encode(tf.gather(self._x, np.repeat(filled, self._k)), tf.constant(seeds)).numpy()
        return spikes.reshape(size, self._k, *spikes.shape[1:]), self._y[filled], weights
