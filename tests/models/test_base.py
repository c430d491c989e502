"""What both networks share, shown on the small one unless the network matters."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasburst.encoders.rate import RateEncoder
from kerasburst.models.base import READOUTS, SpikingNetwork
from kerasburst.models.snn_conv_net import SNNConvNet
from kerasburst.models.snn_fc_net import SNNFCNet
from kerasburst.validation import InputError

from ..neurons.common import weighted
from ..neurons.reference import forward
from .common import ENCODERS, VARIED, draw_spikes, enliven, in_a_fresh_process, tensorflow_only, weight_gradients

pytestmark = pytest.mark.usefixtures("eagerly")


def fc(num_classes=3, **kwargs):
    return SNNFCNet(num_classes, hidden_units=12, **kwargs)


def conv(num_classes=3, **kwargs):
    return SNNConvNet(num_classes, filters=(3, 4), hidden_units=12, **kwargs)


NETWORKS = pytest.mark.parametrize(("make", "features"), [(fc, (5,)), (conv, (8, 8, 1))], ids=["fc", "conv"])


def test_the_documented_readouts():
    assert READOUTS == ("last", "mean", "count")


@pytest.mark.sampled(5)
@NETWORKS
@pytest.mark.parametrize("readout", ["last", "mean", "count"])
def test_readout(make, features, readout):
    spikes = draw_spikes(4, 9, *features)
    network = make(readout=readout)
    network.build((None, 9, *features))
    enliven(network)
    logits, trace = np.asarray(network(spikes)), network.membrane_trace(spikes)
    assert logits.dtype == trace.dtype == np.float32
    assert logits.shape == (4, 3) and trace.shape == (4, 9, 3)
    counts = (trace > 1.0).sum(1)
    assert 0 < counts.sum() < trace.size  # the output neurons spike, and not always
    want = {"last": trace[:, -1], "mean": trace.astype(np.float64).mean(1), "count": counts}[readout]
    np.testing.assert_allclose(logits, want, rtol=1e-5, atol=1e-6)


def test_count_readout_has_a_gradient():
    network = fc(readout="count")
    network.build((None, 9, 5))
    enliven(network)  # neurons that are silent pass no gradient on to the weights behind them
    loss, weights = weighted(network, draw_spikes(4, 9, 5), [np.float32([1, 0, 0])])
    assert all(np.abs(g).max() > 0 for g in weight_gradients(loss, draw_spikes(4, 9, 5), weights))


def test_trace_in_batches_is_the_trace():
    spikes = draw_spikes(7, 6, 5)
    network = fc(seed=1)
    whole = network.membrane_trace(spikes)
    parts = network.membrane_trace(spikes, batch_size=3)
    assert whole.shape == parts.shape == (7, 6, 3)
    np.testing.assert_allclose(parts, whole, rtol=1e-6, atol=1e-6)


@pytest.mark.sampled(2)
@NETWORKS
def test_integer_boolean_and_float_spikes_are_the_same(make, features):
    spikes = draw_spikes(3, 6, *features)
    network = make(seed=0)
    want = network(spikes.astype(np.float32))
    for dtype in (np.uint8, np.int32, bool):
        np.testing.assert_array_equal(network(spikes.astype(dtype)), want)
        predicted = network.predict(spikes.astype(dtype), verbose=0)
        if keras.backend.backend() == "tensorflow":
            np.testing.assert_array_equal(predicted, want)
        np.testing.assert_allclose(predicted, ops.convert_to_numpy(want), atol=1e-6)  # compiled on JAX


def test_firing_rates():
    """Uneven batches: the mean is over examples, not over batches."""
    spikes = draw_spikes(7, 6, 5)
    spikes[6] = 1  # the odd one out is alone in the last batch
    network = fc(seed=0, beta=0.9)
    network.build((None, 6, 5))
    enliven(network)
    rates = network.firing_rates(spikes, batch_size=3)
    x = spikes.astype(np.float64)
    hidden, _ = forward(x @ np.asarray(network.hidden_dense.kernel) + np.asarray(network.hidden_dense.bias), 0.9)
    output, _ = forward(hidden @ np.asarray(network.output_dense.kernel) + np.asarray(network.output_dense.bias), 0.9)
    assert list(rates) == ["input", "hidden_lif", "output_lif"]
    for name, spk in [("input", x), ("hidden_lif", hidden), ("output_lif", output)]:
        assert type(rates[name]) is float
        assert rates[name] == pytest.approx(spk.mean(), rel=1e-5) and 0 < rates[name] < 1


@pytest.mark.compiled
@tensorflow_only
@NETWORKS
def test_a_last_batch_is_compiled_with_the_others(make, features):
    spikes = tf.constant(draw_spikes(7, 6, *features))
    network = make(seed=0)
    network.build((None, 6, *features))
    enliven(network)
    shapes = set()
    simulate = network.simulate
    network.simulate = lambda spikes: shapes.add(tuple(spikes.shape)) or simulate(spikes)
    logits, mem, rates = network.probe_batch(spikes[:3], 4)
    network.probe_batch(spikes[3:], 4)
    assert shapes == {(4, 6, *features)}
    with pytest.raises(InputError, match="inputs must be at most 4 examples, received 7"):
        network.probe_batch(spikes, 4)
    want, want_mem, want_rates = network.probe(spikes[:3])
    np.testing.assert_allclose(logits, want, atol=1e-6)
    np.testing.assert_allclose(mem, want_mem, atol=1e-6)
    assert {name: float(rate) for name, rate in rates.items()} == pytest.approx(
        {name: float(rate) for name, rate in want_rates.items()}
    )


def test_a_batch_for_an_encoder_inside_is_not_filled():
    network = fc(encoder=RateEncoder(6, seed=4), seed=0)
    network.build((None, 5))
    shapes, simulate = [], network.simulate
    network.simulate = lambda spikes: shapes.append(tuple(spikes.shape)) or simulate(spikes)
    logits, _, _ = network.probe_batch(np.full((3, 5), 0.5, "float32"), 8)
    assert shapes == [(3, 6, 5)] and logits.shape == (3, 3)


def test_no_examples_is_an_error():
    for method in (fc().membrane_trace, fc().firing_rates):
        with pytest.raises(InputError, match="inputs must hold at least one example"):
            method(np.zeros((0, 6, 5)))


# Encoders inside --------------------------------------------------------------------------------------


@pytest.mark.sampled(2)
@NETWORKS
def test_encoder_inside(make, features):
    images = np.random.default_rng(0).uniform(size=(4, *features)).astype(np.float32)
    bare = make(seed=3)
    spikes = RateEncoder(10, mode="regular")(images)
    want = bare(spikes)
    network = make(seed=3, encoder=RateEncoder(10, mode="regular"))
    np.testing.assert_array_equal(network(images), want)
    np.testing.assert_array_equal(network.membrane_trace(images), bare.membrane_trace(spikes))
    assert network.firing_rates(images)["input"] == pytest.approx(float(np.mean(np.asarray(spikes))))
    assert network.compute_output_shape(images.shape) == (4, 3)


def test_a_random_encoder_draws_afresh_and_takes_no_image_as_a_time_series():
    network = fc(encoder=ENCODERS["poisson"](), seed=0)
    images = np.full((2, 5), 0.5, np.float32)
    draws = [network.membrane_trace(images) for _ in range(6)]
    assert draws[0].shape == (2, 6, 3)
    assert any((draws[0] != other).any() for other in draws[1:])


@pytest.mark.sampled(4)
@NETWORKS
@pytest.mark.parametrize("start", ["none", "regular"])
def test_with_encoder_copies_the_weights(make, features, start):
    images = np.random.default_rng(0).uniform(size=(4, *features)).astype(np.float32)
    network = make(encoder=ENCODERS[start](), beta=0.8, trainable_beta=True, per_neuron=True, readout="mean")
    network.build((None, *(() if start != "none" else (10,)), *features))
    enliven(network)
    regular = RateEncoder(10, mode="regular", gain=0.5)
    copy = network.with_encoder(regular)
    bare = copy.with_encoder(None)
    assert type(copy) is type(network) and copy is not network and copy.encoder is regular and bare.encoder is None
    assert copy.readout == "mean" and copy.output_lif.beta == 0.8
    for a, b, c in zip(network.weights, copy.weights, bare.weights, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    np.testing.assert_array_equal(copy(images), bare(regular(images)))
    copy.set_weights([w * 0 + 0.5 for w in copy.get_weights()])
    assert any((ops.convert_to_numpy(w) != 0.5).any() for w in network.weights)  # a copy, not the same variables


def test_with_encoder_needs_weights():
    with pytest.raises(InputError, match="with_encoder needs a network that is built"):
        fc().with_encoder(RateEncoder(4))


# Seeds, building, shapes ------------------------------------------------------------------------------


@NETWORKS
def test_seed_fixes_the_initial_weights(make, features):
    def weights(seed):
        network = make(seed=seed)
        network.build((None, 6, *features))
        return network.get_weights()

    a, b, c = weights(0), weights(0), weights(1)
    for x, y, z in zip(a, b, c, strict=True):
        np.testing.assert_array_equal(x, y)
        if np.ndim(x) > 1:
            assert (x != z).any()
    kernels = [x.ravel() for x in a if np.ndim(x) > 1]
    assert len(kernels) >= 2  # each drawn apart: no two begin alike
    assert len({round(float(k[0] / np.abs(k).max()), 6) for k in kernels}) == len(kernels)
    unseeded = weights(None), weights(None)
    assert any((x != y).any() for x, y in zip(*unseeded, strict=True))


@NETWORKS
@pytest.mark.parametrize("batch", [None, 4])
def test_building_finds_the_shapes_from_the_input(make, features, batch):
    spikes = draw_spikes(4, 6, *features)
    built = make(seed=0)
    built.build((batch, 6, *features))
    assert (
        built.built and built.hidden_dense.kernel.shape[1] == 12 and tuple(built.output_dense.kernel.shape) == (12, 3)
    )
    called = make(seed=0)
    assert not called.built
    np.testing.assert_array_equal(called(spikes), built(spikes))
    assert [w.path.split("/", 1)[1] for w in called.weights] == [w.path.split("/", 1)[1] for w in built.weights]


@pytest.mark.sampled(2)
@NETWORKS
def test_any_number_of_steps_and_batch(make, features):
    network = make(seed=0)
    for batch, steps in [(2, 6), (3, 4), (1, 1)]:
        assert network(draw_spikes(batch, steps, *features)).shape == (batch, 3)
        assert network.membrane_trace(draw_spikes(batch, steps, *features)).shape == (batch, steps, 3)
    if keras.backend.backend() != "tensorflow":
        return
    run = tf.function(network, input_signature=[tf.TensorSpec((None, None, *features), tf.uint8)])
    spikes = draw_spikes(2, 6, *features)
    np.testing.assert_allclose(run(spikes), network(spikes), rtol=1e-5, atol=1e-6)


@NETWORKS
def test_nested_in_a_functional_model(make, features, tmp_path):
    spikes = draw_spikes(4, 6, *features)
    network = make(seed=0, readout="mean")
    inputs = keras.Input((6, *features), dtype="uint8")
    logits = network(inputs)
    assert logits.shape == (None, 3) and logits.dtype == "float32"
    model = keras.Model(inputs, keras.layers.Softmax()(logits))
    want = np.exp(np.asarray(network(spikes)))
    want /= want.sum(-1, keepdims=True)
    np.testing.assert_allclose(model(spikes), want, rtol=1e-5)
    model.save(tmp_path / "net.keras")
    copy = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(copy(spikes), model(spikes))


@pytest.mark.thorough
@pytest.mark.skipif(bool(os.environ.get("XLA_FLAGS")), reason="the fresh process compiles as usual; see conftest.py")
def test_reloaded_in_a_fresh_process(tmp_path):
    x = np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    networks = {}
    for name, make, extra in [("fc", fc, {}), ("conv", conv, {"conv_activation": "lif"})]:
        network = make(**VARIED, **extra, encoder=ENCODERS["regular"](), dtype="mixed_bfloat16")
        network.build((None, *x.shape[1:]))
        networks[name] = enliven(network)
        network.save(tmp_path / f"{name}.keras")
    modules = ["kerasburst.models.snn_fc_net", "kerasburst.models.snn_conv_net"]
    for name, got in in_a_fresh_process(modules, networks, tmp_path).items():
        np.testing.assert_array_equal(got["logits"], networks[name](x))
        np.testing.assert_array_equal(got["trace"], networks[name].membrane_trace(x))


def test_mixed_precision_keeps_membranes_and_logits_float32():
    network = fc(dtype="mixed_bfloat16", seed=0, threshold=0.3)
    spikes = draw_spikes(3, 6, 5)
    assert np.asarray(network(spikes)).dtype == network.membrane_trace(spikes).dtype == np.float32
    assert network.hidden_dense.compute_dtype == network.hidden_lif.compute_dtype == "bfloat16"
    assert {keras.backend.standardize_dtype(w.dtype) for w in network.weights} == {"float32"}
    trace = network.membrane_trace(spikes)
    assert (trace != ops.convert_to_numpy(ops.cast(ops.cast(trace, "bfloat16"), "float32"))).any()
    reference = fc(seed=0, threshold=0.3).membrane_trace(spikes)
    assert 0 < np.abs(trace - reference).max() < 1.5  # rounded products move a spike at most now and then


# Errors -----------------------------------------------------------------------------------------------


@NETWORKS
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"num_classes": 1}, "num_classes must be an integer of at least 2, received 1"),
        ({"num_classes": 2.5}, "num_classes must be an integer of at least 2, received 2.5"),
        ({"readout": "lst"}, "readout must be one of last, mean, count, received 'lst'; did you mean last?"),
        ({"encoder": "rate"}, "encoder must be an encoder layer or None, received 'rate'"),
        ({"seed": -1}, "seed must be an integer of at least 0, received -1"),
        ({"beta": 2}, "beta must be a finite number from 0 to 1, received 2"),
        ({"threshold": 0}, "threshold must be a finite number above 0, received 0"),
        ({"surrogate": "arctan"}, "surrogate must be"),
        ({"reset_mechanism": "sub"}, "reset_mechanism must be one of subtract, zero, none, received 'sub'"),
        ({"per_neuron": True}, "per_neuron must be false unless"),
    ],
    ids=str,
)
def test_bad_parameter(make, features, bad, message):
    with pytest.raises(InputError) as error:
        make(**bad)
    assert str(error.value).startswith(message)


def test_encoder_that_is_another_layer():
    with pytest.raises(InputError, match="encoder must be an encoder layer or None, received <Dense"):
        fc(encoder=keras.layers.Dense(3))


@NETWORKS
@pytest.mark.parametrize("shape", [(4,), (4, 5)])
def test_input_without_time_and_features(make, features, shape):
    with pytest.raises(InputError, match=r"inputs must be spikes of shape \(batch, num_steps, \*features\)"):
        make()(np.zeros(shape, np.uint8))


@NETWORKS
def test_input_of_other_features_or_none(make, features):
    network = make()
    spikes = np.zeros((2, 4, *features), np.uint8)
    expected = network.membrane_trace(spikes)
    wanted = rf"inputs must be spikes of shape \(batch, num_steps, {', '.join(map(str, features))}\)"
    for bad in (spikes[:, 0, ..., 0], np.repeat(spikes, 2, axis=-1), np.zeros((3, 7), "float32")):
        for ask in (network, network.membrane_trace, network.firing_rates):
            with pytest.raises(InputError, match=wanted):
                ask(bad)
    np.testing.assert_array_equal(network.membrane_trace(spikes), expected)  # no graph was spoilt by another rank


def test_traces_and_rates_of_what_is_no_array_of_finite_numbers():
    network = fc()
    network.build((None, 4, 5))
    for bad in (np.full((2, 4, 5), np.nan), tf.data.Dataset.from_tensors(np.zeros((2, 4, 5))), [["a"]]):
        for ask in (network.membrane_trace, network.firing_rates):
            with pytest.raises(InputError, match="x must"):
                ask(bad)


def test_input_of_unknown_features():
    with pytest.raises(InputError, match=r"known features, received \(2, 6, None\)"):
        fc().build((2, 6, None))


def test_abstract():
    with pytest.raises(TypeError, match="abstract"):
        SpikingNetwork(3)
