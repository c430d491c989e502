import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from keras.src.testing import TestCase

from kerasburst import backend
from kerasburst.neurons.lif import LIF
from kerasburst.neurons.surrogate import FastSigmoid
from kerasburst.validation import InputError

from .common import array, arrays, tensor
from .reference import RESETS, forward

pytestmark = pytest.mark.usefixtures("eagerly")

FLAGS = list(itertools.product([True, False], repeat=3))


def draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.3, 1.2, shape).astype(np.float32)


def dtypes(outputs):
    return [keras.backend.standardize_dtype(output.dtype) for output in outputs]


def listed(outputs):
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]


# Values and outputs -----------------------------------------------------------------------------------


@pytest.mark.sampled(4)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("shape", [(3, 12), (3, 12, 4), (2, 12, 3, 4), (2, 12, 3, 2, 2)])
def test_any_feature_rank(shape, reset):
    current = draw(*shape)
    spk, mem = LIF(beta=0.8, threshold=0.9, reset_mechanism=reset, return_mem=True)(current)
    spk, mem = arrays([spk, mem])
    want_spk, want_mem = forward(current, 0.8, 0.9, reset)
    np.testing.assert_array_equal(spk, want_spk)
    np.testing.assert_allclose(mem, want_mem, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("features", [(), (3,), (2, 3)])
@pytest.mark.parametrize(("sequences", "mem", "state"), FLAGS)
def test_outputs(sequences, mem, state, features):
    current = draw(2, 5, *features)
    layer = LIF(return_sequences=sequences, return_mem=mem, return_state=state)
    want_spk, want_mem = forward(current)
    want = [want_spk if sequences else want_spk[:, -1]]
    if mem:
        want.append(want_mem if sequences else want_mem[:, -1])
    if state:
        want.append(want_mem[:, -1])

    eager = layer(current)
    assert isinstance(eager, tuple) == (mem or state)  # one output comes alone
    for a, b in zip(arrays(listed(eager)), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

    shapes = layer.compute_output_shape(current.shape)
    assert (list(shapes) if mem or state else [shapes]) == [b.shape for b in want]
    for batch in (2, None):
        symbolic = listed(layer(keras.Input(batch_shape=(batch, 5, *features))))
        assert [s.shape for s in symbolic] == [(batch, *b.shape[1:]) for b in want]
        assert dtypes(symbolic) == dtypes(listed(eager)) == ["float32"] * len(want)
    unknown = listed(layer(keras.Input(batch_shape=(None, None, *features))))
    assert unknown[0].shape == ((None, None, *features) if sequences else (None, *features))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_symbolic_and_eager_dtypes_agree_under_a_policy(policy):
    for dtype in ("float16", "float32", "float64"):
        layer = LIF(return_mem=True, return_state=True, dtype=policy)
        with backend.float64():
            eager = layer(ops.zeros((2, 3, 4), dtype))
        symbolic = layer(keras.Input(batch_shape=(2, 3, 4), dtype=dtype))
        membrane = "float64" if dtype == "float64" else "float32"
        assert dtypes(eager) == dtypes(symbolic) == [layer.compute_dtype, membrane, membrane]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("how", ["global", "own"])
def test_membrane_is_float32_under_mixed_precision(policy, how):
    # 1, then steps of 2^-12 that 16 bits lose: 1 + 2^-12 is 1 in both. Threshold 1.06 = 1 + 245.76 / 4096.
    current = np.full((1, 256, 1), 2.0**-12, np.float32)
    current[0, 0] = 1.0
    settings = {"beta": 1.0, "threshold": 1.06, "return_mem": True}
    if how == "own":
        spk, mem = LIF(**settings, dtype=policy)(ops.cast(current, policy.removeprefix("mixed_")))
    else:
        keras.config.set_dtype_policy(policy)
        try:
            spk, mem = LIF(**settings)(current)
        finally:
            keras.config.set_dtype_policy("float32")
    assert dtypes([spk, mem]) == [policy.removeprefix("mixed_"), "float32"]
    assert np.flatnonzero(array(ops.cast(spk, "float32"))).tolist() == [246]
    assert float(mem[0, 245, 0]) == 1 + 245 / 4096


def test_trained_parameters_stay_float32_under_mixed_precision():
    layer = LIF(trainable_beta=True, trainable_threshold=True, return_mem=True, dtype="mixed_bfloat16")
    _, mem = layer(tensor([[[1.0], [0.0]]]))
    assert dtypes(layer.weights) == ["float32", "float32"]
    assert float(array(mem)[0, 1, 0]) == np.float32(0.95)  # bfloat16 has 0.94921875


def test_defaults():
    layer = LIF()
    assert (layer.return_sequences, layer.return_mem, layer.return_state, layer.stateful) == (True, False, False, False)


@pytest.mark.parametrize("argument", ["return_sequences", "return_mem", "return_state", "stateful"])
@pytest.mark.parametrize("bad", [1, "yes", None])
def test_bad_flag(argument, bad):
    with pytest.raises(InputError) as error:
        LIF(**{argument: bad})
    assert str(error.value) == f"{argument} must be true or false, received {bad!r}"


def test_input_without_time_is_an_error():
    with pytest.raises(InputError, match=r"inputs must be of shape \(batch, time, \*features\), received \(3,\)"):
        LIF()(ops.zeros(3))


# Streaming --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", RESETS)
def test_streaming_by_hand_over_the_state(reset):
    current = draw(3, 10, 4)
    want_spk, want_mem = forward(current, 0.8, reset=reset)
    assert (want_mem[:, 4] > 1).any()  # some neurons reset across the cut
    layer = LIF(beta=0.8, reset_mechanism=reset, return_mem=True, return_state=True)
    spk1, mem1, state = layer(current[:, :5])
    spk2, mem2, _ = layer(current[:, 5:], initial_state=state)
    np.testing.assert_array_equal(np.concatenate(arrays([spk1, spk2]), 1), want_spk)
    np.testing.assert_allclose(np.concatenate(arrays([mem1, mem2]), 1), want_mem, rtol=1e-5, atol=1e-6)
    again, *_ = layer(current[:, 5:], initial_state=[state])  # as a list, as Keras' RNN takes it
    np.testing.assert_array_equal(array(again), array(spk2))


def test_streaming_as_a_functional_model_with_two_inputs(tmp_path):
    current_in, state_in = keras.Input((5, 4)), keras.Input((4,))
    spk, state = LIF(beta=0.8, return_state=True)(current_in, initial_state=state_in)
    model = keras.Model([current_in, state_in], [spk, state])
    model.save(tmp_path / "net.keras")
    current = draw(3, 10, 4)
    want, want_mem = forward(current, 0.8)
    for net in (model, keras.saving.load_model(tmp_path / "net.keras")):
        spk1, state = net([current[:, :5], np.zeros((3, 4), np.float32)])
        spk2, state = net.predict([current[:, 5:], array(state)], verbose=0)
        np.testing.assert_array_equal(np.concatenate([array(spk1), spk2], 1), want)
        np.testing.assert_allclose(state, want_mem[:, -1], rtol=1e-5, atol=1e-6)


def test_an_initial_state_of_another_shape_is_an_error():
    with pytest.raises(InputError, match=r"initial_state must be of shape \(3, 4\).*received \(1, 4\)"):
        LIF()(ops.zeros((3, 5, 4)), initial_state=ops.zeros((1, 4)))


@pytest.mark.compiled
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_stateful(graph):
    if graph and backend.name != "tensorflow":
        pytest.skip("graphs are TensorFlow's")
    current = draw(3, 10, 4)
    want, want_mem = forward(current)
    first = forward(current[:, :5])[0]
    assert (want[:, 5:] != forward(current[:, 5:])[0]).any()
    layer = LIF(stateful=True, return_mem=True)
    run = tf.function(layer) if graph else layer
    got = [arrays(run(tensor(current[:, :5]))), arrays(run(tensor(current[:, 5:])))]
    np.testing.assert_array_equal(np.concatenate([spk for spk, _ in got], 1), want)
    np.testing.assert_allclose(np.concatenate([mem for _, mem in got], 1), want_mem, rtol=1e-5, atol=1e-6)
    layer.reset_state()
    np.testing.assert_array_equal(array(run(tensor(current[:, :5]))[0]), first)
    layer.reset_states()
    np.testing.assert_array_equal(array(run(tensor(current[:, :5]))[0]), first)


def test_stateful_in_a_model():
    current = draw(4, 10, 3)
    model = keras.Sequential([keras.Input(batch_shape=(4, 5, 3)), LIF(stateful=True)])
    want, _ = forward(current)
    got = [model.predict(part, batch_size=4, verbose=0) for part in (current[:, :5], current[:, 5:])]
    np.testing.assert_array_equal(np.concatenate(got, 1), want)
    model.layers[0].reset_state()
    np.testing.assert_array_equal(model.predict(current[:, :5], batch_size=4, verbose=0), want[:, :5])


def test_stateful_in_a_model_built_by_its_first_fit():
    model = keras.Sequential([keras.layers.Dense(3, use_bias=False), LIF(stateful=True, surrogate="sigmoid")])
    model.compile("sgd", "mse")
    model.fit(draw(4, 5, 3), draw(4, 5, 3), batch_size=4, shuffle=False, verbose=0)
    model.layers[1].reset_state()
    current = draw(4, 10, 3, seed=3)
    want, _ = forward(current @ model.get_weights()[0])
    np.testing.assert_array_equal(np.concatenate(arrays([model(current[:, :5]), model(current[:, 5:])]), 1), want)


def test_a_given_state_goes_before_the_kept_one():
    layer = LIF(beta=0.5, stateful=True, return_mem=True)
    layer(tensor([[[0.5]]]))
    _, mem = layer(tensor([[[0.0]]]), initial_state=tensor([[0.25]]))
    assert array(mem).ravel().tolist() == [0.125]  # 0.5 * 0.25, not 0.5 * 0.5
    _, mem = layer(tensor([[[0.0]]]))
    assert array(mem).ravel().tolist() == [0.0625]  # and it is what is kept


@pytest.mark.compiled
def test_stateful_with_a_wrong_batch_is_an_error():
    layer = LIF(stateful=True)
    layer(ops.zeros((4, 5, 3)))
    for batch in (1, 8):
        with pytest.raises(InputError) as error:
            layer(ops.zeros((batch, 5, 3)))
        message = str(error.value)
        assert "inputs must have the batch size 4" in message and f"received {batch}" in message
    if backend.name != "tensorflow":
        return
    run = tf.function(layer, input_signature=[tf.TensorSpec((None, 5, 3), tf.float32)])
    assert run(tf.zeros((4, 5, 3))).shape == (4, 5, 3)
    with pytest.raises(tf.errors.InvalidArgumentError):
        run(tf.zeros((1, 5, 3)))


def test_stateful_without_a_static_batch_is_an_error():
    with pytest.raises(InputError, match=r"static batch.*received \(None, 3\)"):
        LIF(stateful=True)(keras.Input((5, 3)))
    with pytest.raises(InputError, match=r"static batch.*received \(2, None\)"):
        LIF(stateful=True).build((2, 5, None))


def test_reset_state_of_a_stateless_or_unbuilt_layer_does_nothing():
    for layer in (LIF(), LIF(stateful=True)):
        assert layer.reset_state() is None and not layer.variables


def test_the_state_is_no_weight(tmp_path):
    def make(stateful):
        layer = LIF(stateful=stateful, trainable_beta=True, trainable_threshold=True, per_neuron=True)
        return keras.Sequential([keras.Input(batch_shape=(2, 5, 3)), layer])

    stateful, stateless = make(True), make(False)
    assert len(stateful.weights) == len(stateless.variables) == 2
    assert len(stateful.variables) == 2 + (backend.name == "jax")  # whose steps are pure functions: Keras hands it on
    weights = [np.float32([0.2, 0.5, 0.9]), np.float32([0.5, 0.6, 0.7])]
    stateful.set_weights(weights)
    stateless.set_weights(stateful.get_weights())
    current = draw(2, 5, 3)
    want, _ = forward(current, *weights)
    np.testing.assert_array_equal(array(stateless(current)), want)
    np.testing.assert_array_equal(array(stateful(current)), want)
    stateful.save(tmp_path / "net.keras")
    copy = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(array(copy(current)), want)  # reloaded, it begins at rest
    stateful.save_weights(tmp_path / "net.weights.h5")
    stateless.set_weights([w * 0 + 1 for w in weights])
    stateless.load_weights(tmp_path / "net.weights.h5")
    np.testing.assert_array_equal(array(stateless(current)), want)


# Saving -----------------------------------------------------------------------------------------------

VARIED = {
    "beta": 0.4,
    "threshold": 0.6,
    "reset_mechanism": "zero",
    "surrogate": FastSigmoid(5.0),
    "trainable_beta": True,
    "trainable_threshold": True,
    "per_neuron": True,
    "return_sequences": False,
    "return_mem": True,
    "return_state": True,
    "stateful": True,
    "name": "mine",
    "dtype": "mixed_bfloat16",
}


def test_config_round_trip():
    layer = LIF(**VARIED)
    config = layer.get_config()
    assert {name for name in VARIED if name not in config} == set()
    copy = LIF.from_config(config)
    assert copy.get_config() == config
    for name, value in VARIED.items():
        got = copy.dtype_policy.name if name == "dtype" else getattr(copy, name)
        assert got == value, name


@pytest.mark.parametrize("functional", [True, False])
def test_saved_and_reloaded(tmp_path, functional):
    inputs = keras.Input(batch_shape=(2, 6, 3))
    if functional:
        layer = LIF(**VARIED)
        model = keras.Model(inputs, layer(inputs))
    else:  # a Sequential model wants one output
        layer = LIF(**{**VARIED, "return_mem": False, "return_state": False})
        model = keras.Sequential([inputs, layer])
    weights = [np.float32([0.1, 0.5, 0.9]), np.float32([0.4, 0.6, 0.8])]
    layer.set_weights(weights)
    model.save(tmp_path / "net.keras")
    copy = keras.saving.load_model(tmp_path / "net.keras")
    current = draw(2, 6, 3)
    spk, mem = forward(current, *weights, "zero")
    want = [spk[:, -1], mem[:, -1], mem[:, -1]] if functional else [spk[:, -1]]
    for a, b in zip(listed(copy(current)), want, strict=True):
        np.testing.assert_allclose(array(ops.cast(a, "float32")), b, rtol=1e-5, atol=1e-6)
    assert copy.get_layer("mine").get_config() == layer.get_config()
    assert copy.get_layer("mine").surrogate == FastSigmoid(5.0)


# Training ---------------------------------------------------------------------------------------------


@pytest.mark.compiled
@pytest.mark.thorough
@pytest.mark.parametrize(("num_steps", "jit"), [(8, False), (70, True)])
def test_a_model_with_it_trains(jit, num_steps):
    """Tell a strong current from a weak one by the number of spikes."""
    keras.utils.set_random_seed(0)
    label = np.arange(64) % 2
    x = draw(64, num_steps, 4) * 0.3 + 0.5 * label[:, None, None]
    model = keras.Sequential(
        [
            keras.Input((num_steps, 4)),
            keras.layers.Dense(8),
            LIF(trainable_beta=True, trainable_threshold=True),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(2),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss, jit_compile=jit)
    losses = model.fit(x, label, epochs=13, batch_size=64, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.2


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
class LIFLayerTest(TestCase):
    EVERY = {"trainable_beta": True, "trainable_threshold": True, "per_neuron": True}

    def test_basics(self):
        self.check({}, (2, 5, 4), (2, 5, 4), 0)
        self.check({**self.EVERY, "stateful": True}, (2, 5, 4), (2, 5, 4), 2)

    @pytest.mark.thorough
    def test_further_settings_and_shapes(self):
        for settings, shape, expected, weights in [
            ({}, (2, 5), (2, 5), 0),
            ({"reset_mechanism": "none"}, (2, 5, 3, 4, 2), (2, 5, 3, 4, 2), 0),
            ({"reset_mechanism": "zero", "return_sequences": False}, (2, 5, 4), (2, 4), 0),
            ({"trainable_beta": True, "surrogate": "triangular"}, (2, 5, 4), (2, 5, 4), 1),
            (self.EVERY, (2, 5, 3, 4), (2, 5, 3, 4), 2),
        ]:
            self.check(settings, shape, expected, weights)

    def check(self, settings, shape, expected, weights):
        self.run_layer_test(
            LIF,
            init_kwargs=settings,
            input_shape=shape,
            expected_output_shape=expected,
            expected_output_dtype="float32",
            expected_num_trainable_weights=weights,
            expected_num_non_trainable_weights=0,
            expected_num_seed_generators=0,
            expected_num_losses=0,
        )

    def test_outputs(self):
        self.run_layer_test(
            LIF,
            init_kwargs={"return_mem": True, "return_state": True},
            input_shape=(2, 5, 4),
            expected_output_shape=((2, 5, 4), (2, 5, 4), (2, 4)),
            expected_output_dtype=("float32", "float32", "float32"),
            run_training_check=False,
        )
