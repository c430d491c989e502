"""Export a model in one of the formats, with its manifest: the directory appears whole or not at all."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasburst import backend, files, records
from kerasburst.data.scaling import Scaling
from kerasburst.export.formats import NAME, Format, Manifest, Preprocessing, Written, hashes, read_manifest, require
from kerasburst.export.network import Network
from kerasburst.export.verify import Verifier
from kerasburst.models.saving import weights_hash
from kerasburst.neurons.surrogate import Surrogate
from kerasburst.registry import FORMATS
from kerasburst.training.evaluation import load_network
from kerasburst.training.result import versions
from kerasburst.training.run_directory import RunDirectory
from kerasburst.validation import InputError, user_path

Labels = Sequence[str] | None


def export(
    model: keras.Model,
    out: str | Path,
    format: str = "savedmodel",
    *,
    scaling: Scaling | None = None,
    labels: Labels = None,
    data: Mapping[str, Any] | None = None,
    force: bool = False,
    **options,
) -> dict:
    """Write a model, and a manifest beside it, into a new directory.

    Args:
        model: one of our networks, or, as a SavedModel or for LiteRT, a functional or sequential Keras model with our
            layers inside.
        out: the directory; it appears whole or not at all.
        format: "savedmodel", "onnx", "litert", "nir", or a name that was registered.
        scaling: how raw values become intensities, for the manifest and `predict`; the model itself scales nothing.
        labels: one name for each class.
        data: how a recording of events becomes an example, as `data` of `TrainConfig`, for `predict`.
        force: replace an export in `out`.
        **options: the format's own, such as `nir_reset` of "nir".

    The export is compared with the model on a few inputs before it is called written: where it differs by more than
    rounding (`kerasburst.export.verify`), nothing is left on disk.

    Returns:
        The manifest as JSON values.

    Raises:
        InputError: for a model that the format cannot hold, or whose export does not answer as it does, with the
            reason; for an `out` that is taken; if the format's extra is not installed; or where Keras does not run on
            TensorFlow, which writes the files.

    Example:
        >>> import tempfile
        >>> from kerasburst.encoders.rate import RateEncoder
        >>> from kerasburst.models import SNNFCNet
        >>> network = SNNFCNet(2, hidden_units=4, encoder=RateEncoder(3))
        >>> network.build((None, 5))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     manifest = export(network, f"{folder}/served", labels=["no", "yes"])
        >>> sorted(manifest["signatures"])
        ['encoded', 'seeded', 'serving_default', 'step', 'trace']
        >>> manifest["signatures"]["step"]["inputs"]["hidden_lif"]
        {'dtype': 'float32', 'shape': [None, 4]}
    """
    writer = _writer(format, **options)
    out = _check_out(out, force)
    network = Network(model)
    if labels is not None and len(labels) != network.num_classes:
        raise InputError(f"labels must be one for each of {network.num_classes} classes, received {len(labels)}")
    if scaling is not None and tuple(scaling.feature_shape) != network.features:
        raise InputError(f"scaling must be of features {network.features}, received {tuple(scaling.feature_shape)}")
    if not writer.holds_encoder and callable(getattr(network.encoder, "intensity_map", None)):
        raise InputError(
            f"encoder must have an intensity_map with a name for {format}, received a callable: the manifest holds "
            "the encoder's parameters, and a SavedModel its operations"
        )
    verifier = Verifier(network, format)
    with files.replacing_directory("out", out) as folder:
        written = writer.write(network, folder)
        manifest = _manifest(format, writer, network, written, scaling, labels)
        manifest = dataclasses.replace(manifest, data=dict(data or {}))
        writer.verify(folder, manifest, verifier)
        manifest = dataclasses.replace(manifest, sha256=hashes(folder))
        values = records.to_json(manifest) | written.details
        files.write_json(folder / NAME, values)
    return values


def savedmodel(
    model: keras.Model, out: str | Path, *, scaling: Scaling | None = None, labels: Labels = None, force: bool = False
) -> dict:
    """Export as a SavedModel; see `export` for the arguments.

    Signatures: `serving_default`, `seeded`, `encoded`, `step` and `trace`; the manifest says what each takes. It loads
    with TensorFlow alone, without kerasburst, and no call writes a variable.

    Example:
        >>> import tempfile, kerasburst as kb
        >>> network = kb.SNNFCNet(2, hidden_units=4)
        >>> network.build((None, 3, 5))  # takes spikes of 3 steps: there is no encoder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sorted(savedmodel(network, f"{folder}/served")["signatures"])
        ['encoded', 'serving_default', 'step', 'trace']
    """
    return export(model, out, "savedmodel", scaling=scaling, labels=labels, force=force)


def onnx(
    model: keras.Model, out: str | Path, *, scaling: Scaling | None = None, labels: Labels = None, force: bool = False
) -> dict:
    """Export to ONNX, from spikes to logits and membrane trace; see `export` for the arguments."""
    return export(model, out, "onnx", scaling=scaling, labels=labels, force=force)


def litert(
    model: keras.Model, out: str | Path, *, scaling: Scaling | None = None, labels: Labels = None, force: bool = False
) -> dict:
    """Export one time step to LiteRT, with its states in and out; see `export` for the arguments."""
    return export(model, out, "litert", scaling=scaling, labels=labels, force=force)


def nir(
    model: keras.Model,
    out: str | Path,
    *,
    nir_reset: str | None = None,
    scaling: Scaling | None = None,
    labels: Labels = None,
    force: bool = False,
) -> dict:
    """Export as a graph of the Neuromorphic Intermediate Representation.

    Args:
        model: as for `export`, as all that `nir_reset` is not.
        out: the directory.
        nir_reset: None to write each reset exactly, which `from_nir` and graph simulators read; "zero" to write every
            LIF as a node that resets to zero, which snnTorch and SpikingJelly read. The true reset is then in the
            node's metadata, where `from_nir` finds it, and the manifest says how many spikes differ for others.
        scaling: likewise.
        labels: likewise.
        force: likewise.
    """
    return export(model, out, "nir", nir_reset=nir_reset, scaling=scaling, labels=labels, force=force)


def export_run(run: str | Path, out: str | Path, format: str = "savedmodel", *, force: bool = False, **options) -> dict:
    """Export a finished run's network with its scaling and labels; see `export`.

    Args:
        run: the run directory.
        out: the directory to write.
        format: as in `export`.
        force: replace an export in `out`.
        **options: as in `export`.

    Returns:
        The manifest as JSON values.
    """
    _writer(format, **options)
    _check_out(out, force)
    network, scaling, labels = load_run(run)
    data = RunDirectory(run).config().data
    return export(network, out, format, scaling=scaling, labels=labels, data=data, force=force, **options)


def load_run(run: str | Path) -> tuple[keras.Model, Scaling, tuple[str, ...]]:
    """Return a finished run's network with its encoder inside, the scaling of its data, and its labels.

    Raises:
        InputError: if `run` is not a finished run.
    """
    directory = RunDirectory.of_finished(run)
    network = load_network(directory.path)
    data = directory.data()
    if data is None:
        raise InputError(f"run must be a finished run, {directory.path / 'data.json'} does not exist")
    return network, data.scaling, data.class_names


def _writer(format: str, **options) -> Format:
    if backend.name != "tensorflow":
        raise InputError(
            f"export must run with Keras on TensorFlow, which writes the files, received {backend.name}: the command "
            "`kerasburst export RUN --out DIRECTORY` sees to that for a run of any backend"
        )
    cls = FORMATS[format]
    for name in options:
        if name not in inspect.signature(cls).parameters:
            raise InputError(f"{name} is not an option of {format}")
    writer = cls(**options)
    for module in writer.modules:
        require(module, writer.extra)
    return writer


def _check_out(out: str | Path, force: bool) -> Path:
    path = user_path("out", out)
    if path.exists() and not path.is_dir():
        raise InputError(f"out must be a directory, {path} is a file")
    if path.is_dir() and any(path.iterdir()):
        if not (path / NAME).exists():
            raise InputError(f"out must be new, empty or an export; {path} holds other files")
        read_manifest(path)
        if not force:
            raise InputError(
                f"out must be a new directory, {path} holds an export: --force (in Python force=True) replaces it"
            )
    return path.absolute()


def _manifest(
    format: str, writer: Format, network: Network, written: Written, scaling: Scaling | None, labels
) -> Manifest:
    encoder, rule = network.encoder, None
    if scaling is not None:
        rule = "(x - low) / (high - low)" + (", clipped to [0, 1]" if scaling.kind == "tabular" else "")
    return Manifest(
        kind=format,
        versions=versions(),
        model=type(network.model).__name__,
        num_steps=network.num_steps,
        readout=network.readout,
        signatures=written.signatures,
        left_out=written.left_out,
        file=writer.file,
        encoder=None if encoder is None else keras.saving.serialize_keras_object(encoder),
        random=encoder is not None and encoder.random,
        neurons={name: _neuron(layer) for name, layer in network.neurons.items()},
        preprocessing=Preprocessing(
            "the model takes spikes, each 0 or 1"
            if encoder is not None and encoder.encoded
            else "the model takes intensities: it scales nothing, and refuses values outside [0, 1]",
            scaling,
            rule,
        ),
        layers_before_encoder=network.prepares,
        features=tuple(network.features),
        labels=None if labels is None else tuple(labels),
        weights_sha256=weights_hash(network.model),
        call=written.call,
        encoder_weights=None if encoder is None or not encoder.weights else [w.tolist() for w in encoder.get_weights()],
    )


def _neuron(layer) -> dict:
    """Return a neuron's parameters as JSON values, arrays by their range."""
    shown, config = {}, layer.get_config()
    for name, value in layer.neuron_parameters().items():
        if isinstance(value, (str, Surrogate)):
            shown[name] = config[name]
        else:
            value = np.asarray(value, "float64")
            extent = {"min": value.min(), "max": value.max(), "per_neuron": True}
            shown[name] = extent if value.ndim else float(value)
    return shown
