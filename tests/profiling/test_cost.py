"""The counts of a network's operations: by hand on a small one, by brute force on random ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasburst import records
from kerasburst.models import SNNConvNet, SNNFCNet
from kerasburst.models.forward import walk
from kerasburst.neurons.lif import LIF
from kerasburst.neurons.scan import scan
from kerasburst.profiling.cost import fan_out, network_cost
from kerasburst.validation import InputError
from tests.models.common import ENCODERS, draw_spikes, enliven

pytestmark = pytest.mark.usefixtures("eagerly")


def seen_by_layers(network, spikes):
    """Run the network with every synaptic layer's input written down: `(n, num_steps, *features)` by layer."""
    seen = {}

    def watch(layer):
        call = layer.call

        def watched(x):
            seen[layer.name] = np.asarray(x, np.float64)
            return call(x)

        layer.call = watched

    layers = {
        layer.name: layer for layer in network.layers if isinstance(layer, keras.layers.Dense | keras.layers.Conv2D)
    }
    for layer in layers.values():
        watch(layer)
    walk(network.course(), tf.constant(spikes, tf.float32), scan)
    features = {name: x.shape[1:] if name.startswith("conv") else x.shape[2:] for name, x in seen.items()}
    return {layers[name]: x.reshape(*spikes.shape[:2], *features[name]) for name, x in seen.items()}


def connections(layer, shape):
    """Give every connection of a layer as a flat input index, one by one."""
    if isinstance(layer, keras.layers.Dense):
        return [i for i in range(int(np.prod(shape))) for _ in range(layer.kernel.shape[1])]
    height, width, channels = shape
    side, _, _, filters = layer.kernel.shape
    before = (side - 1) // 2
    found = []
    for row in range(height):
        for column in range(width):
            for i in range(side):
                for j in range(side):
                    y, x = row - before + i, column - before + j
                    if 0 <= y < height and 0 <= x < width:
                        for channel in range(channels):
                            found += [(y * width + x) * channels + channel] * filters
    return found


def brute_force(network, spikes):
    """Count a layer's connections, and those that a spike went through, one by one."""
    counts = {}
    for layer, x in seen_by_layers(network, spikes).items():
        wired = np.asarray(connections(layer, x.shape[2:]))
        flat = x.reshape(*x.shape[:2], -1)
        passed = sum(int((flat[i, t][wired] != 0).sum()) for i in range(x.shape[0]) for t in range(x.shape[1]))
        counts[layer.name] = (len(wired), passed, bool(np.isin(x, (0.0, 1.0)).all()))
    return counts


