"""`Format`, the base class of the export formats, and `Manifest`, which describes a written export.

The formats themselves stand in `kerasburst.registry.FORMATS`; a new one is one file with a subclass of `Format` and one
line there, or a call of `kerasburst.register("format", name, cls)` from outside the package.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

from kerasburst import files, records
from kerasburst.data.scaling import Scaling
from kerasburst.encoders.base import Encoder
from kerasburst.export.network import Network, draw_spikes
from kerasburst.export.verify import Verifier
from kerasburst.validation import InputError, one_line

NAME = "manifest.json"

# (images, seed, queries) -> logits, probabilities, spread
Ask = Callable[[np.ndarray, int, int], dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How raw values become the intensities that a model takes: in words, as a scaling, and as a formula."""

    inputs: str
    scaling: Scaling | None
    rule: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What manifest.json says about an export."""

    FORMAT: ClassVar[int] = 1

    kind: str  # the name of the format
    versions: dict[str, str]
    model: str  # class of the Keras model
    num_steps: int | None  # None: any number
    readout: str
    signatures: dict[str, dict]  # what can be called: what it does, its inputs and outputs
    left_out: dict[str, str]  # signatures that are missing, and why
    file: str | None = None  # None: several files
    encoder: dict | None  # as Keras serialises it
    random: bool  # whether the encoder draws random numbers
    neurons: dict[str, dict]  # their parameters by layer
    preprocessing: Preprocessing
    layers_before_encoder: bool
    features: tuple[int, ...]  # shape of one example
    labels: tuple[str, ...] | None
    weights_sha256: str
    call: dict  # lines of code that call the export
    encoder_weights: list | None = None  # what a trained encoder has learnt
    data: dict = dataclasses.field(default_factory=dict)  # how a recording of events becomes an example
    sha256: dict[str, str] = dataclasses.field(default_factory=dict)  # of each file beside the manifest

    def check_files(self, folder: Path) -> None:
        """Check that the files of an export are those that its manifest was written with.

        Raises:
            InputError: for a file that is missing, or another one.
        """
        found = hashes(folder)
        for name, want in self.sha256.items():
            if found.get(name) != want:
                raise InputError(f"{folder / name} must be the file that {NAME} was written with, it is not")


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 (hex) of each file below a folder but the manifest, by its path there."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / NAME:
            with open(path, "rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an export.

    Raises:
        InputError: if there is none of ours, or one of another version.
    """
    path = folder / NAME
    if not path.exists():
        raise InputError(f"{folder} must be an export, it has no {NAME}")
    value = files.read_json(path)
    if not isinstance(value, dict) or not {"format", "kind", "kerasburst", "signatures"} <= set(value):
        raise InputError(f"{path} is not a manifest of kerasburst export")
    # Each format adds facts of its own, such as the version of the library that wrote the file.
    known = {"format", "kerasburst", *(field.name for field in dataclasses.fields(Manifest))}
    return records.from_json(Manifest, {name: value[name] for name in value if name in known}, str(path))


@dataclasses.dataclass(frozen=True)
class Written:
    """What a format has written, for the manifest: three of its fields, and further facts by name."""

    signatures: dict[str, dict]
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    call: dict = dataclasses.field(default_factory=dict)
    details: dict[str, object] = dataclasses.field(default_factory=dict)


class Format(ABC):
    """A format that networks are exported to. A subclass writes it and may run what it wrote.

    Attributes:
        file: name of the file that it writes, or None if it writes several.
        modules: modules that writing needs besides the requirements of kerasburst.
        extra: the extra of kerasburst that installs them.
        holds_encoder: whether the encoder's operations are in the export. Otherwise the manifest has its parameters,
            and `predict` encodes.
    """

    file: str | None = None
    modules: tuple[str, ...] = ()
    extra: str = ""
    holds_encoder = False

    @abstractmethod
    def write(self, network: Network, folder: Path) -> Written:
        """Write `network` into `folder`.

        Raises:
            InputError: for a network that the format cannot hold, with the reason.
        """

    def run(self, folder: Path, manifest: Manifest) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function from float32 spikes `(n, num_steps, *features)` to logits `(n, C)`.

        Raises:
            InputError: for a damaged file, or if the runtime is not installed.
        """
        raise InputError(f"{folder} is an export of kind {manifest.kind!r}, which kerasburst writes but does not run")

    def verify(self, folder: Path, manifest: Manifest, verifier: Verifier) -> None:
        """Compare the written files with the model; a format that does not run cannot be compared.

        Raises:
            InputError: where they differ.
        """
        if type(self).run is not Format.run:
            verifier.logits("logits", self.run(folder, manifest))

    def ask(self, folder: Path, manifest: Manifest) -> Ask:
        """Return a function that answers from images, as `Network.ask`.

        Raises:
            InputError: for an export that cannot be loaded, or that has layers before its encoder.
        """
        import kerasburst.layers  # noqa: F401, Keras then knows our encoders

        if manifest.layers_before_encoder:
            raise InputError(f"{folder} lacks the layers before the encoder; the SavedModel of this model has them")
        try:
            encoder = keras.saving.deserialize_keras_object(manifest.encoder)
            if manifest.encoder_weights is not None:
                if not encoder.built:
                    encoder.build((None, *manifest.features))
                encoder.set_weights([np.asarray(each, "float32") for each in manifest.encoder_weights])
        except (TypeError, ValueError) as error:
            raise InputError(f"{folder} has an encoder that is not known here: {one_line(error)}") from None
        return ask_spikes(encoder, self.run(folder, manifest))

    def path(self, folder: Path) -> Path:
        """Return the path of the written file.

        Raises:
            InputError: if it is not there.
        """
        if not (folder / self.file).is_file():
            raise InputError(f"{folder} is damaged, it has no {self.file}")
        return folder / self.file


def ask_spikes(encoder: Encoder, logits_of: Callable[[np.ndarray], np.ndarray]) -> Ask:
    """Return a function that answers from images, as `Network.ask`, for one from float32 spikes to logits."""

    def asked(images, seed, queries):
        x = encoder.check(tf.constant(images, tf.float32), "input")
        spikes = (draw_spikes(encoder, x, tf.constant(seed, tf.int64), tf.constant(k)) for k in range(queries))
        logits = np.stack([logits_of(spk.numpy().astype("float32")) for spk in spikes])
        mean = logits.mean(axis=0)
        spread = tf.nn.softmax(logits).numpy().std(axis=0)
        return {"logits": mean, "probabilities": tf.nn.softmax(mean).numpy(), "spread": spread}

    return asked


def require(module: str, extra: str) -> None:
    """Check that an optional module is installed.

    Raises:
        InputError: with the line that installs it.
    """
    if importlib.util.find_spec(module) is None:
        raise InputError(f"{module} is not installed: pip install 'kerasburst[{extra}]'")


def describe_tensors(specs: dict) -> dict:
    """Return dtype and shape of tensors by name; None stands for any size."""
    return {
        name: {"dtype": spec.dtype.name, "shape": [None if n is None else int(n) for n in spec.shape]}
        for name, spec in specs.items()
    }
