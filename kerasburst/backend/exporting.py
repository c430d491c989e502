"""Whether Keras is exporting a model right now; no public function of Keras says so."""

from __future__ import annotations

import sys
from types import FrameType


def exporting_onnx() -> bool:
    """Return whether Keras traces a model for `model.export(format="onnx")`, whose graphs hold no compiled parts."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "export_onnx" and frame.f_globals.get("__name__", "").startswith("keras."):
            return True
        frame = frame.f_back
    return False
