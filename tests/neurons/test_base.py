"""What LIF and LIFCell share: parameters, their weights, their errors, their configs."""

import keras
import numpy as np
import pytest
from keras import ops

from kerasburst.neurons.lif import LIF, LIFCell
from kerasburst.neurons.surrogate import ATan, FastSigmoid, Sigmoid
from kerasburst.validation import InputError

from .common import array, gradients, weighted
from .reference import DERIVATIVES, backward, forward

pytestmark = pytest.mark.usefixtures("eagerly")

BOTH = pytest.mark.parametrize("make", [LIF, lambda **kwargs: LIFCell(3, **kwargs)], ids=["LIF", "LIFCell"])
LAYERS = pytest.mark.parametrize(
    "make",
    [LIF, lambda **kwargs: keras.layers.RNN(LIFCell(3, **kwargs), return_sequences=True)],
    ids=["LIF", "RNN"],
)


@BOTH
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"beta": -0.1}, "beta must be a finite number from 0 to 1, received -0.1"),
        ({"beta": 1.1}, "beta must be a finite number from 0 to 1, received 1.1"),
        ({"beta": float("nan")}, "beta must be a finite number from 0 to 1, received nan"),
        ({"beta": "x"}, "beta must be a finite number from 0 to 1, received 'x'"),
        ({"beta": None}, "beta must be a finite number from 0 to 1, received None"),
        ({"threshold": 0.0}, "threshold must be a finite number above 0, received 0.0"),
        ({"threshold": -1.0}, "threshold must be a finite number above 0, received -1.0"),
        ({"threshold": float("inf")}, "threshold must be a finite number above 0, received inf"),
        (
            {"reset_mechanism": "substract"},
            "reset_mechanism must be one of subtract, zero, none, received 'substract'; did you mean subtract?",
        ),
        ({"reset_mechanism": None}, "reset_mechanism must be one of subtract, zero, none, received None"),
        (
            {"surrogate": "arctan"},
            "surrogate must be a Surrogate or one of atan, fast_sigmoid, sigmoid, triangular, straight_through, "
            "received 'arctan'; did you mean atan?",
        ),
        ({"trainable_beta": 1}, "trainable_beta must be true or false, received 1"),
        ({"trainable_threshold": "yes"}, "trainable_threshold must be true or false, received 'yes'"),
        ({"per_neuron": None}, "per_neuron must be true or false, received None"),
        ({"per_neuron": True}, "per_neuron must be false unless trainable_beta or trainable_threshold is set"),
    ],
    ids=str,
)
def test_bad_parameter(make, bad, message):
    with pytest.raises(InputError) as error:
        make(**bad)
    assert str(error.value).startswith(message)


@BOTH
def test_the_ends_of_the_ranges_are_allowed(make):
    assert make(beta=0).beta == 0.0 and make(beta=1).beta == 1.0
    assert make(threshold=1e-6).threshold == 1e-6


@BOTH
def test_defaults(make):
    config = make().get_config()
    config["surrogate"] = keras.saving.deserialize_keras_object(config["surrogate"])
    assert {
        "beta": 0.95,
        "threshold": 1.0,
        "reset_mechanism": "subtract",
        "surrogate": ATan(2.0),
        "trainable_beta": False,
        "trainable_threshold": False,
        "per_neuron": False,
    }.items() <= config.items()


VARIED = {
    "beta": 0.3,
    "threshold": 0.7,
    "reset_mechanism": "zero",
    "surrogate": FastSigmoid(7.0),
    "trainable_beta": True,
    "trainable_threshold": True,
    "per_neuron": True,
    "name": "mine",
}


@BOTH
def test_config_round_trip_with_every_parameter_varied(make):
    layer = make(**VARIED)
    config = layer.get_config()
    for name, value in VARIED.items():
        assert getattr(layer, name) == value
        got = config[name]
        assert (keras.saving.deserialize_keras_object(got) if name == "surrogate" else got) == value
    copy = type(layer).from_config(config)
    assert copy.get_config() == config and copy.surrogate == FastSigmoid(7.0)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer) and again.get_config() == config


@LAYERS
@pytest.mark.parametrize("per_neuron", [False, True])
def test_weights(make, per_neuron):
    for beta, threshold in [(True, False), (False, True), (True, True)]:
        layer = make(beta=0.6, threshold=0.7, trainable_beta=beta, trainable_threshold=threshold, per_neuron=per_neuron)
        layer.build((None, None, 3))
        want = [("beta", 0.6)] * beta + [("threshold", 0.7)] * threshold
        assert [w.name for w in layer.trainable_weights] == [name for name, _ in want]
        assert not layer.non_trainable_weights
        for weight, (_, value) in zip(layer.trainable_weights, want, strict=True):
            assert tuple(weight.shape) == ((3,) if per_neuron else ())
            np.testing.assert_allclose(array(weight), np.full(weight.shape, value), rtol=1e-6)


