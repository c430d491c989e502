"""Poisson-Burst's own parameters and its two degenerate cases; its distribution is in test_statistics.py."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasburst.encoders.bursts import resolve_map
from kerasburst.encoders.poisson_burst import PoissonBurstEncoder


@pytest.mark.parametrize(
    "argument, value, allowed",
    [
        ("num_steps", 0, "integer of at least 1"),
        ("num_steps", -1, "integer of at least 1"),
        ("num_steps", 2.5, "integer of at least 1"),
        ("num_steps", True, "integer of at least 1"),
        ("burst_interval", 0, "integer of at least 1"),
        ("burst_interval", 1.5, "integer of at least 1"),
        ("burst_interval", True, "integer of at least 1"),
        ("burst_interval", 11, "at most num_steps = 10"),
        ("mean_burst_size", 0, "finite number above 0"),
        ("mean_burst_size", -1, "finite number above 0"),
        ("mean_burst_size", math.inf, "finite number above 0"),
        ("mean_burst_size", math.nan, "finite number above 0"),
        ("mean_burst_size", None, "finite number above 0"),
        ("overflow", "drop", "one of truncate, spill"),
        ("seed", -1, "integer from 0 to"),
        ("gamma", 0, "finite number above 0"),
        ("gamma", -2.0, "finite number above 0"),
        ("intensity_map", "cubic", "one of linear, power, or a callable"),
        ("intensity_map", None, "one of linear, power, or a callable"),
    ],
)
def test_bad_parameters(argument, value, allowed):
    with pytest.raises(ValueError) as error:
        PoissonBurstEncoder(**{"num_steps": 10, argument: value})
    message = str(error.value)
    assert message.startswith(f"{argument} must be ") and allowed in message and f"received {value!r}" in message


def test_the_error_suggests_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean truncate"):
        PoissonBurstEncoder(10, overflow="truncated")


def test_an_interval_may_be_the_whole_window():
    spikes = ops.convert_to_numpy(
        PoissonBurstEncoder(10, burst_interval=10, mean_burst_size=200.0, seed=0)(np.full((400, 1), 0.5))
    )
    assert set(spikes.sum(axis=(1, 2)).tolist()) == {0, 10}  # a burst over everything, or nothing


def test_spill_lets_a_burst_run_to_the_end_of_the_window():
    arguments = dict(burst_interval=2, mean_burst_size=200.0, seed=0)
    x = np.full((2000, 1), 0.3, "float32")
    spilt = ops.convert_to_numpy(PoissonBurstEncoder(9, **arguments, overflow="spill")(x))[:, :, 0]
    assert (np.diff(spilt, axis=1) >= 0).all()  # once begun it never ends
    assert set(np.flatnonzero(np.diff(spilt, axis=1, prepend=0).any(axis=0))) == {0, 2, 4, 6, 8}
    cut = ops.convert_to_numpy(PoissonBurstEncoder(9, **arguments)(x))[:, :, 0]
    assert (cut[:, [0, 2, 4, 6]] == cut[:, [1, 3, 5, 7]]).all() and (np.diff(cut, axis=1) < 0).any()


def test_bursts_that_begin_are_the_same_under_both_overflows():
    arguments = dict(burst_interval=3, mean_burst_size=4.0, seed=2)
    x = np.random.default_rng(0).random((500, 4)).astype("float32")
    cut = ops.convert_to_numpy(PoissonBurstEncoder(10, **arguments)(x))
    spilt = ops.convert_to_numpy(PoissonBurstEncoder(10, **arguments, overflow="spill")(x))
    assert (cut <= spilt).all() and (cut < spilt).any()


def test_the_uniforms_ends_decide_nothing_wrongly(extreme_uniforms):
    x = np.float32([[0.0, 1e-7, 1.0]])
    encoder = PoissonBurstEncoder(6, burst_interval=4, mean_burst_size=200.0, overflow="spill")
    extreme_uniforms(0)
    assert ops.convert_to_numpy(encoder(x)).sum(axis=1).tolist() == [[0, 6, 6]]
    extreme_uniforms(1)
    assert ops.convert_to_numpy(encoder(x)).sum(axis=1).tolist() == [[0, 0, 6]]


# Intensity maps ---------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("kerasburst_tests")
def smoothstep(x):
    return x * x * (3.0 - 2.0 * x)


def test_named_maps():
    x = tf.constant([0.0, 0.25, 0.5, 1.0])
    np.testing.assert_array_equal(resolve_map("linear", 2.0)(x), x)
    np.testing.assert_allclose(resolve_map("power", 2.0)(x), [0.0, 0.0625, 0.25, 1.0])
    np.testing.assert_allclose(resolve_map("power", 0.5)(x), [0.0, 0.5, 0.5**0.5, 1.0], rtol=1e-6)
    assert resolve_map(smoothstep, 2.0) is smoothstep


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x * (1.0 - x),  # rises and falls
        lambda x: 1.0 - x,
        lambda x: 0.1 + 0.9 * x,  # f(0) > 0
        lambda x: x - 0.1,  # f(0) < 0
        lambda x: 1.1 * x,  # f(1) > 1
        lambda x: x / 0.0,  # NaN
        lambda x: tf.reduce_sum(x),  # not elementwise
    ],
)
def test_maps_that_are_not_monotone_from_zero_to_at_most_one_are_refused(wrong):
    with pytest.raises(ValueError, match=r"intensity_map must be .*f\(0\) = 0 and f\(1\) <= 1, received .*lambda"):
        resolve_map(wrong, 2.0)


def test_maps_at_the_bounds_are_allowed():
    for allowed in (lambda x: 0.0 * x, lambda x: tf.cast(x > 0.5, tf.float32)):
        assert resolve_map(allowed, 1.0) is allowed


@pytest.mark.parametrize("name", ["linear", "power", smoothstep])
def test_a_map_in_a_config_and_back(name):
    config = PoissonBurstEncoder(4, intensity_map=name).get_config()
    assert config["intensity_map"] == name if isinstance(name, str) else isinstance(config["intensity_map"], dict)
    back = PoissonBurstEncoder.from_config(json.loads(json.dumps(config))).intensity_map
    assert back is name or back == name
