"""Manifests, and formats that other packages add."""

import json
import shutil

import numpy as np
import pytest

import kerasburst as kb
from kerasburst.encoders.rate import RateEncoder
from kerasburst.export import export, predict
from kerasburst.export.formats import Format, Written, read_manifest
from kerasburst.registry import FORMATS
from kerasburst.validation import InputError

from .common import images, make

REMOVED = object()


class KerasFile(Format):
    """The model's own file."""

    file = "model.keras"

    def write(self, network, folder):
        """Save the model."""
        network.model.save(folder / self.file)
        return Written({"encoded": {"does": "logits", "inputs": {}, "outputs": {}}}, details={"colour": "blue"})

    def run(self, folder, manifest):
        """Return the model without its encoder."""
        model = kb.load_model(self.path(folder)).with_encoder(None)
        return lambda spikes: model(spikes).numpy()


class Mistaken(KerasFile):
    """Answers something else."""

    def run(self, folder, manifest):
        """Return logits that are off by one part in a thousand."""
        right = super().run(folder, manifest)
        return lambda spikes: right(spikes) * 1.001


@pytest.fixture
def keras_file(monkeypatch):
    monkeypatch.setattr(FORMATS, "_entries", dict(FORMATS._entries))
    monkeypatch.setenv("KERASBURST_PLUGINS", "")
    kb.register("format", "keras_file", KerasFile)


def test_a_format_from_outside_is_written_and_asked(keras_file, tmp_path):
    network = make("fc", RateEncoder(6, mode="regular"))
    manifest = export(network, tmp_path / "out", "keras_file", labels=["a", "b", "c"])
    assert (manifest["kind"], manifest["file"], manifest["colour"]) == ("keras_file", "model.keras", "blue")
    got = predict(tmp_path / "out", images())
    np.testing.assert_allclose(got.logits, network(images()), atol=1e-5)
    (tmp_path / "out" / "model.keras").unlink()
    with pytest.raises(InputError, match=r"out is damaged, it has no model\.keras"):
        predict(tmp_path / "out", images())


def test_an_export_that_answers_something_else_is_not_written(keras_file, tmp_path):
    kb.register("format", "mistaken", Mistaken)
    with pytest.raises(InputError, match=r"its logits \(a batch of 1\) are 0\.001 from the model's.*rounding") as error:
        export(make("fc", RateEncoder(6)), tmp_path / "out", "mistaken")
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def test_a_format_that_is_not_known_here_and_one_that_only_writes(keras_file, monkeypatch, tmp_path):
    export(make(), tmp_path / "out", "keras_file")
    monkeypatch.delattr(KerasFile, "run")
    with pytest.raises(InputError, match="of kind 'keras_file', which kerasburst writes but does not run"):
        predict(tmp_path / "out", images())
    monkeypatch.delitem(FORMATS._entries, "keras_file")
    with pytest.raises(InputError, match="an export of an unknown kind, 'keras_file'"):
        predict(tmp_path / "out", images())


@pytest.fixture
def written(exported, tmp_path):
    """A folder with a manifest, and a function that changes fields of it, or removes them."""
    pytest.importorskip("ai_edge_litert")
    shutil.copytree(exported("litert"), tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    whole = json.loads(path.read_text())

    def change(**fields):
        changed = {name: value for name, value in (whole | fields).items() if value is not REMOVED}
        path.write_text(json.dumps(changed))
        return tmp_path / "out"

    return change


def test_the_first_version_s_manifests_are_read(written):
    """It named no file in a SavedModel's manifest, and each format adds facts of its own."""
    manifest = read_manifest(written(file=REMOVED, opset=17, kerasburst="0.1.0"))
    assert manifest.kind == "litert" and manifest.features == (5,)
    assert tuple(manifest.labels) == ("no", "maybe", "yes")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": 2, "kerasburst": "9.0"}, r"manifest\.json must be of format 1, .* received 2 by kerasburst 9\.0"),
        ({"signatures": REMOVED}, "is not a manifest of kerasburst export"),
        ({"num_steps": "ten"}, r"manifest\.json: num_steps must be an integer, received 'ten'"),
        ({"weights_sha256": REMOVED}, r"manifest\.json: weights_sha256 is missing"),
        (
            {"preprocessing": {"inputs": "", "rule": "", "scaling": {"kind": "sound"}}},
            r"manifest\.json: preprocessing.*scaling",
        ),
    ],
)
def test_damaged_manifests_are_refused_in_one_line(fields, message, written):
    with pytest.raises(InputError, match=message) as error:
        predict(written(**fields), images())
    assert "\n" not in str(error.value)
