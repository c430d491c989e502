"""The works that are measured: their sizes, their inputs, and the limits that no program could beat.

A new work is one entry of `WORKS` and the function of that name in `kerasburst.profiling.builders`; "limits" has a file
of its own.

The limits count the arithmetic, or the bytes, that the equations require. A multiplication and an addition are two
operations. Only matrix work is counted: neurons, pooling and the optimiser are below a hundredth of it. A layer's
backward pass costs twice its forward pass, once for its weights and once for its input; the first layer's input is the
data, which needs no gradient.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kerasburst.config import COMPARED_ENCODINGS, ENCODED
from kerasburst.data.datasets import availability, load_source
from kerasburst.data.splits import make_splits
from kerasburst.registry import ENCODERS
from kerasburst.seeding import derive_seed
from kerasburst.validation import check_choice, check_int

KINDS = ("images", "table", "current", "intensities", "training_set")
FEATURES = 30  # of the table
MAPS = (28, 28, 32)  # of the current: the feature maps of SNNConvNet's first convolution on 28 x 28 images
PICTURE = (32, 32, 3)  # of the intensities
EPOCH_STEPS = 20  # batches of the training set
_FLOAT32_BYTES = 4
Run = Callable[[int], dict]  # does so many steps and returns the seconds that they took


def conv_net_flop(batch_size: int, num_steps: int, *, training: bool) -> int:
    """Return the floating-point operations of one `SNNConvNet` step on a batch of 28 x 28 images, with 3 x 3 kernels.

    Example:
        >>> conv_net_flop(1, 1, training=False)  # 2 (9 x 784 x 32 + 9 x 196 x 32 x 64 + 49 x 64 x 1000 + 1000 x 10)
        13968928
    """
    layers = [9 * 28 * 28 * 32, 9 * 14 * 14 * 32 * 64, 7 * 7 * 64 * 1000, 1000 * 10]
    return _flop(layers, batch_size, num_steps, training)


def fc_net_flop(batch_size: int, num_steps: int, *, training: bool) -> int:
    """Return the floating-point operations of one `SNNFCNet` step on a batch of the table's values.

    Example:
        >>> fc_net_flop(1, 1, training=True)  # 2 (2 x 30 x 1000) + 3 (2 x 1000 x 2)
        132000
    """
    return _flop([FEATURES * 1000, 1000 * 2], batch_size, num_steps, training)


def _flop(connections: list[int], batch_size: int, num_steps: int, training: bool) -> int:
    """Return the operations of layers with so many connections at each step."""
    check_int("batch_size", batch_size, low=1)
    check_int("num_steps", num_steps, low=1)
    passes = 3 * sum(connections) - connections[0] if training else sum(connections)
    return 2 * batch_size * num_steps * passes


def lif_bytes(neurons: int, num_steps: int) -> int:
    """Return the bytes that LIF neurons must move, forward and backward, without storing the membrane.

    Forward reads the current and writes the spikes; backward reads the current again and the gradient with respect
    to the spikes, and writes the gradient with respect to the current: five float32 arrays.

    Example:
        >>> lif_bytes(neurons=10, num_steps=3)
        600
    """
    return 5 * neurons * num_steps * _FLOAT32_BYTES


def encoder_bytes(values: int, num_steps: int) -> int:
    """Return the bytes that an encoder must move: it reads float32 intensities and writes float32 spikes.

    Example:
        >>> encoder_bytes(values=10, num_steps=3)
        160
    """
    return values * (1 + num_steps) * _FLOAT32_BYTES


@dataclasses.dataclass(frozen=True)
class WorkInfo:
    """What is known of a work without TensorFlow.

    Args:
        what: one line.
        inputs: kind of its inputs, see `make_inputs`.
        limit: "matmul_float32", "matmul_bfloat16" or "copy", the machine's rate that bounds it; None for none.
        amount: returns the operations (matmul) or bytes (copy) of a step from batch size and T.
        num_steps: default T.
        batch_size: default number of examples.
    """

    what: str
    inputs: str
    limit: str | None = None
    amount: Callable[[int, int], int] | None = None
    num_steps: int = 10
    batch_size: int = 128


_train = functools.partial(conv_net_flop, training=True)
_infer = functools.partial(conv_net_flop, training=False)
_fc_train = functools.partial(fc_net_flop, training=True)


def _lif(batch_size: int, num_steps: int) -> int:
    return lif_bytes(batch_size * math.prod(MAPS), num_steps)


def _encoder(batch_size: int, num_steps: int) -> int:
    return encoder_bytes(batch_size * math.prod(PICTURE), num_steps)


def _encoding(name: str) -> WorkInfo:
    what = f"{name} encoder, float32 spikes of 32 x 32 x 3 intensities"
    return WorkInfo(what, "intensities", "copy", _encoder, num_steps=32, batch_size=256)


_ENCODINGS = {f"encode_{name}": name for name in ENCODERS if name not in ENCODED}
_CONV_LIF = 'SNNConvNet with conv_activation="lif", training step, float32'
_FC = "SNNFCNet training step by fit, jit_compile, steps_per_execution=10"
_EPOCH = "a step of `kerasburst train`, over an epoch through the pipeline"
_WAIT = "the same step by step, with the time spent waiting for the pipeline"

WORKS: dict[str, WorkInfo] = {
    "conv_train": WorkInfo("SNNConvNet training step, float32", "images", "matmul_float32", _train),
    "conv_train_bf16": WorkInfo("SNNConvNet training step, mixed_bfloat16", "images", "matmul_bfloat16", _train),
    "conv_lif_train": WorkInfo(_CONV_LIF, "images", "matmul_float32", _train),
    "conv_infer": WorkInfo("SNNConvNet inference, float32", "images", "matmul_float32", _infer),
    "fc_train": WorkInfo(_FC, "table", "matmul_float32", _fc_train),
    "lif": WorkInfo("LIF alone, forward and backward", "current", "copy", _lif),
    **{work: _encoding(name) for work, name in _ENCODINGS.items()},
    "train_epoch": WorkInfo(_EPOCH, "training_set"),
    "train_bare": WorkInfo("the same compiled step on one batch in memory", "training_set"),
    "train_wait": WorkInfo(_WAIT, "training_set"),
    "limits": WorkInfo("the machine's matrix multiplications and memory copy", "none"),
}

# What `kerasburst bench` measures by default: a minute or two.
DEFAULT_WORKS = ("conv_train", "conv_infer", "fc_train", "lif", *(f"encode_{name}" for name in COMPARED_ENCODINGS))


def builder(work: str) -> Callable[[dict], Run]:
    """Return the function that builds a work from its options; this loads TensorFlow."""
    import kerasburst.layers  # noqa: F401, a training may load our files
    from kerasburst.profiling import builders, limits

    if work == "limits":
        return limits.limits
    if work in _ENCODINGS:
        return functools.partial(builders.encode, _ENCODINGS[work])
    return getattr(builders, work)


def make_inputs(
    kind: str,
    path: str | Path,
    *,
    batch_size: int,
    num_steps: int,
    seed: int = 0,
    data_dir: str | Path | None = None,
    epoch_steps: int = EPOCH_STEPS,
) -> str:
    """Write one batch of inputs to `path`, an .npz file.

    - "images": rate-coded `spikes` uint8 `(batch, num_steps, 28, 28, 1)` of MNIST or, where it is absent, of
      scikit-learn's digits enlarged to 28 x 28; and `labels`.
    - "table": rate-coded `spikes` uint8 `(batch, num_steps, 30)` of uniform values; and `labels` of two classes.
    - "current": `current`, a float32 normal of mean 0.2 and deviation 0.5, `(batch, num_steps, 28, 28, 32)`.
    - "intensities": `x`, uniform float32 `(batch, 32, 32, 3)`.
    - "training_set": images for `kerasburst train`, `epoch_steps` batches of them and one test batch.

    Args:
        kind: one of the above.
        path: where to write.
        batch_size: examples.
        num_steps: T; "intensities" and "training_set" have no time axis.
        seed: of the draws.
        data_dir: folder of data files; None for KERASBURST_DATA.
        epoch_steps: batches of the training set.

    Returns:
        The source of the values, one line.

    Raises:
        InputError: for an unknown kind, a size below 1, or a missing folder.
    """
    check_choice("kind", kind, KINDS)
    check_int("batch_size", batch_size, low=1)
    check_int("num_steps", num_steps, low=1)
    rng = np.random.default_rng(derive_seed(seed, "bench", kind))
    if kind == "current":
        values = rng.standard_normal((batch_size, num_steps, *MAPS), dtype="float32")
        np.savez(path, current=np.float32(0.2) + np.float32(0.5) * values)
        return "normal values"
    if kind == "intensities":
        np.savez(path, x=rng.random((batch_size, *PICTURE), dtype="float32"))
        return "uniform values"
    if kind == "table":
        x = rng.random((batch_size, FEATURES), dtype="float32")
        np.savez(path, spikes=_rate_coded(x, num_steps, rng), labels=rng.integers(0, 2, batch_size))
        return "uniform values, rate-coded"
    if kind == "images":
        x, y, where = _images(batch_size, rng, data_dir)
        np.savez(path, spikes=_rate_coded(x, num_steps, rng), labels=y)
        return f"{where}, rate-coded"
    x, y, where = _images((epoch_steps + 1) * batch_size, rng, data_dir)
    x = np.round(x * 255).astype("uint8")
    np.savez(path, x_train=x[:-batch_size], y_train=y[:-batch_size], x_test=x[-batch_size:], y_test=y[-batch_size:])
    return where


def _rate_coded(x: np.ndarray, num_steps: int, rng: np.random.Generator) -> np.ndarray:
    uniforms = rng.random((x.shape[0], num_steps, *x.shape[1:]), dtype="float32")
    return (uniforms < x[:, None]).astype("uint8")


def _images(count: int, rng: np.random.Generator, data_dir: str | Path | None) -> tuple[np.ndarray, np.ndarray, str]:
    """Return `count` images in [0, 1], `(count, 28, 28, 1)`, labels of ten classes, and their source."""
    if availability("mnist", data_dir).available:
        source, where = load_source("mnist", data_dir, download=False), "MNIST"
    else:
        source, where = load_source("digits"), "scikit-learn's digits enlarged to 28 x 28"
    pool = make_splits(source, 0, None, 0.0).train
    # One of each class comes first, so that small data sets hold all ten.
    first = [np.flatnonzero(source.y[pool] == label)[0] for label in range(10)]
    rest = rng.permutation(np.setdiff1d(np.arange(len(pool)), first))
    chosen = np.asarray(pool)[np.resize(np.concatenate([first, rest]), count)]
    x = source.x[chosen].astype("float32") / (source.full_scale or 255.0)
    side = x.shape[1]
    nearest = np.arange(28) * side // 28
    return x[:, nearest][:, :, nearest], source.y[chosen], where
