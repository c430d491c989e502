import keras
import numpy as np
import pytest

from kerasburst.models.snn_conv_net import SNNConvNet
from kerasburst.validation import InputError

from ..neurons.common import weighted
from ..neurons.reference import RESETS, forward
from .common import ENCODERS, VARIED, dense, draw_spikes, enliven, weight_gradients

pytestmark = pytest.mark.usefixtures("eagerly")

SMALL = {"filters": (3, 4), "hidden_units": 10}


def convolve(x, layer):
    """3x3 (or k x k) "same" correlation plus bias, by shifting and adding, over (..., height, width, channels)."""
    kernel, bias = (weights.astype(np.float64) for weights in layer.get_weights())
    side = kernel.shape[0]
    before = (side - 1) // 2  # TensorFlow's "same": the odd one goes after
    pad = [(0, 0)] * (x.ndim - 3) + [(before, side - 1 - before)] * 2 + [(0, 0)]
    padded = np.pad(x, pad)
    height, width = x.shape[-3:-1]
    out = np.zeros((*x.shape[:-1], kernel.shape[3])) + bias
    for i in range(side):
        for j in range(side):
            out += padded[..., i : i + height, j : j + width, :] @ kernel[i, j]
    return out


def pool(x):
    """2x2 maximum, an odd last row or column dropped."""
    height, width = x.shape[-3] // 2 * 2, x.shape[-2] // 2 * 2
    x = x[..., :height, :width, :]
    return np.maximum.reduce([x[..., i::2, j::2, :] for i in (0, 1) for j in (0, 1)])


def by_hand(network, spikes, beta, threshold, reset):
    """conv, ReLU (or LIF), max-pool, twice; flatten, Dense, LIF, Dense, LIF."""
    x = spikes.astype(np.float64)
    rates = {"input": x.mean()}
    for conv, name in ((network.conv1, "conv1_lif"), (network.conv2, "conv2_lif")):
        x = convolve(x, conv)
        if network.conv_activation == "relu":
            x = np.maximum(x, 0)
        else:
            x, _ = forward(x, beta, threshold, reset)
            rates[name] = x.mean()
        x = pool(x)
    hidden, _ = forward(dense(x.reshape(*x.shape[:2], -1), network.hidden_dense), beta, threshold, reset)
    output, mem = forward(dense(hidden, network.output_dense), beta, threshold, reset)
    return {**rates, "hidden_lif": hidden.mean(), "output_lif": output.mean()}, mem


def test_the_paper_s_sizes_by_default():
    network = SNNConvNet(10)
    network.build((None, 10, 28, 28, 1))
    shapes = [
        tuple(w.shape)
        for layer in (network.conv1, network.conv2, network.hidden_dense, network.output_dense)
        for w in layer.weights
    ]
    # 28 -> 14 -> 7: 7 * 7 * 64 = 3136
    assert shapes == [(3, 3, 1, 32), (32,), (3, 3, 32, 64), (64,), (3136, 1000), (1000,), (1000, 10), (10,)]
    assert len(network.weights) == len(shapes)
    assert network.conv_activation == "relu" and network.readout == "last" and network.output_lif.beta == 0.95


