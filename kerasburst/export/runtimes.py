"""Run exports that take spikes: ONNX by onnxruntime, LiteRT by its interpreter, NIR by our own layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasburst.export.formats import require
from kerasburst.export.nir_reader import read_layers
from kerasburst.validation import InputError, one_line

SpikesToLogits = Callable[[np.ndarray], np.ndarray]


def open_spikes_to_logits(path: Path, manifest: dict) -> SpikesToLogits:
    """Give a function from float32 spikes `(n, num_steps, *features)` to logits `(n, C)`.

    Raises:
        InputError: for a damaged file, or where the runtime is not installed.
    """
    opened = {"onnx": _onnx, "litert": _litert, "nir": _nir}.get(manifest["kind"])
    if opened is None:
        raise InputError(f"{path} is an export of an unknown kind, {manifest['kind']!r}")
    file = path / manifest["file"]
    if not file.is_file():
        raise InputError(f"{path} is damaged, it has no {manifest['file']}")
    return opened(file, manifest)


def _onnx(file: Path, manifest: dict) -> SpikesToLogits:
    require("onnxruntime", "onnx")
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no other class
        raise InputError(f"{file} cannot be loaded: {one_line(error)}") from None
    return lambda spikes: session.run(["logits"], {"spikes": spikes})[0]


def _litert(file: Path, manifest: dict) -> SpikesToLogits:
    require("ai_edge_litert", "litert")
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(str(file))
        step = interpreter.get_signature_runner("step")
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{file} cannot be loaded: {one_line(error)}") from None
    shapes = {name: tensor["shape"][1:] for name, tensor in manifest["signatures"]["step"]["inputs"].items()}
    del shapes["spikes"]

    def logits_of(spikes):
        _ = interpreter  # a signature belongs to it
        out = {name: np.zeros((len(spikes), *shape), "float32") for name, shape in shapes.items()}
        for t in range(spikes.shape[1]):
            out = step(spikes=spikes[:, t], **out)
            logits = out.pop("logits")
        return logits

    return logits_of


def _nir(file: Path, manifest: dict) -> SpikesToLogits:
    inputs, spk, mem = read_layers(file, manifest["num_steps"])
    model = keras.Model(inputs, [spk, mem])
    readout = manifest["readout"]

    @tf.function(reduce_retracing=True, autograph=False)
    def logits_of(spikes):
        spk, mem = model(spikes)
        if readout == "last":
            return mem[:, -1]
        return tf.reduce_mean(mem, axis=1) if readout == "mean" else tf.reduce_sum(spk, axis=1)

    return lambda spikes: logits_of(tf.constant(spikes)).numpy()
