"""Recorded spikes and membranes against the equation written out, in every kind of Keras model."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasburst as kb
from kerasburst.models.recording import firing_rates, record, simulate
from kerasburst.neurons.lif import LIF, LIFCell
from kerasburst.validation import InputError

from .common import draw_spikes, enliven

pytestmark = pytest.mark.usefixtures("eagerly")

X = np.random.default_rng(0).normal(0.4, 0.8, (3, 7, 4)).astype("float32")
SPIKES = draw_spikes(3, 6, 12)


def by_hand(current, beta=0.95, threshold=1.0):
    """Return spikes and membranes of LIF neurons with reset by subtraction, step by step."""
    mem, spk = np.zeros_like(current, "float64"), np.zeros_like(current, "float64")
    now = fired = np.zeros_like(current[:, 0], "float64")
    for t in range(current.shape[1]):
        now = beta * now + current[:, t] - threshold * fired
        fired = (now > threshold).astype("float64")
        mem[:, t], spk[:, t] = now, fired
    return spk, mem


def check(found, current, **neuron):
    spk, mem = by_hand(current, **neuron)
    assert spk.any() and not spk.all()
    np.testing.assert_array_equal(found["spk"], spk)
    np.testing.assert_allclose(found["mem"], mem, rtol=1e-5, atol=1e-5)


def dense(layer, x):
    return x @ ops.convert_to_numpy(layer.kernel).astype("float64") + ops.convert_to_numpy(layer.bias)


def two_layers(**options):
    parts = [
        keras.layers.Dense(5, kernel_initializer=keras.initializers.RandomNormal(0.3, 0.6, seed=1), name="a"),
        LIF(beta=0.9, name="first"),
        keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(0.4, 0.6, seed=2), name="b"),
        LIF(beta=0.8, name="second", **options),
    ]
    return parts


class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__()
        self.parts = two_layers(**options)

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


class Compiled(Subclassed):
    """A model that compiles itself."""

    def __init__(self, **options):
        super().__init__(**options)
        self.graph = None

    def call(self, x):
        if self.graph is None:
            import tensorflow as tf

            self.graph = tf.function(super().call)
        return self.graph(x)


def functional(**options):
    x = inputs = keras.Input((7, 4))
    for part in two_layers(**options):
        x = part(x)
    return keras.Model(inputs, x)


MODELS = {
    "functional": functional,
    "sequential": lambda **options: keras.Sequential([keras.Input((7, 4)), *two_layers(**options)]),
    "not built": lambda **options: keras.Sequential(two_layers(**options)),
    "subclassed": Subclassed,
    "nested": lambda **options: keras.Sequential([functional(**options), keras.layers.Flatten()]),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("options", [{}, {"return_mem": True}, {"return_sequences": False}])
def test_every_kind_of_model(kind, options):
    if kind == "nested" and options:
        pytest.skip("Flatten takes one tensor")
    model = MODELS[kind](**options)
    found = record(model, X)
    assert list(found) == ["first", "second"]
    layers = {layer.name: layer for layer in model._flatten_layers()}
    check(found["first"], dense(layers["a"], X), beta=0.9)
    check(found["second"], dense(layers["b"], found["first"]["spk"]), beta=0.8)
    again = record(model, X)
    for name in found:
        np.testing.assert_array_equal(again[name]["mem"], found[name]["mem"])
    assert not {"call", "run"} & {name for layer in layers.values() for name in vars(layer)}
    options = {"return_sequences": True, "return_mem": False} | options
    assert {name: getattr(layers["second"], name) for name in options} == options


@pytest.mark.compiled
def test_a_model_that_compiles_itself():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("tf.function")
    model = Compiled()
    for _ in range(2):  # the second time the graph is there already
        found = record(model, X)
        check(found["first"], dense(model.parts[0], X), beta=0.9)
        model(X)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "make",
    [
        lambda: kb.SNNFCNet(3, hidden_units=9),
        lambda: kb.SNNConvNet(3, filters=(2, 3), hidden_units=5, conv_activation="lif"),
    ],
)
def test_our_networks(make):
    network = make()
    x = SPIKES if isinstance(network, kb.SNNFCNet) else draw_spikes(3, 4, 8, 8, 1)
    network.build((None, *x.shape[1:]))
    enliven(network)
    logits = ops.convert_to_numpy(network(x))
    found = record(network, x)
    assert list(found) == [part.name for part in network.course() if isinstance(part, LIF)]
    np.testing.assert_array_equal(found["output_lif"]["mem"][:, -1], logits)
    check(found["output_lif"], dense(network.output_dense, found["hidden_lif"]["spk"]))
    np.testing.assert_array_equal(ops.convert_to_numpy(network(x)), logits)
    for name, rate in network.firing_rates(x).items():
        assert firing_rates(network, x, batch_size=2)[name] == pytest.approx(rate, rel=1e-6)
    spikes, mem = simulate(network, x)
    np.testing.assert_array_equal(mem, found["output_lif"]["mem"])
    assert list(spikes) == list(found)


def test_an_encoder_inside_draws_again_what_was_recorded():
    network = kb.SNNFCNet(3, hidden_units=9, encoder=kb.RateEncoder(6, seed=1))
    x = np.random.default_rng(0).uniform(size=(4, 12)).astype("float32")
    network.build((None, 12))
    enliven(network)
    for _ in range(2):
        found = record(network, x)
        np.testing.assert_allclose(found["output_lif"]["mem"][:, -1], ops.convert_to_numpy(network(x)), atol=1e-5)
    model = keras.Sequential([kb.RateEncoder(8, seed=1), LIF(name="lif", threshold=0.5, beta=0.0)])
    rates = firing_rates(model, x)
    assert list(rates) == ["input", "lif"] and rates["input"] == pytest.approx(0.5, abs=0.1)
    assert rates["lif"] == pytest.approx(rates["input"], abs=0.3)
    np.testing.assert_array_equal(record(model, x)["lif"]["spk"], ops.convert_to_numpy(model(x)))


def test_a_state_stays_as_it_was():
    layer = LIF(beta=0.9, stateful=True, name="lif")
    inputs = keras.Input(batch_shape=(3, 7, 4))
    model = keras.Model(inputs, layer(inputs))
    check(record(model, X)["lif"], X, beta=0.9)
    check(record(model, X)["lif"], X, beta=0.9)
    model(X)
    both = record(model, X)["lif"]
    spk, mem = by_hand(np.concatenate([X, X], axis=1), beta=0.9)
    np.testing.assert_array_equal(both["spk"], spk[:, 7:])
    np.testing.assert_allclose(both["mem"], mem[:, 7:], atol=1e-5)


def test_a_new_stateful_model_starts_at_rest():
    model = keras.Sequential([LIF(beta=0.9, stateful=True, name="lif")])
    check(record(model, X)["lif"], X, beta=0.9)
    check(record(model, X)["lif"], X, beta=0.9)


@pytest.mark.parametrize("stateful", [False, True])
def test_cells_in_an_rnn(stateful):
    rnn = keras.layers.RNN(LIFCell(4, beta=0.9), return_sequences=True, stateful=stateful, name="rnn")
    inputs = keras.Input(batch_shape=(3, 7, 4))
    model = keras.Model(inputs, rnn(inputs))
    found = record(model, X)
    assert list(found) == ["rnn"]
    check(found["rnn"], X, beta=0.9)
    np.testing.assert_array_equal(found["rnn"]["spk"], ops.convert_to_numpy(model(X)))
    assert not rnn.unroll


def test_stacked_cells():
    cells = [LIFCell(4, beta=0.9, name="low"), LIFCell(4, beta=0.5, threshold=0.7, name="high")]
    model = keras.Sequential([keras.layers.RNN(cells)])
    found = record(model, X)
    assert list(found) == ["low", "high"]
    check(found["low"], X, beta=0.9)
    check(found["high"], found["low"]["spk"], beta=0.5, threshold=0.7)


def test_masked_cells_keep_their_state():
    x = X.copy()
    x[1, 4:] = 0.0
    # Written out: on JAX, Keras' masked loop takes a cell's first state for its output.
    rnn = keras.layers.RNN(LIFCell(4, beta=0.9), unroll=True, name="rnn")
    model = keras.Sequential([keras.layers.Masking(), rnn])
    found = record(model, x)["rnn"]
    spk, mem = by_hand(x, beta=0.9)
    np.testing.assert_allclose(found["mem"][0], mem[0], atol=1e-5)
    np.testing.assert_allclose(found["mem"][1], mem[1, [0, 1, 2, 3, 3, 3, 3]], atol=1e-5)
    np.testing.assert_array_equal(found["spk"][1], spk[1, [0, 1, 2, 3, 3, 3, 3]])
    np.testing.assert_array_equal(found["spk"][:, -1], ops.convert_to_numpy(model(x)))


def test_shared_layers_and_shared_names():
    shared = LIF(beta=0.9, name="lif")
    inputs = keras.Input((7, 4))
    found = record(keras.Model(inputs, shared(shared(inputs))), X)
    assert list(found) == ["lif", "lif (2)"]
    check(found["lif"], X, beta=0.9)
    check(found["lif (2)"], found["lif"]["spk"], beta=0.9)
    blocks = [keras.Sequential([LIF(beta=beta, name="lif")], name=name) for name, beta in (("low", 0.9), ("high", 0.5))]
    found = record(keras.Sequential(blocks), X)
    assert list(found) == ["low/lif", "high/lif"]
    check(found["low/lif"], X, beta=0.9)


def test_steps_of_images_by_time_distributed():
    images = np.random.default_rng(1).normal(0.5, 0.5, (2, 5, 4, 4, 1)).astype("float32")
    inner = keras.Sequential([keras.layers.Conv2D(3, 3, bias_initializer="ones"), keras.layers.Flatten()])
    model = keras.Sequential([keras.layers.TimeDistributed(inner), LIF(beta=0.9, name="lif")])
    found = record(model, images)
    np.testing.assert_array_equal(found["lif"]["spk"], ops.convert_to_numpy(model(images)))
    check(found["lif"], np.stack([ops.convert_to_numpy(inner(images[:, t])) for t in range(5)], axis=1), beta=0.9)


@keras.saving.register_keras_serializable("kerasburst_tests")
class Halved(LIF):
    """Every second neuron is silent."""

    def call(self, inputs, initial_state=None, **kwargs):
        spk = super().call(inputs, initial_state, **kwargs)
        return spk * ops.cast(ops.arange(spk.shape[-1]) % 2, spk.dtype)


def test_a_call_of_one_s_own():
    model = keras.Sequential([Halved(beta=0.9, name="lif")])
    found = record(model, X)["lif"]
    spk, mem = by_hand(X, beta=0.9)
    np.testing.assert_array_equal(found["spk"], spk * [0, 1, 0, 1])
    np.testing.assert_allclose(found["mem"], mem, atol=1e-5)


def test_several_inputs_in_batches():
    a, b = keras.Input((7, 4), name="a"), keras.Input((7, 4), name="b")
    model = keras.Model({"a": a, "b": b}, LIF(beta=0.9, name="lif")(a + b))
    rates = firing_rates(model, {"a": X, "b": X}, batch_size=2)
    assert rates == {"lif": pytest.approx(by_hand(2 * X, beta=0.9)[0].mean())}


def test_refused():
    with pytest.raises(InputError, match="model must have layers of neurons, such as LIF, received mine without any"):
        record(keras.Sequential([keras.layers.Dense(3)], name="mine"), X)
    with pytest.raises(InputError, match="model must be a Keras model or layer, received 3"):
        record(3, X)
    with pytest.raises(InputError, match="x must hold at least one example"):
        firing_rates(LIF(), X[:0])
    model = keras.Sequential([LIF(stateful=True)])
    with pytest.raises(InputError, match="batch size 3"):
        record(model, X)
        record(model, X[:2])
    assert not {"call", "run"} & set(vars(model.layers[0]))  # put back after an error, too


@pytest.mark.parametrize("x", [None, "x", 3.0, np.array([["a"]]), [[1.0], [2.0, 3.0]]], ids=str)
@pytest.mark.parametrize("ask", [record, simulate, firing_rates])
def test_what_is_no_batch_of_numbers(ask, x):
    with pytest.raises(InputError, match="^x must be an array of numbers"):
        ask(keras.Sequential(two_layers()), x)


def test_lists_are_arrays_and_rates_need_finite_numbers():
    model = keras.Sequential(two_layers())
    np.testing.assert_array_equal(record(model, X.tolist())["first"]["spk"], record(model, X)["first"]["spk"])
    for value in (np.nan, np.inf):
        bad = X.copy()
        bad[0, 0, 0] = value
        with pytest.raises(InputError, match="x must hold finite numbers"):
            firing_rates(model, bad)