@LAYERS
def test_no_weights_by_default(make):
    layer = make()
    layer.build((None, None, 3))
    assert not layer.weights


def set_weights(layer, beta, threshold):
    layer.set_weights([np.asarray(beta, np.float32), np.asarray(threshold, np.float32)])


@pytest.mark.sampled(8)
@LAYERS
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("surrogate", ["atan", "fast_sigmoid"])
def test_trained_parameters_forward_and_backward(make, reset, surrogate):
    current = np.random.default_rng(0).uniform(-0.3, 1.2, (2, 12, 3))
    beta, threshold = np.float32([0.2, 0.5, 0.9]), np.float32([0.5, 1.0, 1.3])
    layer = make(
        reset_mechanism=reset, surrogate=surrogate, trainable_beta=True, trainable_threshold=True, per_neuron=True
    )
    layer.build(current.shape)
    set_weights(layer, beta, threshold)
    weight, x = np.random.default_rng(1).normal(size=current.shape), current.astype(np.float32)
    loss, trained = weighted(layer, x, [weight.astype(np.float32)])
    got = gradients(loss, x, *trained)
    np.testing.assert_array_equal(array(layer(x)), forward(current, beta, threshold, reset)[0])
    d_current, d_beta, d_threshold, _ = backward(
        current, weight, np.zeros_like(current), DERIVATIVES[surrogate], beta, threshold, reset
    )
    for a, b in zip(got, [d_current, d_beta.sum(0), d_threshold.sum(0)], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


@LAYERS
@pytest.mark.parametrize(
    ("value", "used", "trains"), [(1.2, 1.0, False), (-0.3, 0.0, False), (1.0, 1.0, True), (0.0, 0.0, True)]
)
def test_trained_beta_is_clipped_forward_and_gets_no_gradient_outside(make, value, used, trains):
    current = np.float32([[[0.75, 0.5, 0.25]] * 4])
    layer = make(trainable_beta=True, surrogate="straight_through")
    layer.build(current.shape)
    layer.set_weights([np.float32(value)])
    loss, trained = weighted(layer, current, [np.ones_like(current)])
    _, gradient = gradients(loss, current, *trained)
    np.testing.assert_array_equal(array(layer(current)), forward(current, used)[0])
    assert float(layer.get_weights()[0]) == np.float32(value)  # the weight itself is left alone
    assert (float(gradient) > 0) is trains  # with positive currents, straight-through, it cannot be 0


@LAYERS
def test_trained_threshold_stays_above_0(make):
    layer = make(trainable_threshold=True, surrogate="straight_through")
    model = keras.Sequential([keras.Input((4, 3)), layer])
    # More spikes lower the loss, so the threshold falls by 100 a step.
    model.compile(keras.optimizers.SGD(100.0), loss=lambda y, spk: -ops.mean(spk))
    model.fit(np.full((2, 4, 3), 0.5, np.float32), np.zeros((2, 4, 3)), verbose=0)
    (threshold,) = layer.get_weights()
    assert 0 < threshold < 0.01


@LAYERS
def test_training_moves_beta_down_its_gradient(make):
    layer = make(beta=0.5, trainable_beta=True, surrogate=Sigmoid(1.0))
    x = np.random.default_rng(0).uniform(0, 1, (4, 5, 3)).astype(np.float32)
    model = keras.Sequential([keras.Input((5, 3)), layer])
    model.compile(keras.optimizers.SGD(0.1), loss=lambda y, spk: ops.sum(spk))
    model.fit(x, np.zeros((4, 5, 3)), verbose=0)

    def derivative(v):
        return np.exp(-np.abs(v)) / (1 + np.exp(-np.abs(v))) ** 2

    _, d_beta, _, _ = backward(x, np.ones(x.shape), np.zeros(x.shape), derivative, 0.5)
    # Keras divides nothing here: the loss is a scalar of its own.
    np.testing.assert_allclose(layer.get_weights()[0], 0.5 - 0.1 * d_beta.sum(), rtol=1e-4)


def test_per_neuron_needs_known_features():
    with pytest.raises(InputError, match=r"per_neuron needs features of known size, received \(None, 3\)"):
        LIF(trainable_beta=True, per_neuron=True).build((2, 5, None, 3))
