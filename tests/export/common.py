"""What the tests of exports share: small networks that spike, and what Keras says of given spikes."""

import keras
import numpy as np

import kerasburst as kb
from kerasburst.encoders.poisson_burst import PoissonBurstEncoder
from kerasburst.models.snn_conv_net import SNNConvNet
from kerasburst.models.snn_fc_net import SNNFCNet
from kerasburst.neurons.functional import RESET_MECHANISMS
from kerasburst.neurons.lif import LIF, LIFCell
from tests.eager import eagerly
from tests.models.common import draw_spikes, enliven

STEPS, CLASSES = 6, 3
FEATURES = {"fc": (5,), "relu": (9, 8, 2), "lif": (9, 8, 2)}
KINDS = list(FEATURES)
RESETS = list(RESET_MECHANISMS)


def make(kind="fc", encoder=None, steps=STEPS, **kwargs):
    """Return a lively network; with an encoder unless `encoder` is False."""
    if encoder is None:
        encoder = PoissonBurstEncoder(steps, seed=0)
    encoder = encoder or None
    if kind == "fc":
        network = SNNFCNet(CLASSES, hidden_units=12, encoder=encoder, **kwargs)
    else:
        network = SNNConvNet(CLASSES, filters=(3, 4), hidden_units=10, conv_activation=kind, encoder=encoder, **kwargs)
    features = FEATURES[kind]
    network.build((None, *features) if encoder else (None, steps, *features))
    return enliven(network)


def images(kind="fc", n=4, seed=0):
    return np.random.default_rng(seed).uniform(size=(n, *FEATURES[kind])).astype("float32")


def spikes(kind="fc", n=4, steps=STEPS, seed=0):
    return draw_spikes(n, steps, *FEATURES[kind], seed=seed).astype("float32")


def logits_of_keras(network, x):
    """What the network without its encoder says of spikes, one operation after the other."""
    bare = network.with_encoder(None)
    with eagerly():
        return bare(x).numpy(), bare.membrane_trace(x)


def composed(steps=8, seed=0):
    """The README's model: convolution, LIF, an RNN of LIF cells, a readout."""
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((8, 8, 1))
    x = kb.PoissonBurstEncoder(num_steps=steps, seed=0)(x)
    x = keras.layers.TimeDistributed(keras.layers.Conv2D(4, 3, activation="relu", kernel_initializer="he_normal"))(x)
    x = LIF(beta=0.9, threshold=0.3, name="conv_lif")(x)
    x = keras.layers.TimeDistributed(keras.layers.Flatten())(x)
    x = keras.layers.RNN(LIFCell(144, threshold=0.5, trainable_beta=True), return_sequences=True, name="cells")(x)
    _, mem = LIF(return_mem=True, name="out_lif")(keras.layers.Dense(3)(x))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling1D(name="pool")(mem))