@pytest.mark.sampled(4)
@pytest.mark.parametrize("activation", ["relu", "lif"])
@pytest.mark.parametrize(
    ("reset", "image", "kernel"),
    [*((reset, (8, 8, 1), 3) for reset in RESETS), ("subtract", (9, 7, 2), 3), ("subtract", (6, 5, 1), 2)],
)
def test_forward_pass_by_hand(reset, activation, image, kernel):
    spikes = draw_spikes(3, 7, *image)
    network = SNNConvNet(
        3, **SMALL, kernel_size=kernel, conv_activation=activation, beta=0.8, threshold=0.7, reset_mechanism=reset
    )
    network.build((None, 7, *image))
    enliven(network)
    rates, mem = by_hand(network, spikes, 0.8, 0.7, reset)
    assert min(rates.values()) > 0.05 and rates["hidden_lif"] < 0.95, rates
    np.testing.assert_allclose(network.membrane_trace(spikes), mem, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(network(spikes), mem[:, -1], rtol=1e-4, atol=2e-5)
    got = network.firing_rates(spikes)
    assert list(got) == list(rates)
    assert got == pytest.approx(rates, rel=1e-5)


def test_conv_lif_per_neuron_parameters_cover_the_feature_maps():
    network = SNNConvNet(3, **SMALL, conv_activation="lif", trainable_threshold=True, per_neuron=True)
    network.build((None, 7, 9, 8, 2))
    assert [w.shape for w in network.conv1_lif.weights] == [(9, 8, 3)]
    assert [w.shape for w in network.conv2_lif.weights] == [(4, 4, 4)]
    network(draw_spikes(2, 7, 9, 8, 2))


def test_relu_has_no_conv_neurons():
    network = SNNConvNet(3, **SMALL)
    assert network.conv1_lif is None and network.conv2_lif is None
    assert list(network.firing_rates(draw_spikes(2, 4, 8, 8, 1))) == ["input", "hidden_lif", "output_lif"]


@pytest.mark.parametrize("activation", ["relu", "lif"])
@pytest.mark.parametrize("encoder", ["none", "poisson"])
def test_config_round_trip(activation, encoder):
    network = SNNConvNet(
        **VARIED,
        filters=(2, 5),
        kernel_size=2,
        hidden_units=9,
        conv_activation=activation,
        encoder=ENCODERS[encoder](),
        dtype="mixed_bfloat16",
    )
    config = network.get_config()
    copy = SNNConvNet.from_config(config)
    assert copy.get_config() == config
    assert (copy.filters, copy.kernel_size, copy.hidden_units, copy.conv_activation) == ((2, 5), 2, 9, activation)
    assert copy.conv1.filters == 2 and copy.conv2.filters == 5 and copy.conv1.kernel_size == (2, 2)
    assert copy.dtype_policy.name == "mixed_bfloat16"


@pytest.mark.sampled(2)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(("activation", "encoder"), [("relu", "none"), ("lif", "delayed")])
def test_saved_and_reloaded(tmp_path, activation, encoder, dtype):
    network = SNNConvNet(**VARIED, **SMALL, conv_activation=activation, encoder=ENCODERS[encoder](), dtype=dtype)
    image = (8, 8, 1)
    network.build((None, 6, *image) if encoder == "none" else (None, *image))
    enliven(network)
    network.save(tmp_path / "net.keras")
    copy = keras.saving.load_model(tmp_path / "net.keras")
    assert copy.get_config() == network.get_config()
    x = draw_spikes(4, 6, *image)
    np.testing.assert_array_equal(copy.with_encoder(None)(x), network.with_encoder(None)(x))
    if encoder != "none":
        x = np.random.default_rng(0).uniform(size=(4, *image)).astype(np.float32)
    np.testing.assert_array_equal(copy(x), network(x))


@pytest.mark.thorough
def test_fit_learns_a_separable_problem():
    """Class 0 spikes in the upper half, class 1 in the lower."""
    label = np.arange(64) % 2
    upper = np.arange(8) < 4
    p = np.where(upper[None] == (label == 0)[:, None], 0.6, 0.05)[:, None, :, None, None]
    spikes = (np.random.default_rng(0).uniform(size=(64, 6, 8, 8, 1)) < p).astype(np.uint8)
    network = SNNConvNet(2, **SMALL, conv_activation="lif", threshold=0.5, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(1e-2), loss)
    losses = network.fit(spikes, label, epochs=10, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2


@pytest.mark.sampled(2)
@pytest.mark.parametrize("activation", ["relu", "lif"])
def test_gradient_reaches_every_weight(activation):
    network = SNNConvNet(3, **SMALL, conv_activation=activation, trainable_beta=True, trainable_threshold=True)
    spikes = draw_spikes(4, 7, 8, 8, 1)
    network.build(spikes.shape)
    enliven(network)
    loss, weights = weighted(network, spikes, [np.float32([1.0, 0.7, 0.4])])
    gradients = weight_gradients(loss, spikes, weights)
    assert len(gradients) == 8 + 2 * (4 if activation == "lif" else 2)
    dead = [w.path for w, g in zip(network.trainable_weights, gradients, strict=True) if np.abs(g).max() == 0]
    assert not dead


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"filters": 32}, "filters must be a pair of integers, received 32"),
        ({"filters": (32,)}, "filters must be a pair of integers, received (32,)"),
        ({"filters": (1, 2, 3)}, "filters must be a pair of integers, received (1, 2, 3)"),
        ({"filters": (32, 0)}, "filters must be an integer from 1 to 2147483647, received 0"),
        ({"filters": (32, "x")}, "filters must be an integer from 1 to 2147483647, received 'x'"),
        ({"kernel_size": 0}, "kernel_size must be an integer from 1 to 2147483647, received 0"),
        ({"hidden_units": 0}, "hidden_units must be an integer from 1 to 2147483647, received 0"),
        (
            {"conv_activation": "rellu"},
            "conv_activation must be one of relu, lif, received 'rellu'; did you mean relu?",
        ),
    ],
    ids=str,
)
def test_bad_parameter(bad, message):
    with pytest.raises(InputError) as error:
        SNNConvNet(10, **bad)
    assert str(error.value) == message


@pytest.mark.parametrize("shape", [(2, 6, 3, 3, 1), (2, 6, 8, 3, 1), (2, 6, 3, 8, 1), (2, 6, 8, 8), (2, 6, 5)])
def test_input_that_is_no_sequence_of_images(shape):
    with pytest.raises(InputError) as error:
        SNNConvNet(3, **SMALL)(np.zeros(shape, np.uint8))
    message = str(error.value)
    assert message.startswith("inputs must be spikes (batch, num_steps, height, width, channels) of 4x4 or more")
    assert message.endswith(f"received {shape}")


def test_the_smallest_image():
    assert SNNConvNet(3, **SMALL)(draw_spikes(2, 3, 4, 4, 1)).shape == (2, 3)
