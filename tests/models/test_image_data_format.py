"""Networks take images as (batch, num_steps, height, width, channels), whatever Keras' image_data_format is."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasburst as kb
from kerasburst.export import from_nir

from .common import draw_spikes, enliven

IMAGES = draw_spikes(2, 3, 8, 8, 2).astype("float32")
NETWORKS = {
    "relu": lambda: kb.SNNConvNet(3, filters=(3, 4), hidden_units=5, seed=0),
    "lif": lambda: kb.SNNConvNet(3, filters=(3, 4), hidden_units=5, conv_activation="lif", seed=0),
    "vgg": lambda: kb.SpikingVGG(3, filters=((3,), (4,)), hidden_units=(5,), seed=0),
    "resnet": lambda: kb.SEWResNet(3, depth=8, width=2, seed=0),
    "imagenet stem": lambda: kb.SEWResNet(3, depth=8, width=2, stem="imagenet", seed=0),
}


@pytest.fixture
def format_of_keras():
    before = keras.config.image_data_format()
    yield keras.config.set_image_data_format
    keras.config.set_image_data_format(before)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_the_same(name, format_of_keras):
    logits, shapes = [], []
    for data_format in ("channels_last", "channels_first"):
        format_of_keras(data_format)
        network = NETWORKS[name]()
        network.build(IMAGES.shape)
        enliven(network)
        logits.append(ops.convert_to_numpy(network(IMAGES)))
        shapes.append([tuple(weight.shape) for weight in network.weights])
    assert shapes[0] == shapes[1] and np.abs(logits[0]).max() > 0
    np.testing.assert_array_equal(*logits)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports are written on TensorFlow")
def test_a_nir_graph_is_read_the_same(format_of_keras, tmp_path):
    pytest.importorskip("nir")
    network = NETWORKS["lif"]()
    network.build(IMAGES.shape)
    enliven(network)
    kb.export.nir(network, tmp_path / "net")
    spikes = []
    for data_format in ("channels_last", "channels_first"):
        format_of_keras(data_format)
        spikes.append(ops.convert_to_numpy(from_nir(tmp_path / "net" / "model.nir")(IMAGES)))
    assert 0 < spikes[0].mean() < 1
    np.testing.assert_array_equal(*spikes)
