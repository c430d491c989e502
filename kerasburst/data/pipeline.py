"""tf.data pipelines that encode as they stream: the encoded set never exists as a whole."""

from __future__ import annotations

import contextlib
import os

import numpy as np
import tensorflow as tf

from kerasburst import backend
from kerasburst.data.events import PADDING, Reading
from kerasburst.data.lazy import Examples
from kerasburst.encoders.base import Encoder
from kerasburst.encoders.draws import as_tensor, check_intensity, draws
from kerasburst.seeding import derive_seed
from kerasburst.validation import InputError, check_bool, check_int, fail

_as_written = tf.autograph.experimental.do_not_convert  # autograph would convert nothing here, slowly


def count_batches(n: int, batch_size: int) -> int:
    """Count an epoch's batches, the last of which may be smaller.

    Example:
        >>> count_batches(5, 2)
        3
    """
    return -(-n // batch_size)


def make_dataset(
    x: np.ndarray,
    y: np.ndarray,
    encoder: Encoder | None,
    batch_size: int,
    seed: int,
    epoch: int = 0,
    shuffle: bool = False,
    num_parallel_calls: int | None = None,
    num_epochs: int = 1,
    augmented: Reading | None = None,
) -> tf.data.Dataset:
    """Shuffle, encode, batch and prefetch.

    An example's spikes depend only on seed, epoch and its index in `x`; the order depends only on seed and epoch.
    Neither depends on the batch size or the number of parallel calls.

    Args:
        x: intensities `(n, *features)` in [0, 1], an array or what numpy can make one of; or `Examples`, which are
            read a batch at a time.
        y: labels `(n,)`.
        encoder: the encoder layer; its own seed is not used. None streams the intensities, for a model with the encoder
            inside.
        batch_size: examples in a batch; the last of an epoch may be smaller.
        seed: int of at least 0.
        epoch: number of the first epoch, at least 0.
        shuffle: whether each epoch has its own random order.
        num_parallel_calls: batches encoded at once; None for the number of cores.
        num_epochs: number of consecutive epochs in the data set.
        augmented: whose flip and crop change each example, by seed, epoch and index alone, before it is encoded.

    Returns:
        A data set of `(spikes, labels)`: uint8 `(batch, num_steps, *features)`, and `(batch,)`; without an encoder of
        `(intensities, labels)`, float32 `(batch, *features)`.

    Raises:
        InputError: for an empty set, lengths that differ, or intensities outside [0, 1].

    Example:
        >>> from kerasburst.encoders.rate import RateEncoder
        >>> pipeline = make_dataset(np.ones((3, 4), "float32"), [0, 1, 0], RateEncoder(5), batch_size=2, seed=0)
        >>> [(tuple(spikes.shape), labels.numpy().tolist()) for spikes, labels in pipeline]
        [((2, 5, 4), [0, 1]), ((1, 5, 4), [0])]
    """
    order, encode, n = _order_and_encode(x, y, encoder, batch_size, seed, epoch, shuffle, num_epochs, augmented)
    return _streamed(order, encode, num_parallel_calls, num_epochs * count_batches(n, batch_size))


def make_parts(
    x: np.ndarray,
    y: np.ndarray,
    encoder: Encoder,
    batch_size: int,
    seed: int,
    parts: range,
    of: int,
    epoch: int = 0,
    shuffle: bool = False,
    num_epochs: int = 1,
    augmented: Reading | None = None,
) -> tf.data.Dataset:
    """Stream some parts of each of `make_dataset`'s batches, for one of several machines that share them.

    Each batch is dealt into `of` parts, some of which may be empty; `parts` are the numbers of those to stream, in
    order. The other arguments are those of `make_dataset`.

    Returns:
        A data set of `(spikes, labels, size)`; size is the number of examples in the whole batch.

    Raises:
        InputError: as for `make_dataset`.

    Example:
        >>> from kerasburst.encoders.rate import RateEncoder
        >>> x, y = np.ones((5, 4), "float32"), np.arange(5)
        >>> first = make_parts(x, y, RateEncoder(2), 4, 0, parts=range(1), of=2)
        >>> [(labels.numpy().tolist(), int(size)) for _, labels, size in first]
        [([0, 2], 4), ([4], 1)]
    """
    order, encode, n = _order_and_encode(x, y, encoder, batch_size, seed, epoch, shuffle, num_epochs, augmented)

    @_as_written
    def deal(epoch, index):
        numbers = tf.data.Dataset.range(parts.start, parts.stop)
        return numbers.map(_as_written(lambda part: (epoch, index[part::of], tf.size(index))))

    @_as_written
    def encode_part(epoch, index, size):
        return *encode(epoch, index), size

    return _streamed(order.flat_map(deal), encode_part, None, num_epochs * count_batches(n, batch_size) * len(parts))


def _order_and_encode(x, y, encoder, batch_size, seed, epoch, shuffle, num_epochs, augmented):
    """Check the arguments; return a data set of (epoch, indices) by batch, the function that encodes one, and n."""
    batch_size = check_int("batch_size", batch_size, low=1)
    seed = check_int("seed", seed, low=0)
    epoch = check_int("epoch", epoch, low=0)
    num_epochs = check_int("num_epochs", num_epochs, low=1)
    check_bool("shuffle", shuffle)
    if not isinstance(encoder, Encoder | None):
        raise fail("encoder", "an encoder layer", encoder)
    x, y = (each if tf.is_tensor(each) or isinstance(each, Examples) else np.asarray(each) for each in (x, y))
    n = x.shape[0] if len(x.shape) else 0
    if n == 0 or y.shape[:1] != (n,):
        raise InputError(f"x and y must be of one length of at least 1, received the shapes {x.shape} and {y.shape}")
    if backend.name != "tensorflow":
        with contextlib.suppress(RuntimeError):  # TensorFlow has begun: its GPUs are its user's
            tf.config.set_visible_devices([], "GPU")  # they are the other backend's
    with tf.device("cpu:0"):
        take = _reader(x, encoder) if isinstance(x, Examples) else _gatherer(x, encoder)
        y = tf.convert_to_tensor(y)
    order_key, spike_key, augment_key = (
        tf.constant([derive_seed(seed, name), 0], tf.int64) for name in ("order", "spikes", "augment")
    )
    changes = augmented is not None and augmented.augments
    if changes and len(x.shape) < 4:
        raise InputError(f"x must be images to flip or crop, received the shape {tuple(x.shape)}")

    @_as_written
    def batches(epoch):
        order = tf.range(n, dtype=tf.int64)
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(order, seed=tf.random.fold_in(order_key, epoch))
        return (
            tf.data.Dataset.from_tensor_slices(order).batch(batch_size).map(_as_written(lambda index: (epoch, index)))
        )

    @_as_written
    def encode(epoch, index):
        values = take(index)
        if changes:
            values = augment(values, pairs(augment_key, epoch, index), augmented)
        if encoder is None:
            return values, tf.gather(y, index)
        spikes = encoder.encode(values, pairs(spike_key, epoch, index))
        return encoder.check_encoded(spikes, values), tf.gather(y, index)

    def pairs(key, epoch, index):
        # fold_in(key, n) is (hash of key, n). Twice, so that the epoch is hashed and the index alone counts up.
        key = tf.random.fold_in(tf.random.fold_in(key, epoch), tf.zeros_like(epoch))[0]
        return tf.stack([tf.fill(tf.shape(index), key), index], axis=1)

    return tf.data.Dataset.range(epoch, epoch + num_epochs).flat_map(batches), encode, n


def augment(x: tf.Tensor, seeds: tf.Tensor, reading: Reading) -> tf.Tensor:
    """Return examples as training sees them in one epoch.

    Args:
        x: `(batch, height, width, channels)`, or with an axis of steps after the batch.
        seeds: `(batch, 2)` ints, a pair for each example; its change depends on that alone.
        reading: With flip, an example is mirrored left to right with probability 1/2. With crop c, it is a part of its
            own size of itself with c pixels of 0 around it; where the part begins is uniform.

    Returns:
        As `x`.

    Example:
        >>> x = tf.reshape(tf.range(4.0), (1, 1, 4, 1))
        >>> pairs = [[0, seed] for seed in range(20)]
        >>> seen = augment(tf.repeat(x, 20, axis=0), tf.constant(pairs), Reading(flip=True))
        >>> sorted({tuple(int(v) for v in row) for row in seen.numpy()[:, 0, :, 0]})
        [(0, 1, 2, 3), (3, 2, 1, 0)]
    """
    k = draws(tf.zeros((tf.shape(x)[0], 1)), 3, seeds)[:, :, 0]
    height, width = x.shape[-3], x.shape[-2]
    rows = tf.repeat(tf.range(height)[None], tf.shape(x)[0], axis=0)
    columns = tf.repeat(tf.range(width)[None], tf.shape(x)[0], axis=0)
    if reading.flip:
        columns = tf.where((k[:, 0] < 2**22)[:, None], width - 1 - columns, columns)
    if reading.crop:
        down, right = ((k[:, i] % (2 * reading.crop + 1) - reading.crop)[:, None] for i in (1, 2))
        rows, columns = rows + down, columns + right
    for index, size, axis in ((rows, height, -3), (columns, width, -2)):
        inside = (index >= 0) & (index < size)
        x = tf.gather(x, tf.clip_by_value(index, 0, size - 1), axis=x.shape.rank + axis, batch_dims=1)
        shape = [-1] + [1] * (x.shape.rank - 1)
        shape[axis] = size
        keep = tf.reshape(inside, shape)
        if x.dtype == tf.int8:
            keep = keep | (x == PADDING)
        x = tf.where(keep, x, tf.zeros_like(x))
    return x


def _gatherer(x, encoder: Encoder | None):
    """Return a function from indices to checked examples of an array."""
    check = check_intensity if encoder is None else encoder.check
    x = check(as_tensor(x, "x", tf.convert_to_tensor), "x")
    return lambda index: tf.gather(x, index)


def _reader(x: Examples, encoder: Encoder | None):
    """Return a function from indices to examples that are read then; whoever made them has checked them."""
    check = check_intensity if encoder is None else encoder.check
    check(tf.convert_to_tensor(x.batch([0])), "x")

    def take(index):
        values = tf.numpy_function(x.batch, [index], tf.as_dtype(x.dtype), stateful=False)
        return tf.ensure_shape(values, (None, *x.shape[1:]))

    return take


def _streamed(order: tf.data.Dataset, encode, num_parallel_calls: int | None, cardinality: int) -> tf.data.Dataset:
    if num_parallel_calls is None:
        num_parallel_calls = os.cpu_count() or 1
    check_int("num_parallel_calls", num_parallel_calls, low=1)
    dataset = order.map(encode, num_parallel_calls=num_parallel_calls, deterministic=True)
    return dataset.apply(tf.data.experimental.assert_cardinality(cardinality)).prefetch(2)
