"""Seeds and input checks of the pure functions: the same draws however an example travels."""

import math

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasburst.encoders import draws
from kerasburst.encoders.delayed_burst import delayed_burst
from kerasburst.encoders.poisson_burst import poisson_burst
from kerasburst.encoders.rate import rate

STEPS = 12
ENCODERS = {
    "rate": lambda x, seed: rate(x, STEPS, seed),
    "poisson-truncate": lambda x, seed: poisson_burst(x, STEPS, seed, burst_interval=5, mean_burst_size=3.0),
    "poisson-spill": lambda x, seed: poisson_burst(
        x, STEPS, seed, burst_interval=5, mean_burst_size=6.0, overflow="spill"
    ),
    "delayed-drop": lambda x, seed: delayed_burst(x, STEPS, seed, mean_burst_size=4.0, margin=9),
    "delayed-clip": lambda x, seed: delayed_burst(
        x, STEPS, seed, mean_burst_size=4.0, margin=3, overflow="clip", silence=None
    ),
}
every_encoder = pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
BATCH = 7
X = np.random.default_rng(0).random((BATCH, 6, 5)).astype("float32")
PAIRS = np.stack([np.full(BATCH, 3), 1000 + np.arange(BATCH)], axis=1)


# Seeds ------------------------------------------------------------------------------------------


@pytest.mark.sampled(6)
@every_encoder
def test_per_example_seeds_travel_with_the_example(encode):
    direct = ops.convert_to_numpy(encode(tf.constant(X), PAIRS))
    assert direct.shape == (BATCH, STEPS, 6, 5) and direct.dtype == "uint8"

    examples = tf.data.Dataset.from_tensor_slices((X, PAIRS))
    one_by_one = examples.map(lambda x, pair: encode(x[None], pair[None])[0], num_parallel_calls=4)
    np.testing.assert_array_equal(np.stack(list(one_by_one.as_numpy_iterator())), direct)
    batched = examples.batch(3).map(encode, num_parallel_calls=2)
    np.testing.assert_array_equal(np.concatenate(list(batched.as_numpy_iterator())), direct)
    backwards = ops.convert_to_numpy(encode(tf.constant(X[::-1]), PAIRS[::-1]))
    np.testing.assert_array_equal(backwards[::-1], direct)


@pytest.mark.sampled(2)
@every_encoder
def test_a_seed_repeats_and_another_differs(encode):
    x = tf.constant(X)
    seeds = [0, 1, 2**31, [0, 2], [2, 0], tf.constant([5, 6], tf.int64), PAIRS, (PAIRS + 1).astype("int32")]
    draws = [ops.convert_to_numpy(encode(x, seed)) for seed in seeds]
    for seed, drawn in zip(seeds, draws, strict=True):
        np.testing.assert_array_equal(encode(x, seed), drawn)
    for i in range(len(draws)):
        for j in range(i):
            assert (draws[i] != draws[j]).mean() > 0.02, (seeds[i], seeds[j])


@every_encoder
def test_equal_seeds_give_equal_examples_equal_spikes(encode):
    x = np.tile(X[:1], (4, 1, 1))
    spikes = ops.convert_to_numpy(encode(tf.constant(x), [[1, 1], [1, 2], [1, 1], [2, 1]]))
    assert (spikes[0] == spikes[2]).all()
    assert (spikes[0] != spikes[1]).any() and (spikes[0] != spikes[3]).any() and (spikes[1] != spikes[3]).any()


@every_encoder
def test_a_seed_of_another_shape_is_refused(encode):
    with pytest.raises(ValueError, match=r"seed must be an int, a pair of ints, or of shape \(batch, 2\)"):
        encode(tf.constant(X), np.zeros((BATCH, 2, 1), "int32"))
    with pytest.raises(ValueError):
        encode(tf.constant(X), PAIRS[:3])  # fewer seeds than examples


