"""Manifests, and formats that other packages add."""

import json

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


class SpikeCounts(Format):
    """Not a network at all: its logits are the input's spike counts, by class."""

    file = "classes.txt"

    def write(self, network, folder):
        """Write the number of classes."""
        (folder / self.file).write_text(str(network.num_classes))
        return Written({"encoded": {"does": "counts", "inputs": {}, "outputs": {}}}, details={"colour": "blue"})

    def run(self, folder, manifest):
        """Return the counts of the first features."""
        classes = int(self.path(folder).read_text())
        return lambda spikes: spikes.sum(axis=1)[:, :classes]


@pytest.fixture
def counts(monkeypatch):
    monkeypatch.setattr(FORMATS, "_entries", dict(FORMATS._entries))
    monkeypatch.setenv("KERASBURST_PLUGINS", "")
    kb.register("format", "spike_counts", SpikeCounts)


def test_a_format_from_outside_is_written_and_asked(counts, tmp_path):
    encoder = RateEncoder(6, mode="regular")
    manifest = export(make("fc", encoder), tmp_path / "out", "spike_counts", labels=["a", "b", "c"])
    assert (manifest["kind"], manifest["file"], manifest["colour"]) == ("spike_counts", "classes.txt", "blue")
    got = predict(tmp_path / "out", images())
    np.testing.assert_array_equal(got.logits, encoder(images()).numpy().sum(axis=1)[:, :3])
    (tmp_path / "out" / "classes.txt").unlink()
    with pytest.raises(InputError, match=r"out is damaged, it has no classes\.txt"):
        predict(tmp_path / "out", images())


def test_a_format_that_is_not_known_here_and_one_that_only_writes(counts, monkeypatch, tmp_path):
    export(make(), tmp_path / "out", "spike_counts")
    monkeypatch.delattr(SpikeCounts, "run")
    with pytest.raises(InputError, match="of kind 'spike_counts', which kerasburst writes but does not run"):
        predict(tmp_path / "out", images())
    monkeypatch.delitem(FORMATS._entries, "spike_counts")
    with pytest.raises(InputError, match="an export of an unknown kind, 'spike_counts'"):
        predict(tmp_path / "out", images())


@pytest.fixture
def written(tmp_path):
    """A folder with a manifest, and a function that changes fields of it, or removes them."""
    export(make("fc"), tmp_path / "out", "litert")
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
    assert manifest.kind == "litert" and manifest.features == (5,) and manifest.labels is None


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
