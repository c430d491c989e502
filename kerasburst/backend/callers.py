"""What Keras does right now, by the functions that have been called; no public function says so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back


def exporting_onnx() -> bool:
    """Return whether Keras traces a model for `model.export(format="onnx")`, whose graphs hold no compiled parts."""
    return any(
        frame.f_code.co_name == "export_onnx" and frame.f_globals.get("__name__", "").startswith("keras.")
        for frame in _callers()
    )


def exporting_litert() -> bool:
    """Return whether Keras or TensorFlow traces a model for LiteRT, which has no lists of tensors of unknown length."""
    modules = (frame.f_globals.get("__name__", "") for frame in _callers())
    return any(name.startswith(("tensorflow.lite.", "keras.src.export.litert")) for name in modules)


def repeats_first_state() -> bool:
    """Return whether Keras' masked loop on JAX runs a cell, and takes its first state for the output of masked steps.

    So it does in Keras 3.15, where other backends repeat the last output, unless outputs are zero for masked steps.
    """
    return any(
        frame.f_globals.get("__name__") == "keras.src.backend.jax.rnn"
        and "current_mask" in frame.f_locals
        and not frame.f_locals.get("zero_output_for_mask", True)
        for frame in _callers()
    )