@pytest.mark.sampled(5)
@every_encoder
def test_graphs_of_unknown_batch_and_xla_give_the_same_spikes(encode):
    signature = [tf.TensorSpec((None, 6, 5)), tf.TensorSpec((None, 2), tf.int64)]
    expected = encode(tf.constant(X), PAIRS)
    for jit_compile in (False, True):
        graph = tf.function(encode, input_signature=signature, jit_compile=jit_compile, autograph=False)
        np.testing.assert_array_equal(graph(X, PAIRS), expected)
        assert graph.get_concrete_function().structured_outputs.shape.as_list() == [None, STEPS, 6, 5]
        if not jit_compile:
            np.testing.assert_array_equal(graph(X[:2], PAIRS[:2]), expected[:2])
        pair = tf.TensorSpec((2,), tf.int64)
        graph = tf.function(encode, input_signature=[signature[0], pair], jit_compile=jit_compile, autograph=False)
        np.testing.assert_array_equal(graph(X, [0, 4]), encode(tf.constant(X), 4))


@pytest.mark.sampled(4)
@every_encoder
@pytest.mark.parametrize("features", [(3,), (3, 2), (3, 2, 4), (2, 2, 2, 3), ()])
def test_any_rank_of_features(encode, features):
    x = np.random.default_rng(1).random((4, *features)).astype("float32")
    if not features:
        with pytest.raises(ValueError, match="leading batch axis"):
            draws.check_intensity(x)
        return
    flat = x.reshape(4, -1)
    for seed in (3, PAIRS[:4]):
        spikes = ops.convert_to_numpy(encode(tf.constant(x), seed))
        assert spikes.shape == (4, STEPS, *features)
        # The draws are numbered in row-major order: the shape of the features changes nothing.
        np.testing.assert_array_equal(spikes.reshape(4, STEPS, -1), encode(tf.constant(flat), seed))


@every_encoder
def test_an_empty_batch(encode):
    assert encode(tf.zeros((0, 3)), 1).shape == (0, STEPS, 3)


# Inputs -----------------------------------------------------------------------------------------

OUTSIDE = {
    "above": (1.0001, "1.0001"),
    "below": (-0.001, "-0.001"),
    "bytes": (255, "255"),
    "nan": (math.nan, "NaN"),
    "inf": (math.inf, "inf"),
    "minus inf": (-math.inf, "-inf"),
}


@pytest.mark.parametrize("value, shown", OUTSIDE.values(), ids=OUTSIDE)
def test_values_outside_the_range(value, shown):
    x = np.array([[0.0, 1.0, value]])
    with pytest.raises(ValueError, match="^pixels must be in the range 0 to 1, received") as error:
        draws.check_intensity(x, "pixels")
    assert shown in str(error.value).split("received")[1]
    graph = tf.function(lambda x: draws.check_intensity(x, "pixels"), autograph=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="pixels must be in the range 0 to 1, received"):
        graph(tf.constant(x, tf.float32))


@pytest.mark.parametrize("x", [0.5, [0.5, 0.2]])
def test_a_missing_batch_axis(x):
    shape = str(np.shape(x)).replace("(", r"\(").replace(")", r"\)")
    message = rf"inputs must be of shape \(batch, \*features\), with a leading batch axis, received {shape}"
    with pytest.raises(ValueError, match=message):
        draws.check_intensity(x)
    with pytest.raises(ValueError, match=message):
        tf.function(draws.check_intensity, autograph=False)(tf.constant(x))


def test_an_unknown_rank():
    graph = tf.function(draws.check_intensity, input_signature=[tf.TensorSpec(None)], autograph=False)
    with pytest.raises(ValueError, match="inputs must be of shape .* received 'unknown rank'"):
        graph(tf.zeros((2, 2)))


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_sixteen_bits_are_refused(dtype):
    with pytest.raises(ValueError, match=f"inputs must be at least 32 bits wide.*received '{dtype.name}'"):
        draws.check_intensity(tf.zeros((2, 2), dtype))


# Helpers ----------------------------------------------------------------------------------------


def test_burst_survival_by_hand():
    lam = 1.5
    terms = np.cumsum([math.exp(-lam) * lam**n / math.factorial(n) for n in range(8)])
    np.testing.assert_allclose(draws.burst_survival(lam, 8), 1.0 - terms, atol=1e-14)
    np.testing.assert_allclose(draws.burst_survival(1000.0, 3), 1.0)
