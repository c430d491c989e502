"""One time step as a LiteRT (TensorFlow Lite) model of built-in operations, its states in and out."""

from __future__ import annotations

import tempfile
from pathlib import Path

import tensorflow as tf

from kerasburst.export.manifest import Written, describe_tensors
from kerasburst.export.network import Network
from kerasburst.export.saved_model import make_functions
from kerasburst.validation import InputError, one_line


def write_litert(network: Network, folder: Path) -> Written:
    """Write model.tflite into `folder`; see `kerasburst.export.litert`."""
    if network.no_step is not None:
        raise InputError(f"litert holds one time step, which this model does not have: {network.no_step}")
    run, specs = make_functions(network)["step"]
    step = tf.function(run, autograph=False).get_concrete_function(**specs)
    module = tf.Module()
    module.weights = [v.value for v in network.weights]
    with tempfile.TemporaryDirectory() as place:
        tf.saved_model.save(module, place, signatures={"step": step})
        converter = tf.lite.TFLiteConverter.from_saved_model(place, signature_keys=["step"])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            content = converter.convert()
        except Exception as error:  # the converter's own exception is not public
            raise InputError(f"litert must be given built-in operations alone: {one_line(error, 200)}") from None
    (folder / "model.tflite").write_bytes(content)
    return Written(
        {
            "step": {
                "does": "one time step: give zeros for the states at first, then what came out",
                "inputs": describe_tensors(specs),
                "outputs": describe_tensors(step.structured_outputs),
            }
        },
        {name: "LiteRT holds the step alone: encode outside, and carry the states" for name in _LEFT_OUT},
        {"file": "model.tflite"},
    )


_LEFT_OUT = ("serving_default", "seeded", "encoded", "trace")
