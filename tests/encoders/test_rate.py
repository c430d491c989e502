"""Rate coding: the deterministic mode against exact rational arithmetic, and the parameters' errors."""

import math
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasburst.encoders.delayed_burst import delayed_burst, delayed_burst_probability
from kerasburst.encoders.poisson_burst import poisson_burst, poisson_burst_probability
from kerasburst.encoders.rate import RateEncoder, rate, regular_rate


def regular(x, num_steps, **arguments):
    """The trains `(features, num_steps)` of the intensities `x`."""
    return ops.convert_to_numpy(RateEncoder(num_steps, mode="regular", **arguments)(np.float32([x])))[0].T


def test_k_of_t_gives_exactly_k_spikes_evenly_spaced():
    for num_steps in range(1, 201):
        k = np.arange(num_steps + 1)
        x = tf.constant(k[None] / num_steps, tf.float32)
        spikes = ops.convert_to_numpy(regular_rate(x, num_steps))[0]
        assert (spikes.sum(axis=0) == k).all(), num_steps
        by_now = np.arange(num_steps + 1)[:, None] * k // num_steps  # floor(k t / T) in whole numbers
        assert (spikes == np.diff(by_now, axis=0)).all(), num_steps


@pytest.mark.parametrize("num_steps", [49, 61, 93, 100, 200])
def test_spacing_is_exact_for_fractions(num_steps):
    numerators = np.random.default_rng(num_steps).integers(0, 4097, 100)
    trains = regular(numerators / 4096, num_steps)  # stored exactly in float32
    for numerator, train in zip(numerators, trains, strict=True):
        p = Fraction(int(numerator), 4096)
        assert train.tolist() == [math.floor(p * (t + 1)) - math.floor(p * t) for t in range(num_steps)]
        gaps = np.diff(np.flatnonzero(train))
        assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


def test_gain_multiplies_and_clips():
    x = np.arange(50) / 49
    assert (regular(x, 49, gain=0.5).sum(axis=1) == np.arange(50) // 2).all()
    assert (regular(x, 49, gain=3.0).sum(axis=1) == np.minimum(3 * np.arange(50), 49)).all()
    assert not regular(x, 49, gain=0.0).any()


def test_regular_mode_repeats_and_is_its_own_probability():
    encoder = RateEncoder(10, mode="regular", seed=0)
    x = np.random.default_rng(0).random((3, 7)).astype("float32")
    first = ops.convert_to_numpy(encoder(x))
    assert encoder.random is False and RateEncoder(10).random is True
    np.testing.assert_array_equal(encoder(x), first)
    np.testing.assert_array_equal(encoder.spike_probability(x), first)
    np.testing.assert_array_equal(RateEncoder(10, mode="regular", seed=1)(x), first)


@pytest.mark.parametrize(
    "argument, value, allowed",
    [
        ("num_steps", 0, "integer of at least 1"),
        ("num_steps", -1, "integer of at least 1"),
        ("num_steps", 2.5, "integer of at least 1"),
        ("num_steps", True, "integer of at least 1"),
        ("num_steps", None, "integer of at least 1"),
        ("gain", -0.1, "finite number of at least 0"),
        ("gain", math.nan, "finite number of at least 0"),
        ("gain", math.inf, "finite number of at least 0"),
        ("gain", "1", "finite number of at least 0"),
        ("mode", "poisson", "one of bernoulli, regular"),
        ("mode", None, "one of bernoulli, regular"),
        ("seed", -1, "integer from 0 to"),
        ("seed", 0.5, "integer from 0 to"),
        ("seed", True, "integer from 0 to"),
        ("seed", 2**31, "integer from 0 to"),
    ],
)
def test_bad_parameters(argument, value, allowed):
    with pytest.raises(ValueError) as error:
        RateEncoder(**{"num_steps": 10, argument: value})
    message = str(error.value)
    assert message.startswith(f"{argument} must be ") and allowed in message and f"received {value!r}" in message


@pytest.mark.parametrize("num_steps", [0, 2.5])
def test_pure_functions_check_their_parameters_too(num_steps):
    x = tf.constant([[0.5]])
    calls = [
        lambda: rate(x, num_steps, 0),
        lambda: regular_rate(x, num_steps),
        lambda: poisson_burst(x, num_steps, 0, burst_interval=1, mean_burst_size=2.0),
        lambda: poisson_burst_probability(x, num_steps, burst_interval=1, mean_burst_size=2.0),
        lambda: delayed_burst(x, num_steps, 0, mean_burst_size=2.0, margin=0),
        lambda: delayed_burst_probability(x, num_steps, mean_burst_size=2.0, margin=0),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=f"num_steps must be an integer of at least 1, received {num_steps}"):
            call()


def test_the_uniforms_ends_decide_nothing_wrongly(extreme_uniforms):
    x = np.float32([[0.0, 1e-7, 1.0 - 2.0**-23, 1.0]])
    extreme_uniforms(0)
    assert ops.convert_to_numpy(RateEncoder(6)(x)).sum(axis=1).tolist() == [[0, 6, 6, 6]]
    extreme_uniforms(1)  # u = 1 - 2**-23
    assert ops.convert_to_numpy(RateEncoder(6)(x)).sum(axis=1).tolist() == [[0, 0, 0, 6]]
