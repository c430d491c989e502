"""Files of an export: wholly or not at all, and nothing of anybody else's."""

import os
import shutil

import pytest
import tensorflow as tf

from kerasburst.encoders.poisson_burst import PoissonBurstEncoder
from kerasburst.export import export, predict, savedmodel
from kerasburst.validation import InputError

from .common import images, make


@pytest.mark.thorough
def test_out_is_not_overwritten_without_force(exported, tmp_path):
    pytest.importorskip("nir")
    shutil.copytree(exported("savedmodel"), tmp_path / "served")
    network = make("fc", False)
    with pytest.raises(InputError, match="holds an export: --force \\(in Python force=True\\) replaces it"):
        savedmodel(network, tmp_path / "served")
    assert "saved_model.pb" in os.listdir(tmp_path / "served")
    export(network, tmp_path / "served", "nir", force=True)
    assert sorted(os.listdir(tmp_path / "served")) == ["manifest.json", "model.nir"]
    assert os.listdir(tmp_path) == ["served"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        savedmodel(network, tmp_path / "thesis", force=True)


@pytest.mark.thorough
def test_a_failure_leaves_what_was_there(exported, tmp_path, monkeypatch):
    network = make()
    shutil.copytree(exported("savedmodel"), tmp_path / "served")
    kept = (tmp_path / "served" / "saved_model.pb").read_bytes()

    def fails(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tensorflow.saved_model.save", fails)
    with pytest.raises(OSError, match="No space left"):
        savedmodel(network, tmp_path / "served", force=True)
    with pytest.raises(OSError, match="No space left"):
        savedmodel(network, tmp_path / "new" / "served")
    assert (tmp_path / "served" / "saved_model.pb").read_bytes() == kept
    assert os.listdir(tmp_path) == ["served"]


def test_bad_arguments(tmp_path):
    with pytest.raises(InputError, match="labels must be one for each of 3 classes, received 2"):
        savedmodel(make(), tmp_path / "served", labels=["a", "b"])
    with pytest.raises(InputError, match="model must be a Keras model, received 'run'"):
        savedmodel("run", tmp_path / "served")
    assert os.listdir(tmp_path) == []


@pytest.mark.thorough
def test_a_callable_intensity_map_goes_in_a_savedmodel_alone(tmp_path):
    network = make("fc", PoissonBurstEncoder(6, intensity_map=tf.square))
    for format in ("onnx", "litert", "nir"):
        pytest.importorskip({"litert": "tensorflow"}.get(format, format))
        with pytest.raises(InputError, match=f"an intensity_map with a name for {format}, received a callable"):
            export(network, tmp_path / "out", format)
    savedmodel(network, tmp_path / "out")
    assert predict(tmp_path / "out", images(), queries=2).queries == 2
