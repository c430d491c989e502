"""The works that are measured: what each is, its size, and the limit that no program could beat.

A new work is one entry of `WORKS` and the function that it names, which gets the options and gives `run(steps)`,
a function that does so many steps, waits for their end, and returns `{"seconds": ...}`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kerasburst.profiling import flops, inputs


@dataclass(frozen=True)
class WorkInfo:
    """What is known of a work before TensorFlow is loaded.

    Args:
        what: one line.
        builder: "module:function" in this package.
        inputs: kind of its inputs, see `kerasburst.profiling.inputs`.
        num_steps: default T.
        batch_size: default number of examples.
        limit: "matmul_float32", "matmul_bfloat16" or "copy", the rate of the machine that bounds it; None: none.
        amount: gives the operations (matmul) or bytes (copy) of a step from batch size and T.
    """

    what: str
    builder: str
    inputs: str
    num_steps: int = 10
    batch_size: int = 128
    limit: str | None = None
    amount: Callable[[int, int], int] | None = None


def _conv(training: bool) -> Callable[[int, int], int]:
    return lambda batch_size, num_steps: flops.conv_net_flop(batch_size, num_steps, training=training)


def _fc(batch_size: int, num_steps: int) -> int:
    return flops.fc_net_flop(batch_size, num_steps, training=True, features=inputs.FEATURES)


def _lif(batch_size: int, num_steps: int) -> int:
    height, width, channels = inputs.MAPS
    return flops.lif_bytes(batch_size * height * width * channels, num_steps)


def _encoder(batch_size: int, num_steps: int) -> int:
    height, width, channels = inputs.PICTURE
    return flops.encoder_bytes(batch_size * height * width * channels, num_steps)


def _encoding(name: str) -> WorkInfo:
    what = f"{name} encoder, float32 spikes of 32 x 32 x 3 intensities"
    builder = f"encoding:{name}"
    return WorkInfo(what, builder, "intensities", num_steps=32, batch_size=256, limit="copy", amount=_encoder)


WORKS: dict[str, WorkInfo] = {
    "conv_train": WorkInfo(
        "SNNConvNet training step, float32", "network:conv_train", "images", limit="matmul_float32", amount=_conv(True)
    ),
    "conv_train_bf16": WorkInfo(
        "SNNConvNet training step, mixed_bfloat16",
        "network:conv_train_bf16",
        "images",
        limit="matmul_bfloat16",
        amount=_conv(True),
    ),
    "conv_lif_train": WorkInfo(
        'SNNConvNet with conv_activation="lif", training step, float32',
        "network:conv_lif_train",
        "images",
        limit="matmul_float32",
        amount=_conv(True),
    ),
    "conv_infer": WorkInfo(
        "SNNConvNet inference, float32", "network:conv_infer", "images", limit="matmul_float32", amount=_conv(False)
    ),
    "fc_train": WorkInfo(
        "SNNFCNet training step by fit, jit_compile, steps_per_execution=10",
        "network:fc_train",
        "table",
        limit="matmul_float32",
        amount=_fc,
    ),
    "lif": WorkInfo("LIF alone, forward and backward", "neuron:lif", "current", limit="copy", amount=_lif),
    "encode_rate": _encoding("rate"),
    "encode_poisson_burst": _encoding("poisson_burst"),
    "encode_delayed_burst": _encoding("delayed_burst"),
    "train_epoch": WorkInfo(
        "a step of `kerasburst train`, over an epoch through the pipeline", "training:train_epoch", "training_set"
    ),
    "train_bare": WorkInfo(
        "the same compiled step on one batch in memory", "training:train_bare", "training_set"
    ),
    "train_wait": WorkInfo(
        "the same step by step, with the time spent waiting for the pipeline", "training:train_wait", "training_set"
    ),
    "limits": WorkInfo("the machine's matrix multiplications and memory copy", "limits:limits", "none"),
}  # fmt: skip

# What `kerasburst bench` measures unless told otherwise: a minute or two.
DEFAULT_WORKS = (
    "conv_train",
    "conv_infer",
    "fc_train",
    "lif",
    "encode_rate",
    "encode_poisson_burst",
    "encode_delayed_burst",
)
