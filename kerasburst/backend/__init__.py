"""What Keras' own API does not offer alike on TensorFlow, JAX and PyTorch.

One file for each backend has the same functions; `keras.backend.backend()` chooses the file.

- `jit(function)` compiles a function of tensors that is called often and needs no gradients.
- `runs_cpu_paths()` says whether TensorFlow's own fast paths for a CPU may run: never on a GPU.
"""

from __future__ import annotations

import importlib
from typing import Any

from kerasburst.validation import check_backend

name = check_backend()  # before Keras, whose own error does not say what to install

_backend: Any = importlib.import_module(f"kerasburst.backend.on_{name}")
jit = _backend.jit
runs_cpu_paths = _backend.runs_cpu_paths
