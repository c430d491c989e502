"""The works that are measured: their sizes, their inputs, and the limits that no program could beat.

A new work is one entry of `WORKS` and the function in `kerasburst.profiling.builders` that it names.

The limits count the arithmetic, or the bytes, that the equations require. A multiplication and an addition are two
operations. Only matrix work is counted: neurons, pooling and the optimiser are below a hundredth of it. A layer's
backward pass costs twice its forward pass, once for its weights and once for its input; the first layer's input is the
data, which needs no gradient.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

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


def conv_net_flop(
    batch_size: int,
    num_steps: int,
    *,
    training: bool,
    image: tuple[int, int, int] = (28, 28, 1),
    filters: tuple[int, int] = (32, 64),
    kernel_size: int = 3,
    hidden_units: int = 1000,
    num_classes: int = 10,
) -> int:
    """Return the floating-point operations of one `SNNConvNet` step on a batch.

    Example:
        >>> conv_net_flop(1, 1, training=False, image=(4, 4, 1), filters=(1, 1), hidden_units=2, num_classes=3)
        376

    which is 2 (9 x 16 + 9 x 4 + 1 x 2 + 2 x 3).
    """
    check_int("batch_size", batch_size, low=1)
    check_int("num_steps", num_steps, low=1)
    height, width, channels = image
    window = kernel_size**2
    layers = [2 * height * width * window * channels * filters[0]]
    height, width = height // 2, width // 2
    layers.append(2 * height * width * window * filters[0] * filters[1])
    height, width = height // 2, width // 2
    layers.append(2 * height * width * filters[1] * hidden_units)
    layers.append(2 * hidden_units * num_classes)
    return batch_size * num_steps * _passes(layers, training)


def fc_net_flop(
    batch_size: int,
    num_steps: int,
    *,
    training: bool,
    features: int = 30,
    hidden_units: int = 1000,
    num_classes: int = 2,
) -> int:
    """Return the floating-point operations of one `SNNFCNet` step on a batch.

    Example:
        >>> fc_net_flop(1, 1, training=True, features=3, hidden_units=5, num_classes=2)  # 2 (2 x 15) + 3 (2 x 10)
        120
    """
    check_int("batch_size", batch_size, low=1)
    check_int("num_steps", num_steps, low=1)
    layers = [2 * features * hidden_units, 2 * hidden_units * num_classes]
    return batch_size * num_steps * _passes(layers, training)


def _passes(layers: list[int], training: bool) -> int:
    return 3 * sum(layers) - layers[0] if training else sum(layers)


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
        builder: name of a function in `kerasburst.profiling.builders`.
        inputs: kind of its inputs, see `make_inputs`.
        num_steps: default T.
        batch_size: default number of examples.
        limit: "matmul_float32", "matmul_bfloat16" or "copy", the machine's rate that bounds it; None for none.
        amount: returns the operations (matmul) or bytes (copy) of a step from batch size and T.
    """

    what: str
    builder: str
    inputs: str
    num_steps: int = 10
    batch_size: int = 128
    limit: str | None = None
    amount: Callable[[int, int], int] | None = None


def _conv(training: bool) -> Callable[[int, int], int]:
    return lambda batch_size, num_steps: conv_net_flop(batch_size, num_steps, training=training)


def _fc(batch_size: int, num_steps: int) -> int:
    return fc_net_flop(batch_size, num_steps, training=True, features=FEATURES)


def _lif(batch_size: int, num_steps: int) -> int:
    height, width, channels = MAPS
    return lif_bytes(batch_size * height * width * channels, num_steps)


def _encoder(batch_size: int, num_steps: int) -> int:
    height, width, channels = PICTURE
    return encoder_bytes(batch_size * height * width * channels, num_steps)


WORKS: dict[str, WorkInfo] = {
    "conv_train": WorkInfo(
        "SNNConvNet training step, float32", "conv_train", "images", limit="matmul_float32", amount=_conv(True)
    ),
    "conv_train_bf16": WorkInfo(
        "SNNConvNet training step, mixed_bfloat16",
        "conv_train_bf16",
        "images",
        limit="matmul_bfloat16",
        amount=_conv(True),
    ),
    "conv_lif_train": WorkInfo(
        'SNNConvNet with conv_activation="lif", training step, float32',
        "conv_lif_train",
        "images",
        limit="matmul_float32",
        amount=_conv(True),
    ),
    "conv_infer": WorkInfo(
        "SNNConvNet inference, float32", "conv_infer", "images", limit="matmul_float32", amount=_conv(False)
    ),
    "fc_train": WorkInfo(
        "SNNFCNet training step by fit, jit_compile, steps_per_execution=10",
        "fc_train",
        "table",
        limit="matmul_float32",
        amount=_fc,
    ),
    "lif": WorkInfo("LIF alone, forward and backward", "lif", "current", limit="copy", amount=_lif),
    **{
        f"encode_{name}": WorkInfo(
            f"{name} encoder, float32 spikes of 32 x 32 x 3 intensities",
            f"encode:{name}",
            "intensities",
            num_steps=32,
            batch_size=256,
            limit="copy",
            amount=_encoder,
        )
        for name in ENCODERS
    },
    "train_epoch": WorkInfo(
        "a step of `kerasburst train`, over an epoch through the pipeline", "train_epoch", "training_set"
    ),
    "train_bare": WorkInfo("the same compiled step on one batch in memory", "train_bare", "training_set"),
    "train_wait": WorkInfo(
        "the same step by step, with the time spent waiting for the pipeline", "train_wait", "training_set"
    ),
    "limits": WorkInfo("the machine's matrix multiplications and memory copy", "limits", "none"),
}

# What `kerasburst bench` measures by default: a minute or two.
DEFAULT_WORKS = ("conv_train", "conv_infer", "fc_train", "lif", *(f"encode_{name}" for name in ENCODERS))


def builder(work: str) -> Callable[[dict], Callable[[int], dict]]:
    """Return the function that builds a work from its options; this loads TensorFlow."""
    import kerasburst.layers  # noqa: F401, a training may load our files
    from kerasburst.profiling import builders

    name, _, encoder = WORKS[work].builder.partition(":")
    function = getattr(builders, name)
    return functools.partial(function, encoder) if encoder else function


def make_inputs(
    kind: str,
    path: str | Path,
    *,
    batch_size: int,
    num_steps: int,
    seed: int = 0,
    data_dir: str | None = None,
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


def _images(count: int, rng: np.random.Generator, data_dir: str | None) -> tuple[np.ndarray, np.ndarray, str]:
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