NETWORKS = {
    "fc": (lambda: SNNFCNet(3, hidden_units=11), (5,)),
    "fc on images": (lambda: SNNFCNet(3, hidden_units=4), (3, 4, 2)),
    "conv": (lambda: SNNConvNet(3, filters=(3, 4), hidden_units=7), (6, 5, 2)),
    "conv lif": (lambda: SNNConvNet(3, filters=(3, 4), hidden_units=7, conv_activation="lif"), (7, 9, 1)),
    "conv lif, even kernel": (
        lambda: SNNConvNet(2, filters=(2, 3), kernel_size=4, hidden_units=5, conv_activation="lif"),
        (5, 6, 1),
    ),
    "conv, kernel above the image": (
        lambda: SNNConvNet(2, filters=(2, 2), kernel_size=5, hidden_units=3, conv_activation="lif"),
        (4, 4, 1),
    ),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("make, features", NETWORKS.values(), ids=NETWORKS)
def test_equal_to_brute_force_to_the_unit(make, features):
    network = make()
    n, steps = 3, 4
    spikes = draw_spikes(n, steps, *features)
    network.build((None, steps, *features))
    enliven(network)
    cost = network_cost(network, spikes, batch_size=2)  # a last batch of one
    rates = network.firing_rates(spikes)
    expected = brute_force(network, spikes)
    assert [layer.name for layer in cost.layers] == list(expected)
    relu = isinstance(network, SNNConvNet) and network.conv_activation == "relu"
    for layer in cost.layers:
        dense, passed, only_zeros_and_ones = expected[layer.name]
        assert layer.dense_macs_per_step == dense
        assert layer.input_is_spikes == (not relu or layer.name in ("conv1", "output_dense"))
        if layer.input_is_spikes:
            assert only_zeros_and_ones and layer.effective_acs == passed > 0
            assert layer.effective_acs_per_sample == passed / n and layer.effective_macs_per_sample == 0
            assert layer.energy_estimate_j_per_sample == pytest.approx(0.9e-12 * passed / n)
        else:
            assert layer.effective_acs == 0 and layer.effective_macs_per_sample == dense * steps
            assert layer.energy_estimate_j_per_sample == pytest.approx(4.6e-12 * dense * steps)
    assert cost.dense_macs_per_sample == steps * sum(dense for dense, _, _ in expected.values())
    assert cost.effective_acs_per_sample == pytest.approx(sum(layer.effective_acs for layer in cost.layers) / n)
    assert cost.energy_estimate_j_per_sample == pytest.approx(
        1e-12 * (0.9 * cost.effective_acs_per_sample + 4.6 * cost.effective_macs_per_sample)
    )
    assert cost.firing_rates == pytest.approx(rates)


def test_by_hand():
    """Two inputs, two hidden neurons, two classes, two steps, all weights 1 and no bias.

    Input spikes: step 0 both, step 1 one: 3. Hidden neurons get 2 and 1, beta 1, threshold 1, no reset: their
    membranes are 2 and 3, above 1: both spike at both steps, 4 spikes.
    """
    network = SNNFCNet(2, hidden_units=2, beta=1.0, reset_mechanism="none")
    network.build((None, 2, 2))
    network.set_weights([np.zeros(w.shape) if w.name == "bias" else np.ones(w.shape) for w in network.weights])
    cost = network_cost(network, np.array([[[1, 1], [0, 1]]], np.uint8))
    hidden, output = cost.layers
    assert (hidden.dense_macs_per_step, hidden.effective_acs, hidden.input_rate) == (4, 3 * 2, 3 / 4)
    assert (output.dense_macs_per_step, output.effective_acs, output.input_rate) == (4, 4 * 2, 1.0)
    assert (cost.dense_macs_per_sample, cost.effective_acs_per_sample, cost.effective_macs_per_sample) == (16, 14, 0)
    assert cost.energy_estimate_j_per_sample == pytest.approx(12.6e-12)
    assert cost.firing_rates["input"] == 0.75 and cost.firing_rates["hidden_lif"] == 1.0
    assert (cost.examples, cost.num_steps) == (1, 2)
    assert cost.weight_bytes == 4 * (2 * 2 + 2 + 2 * 2 + 2)
    assert cost.activity_bytes_per_step == 4 * (2 + 2) + 4 * (2 + 2)  # membranes; inputs of both layers
    assert "Horowitz" in cost.energy_source and "estimate" in cost.energy_source
    assert records.to_json(cost)["layers"][0]["effective_acs"] == 6


def test_a_convolution_by_hand():
    """One spike on 4x4 pixels, kernel 3, one filter: 4 outputs at a corner, 6 at an edge, 9 inside."""
    network = SNNConvNet(2, filters=(1, 1), hidden_units=1)
    network.build((None, 1, 4, 4, 1))
    for where, reached in (((0, 0), 4), ((0, 1), 6), ((1, 1), 9), ((3, 3), 4)):
        spikes = np.zeros((1, 1, 4, 4, 1), np.uint8)
        spikes[0, 0, *where] = 1
        first = network_cost(network, spikes).layers[0]
        assert (first.effective_acs, first.dense_macs_per_step) == (reached, 4 * 4 + 8 * 6 + 4 * 9)


def test_a_silent_network_costs_nothing_where_it_gets_spikes():
    network = SNNConvNet(2, filters=(2, 2), hidden_units=3)
    network.build((None, 5, 4, 4, 1))
    network.set_weights([np.zeros(w.shape) for w in network.weights])
    cost = network_cost(network, np.zeros((2, 5, 4, 4, 1), np.uint8))
    assert cost.effective_acs_per_sample == 0
    assert cost.effective_macs_per_sample == 5 * (sum(fan_out(network.conv2, (2, 2, 2)).ravel()) + 2 * 3)
    assert set(cost.firing_rates.values()) == {0.0}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ["regular", "poisson", "delayed"])
