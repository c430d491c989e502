"""Which formats there are, and what each needs; a new one is a file with a writer and a line here."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable

from kerasburst.validation import InputError, check_choice

# name: (writer, modules that it needs beside kerasburst's own requirements, the extra that brings them)
FORMATS = {
    "savedmodel": ("kerasburst.export.saved_model:write_savedmodel", (), None),
    "onnx": ("kerasburst.export.onnx_graph:write_onnx", ("onnx",), "onnx"),
    "litert": ("kerasburst.export.litert_step:write_litert", (), None),
    "nir": ("kerasburst.export.nir_graph:write_nir", ("nir",), "nir"),
}


def writer(format: str) -> Callable:
    """Give the function that writes a format.

    Raises:
        InputError: for an unknown format, or one whose extra is not installed.
    """
    path, modules, extra = FORMATS[check_choice("format", format, FORMATS)]
    for module in modules:
        require(module, extra)
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


def require(module: str, extra: str) -> None:
    """Check that an optional module is there.

    Raises:
        InputError: with the line that installs it.
    """
    if importlib.util.find_spec(module) is None:
        raise InputError(f"{module} is not installed: pip install 'kerasburst[{extra}]'")
