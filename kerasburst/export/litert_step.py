"""One time step as a LiteRT (TensorFlow Lite) model of built-in operations, its states in and out."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasburst.export.formats import Format, Written, describe_tensors, require
from kerasburst.export.saved_model import DOES, make_functions
from kerasburst.validation import InputError, one_line

_REASON = "LiteRT holds the step alone: encode outside, and carry the states"
_CALL = {
    "python": [
        "from ai_edge_litert.interpreter import Interpreter",
        "step = Interpreter('model.tflite').get_signature_runner('step')",
        "out = step(spikes=spikes_of_this_step, **states)  # zeros at first, then out without its logits",
    ]
}


class LiteRT(Format):
    """Writes and runs model.tflite, which has the signature `step`; see `kerasburst.export.litert`."""

    file = "model.tflite"
    modules = ("ai_edge_litert",)  # runs what was written, to compare it with the model
    extra = "litert"

    def write(self, network, folder):
        """Write model.tflite; see `Format.write`."""
        if network.no_step is not None:
            raise InputError(f"litert holds one time step, which this model does not have: {network.no_step}")
        run, specs = make_functions(network)["step"]
        step = tf.function(run, autograph=False).get_concrete_function(**specs)
        module = tf.Module()
        module.weights = [v.value for v in network.model.weights]
        with tempfile.TemporaryDirectory(dir=folder) as place:  # a kill leaves nothing elsewhere
            tf.saved_model.save(module, place, signatures={"step": step})
            converter = tf.lite.TFLiteConverter.from_saved_model(place, signature_keys=["step"])
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
            try:
                content = converter.convert()
            except Exception as error:  # the converter's own exception is not public
                reason = one_line(error, 200)
                raise InputError(f"model must be of operations that LiteRT has built in: {reason}") from None
        (folder / self.file).write_bytes(content)
        outputs = describe_tensors(step.structured_outputs)
        return Written(
            {"step": {"does": DOES["step"], "inputs": describe_tensors(specs), "outputs": outputs}},
            dict.fromkeys(("serving_default", "seeded", "encoded", "trace"), _REASON),
            _CALL,
        )

    def run(self, folder: Path, manifest):
        """Return a function that runs the steps in LiteRT's interpreter; see `Format.run`."""
        path = self.path(folder)
        require("ai_edge_litert", "litert")
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(str(path))
            step = interpreter.get_signature_runner("step")
            inputs = step.get_input_details()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"{path} cannot be loaded: {one_line(error)}") from None

        def logits_of(spikes):
            _ = interpreter  # a signature does not keep its interpreter alive
            shapes = {name: tensor["shape"][1:] for name, tensor in inputs.items() if name != "spikes"}
            out = {name: np.zeros((len(spikes), *shape), "float32") for name, shape in shapes.items()}
            for t in range(spikes.shape[1]):
                out = step(spikes=spikes[:, t], **out)
                logits = out.pop("logits")
            return logits

        return logits_of
