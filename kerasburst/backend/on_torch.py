"""`kerasburst.backend` on PyTorch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from keras import ops  # noqa: F401

float64 = contextlib.nullcontext  # within it float64 is float64


@torch.compiler.disable
def random_numbers(shape: Sequence[int], seed, like: torch.Tensor) -> torch.Tensor:
    """Draw int32 numbers below 2**23 for a pair of ints, of which the low 32 bits count, on the device of `like`."""
    shape = tuple(map(int, shape))
    if like.device.type == "meta":  # a shape that is being found out; the seed has no value either
        return torch.empty(shape, dtype=torch.int32, device="meta")
    first, second = (int(word) & 0xFFFFFFFF for word in seed)
    if like.device.type == "cpu":  # numpy's generator: torch's keeps only 32 bits of a seed on a CPU
        count = int(np.prod(shape))
        bits = np.random.Philox(key=np.array([first, second], np.uint64)).random_raw((count + 1) // 2)
        return torch.from_numpy((bits.view(np.uint32)[:count] >> 9).astype(np.int32).reshape(shape))
    generator = torch.Generator(like.device).manual_seed(first << 32 | second)
    return torch.randint(2**23, shape, generator=generator, dtype=torch.int32, device=like.device)


def each(function: Callable, seeds) -> torch.Tensor:
    """Return `function` of each row of `seeds`."""
    return torch.stack([function(seed) for seed in seeds])


def fresh_seed(generator) -> torch.Tensor:
    """Return the next seed of a Keras seed generator."""
    return generator.next()


@torch.compiler.disable
def check(x: torch.Tensor, inside: torch.Tensor, error: Callable, message: str) -> torch.Tensor:
    """Return `x`; raise `error()` where `inside` is False."""
    if inside.device.type != "meta" and not inside:
        raise error()
    return x


def fused(function: Callable, exact: bool = True) -> Callable:
    """Return the function as it is."""
    return function


def on_gpu(function: Callable) -> Callable:
    """Return the function as it is."""
    return function


def jit(function: Callable, layer: object = None) -> Callable:
    """Return a function that keeps nothing for gradients; it is not compiled."""
    return torch.no_grad()(function)


def device_peak_mb() -> float | None:
    """Return the peak of what the allocator gave out on the GPU, MB (10^6 bytes); None without one."""
    return torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else None


def with_shape(x: torch.Tensor, shape: tuple[int | None, ...]) -> torch.Tensor:
    """Return `x`: shapes are known here before anything runs."""
    return x


def ensure_shape(x: torch.Tensor, shape: tuple[int | None, ...]) -> torch.Tensor:
    """Return `x`: shapes are known here before anything runs."""
    return x


def writes_steps_out() -> bool:
    """Return True: where neurons run by plain operations, they are written out over time."""
    return True


def runs_cpu_passes() -> bool:
    """Return False: the compiled passes for a CPU are TensorFlow's."""
    return False


def runs_cpu_paths() -> bool:
    """Return False: the fast paths for a CPU are TensorFlow's."""
    return False