@pytest.mark.parametrize("inside", [True, False])
def test_with_an_encoder(name, inside):
    encoder, steps, features = ENCODERS[name](), 6, (7,)
    x = np.random.default_rng(0).uniform(size=(5, *features)).astype(np.float32)
    network = SNNFCNet(3, hidden_units=5)
    network.build((None, steps, *features))
    enliven(network)
    if inside:
        cost = network_cost(network.with_encoder(encoder), x, seed=3)
    else:
        cost = network_cost(network, x, encoder=encoder, seed=3, batch_size=2)
    assert cost == network_cost(network, x, encoder=encoder, seed=3)
    if name == "regular":
        assert cost == network_cost(network, keras.ops.convert_to_numpy(encoder(x)))
    else:
        assert cost != network_cost(network, x, encoder=encoder, seed=4)


@pytest.mark.thorough
def test_sixteen_bits_count_exactly():
    """bfloat16 holds whole numbers up to 256 only."""
    network = SNNFCNet(2, hidden_units=3, dtype="mixed_bfloat16")
    network.build((None, 1001, 1))
    cost = network_cost(network, np.ones((3, 1001, 1), np.uint8))
    assert cost.layers[0].effective_acs == 3 * 3003
    assert cost.activity_bytes_per_step == 4 * (3 + 2) + 2 * (1 + 3)


