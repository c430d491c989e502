"""What Keras' own API does not offer alike on TensorFlow, JAX and PyTorch.

One file for each backend has the same functions; `keras.backend.backend()` chooses the file.

- `jit(function, layer)` compiles a function of tensors that is called often; `layer` is the model whose variables it
  uses, if any. On PyTorch nothing is kept for gradients.
- `on_gpu(function)` returns a function, compiled whole where TensorFlow runs a graph on a GPU.
- `with_shape(x, shape)` returns a tensor with a static shape that is known to hold; `ensure_shape(x, shape)` also
  checks it when a graph runs.
- `device_peak_mb()` returns the peak of the GPU memory in use by the backend's own count, None without a GPU.
- `writes_steps_out()` says whether a short sequence is written out step by step, or is a loop.
- `runs_cpu_passes()` says whether neurons may run over time by TensorFlow's compiled passes for a CPU, and
  `runs_cpu_paths()` whether networks may take its fast paths for a CPU: never on a GPU.
- `float64()` is a context in which float64 is float64.
- `of(x)` is the file for the tensor `x`: in tf.data that is TensorFlow's, whatever Keras runs on. Encoders use its
  `ops` (as `keras.ops`), `random_numbers`, `each`, `float64`, `check`, `fused` and `fresh_seed`.
"""

from __future__ import annotations

import importlib
from typing import Any

from kerasburst.backend.callers import exporting_litert, exporting_onnx, repeats_first_state  # noqa: F401
from kerasburst.validation import check_backend

name = check_backend()  # before Keras, whose own error does not say what to install

_backend: Any = importlib.import_module(f"kerasburst.backend.on_{name}")
jit = _backend.jit
ensure_shape = _backend.ensure_shape
with_shape = _backend.with_shape
device_peak_mb = _backend.device_peak_mb
on_gpu = _backend.on_gpu
writes_steps_out = _backend.writes_steps_out
runs_cpu_passes = _backend.runs_cpu_passes
runs_cpu_paths = _backend.runs_cpu_paths
fresh_seed = _backend.fresh_seed
float64 = _backend.float64


def of(x: object) -> Any:
    """Return the backend's file that computes with the tensor `x`.

    Example:
        >>> import numpy as np, tensorflow as tf
        >>> of(tf.zeros(2)).__name__
        'kerasburst.backend.on_tensorflow'
    """
    if type(x).__module__.startswith("tensorflow."):
        return importlib.import_module("kerasburst.backend.on_tensorflow")
    return _backend
