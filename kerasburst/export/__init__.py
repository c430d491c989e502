"""Trained networks for others to serve, stream and convert: SavedModel, ONNX, LiteRT, NIR, and predictions."""

from __future__ import annotations

import importlib

_PUBLIC = {
    "Prediction": "kerasburst.export.prediction",
    "export": "kerasburst.export.exporting",
    "export_run": "kerasburst.export.exporting",
    "from_nir": "kerasburst.export.nir_reader",
    "litert": "kerasburst.export.exporting",
    "nir": "kerasburst.export.exporting",
    "onnx": "kerasburst.export.exporting",
    "predict": "kerasburst.export.predicting",
    "savedmodel": "kerasburst.export.exporting",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str):
    # Naming the formats, for a command's help, must not load TensorFlow.
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kerasburst.export' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