FAN_OUTS = {
    "stride 2, same": (keras.layers.Conv2D(3, 3, strides=2, padding="same"), (5, 6, 2)),
    "stride 2, valid": (keras.layers.Conv2D(3, (3, 2), strides=(2, 1)), (6, 5, 2)),
    "dilation, groups": (keras.layers.Conv2D(4, 3, dilation_rate=2, groups=2), (8, 7, 4)),
    "one axis, causal": (keras.layers.Conv1D(2, 3, padding="causal", dilation_rate=2), (9, 2)),
    "three axes": (keras.layers.Conv3D(2, 2, padding="same"), (3, 4, 2, 1)),
    "depthwise": (keras.layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", strides=2), (5, 5, 3)),
    "depthwise, one axis": (keras.layers.DepthwiseConv1D(2, strides=3), (8, 2)),
    "dense": (keras.layers.Dense(4), (2, 3)),
}


@pytest.mark.parametrize("layer, shape", FAN_OUTS.values(), ids=FAN_OUTS)
def test_fan_out_is_what_a_spike_adds_through_weights_of_one(layer, shape):
    layer.build((None, *shape))
    layer.set_weights([np.zeros(w.shape) if w.name == "bias" else np.ones(w.shape) for w in layer.weights])
    each = np.eye(int(np.prod(shape)), dtype="float32").reshape(-1, *shape)  # one spike at each position
    added = np.asarray(layer(each)).reshape(len(each), -1).sum(axis=1)
    assert fan_out(layer, shape).ravel().tolist() == added.tolist()


def test_a_layer_whose_fan_out_is_not_known():
    for layer in (keras.layers.Conv2DTranspose(2, 3), keras.layers.SeparableConv2D(2, 3), keras.layers.ReLU()):
        with pytest.raises(InputError, match="layer must be a Dense"):
            fan_out(layer, (4, 4, 1))


def test_refused():
    with pytest.raises(InputError, match="network must be a spiking network or a Keras model with neurons, received 3"):
        network_cost(3, np.ones((1, 2, 3)))
    network = SNNFCNet(2, hidden_units=3)
    with pytest.raises(InputError, match="network must be a spiking network that is built"):
        network_cost(network, np.ones((1, 2, 3)))
    network.build((None, 2, 3))
    with pytest.raises(InputError, match="x must hold at least one example"):
        network_cost(network, np.ones((0, 2, 3)))
    with pytest.raises(InputError, match="x must be spikes, exactly 0 or 1"):
        network_cost(network, np.full((1, 2, 3), 0.5))
    with pytest.raises(InputError, match="encoder must be left out"):
        network_cost(network.with_encoder(ENCODERS["regular"]()), np.ones((1, 3)), encoder=ENCODERS["regular"]())


# Networks composed by Keras ---------------------------------------------------------------------------------------


def twin_of(network, *features):
    """Return the same layers and weights as a Keras model."""
    layers = []
    for part in network.course():
        if isinstance(part, LIF):
            layers.append(LIF(return_mem=part.name == "output_lif", name=part.name))
        elif isinstance(part, keras.layers.Conv2D):
            conv = keras.layers.Conv2D(part.filters, part.kernel_size, padding="same", name=part.name)
            layers.append(keras.layers.TimeDistributed(conv))
        elif isinstance(part, keras.layers.Dense):
            flat = keras.layers.Reshape((features[0], -1))
            layers += [flat, keras.layers.Dense(part.units, name=part.name)]
        else:
            layers.append(keras.layers.TimeDistributed(keras.layers.MaxPooling2D()))
            layers += [keras.layers.ReLU()] if part.relu else []
    twin = keras.Sequential([keras.Input(features), *layers])
    twin.set_weights([value for part in network.course() for value in getattr(part, "get_weights", list)()])
    return twin


@pytest.mark.sampled(2)
@pytest.mark.parametrize("make, features", NETWORKS.values(), ids=NETWORKS)
def test_a_composed_network_costs_what_ours_does(make, features):
    network, n, steps = make(), 3, 4
    spikes = draw_spikes(n, steps, *features)
    network.build((None, steps, *features))
    enliven(network)
    want = network_cost(network, spikes)
    got = network_cost(twin_of(network, steps, *features), spikes, batch_size=2)
    assert got.firing_rates == pytest.approx(want.firing_rates)
    for mine, theirs in zip(got.layers, want.layers, strict=True):
        for name, value in records.to_json(theirs).items():
            assert getattr(mine, name) == (pytest.approx(value) if isinstance(value, float) else value)
    for name in ("dense_macs_per_sample", "effective_acs_per_sample", "weight_bytes", "activity_bytes_per_step"):
        assert getattr(got, name) == getattr(want, name)


def test_direct_coding_by_hand():
    """A layer before time is counted once an example; its input is a current, not spikes.

    Two inputs of 0.5, weights 1: a current of 1 to three neurons, kept for four steps, beta 0, threshold 0.9: all
    three fire at each step, without reset. 12 spikes reach two outputs each.
    """
    inputs = keras.Input((2,))
    x = keras.layers.Dense(3, kernel_initializer="ones", name="current")(inputs)
    x = LIF(beta=0.0, threshold=0.9, reset_mechanism="none", name="lif")(keras.layers.RepeatVector(4)(x))
    model = keras.Model(inputs, keras.layers.Dense(2, name="readout")(x))
    cost = network_cost(model, np.full((5, 2), 0.5, "float32"), batch_size=2)
    current, readout = cost.layers
    assert (current.input_is_spikes, current.effective_macs_per_sample, current.dense_macs_per_step) == (False, 6, 1.5)
    assert (readout.input_is_spikes, readout.effective_acs, readout.input_rate) == (True, 5 * 24, 1.0)
    assert (readout.effective_acs_per_sample, readout.dense_macs_per_step) == (24, 6)
    assert cost.firing_rates == {"lif": 1.0}
    assert (cost.num_steps, cost.examples, cost.dense_macs_per_sample) == (4, 5, 6 + 24)
    assert cost.energy_estimate_j_per_sample == pytest.approx(1e-12 * (4.6 * 6 + 0.9 * 24))


def test_nested_models_with_an_encoder_inside():
    network = SNNFCNet(3, hidden_units=5)
    network.build((None, 6, 7))
    enliven(network)
    encoder = ENCODERS["regular"]()
    x = np.random.default_rng(0).uniform(size=(5, 7)).astype(np.float32)
    want = network_cost(network, x, encoder=encoder)
    for model, options in (
        (keras.Sequential([encoder, network, keras.layers.Softmax()]), {}),
        (keras.Sequential([network, keras.layers.Softmax()]), {"encoder": encoder}),
    ):
        got = network_cost(model, x, **options)
        assert [layer.effective_acs for layer in got.layers] == [layer.effective_acs for layer in want.layers]
        assert got.firing_rates == pytest.approx(want.firing_rates)


@pytest.mark.parametrize(
    "layer", [keras.layers.LSTM(3, return_sequences=True), keras.layers.Conv1DTranspose(3, 2, padding="same")]
)
def test_connections_that_are_not_known_are_refused(layer):
    model = keras.Sequential([layer, LIF()])
    with pytest.raises(InputError, match=f"received layer {layer.name}|received layer lstm_cell"):
        network_cost(model, np.ones((1, 4, 2), "float32"))
    inputs = keras.Input((4, 2))
    model = keras.Model(inputs, LIF()(keras.layers.Attention(name="mine")([inputs, inputs])))
    with pytest.raises(InputError, match=r"received layer mine \(Attention\)"):
        network_cost(model, np.ones((1, 4, 2), "float32"))


def neurobench_example():
    network = SNNFCNet(3, hidden_units=11)
    network.build((None, 6, 5))
    return enliven(network), draw_spikes(8, 6, 5)


def test_neurobench_counted_the_same():
    """What NeuroBench 2.3.0 counts of snnTorch's network with these weights, by the test below."""
    network, spikes = neurobench_example()
    for model in (network, twin_of(network, 6, 5)):
        cost = network_cost(model, spikes)
        found = cost.effective_acs_per_sample, cost.effective_macs_per_sample, cost.dense_macs_per_sample
        assert found == (250.25, 0.0, 528.0)


def test_neurobench_counts_the_same():
    """NeuroBench's synaptic operations of snnTorch's network with our weights.

    It leaves out the border's zeros as ours does, and weights of 0, of which there are none here.
    """
    workload, models = pytest.importorskip("neurobench.metrics.workload"), pytest.importorskip("neurobench.models")
    snntorch, torch = pytest.importorskip("snntorch"), pytest.importorskip("torch")
    network, spikes = neurobench_example()
    theirs = torch.nn.Sequential(
        torch.nn.Linear(5, 11),
        snntorch.Leaky(0.95, init_hidden=True),
        torch.nn.Linear(11, 3),
        snntorch.Leaky(0.95, init_hidden=True, output=True),
    )
    for mine, its in ((network.hidden_dense, theirs[0]), (network.output_dense, theirs[2])):
        its.weight.data = torch.tensor(np.asarray(mine.kernel).T)
        its.bias.data = torch.tensor(np.asarray(mine.bias))
    wrapped = models.SNNTorchModel(theirs)
    wrapped.register_hooks()
    metric, x = workload.SynapticOperations(), torch.tensor(spikes, dtype=torch.float32)
    with torch.no_grad():
        counted = metric(wrapped, wrapped(x), (x, torch.zeros(8)))
    for model in (network, twin_of(network, 6, 5)):
        cost = network_cost(model, spikes)
        assert counted["Effective_ACs"] == cost.effective_acs_per_sample > 0
        assert (counted["Effective_MACs"], counted["Dense"]) == (0, cost.dense_macs_per_sample)
