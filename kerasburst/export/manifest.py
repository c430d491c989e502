"""manifest.json: what an export is, what goes in and out, and how to call it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np

from kerasburst import files, records
from kerasburst.data.scaling import Scaling
from kerasburst.export.network import Network
from kerasburst.models.weights import weights_hash
from kerasburst.training.result import versions
from kerasburst.validation import InputError
from kerasburst.version import __version__

FORMAT = 1
NAME = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Written:
    """What a format's writer says of what it has written.

    Args:
        signatures: by name, what it does, its inputs and outputs.
        left_out: signatures that are missing, with the reason.
        details: anything else, by name.
    """

    signatures: dict[str, dict]
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    details: dict[str, object] = dataclasses.field(default_factory=dict)


def make_manifest(
    format: str, network: Network, written: Written, scaling: Scaling | None, labels: tuple[str, ...] | None
) -> dict:
    """Give the manifest of an export as JSON values."""
    encoder = network.encoder
    return {
        "format": FORMAT,
        "kind": format,
        "kerasburst": __version__,
        "versions": versions(),
        "model": type(network.model).__name__,
        "num_steps": network.num_steps,
        "readout": network.readout,
        "signatures": written.signatures,
        "left_out": written.left_out,
        **written.details,
        "encoder": None if encoder is None else keras.saving.serialize_keras_object(encoder),
        "random": encoder is not None and encoder.random,
        "neurons": {name: _neuron(layer) for name, layer in network.neurons.items()},
        "preprocessing": {
            "inputs": "the model takes intensities: it scales nothing, and refuses values outside [0, 1]",
            "scaling": None if scaling is None else records.to_json(scaling),
            "rule": None if scaling is None else "(x - low) / (high - low)" + _clipped(scaling),
        },
        "layers_before_encoder": network.prepares,
        "features": list(network.features),
        "labels": None if labels is None else list(labels),
        "weights_sha256": weights_hash(network.model),
        "call": calls(format, network),
    }


def _clipped(scaling: Scaling) -> str:
    return ", clipped to [0, 1]" if scaling.kind == "tabular" else ""


def _neuron(layer) -> dict:
    config = layer.get_config()
    shown = {name: config[name] for name in ("reset_mechanism", "surrogate")}
    for name in ("beta", "threshold"):
        value = np.asarray(layer.neuron_parameters()[name], "float64")
        shown[name] = float(value) if value.ndim == 0 else {"min": value.min(), "max": value.max(), "per_neuron": True}
    return shown


def describe_tensors(specs: dict) -> dict:
    """Give dtype and shape of tensors by name; None stands for any size."""
    return {
        name: {"dtype": spec.dtype.name, "shape": [None if n is None else int(n) for n in spec.shape]}
        for name, spec in specs.items()
    }


def read_manifest(folder: Path) -> dict:
    """Read the manifest of an export.

    Raises:
        InputError: where there is none of ours, or one of another version.
    """
    path = folder / NAME
    if not path.exists():
        raise InputError(f"{folder} must be an export, it has no {NAME}")
    value = files.read_json(path)
    if not isinstance(value, dict) or not {"format", "kind", "kerasburst", "signatures"} <= set(value):
        raise InputError(f"{path} is not a manifest of kerasburst export")
    if value["format"] != FORMAT:
        raise InputError(
            f"{path} must be of format {FORMAT}, received {value['format']!r} by kerasburst {value['kerasburst']}"
        )
    return value


def calls(format: str, network: Network) -> dict:
    """Give lines that call an export."""
    shape = ("n", *network.features) if network.encoder is not None else ("n", "T", *network.spike_features)
    given = f"({', '.join(map(str, shape))})"
    if format == "savedmodel":
        name = "spikes" if network.encoder is None else "images"
        lines = [
            "import tensorflow as tf",
            "served = tf.saved_model.load(FOLDER)",
            f"served.signatures['serving_default']({name}={name})  # float32 {given}",
        ]
        body = f'{{"inputs": {{"{name}": [...]}}}}'
        if network.encoder is not None:
            lines.append(
                "served.signatures['seeded'](images=images, seed=tf.constant(7, tf.int64), queries=tf.constant(16))"
            )
            body = '{"signature_name": "seeded", "inputs": {"images": [...], "seed": 7, "queries": 16}}'
        return {
            "python": lines,
            "curl": f"curl -d '{body}' http://HOST:8501/v1/models/NAME:predict",
            "serving": "tensorflow_model_server --rest_api_port=8501 --model_name=NAME --model_base_path=BASE, "
            "with this folder as BASE/1",
        }
    lines = {
        "onnx": [
            "import onnxruntime",
            "session = onnxruntime.InferenceSession('model.onnx')",
            "logits, trace = session.run(None, {'spikes': spikes})  # float32 (n, T, *features)",
        ],
        "litert": [
            "from ai_edge_litert.interpreter import Interpreter",
            "step = Interpreter('model.tflite').get_signature_runner('step')",
            "out = step(spikes=spikes_of_this_step, **states)  # zeros at first, then out without its logits",
        ],
        "nir": ["import nir", "graph = nir.read('model.nir')"],
    }
    return {"python": lines[format]}
