"""ONNX: the model's own call from spikes to logits and membrane trace, converted by tf2onnx."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings

import tensorflow as tf

from kerasburst.export.formats import Format, Written, describe_tensors, require
from kerasburst.validation import InputError, one_line

_OPSET = 17  # what onnxruntime has taken since 1.12
_CALL = {
    "python": [
        "import onnxruntime",
        "session = onnxruntime.InferenceSession('model.onnx')",
        "logits, trace = session.run(['logits', 'trace'], {'spikes': spikes})  # float32 (n, T, *features)",
    ]
}
_NO_ENCODER = "ONNX has no counter-based random numbers: encode outside"


class ONNX(Format):
    """Writes model.onnx and runs it by onnxruntime; see `kerasburst.export.onnx`."""

    file = "model.onnx"
    modules = ("onnx", "onnxruntime", "tf2onnx")
    extra = "onnx"

    def write(self, network, folder):
        """Write model.onnx; see `Format.write`."""
        import onnx
        import tf2onnx

        if others := network.compute_dtypes() - {"float32"}:
            raise InputError(f"model must compute in float32 for onnx, received {', '.join(sorted(others))}")

        def encoded(spikes):
            logits, mem = network.encoded(spikes)
            return {"logits": logits, **({"trace": mem} if network.traced else {})}

        spikes = tf.TensorSpec((None, network.num_steps, *network.spike_features), tf.float32, name="spikes")
        function = tf.function(encoded, autograph=False)
        outputs = describe_tensors(function.get_concrete_function(spikes).structured_outputs)
        try:
            with _quiet():
                model, _ = tf2onnx.convert.from_function(function, [spikes], opset=_OPSET)
        except Exception as error:  # tf2onnx raises what it likes
            reason = one_line(error, 200)
            raise InputError(
                f"model must be of operations that tf2onnx converts: {reason}; a SavedModel holds it"
            ) from None
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, folder / self.file)
        does = "class scores and the output neurons' membrane of spikes"
        return Written(
            {"encoded": {"does": does, "inputs": describe_tensors({"spikes": spikes}), "outputs": outputs}},
            {"serving_default": _NO_ENCODER, "seeded": _NO_ENCODER, "step": "the SavedModel and LiteRT have it"},
            _CALL,
            {"opset": _OPSET, "onnx": onnx.__version__, "tf2onnx": tf2onnx.__version__},
        )

    def run(self, folder, manifest):
        """Return a function that runs the model in onnxruntime; see `Format.run`."""
        path = self.path(folder)
        require("onnxruntime", "onnx")
        import onnxruntime

        try:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no other base class
            raise InputError(f"{path} cannot be loaded: {one_line(error)}") from None
        return lambda spikes: session.run(["logits"], {"spikes": spikes})[0]


@contextlib.contextmanager
def _quiet():
    """Keep what the conversion logs and warns to itself."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
