"""Networks with branches, normalisation and recurrence: each export is right, or refused in one line.

An export is compared with the model before it counts as written; NIR graphs are read back here, too.
"""

import os

import numpy as np
import pytest
import tensorflow as tf

import kerasburst as kb
from kerasburst.export import export, from_nir
from kerasburst.export.formats import read_manifest
from kerasburst.registry import FORMATS
from kerasburst.validation import InputError
from tests.models.common import draw_spikes, enliven

NETWORKS = {
    "residual": (lambda **options: kb.SEWResNet(3, depth=8, width=2, **options), (3, 4, 4, 2)),
    "large images": (lambda **options: kb.SEWResNet(3, depth=10, width=1, stem="imagenet", **options), (3, 16, 16, 2)),
    "vgg": (lambda **options: kb.SpikingVGG(3, filters=((2,), (3, 3)), hidden_units=7, **options), (3, 8, 8, 2)),
    "recurrent": (lambda **options: kb.RecurrentSNN(3, hidden_units=6, **options), (6, 5)),
}


def lively(name, **options):
    make, shape = NETWORKS[name]
    network = make(seed=0, **options)
    network.build((None, *shape))
    return enliven(network)


@pytest.mark.thorough
@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("name", ["residual", "large images", "vgg"])
def test_nir_there_and_back(name, tmp_path):
    """Normalisations become weights, so rounding may move a spike now and then."""
    pytest.importorskip("nir")
    network = lively(name)
    export(network, tmp_path / "nir", "nir")
    x = draw_spikes(8, *NETWORKS[name][1]).astype("float32")
    activity, _ = network.simulate(tf.constant(x))
    got, want = from_nir(tmp_path / "nir" / "model.nir")(x).numpy(), activity["output_lif"].numpy()
    assert all(0 < spk.numpy().mean() < 1 for spk in activity.values())
    assert (got == want).mean() > 0.99


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: lively("residual", connect="IAND"),
            "model must have connect ADD for nir, which sums paths, received IAND",
        ),
        (lambda: lively("recurrent"), "model must be of neurons that nir knows, hidden1_lif is a RecurrentLIF"),
    ],
    ids=["IAND", "recurrent"],
)
def test_what_nir_cannot_hold(make, message, tmp_path):
    pytest.importorskip("nir")
    with pytest.raises(InputError, match=message):
        export(make(), tmp_path / "nir", "nir")
    assert os.listdir(tmp_path) == []


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "format"),
    [(name, format) for name in ("residual", "recurrent") for format in ("savedmodel", "litert", "onnx")]
    + [("vgg", "litert")],
)
def test_the_export_answers_as_the_model_does(name, format, tmp_path):
    for module in {"onnx": ("tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}.get(format, ()):
        pytest.importorskip(module)
    network, shape = lively(name, readout="mean"), NETWORKS[name][1]
    export(network, tmp_path / "out", format)
    x = draw_spikes(4, *shape).astype("float32")
    if format == "savedmodel":
        got = tf.saved_model.load(tmp_path / "out").signatures["encoded"](spikes=tf.constant(x))["logits"]
    else:
        got = FORMATS[format]().run(tmp_path / "out", read_manifest(tmp_path / "out"))(x)
    np.testing.assert_allclose(got, network(x), rtol=1e-3, atol=1e-3)
