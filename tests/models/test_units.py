"""What Keras users do with networks of many layers: each is right, or refused in one line."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasburst as kb
from kerasburst.models.saving import load_model

from ..neurons.common import weighted
from .common import draw_spikes, enliven, weight_gradients

pytestmark = pytest.mark.usefixtures("eagerly")

NETWORKS = {
    "sew": lambda **options: kb.SEWResNet(3, depth=8, width=2, seed=0, threshold=0.3, **options),
    "vgg": lambda **options: kb.SpikingVGG(3, filters=((2,), (3,)), hidden_units=5, seed=0, threshold=0.3, **options),
}
IMAGES = draw_spikes(3, 3, 4, 4, 1)


def array(x):
    return ops.convert_to_numpy(x)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", NETWORKS)
def test_all_ways_to_ask_a_network_agree(name, tmp_path):
    network = NETWORKS[name](trainable_beta=True)
    network.build((None, *IMAGES.shape[1:]))
    enliven(network)
    logits = array(network(IMAGES))
    assert np.ptp(logits) > 0.01
    np.testing.assert_allclose(network.membrane_trace(IMAGES)[:, -1], logits, atol=1e-5)
    np.testing.assert_array_equal(array(network.with_encoder(None)(IMAGES)), logits)
    rates, cost = network.firing_rates(IMAGES), kb.network_cost(network, IMAGES)
    assert list(rates) == ["input", *(part.name for part in network.leaves() if isinstance(part, kb.Neuron))]
    assert cost.firing_rates == pytest.approx(rates, rel=1e-5)
    seen = kb.record(network, IMAGES)
    assert list(seen) == list(rates)[1:]
    assert {layer: found["spk"].mean() for layer, found in seen.items()} == pytest.approx(
        {layer: rates[layer] for layer in seen}, rel=1e-5
    )
    clone = keras.models.clone_model(network)
    network.save_weights(tmp_path / "net.weights.h5")
    clone.load_weights(tmp_path / "net.weights.h5")
    np.testing.assert_array_equal(array(clone(IMAGES)), logits)
    network.save(tmp_path / "net.keras")
    copy = load_model(tmp_path / "net.keras")
    assert copy.get_config() == network.get_config()
    np.testing.assert_array_equal(array(copy(IMAGES)), logits)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_a_quantised_layer_is_saved(tmp_path):
    network = NETWORKS["vgg"]()
    network.build((None, *IMAGES.shape[1:]))
    enliven(network)
    network.quantize("int8")
    network.save(tmp_path / "net.keras")
    copy = load_model(tmp_path / "net.keras")
    assert copy.hidden1_dense.quantization_mode == "int8"
    np.testing.assert_array_equal(array(copy(IMAGES)), array(network(IMAGES)))


def test_training_is_that_without_padding():
    """Gradients and moving averages; the padded batch is longer by two steps."""
    padded = np.full((3, 5, 4, 4, 1), -1, np.int8)
    padded[:, :3] = IMAGES
    found = []
    for x in (IMAGES, padded):
        network = NETWORKS["vgg"]()
        network.build((None, None, *x.shape[2:]))
        loss, weights = weighted(network, x, [np.float32([1.0, -0.7, 0.4])], training=True)
        gradients = weight_gradients(loss, x, weights)
        network(x, training=True)
        found.append([*gradients, *network.get_weights()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-6)
