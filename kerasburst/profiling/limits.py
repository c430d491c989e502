"""The machine's best rates of matrix products and copies, which bound what a work could take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kerasburst.profiling.works import Run

# (rows, inner, columns): squares, and the hidden layer of SNNConvNet over all steps of a batch.
SHAPES = ((1024, 1024, 1024), (2048, 2048, 2048), (4096, 1024, 4096), (1280, 3136, 1000))
GPU_SHAPES = (*SHAPES, (8192, 8192, 8192))
GPU_LAUNCHES = 10  # of a limit's work before its end is waited for
_LEAST_S = 0.12  # how long one shape is measured in a block
_COPY_MB = 256


def limits(options: dict) -> Run:
    """Build the measurement of the machine's best rates; a step measures each once.

    `matmul_*_gflop_per_s` is the best of several shapes. `copy_gb_per_s` counts bytes read and bytes written, on a CPU
    with as many threads as the works have. On a GPU both are the GPU's, and float32 products are in TF32.
    """
    scale, gpu = options.get("scale", 1.0), bool(tf.config.list_logical_devices("GPU"))  # limits are TensorFlow's
    shapes = [tuple(max(1, int(side * scale)) for side in shape) for shape in (GPU_SHAPES if gpu else SHAPES)]
    types = [name for name in ("float32", "bfloat16") if name == "float32" or options.get("bfloat16", True)]
    products = {name: [_product(shape, name, GPU_LAUNCHES if gpu else 1) for shape in shapes] for name in types}
    size = int(_COPY_MB * 1e6 * scale**2)
    copy = _copy_on_gpu(8 * size) if gpu else _copy(size, options["threads"])
    least = _LEAST_S * scale

    def run(steps: int) -> dict:
        begun = time.perf_counter()
        best: dict[str, float] = {}
        for _ in range(steps):
            for name, works in products.items():
                rate = max(_rate(*work, least) for work in works) / 1e9
                best[f"matmul_{name}_gflop_per_s"] = max(rate, best.get(f"matmul_{name}_gflop_per_s", 0.0))
            best["copy_gb_per_s"] = max(_rate(*copy, 2 * least) / 1e9, best.get("copy_gb_per_s", 0.0))
        return {"seconds": time.perf_counter() - begun, **best}

    return run


def _product(shape: tuple[int, int, int], dtype: str, launches: int) -> tuple[Callable[[], None], int]:
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    a, b = (tf.cast(rng.standard_normal(size, dtype="float32"), dtype) for size in ((rows, inner), (inner, columns)))
    multiply = tf.function(tf.matmul)

    def once() -> None:
        for _ in range(launches):
            product = multiply(a, b)
        product[0, 0].numpy()

    once()
    return once, launches * 2 * rows * inner * columns


def _copy_on_gpu(size: int) -> tuple[Callable[[], None], int]:
    source = tf.ones(size // 4)
    add = tf.function(lambda x: x + 1.0, jit_compile=True)

    def once() -> None:
        for _ in range(GPU_LAUNCHES):
            target = add(source)
        target[0].numpy()

    once()
    return once, GPU_LAUNCHES * 2 * 4 * (size // 4)


def _copy(size: int, threads: int) -> tuple[Callable[[], None], int]:
    source, target = np.ones(max(threads, size // 4), "float32"), np.zeros(max(threads, size // 4), "float32")
    edges = np.linspace(0, len(source), threads + 1).astype(int)
    parts = [slice(low, high) for low, high in zip(edges[:-1], edges[1:], strict=True)]

    def once() -> None:
        helpers = [threading.Thread(target=np.copyto, args=(target[part], source[part])) for part in parts[1:]]
        for helper in helpers:
            helper.start()
        np.copyto(target[parts[0]], source[parts[0]])
        for helper in helpers:
            helper.join()

    once()
    return once, 2 * source.nbytes


def _rate(once: Callable[[], None], amount: int, least: float) -> float:
    """Return the best amount per second of single runs over at least so many seconds."""
    best, end = float("inf"), time.perf_counter() + least
    while True:
        begun = time.perf_counter()
        once()
        best = min(best, time.perf_counter() - begun)
        if time.perf_counter() >= end:
            return amount / best
