"""Trained networks for others to serve, stream and convert: SavedModel, ONNX, LiteRT, NIR, and predictions."""

from kerasburst.export.exporting import export, export_run, litert, nir, onnx, savedmodel
from kerasburst.export.nir_reader import from_nir
from kerasburst.export.predicting import Prediction, predict

__all__ = ["Prediction", "export", "export_run", "from_nir", "litert", "nir", "onnx", "predict", "savedmodel"]
