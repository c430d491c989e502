"""Export a model in one of the formats, with its manifest: wholly or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras

from kerasburst import files
from kerasburst.data.scaling import Scaling
from kerasburst.export.formats import writer
from kerasburst.export.manifest import NAME, make_manifest, read_manifest
from kerasburst.export.network import take_apart
from kerasburst.training.evaluate import load_network
from kerasburst.training.run_directory import RunDirectory
from kerasburst.validation import InputError, user_path


def export(
    model: keras.Model,
    out: str | Path,
    format: str = "savedmodel",
    *,
    scaling: Scaling | None = None,
    labels: Sequence[str] | None = None,
    force: bool = False,
) -> dict:
    """Write a model, and a manifest beside it, into a new directory.

    Args:
        model: one of our networks, or, as a SavedModel or for LiteRT, a functional or sequential Keras model with our
            layers inside.
        out: the directory; it appears whole or not at all.
        format: "savedmodel", "onnx", "litert" or "nir".
        scaling: how raw values become intensities, for the manifest and `predict`; the model itself scales nothing.
        labels: one name for each class.
        force: replace an export in `out`.

    Returns:
        The manifest.

    Raises:
        InputError: for a model that the format cannot hold, with the reason, for an `out` that is taken, or where
            the format's extra is not installed.

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
    write = writer(format)
    out = _check_out(out, force)
    network = take_apart(model)
    if labels is not None and len(labels) != network.num_classes:
        raise InputError(f"labels must be one for each of {network.num_classes} classes, received {len(labels)}")
    if scaling is not None and tuple(scaling.feature_shape) != network.features:
        raise InputError(f"scaling must be of features {network.features}, received {tuple(scaling.feature_shape)}")
    if format != "savedmodel" and callable(getattr(network.encoder, "intensity_map", None)):
        raise InputError(
            f"encoder must have an intensity_map with a name for {format}, received a callable: there the encoder "
            "stands in the manifest, by its parameters; a SavedModel has its operations"
        )
    with files.replacing_directory("out", out) as folder:
        manifest = make_manifest(format, network, write(network, folder), scaling, labels)
        files.write_json(folder / NAME, manifest)
    return manifest


def savedmodel(model: keras.Model, out: str | Path, **kwargs) -> dict:
    """Export as a SavedModel; see `export`.

    Signatures: `serving_default`, `seeded`, `encoded`, `step` and `trace`; the manifest says what each takes. It
    loads where TensorFlow is and kerasburst is not, and no call writes a variable.
    """
    return export(model, out, "savedmodel", **kwargs)


def onnx(model: keras.Model, out: str | Path, **kwargs) -> dict:
    """Export to ONNX, from spikes to logits and membrane trace; see `export`."""
    return export(model, out, "onnx", **kwargs)


def litert(model: keras.Model, out: str | Path, **kwargs) -> dict:
    """Export one time step to LiteRT, with its states in and out; see `export`."""
    return export(model, out, "litert", **kwargs)


def nir(model: keras.Model, out: str | Path, **kwargs) -> dict:
    """Export as a graph of the Neuromorphic Intermediate Representation; see `export`."""
    return export(model, out, "nir", **kwargs)


def export_run(run: str | Path, out: str | Path, format: str = "savedmodel", *, force: bool = False) -> dict:
    """Export a finished run's network with its scaling and labels; see `export`.

    Args:
        run: the run directory.
        out: the directory to write.
        format: as in `export`.
        force: replace an export in `out`.

    Returns:
        The manifest.
    """
    writer(format)
    _check_out(out, force)
    network, scaling, labels = load_run(run)
    return export(network, out, format, scaling=scaling, labels=labels, force=force)


def load_run(run: str | Path) -> tuple[keras.Model, Scaling, tuple[str, ...]]:
    """Give a finished run's network, its encoder inside, the scaling of its data, and its labels.

    Raises:
        InputError: where `run` is not a finished run.
    """
    directory = RunDirectory(run)
    directory.config()
    network = load_network(directory.path)
    data = directory.data()
    if data is None:
        raise InputError(f"run must be a finished run, {directory.path / 'data.json'} does not exist")
    return network, Scaling.from_json(data["scaling"]), tuple(data["class_names"])


def _check_out(out: str | Path, force: bool) -> Path:
    path = user_path("out", out)
    if path.exists() and not path.is_dir():
        raise InputError(f"out must be a directory, {path} is a file")
    if path.is_dir() and any(path.iterdir()):
        if not (path / NAME).exists():
            raise InputError(f"out must be new, empty or an export; {path} holds other files")
        read_manifest(path)
        if not force:
            raise InputError(f"out must be a new directory, {path} holds an export: --force replaces it")
    return path.absolute()
