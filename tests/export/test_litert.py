"""LiteRT's interpreter, step by step, against Keras on the same spikes."""

import os

import numpy as np
import pytest

from kerasburst.export import litert
from kerasburst.export.formats import read_manifest
from kerasburst.export.litert_step import LiteRT
from kerasburst.validation import InputError

from .common import KINDS, RESETS, composed, logits_of_keras, make, spikes
from .test_composed import after_encoder, chain, draw

pytest.importorskip("ai_edge_litert")


def run(folder, x):
    return LiteRT().run(folder, read_manifest(folder))(x)


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "reset"), list(zip(KINDS, RESETS, strict=True)))
def test_parity(kind, reset, tmp_path):
    network = make(kind, reset_mechanism=reset, beta=0.8, threshold=0.7)
    litert(network, tmp_path / "litert")
    for n in (1, 4):
        x = spikes(kind, n)
        np.testing.assert_allclose(run(tmp_path / "litert", x), logits_of_keras(network, x)[0], atol=1e-4)
    assert sorted(os.listdir(tmp_path / "litert")) == ["manifest.json", "model.tflite"]


@pytest.mark.thorough
@pytest.mark.parametrize("readout", ["mean", "count"])
def test_readouts_that_carry_a_state(readout, tmp_path):
    network = make("fc", readout=readout)
    litert(network, tmp_path / "litert")
    np.testing.assert_allclose(run(tmp_path / "litert", spikes()), logits_of_keras(network, spikes())[0], atol=1e-4)


def test_built_in_operations_alone(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    network, x = make("lif"), spikes("lif")
    litert(network, tmp_path / "litert")
    np.testing.assert_allclose(run(tmp_path / "litert", x), logits_of_keras(network, x)[0], atol=1e-4)
    names = {op["op_name"] for op in Interpreter(str(tmp_path / "litert" / "model.tflite"))._get_ops_details()}
    assert "CONV_2D" in names and not any(name.startswith(("Flex", "CUSTOM")) for name in names), names


@pytest.mark.thorough
def test_a_users_own_model(tmp_path):
    model = composed()
    litert(model, tmp_path / "litert")
    x = draw((2, 8, 8, 8, 1))
    np.testing.assert_allclose(run(tmp_path / "litert", x), after_encoder(model)(x), atol=1e-4)


def test_a_model_without_a_step_is_refused(tmp_path):
    import keras

    from kerasburst.neurons.lif import LIF

    flat = chain(LIF(), keras.layers.Reshape((30,)), keras.layers.Dense(3))
    with pytest.raises(InputError, match="litert holds one time step, which this model does not have: a layer refuses"):
        litert(flat, tmp_path / "litert")
    assert os.listdir(tmp_path) == []
