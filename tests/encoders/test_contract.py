"""What every registered encoder must do, on whichever backend Keras runs: a new one is covered by its registry line."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from kerasburst import backend
from kerasburst.data.pipeline import make_dataset
from kerasburst.registry import ENCODERS

from . import oracles

X = np.random.default_rng(0).random((6, 5, 4)).astype("float32")
INTENSITIES = np.float32([0.0, 0.1, 0.3, 0.5, 0.85, 1.0])
STEPS = 7
NAMES = [name for name in ENCODERS if "." not in name]
every_encoder = pytest.mark.parametrize("name", NAMES)
of_intensities = pytest.mark.parametrize("name", [name for name in NAMES if not ENCODERS[name].encoded])


def array(tensor):
    return ops.convert_to_numpy(tensor)


def given(name, x=X, num_steps=STEPS):
    """Return what an encoder takes: intensities, or spikes of as many."""
    if not ENCODERS[name].encoded:
        return x
    return (np.random.default_rng(2).random((len(x), num_steps, *x.shape[1:])) < x[:, None]).astype("uint8")


def make(encoder, num_steps=STEPS, **arguments):
    return ENCODERS[encoder](num_steps, **arguments)


@every_encoder
@pytest.mark.parametrize("features", [(7,), (3, 2), (4, 4, 3), (2, 3, 2, 2)])
def test_shapes_and_values(name, features):
    x = given(name, np.random.default_rng(1).random((3, *features)).astype("float32"))
    layer = make(name, seed=0)
    spikes = layer(x)
    assert spikes.shape == layer.spike_probability(x).shape == (3, STEPS, *features)
    assert keras.backend.standardize_dtype(spikes.dtype) == "float32"
    assert set(np.unique(array(spikes))) <= {0.0, 1.0} or not layer.spiking
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, STEPS, *features)
    assert layer(keras.Input(x.shape[1:])).shape == (None, STEPS, *features)
    encoded = layer.encode(ops.convert_to_tensor(x), 3)
    dtype = "uint8" if layer.spiking else "float32"
    assert keras.backend.standardize_dtype(encoded.dtype) == dtype and encoded.shape == (3, STEPS, *features)


@every_encoder
def test_draws_have_the_marginals(name):
    layer = make(name, seed=11)
    if not layer.random:
        np.testing.assert_array_equal(array(layer(given(name))), array(layer.spike_probability(given(name))))
        return
    x = given(name, INTENSITIES[None])
    p = array(layer.spike_probability(x))[0]
    spikes = array(layer(np.repeat(x, 4000, axis=0))).astype("uint8")
    p = np.where(p > 1 - 1e-6, 1.0, p)
    assert oracles.marginals_agree(spikes, np.clip(p, 0.0, 1.0))


@every_encoder
def test_one_seed_is_one_sequence_of_different_draws(name):
    first, second = make(name, seed=3), make(name, seed=3)
    draws = [array(first(given(name))) for _ in range(3)]
    for expected in draws:
        np.testing.assert_array_equal(array(second(given(name))), expected)
    others = [array(make(name, seed=seed)(given(name))) for seed in (0, 2, 2**31 - 1, None, None)]
    for i, one in enumerate([*draws, *others]):
        for other in [*draws, *others][:i]:
            assert (one != other).any() == first.random


@every_encoder
def test_a_neighbours_seed_has_no_shifted_copy_of_the_sequence(name):
    layer, next_layer = make(name, seed=3), make(name, seed=4)
    draws, following = ([array(each(given(name))) for _ in range(3)] for each in (layer, next_layer))
    if layer.random:
        assert all((one != other).any() for one in draws for other in following)


@every_encoder
def test_an_examples_own_seed_travels_with_it(name):
    layer, x = make(name), given(name)
    pairs = np.stack([np.full(6, 3), 1000 + np.arange(6)], axis=1)
    spikes = array(layer.encode(ops.convert_to_tensor(x), pairs))
    backwards = array(layer.encode(ops.convert_to_tensor(x[::-1].copy()), pairs[::-1].copy()))
    np.testing.assert_array_equal(backwards[::-1], spikes)
    np.testing.assert_array_equal(array(layer.encode(ops.convert_to_tensor(x[:2]), pairs[:2])), spikes[:2])


@every_encoder
def test_config_and_file(name, tmp_path):
    layer, x = make(name, seed=3, name="encoder"), given(name)
    config = layer.get_config()
    again = type(layer).from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    np.testing.assert_array_equal(array(again(x)), array(layer(x)))
    layers = [keras.Input(x.shape[1:]), make(name, seed=3), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(array(loaded(x)), array(model(x)), rtol=1e-6, atol=1e-6)  # the first draw of each


@pytest.mark.usefixtures("eagerly")
@every_encoder
def test_a_model_predicts_afresh(name):
    x = given(name)
    model = keras.Sequential([keras.Input(x.shape[1:]), make(name, seed=3), keras.layers.Flatten()])
    one, other = (model.predict(x, verbose=0) for _ in range(2))
    assert (set(np.unique(one)) <= {0.0, 1.0} or not model.layers[0].spiking) and (one != other).any() == model.layers[
        0
    ].random


@pytest.mark.usefixtures("eagerly")
def test_a_model_with_an_encoder_inside_trains():
    x, y = np.tile(np.float32([[0.1, 0.9], [0.9, 0.1]]).repeat(8, axis=1), (32, 1)), np.tile([0, 1], 32)
    encoder = make("poisson_burst", seed=0)
    model = keras.Sequential([keras.Input((16,)), encoder, keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.03), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=16, epochs=4, verbose=0)
    assert (model.predict(x, batch_size=16, verbose=0).argmax(axis=1) == y).mean() > 0.9


@every_encoder
def test_one_step(name):
    try:
        layer = make(name, 1, seed=0)
    except ValueError:  # its defaults need more steps
        layer = make(name, 2, seed=0)
    assert array(layer(given(name, num_steps=layer.num_steps))).shape == (6, layer.num_steps, 5, 4)


@of_intensities
@pytest.mark.parametrize("value", [1.001, -0.001, 1 + 2e-6, -2e-6, 255.0, np.nan, np.inf])
def test_values_outside_the_range_are_refused(name, value):
    x = X.copy()
    x[2, 1, 0] = value
    for method in (make(name), make(name).spike_probability):
        with pytest.raises(ValueError, match="inputs must be in the range 0 to 1, received"):
            method(x)


@of_intensities
def test_rounding_is_forgiven(name):
    exact = np.array([[0.0, 1.0, 1.0, 0.0, 0.5]])
    rounded = np.array([[-1e-9, 1 + 1e-7, 1.0000000000000002, -1e-6, 0.5]])
    for x in (rounded, rounded.astype("float32"), exact + [0, 1e-6, 1e-6, 0, 0]):
        np.testing.assert_array_equal(array(make(name, seed=1)(x)), array(make(name, seed=1)(exact)))
        np.testing.assert_array_equal(
            array(make(name).spike_probability(x)), array(make(name).spike_probability(exact))
        )


class ArrayLike:
    def __array__(self, dtype=None, copy=None):
        return np.array([[0.0, 1.0]], dtype)


@pytest.mark.sampled(6)
@of_intensities
def test_other_forms_of_numbers(name):
    expected = array(make(name).spike_probability(np.float32([[0.0, 1.0]])))
    forms = [[0.0, 1.0]], [[False, True]], np.uint8([[0, 1]]), np.int64([[0, 1]]), np.array([[0.0, 1.0]]), ArrayLike()
    for x in forms:
        np.testing.assert_array_equal(array(make(name).spike_probability(x)), expected)
        np.testing.assert_array_equal(ops.convert_to_numpy(next(iter(make_dataset(x, [0], make(name), 1, 0)))[1]), [0])
    for wrong in (np.array([["a"]]), np.array([[1j]]), np.array([[None]])):
        with pytest.raises(ValueError, match="inputs must be an array of numbers"):
            make(name).spike_probability(wrong)
    with pytest.raises(ValueError, match="leading batch axis"):
        make(name)(np.float32([0.5, 0.5]))
    with pytest.raises(ValueError, match="at least 32 bits wide.*float16"):
        make(name).spike_probability(X.astype("float16"))


@pytest.mark.sampled(4)
@every_encoder
def test_a_pipeline_encodes_by_index(name):
    batches = list(make_dataset(given(name), np.arange(6), make(name), 4, seed=2))
    again = list(make_dataset(given(name), np.arange(6), make(name), 3, seed=2))
    spikes, other = (np.concatenate([ops.convert_to_numpy(each[0]) for each in one]) for one in (batches, again))
    assert (spikes.dtype == "uint8" and set(np.unique(spikes)) <= {0, 1}) or not ENCODERS[name].spiking
    np.testing.assert_array_equal(spikes, other)


@pytest.mark.skipif(backend.name == "tensorflow", reason="of the other backends")
def test_a_tensor_of_tf_data_is_refused_in_one_line():
    import tensorflow as tf

    layer = make("rate")
    with pytest.raises(Exception, match="make_dataset encodes on every backend"):  # AutoGraph has a type of its own
        tf.data.Dataset.from_tensors(X).map(lambda x: layer(x))


@pytest.mark.skipif(backend.name != "jax", reason="JAX only")
@every_encoder
def test_stateless_calls_under_jit(name):
    import jax

    layer, reference = make(name, seed=3), make(name, seed=3)
    step = jax.jit(layer.stateless_call)
    state = [variable.value for variable in layer.non_trainable_variables]
    for _ in range(2):
        spikes, state = step([], state, given(name))
        np.testing.assert_array_equal(array(spikes), array(reference(given(name))))


@pytest.mark.skipif(backend.name != "torch", reason="torch only")
@every_encoder
def test_under_no_grad(name):
    import torch

    with torch.no_grad():
        spikes = array(make(name, seed=3)(given(name)))
    np.testing.assert_array_equal(spikes, array(make(name, seed=3)(given(name))))
