"""Latency coding: steps by hand and in exact rational arithmetic, parameters."""

import math
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasburst.encoders.latency import LatencyEncoder, latency
from kerasburst.parameters import parameters
from kerasburst.registry import ENCODERS

SILENT = None  # in place of a step


def steps(x, num_steps, **arguments):
    """The step of each intensity's only spike, or SILENT."""
    spikes = ops.convert_to_numpy(LatencyEncoder(num_steps, **arguments)(np.float32([x])))[0]
    assert set(np.unique(spikes)) <= {0.0, 1.0} and (spikes.sum(axis=0) <= 1).all()
    return [int(train.argmax()) if train.any() else SILENT for train in spikes.T]


@pytest.mark.parametrize(
    "num_steps, x, expected",
    [
        (5, [1.0, 0.75, 0.5, 0.25, 0.0], [0, 1, 2, 3, SILENT]),  # (1 - x) 4 is whole
        (5, [0.875, 0.625, 0.375, 0.125], [0, 2, 2, 4]),  # 0.5, 1.5, 2.5 and 3.5: halves to even
        (4, [0.9, 0.8, 0.4, 0.1], [0, 1, 2, 3]),  # 0.3, 0.6, 1.8, 2.7
        (2, [1.0, 0.5, 0.4, 1e-7], [0, 0, 1, 1]),  # 0, a half, 0.6, 0.9999999
        (1, [1.0, 0.5, 1e-7, 0.0], [0, 0, 0, SILENT]),
    ],
)
def test_linear_by_hand(num_steps, x, expected):
    assert steps(x, num_steps) == expected


@pytest.mark.parametrize(
    "num_steps, tau, x, expected",
    [
        # tau log(1 / x): 0, 2 log 2 = 1.386, 2 log 4 = 2.773, 2 log 10 = 4.605, 2 log 1000 = 13.8
        (10, 2.0, [1.0, 0.5, 0.25, 0.1, 1e-3, 0.0], [0, 1, 3, 5, 9, SILENT]),
        # 0, 0.5 log 2 = 0.347, 0.5 log 4 = 0.693, 0.5 log 10 = 1.151, 3.454
        (10, 0.5, [1.0, 0.5, 0.25, 0.1, 1e-3], [0, 0, 1, 1, 3]),
        (3, 100.0, [1.0, 0.999, 0.99, 0.5], [0, 0, 1, 2]),  # 0, 0.1001, 1.005, 69.3
        (1, 2.0, [1.0, 0.5, 1e-7], [0, 0, 0]),
    ],
)
def test_logarithmic_by_hand(num_steps, tau, x, expected):
    assert steps(x, num_steps, mode="logarithmic", tau=tau) == expected


@pytest.mark.parametrize("num_steps", [1, 2, 10, 97, 128, 300, 4096])
def test_linear_in_exact_arithmetic(num_steps):
    numerators = np.random.default_rng(num_steps).integers(1, 4097, 200)
    # round() of a fraction: halves to even, exactly
    expected = [round((1 - Fraction(int(n), 4096)) * (num_steps - 1)) for n in numerators]
    assert steps(numerators / 4096, num_steps) == expected


def test_ties_are_those_of_the_stored_intensity():
    # (1 - x) 5 would be 3.5 for 0.3, but float32 holds 0.300000012: 3.49999994. And 0.7 as 0.699999988: 1.50000006.
    assert steps([0.3, 0.7], 6) == [3, 2]
    half = np.float32(0.5)
    assert steps([np.nextafter(half, np.float32(1)), half, np.nextafter(half, np.float32(0))], 2) == [0, 0, 1]


@pytest.mark.parametrize("mode", ["linear", "logarithmic"])
def test_silence_is_at_or_below(mode):
    level, above = np.float32(0.3), np.nextafter(np.float32(0.3), np.float32(1))
    found = steps([0.0, 0.1, level, above, 1.0], 4, mode=mode, silence=0.3)
    assert found == [SILENT, SILENT, SILENT, 2, 0]  # 0.7 * 3 = 2.1, and 2 log(1 / 0.3) = 2.41
    assert steps([0.0, 1.0], 4, mode=mode, silence=1.0) == [SILENT, SILENT]
    assert steps([0.0, 1e-7, 1.0], 4, mode=mode, silence=None) == [3, 3, 0]
    assert steps([0.0, 1e-7, 1.0], 4, mode=mode) == [SILENT, 3, 0]


def test_it_has_a_name_and_parameters_to_set():
    assert ENCODERS["latency"] is LatencyEncoder
    assert parameters("encoder", "latency") == {"mode": "linear", "tau": 2.0, "silence": 0.0}


@pytest.mark.parametrize(
    "argument, value, allowed",
    [
        ("num_steps", 0, "integer of at least 1"),
        ("num_steps", 2.5, "integer of at least 1"),
        ("num_steps", True, "integer of at least 1"),
        ("mode", "log", "one of linear, logarithmic"),
        ("mode", None, "one of linear, logarithmic"),
        ("tau", 0, "finite number above 0"),
        ("tau", -1.0, "finite number above 0"),
        ("tau", math.nan, "finite number above 0"),
        ("tau", math.inf, "finite number above 0"),
        ("tau", None, "finite number above 0"),
        ("silence", -0.1, "finite number from 0 to 1"),
        ("silence", 1.1, "finite number from 0 to 1"),
        ("silence", math.nan, "finite number from 0 to 1"),
        ("silence", False, "finite number from 0 to 1"),
        ("seed", -1, "integer from 0 to"),
    ],
)
def test_bad_parameters(argument, value, allowed):
    with pytest.raises(ValueError) as error:
        LatencyEncoder(**{"num_steps": 10, argument: value})
    message = str(error.value)
    assert message.startswith(f"{argument} must be ") and allowed in message and f"received {value!r}" in message


def test_the_pure_function_checks_its_parameters_too():
    for num_steps in (0, 2.5):
        with pytest.raises(ValueError, match=f"num_steps must be an integer of at least 1, received {num_steps}"):
            latency(tf.constant([[0.5]]), num_steps)
