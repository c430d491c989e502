"""Delayed-Burst's own parameters and edges; its distribution is in test_statistics.py."""

import math

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasburst.encoders.delayed_burst import DelayedBurstEncoder, delayed_burst


@pytest.mark.parametrize(
    "argument, value, allowed",
    [
        ("num_steps", 0, "integer of at least 1"),
        ("num_steps", -1, "integer of at least 1"),
        ("num_steps", 2.5, "integer of at least 1"),
        ("num_steps", True, "integer of at least 1"),
        ("mean_burst_size", 0, "finite number above 0"),
        ("mean_burst_size", -1, "finite number above 0"),
        ("mean_burst_size", math.inf, "finite number above 0"),
        ("margin", -1, "finite number of at least 0"),
        ("margin", math.nan, "finite number of at least 0"),
        ("margin", 10, "below num_steps = 10"),
        ("margin", 10.5, "below num_steps = 10"),
        ("overflow", "truncate", "one of drop, clip"),
        ("silence", -0.1, "finite number from 0 to 1"),
        ("silence", 1.1, "finite number from 0 to 1"),
        ("silence", math.nan, "finite number from 0 to 1"),
        ("silence", False, "finite number from 0 to 1"),
        ("seed", -1, "integer from 0 to"),
    ],
)
@pytest.mark.parametrize("with_margin", [True, False])
def test_bad_parameters(argument, value, allowed, with_margin):
    arguments = {"num_steps": 10, **({"margin": 2} if with_margin else {}), argument: value}
    with pytest.raises(ValueError) as error:
        DelayedBurstEncoder(**arguments)
    message = str(error.value)
    assert message.startswith(f"{argument} must be ") and allowed in message and f"received {value!r}" in message


@pytest.mark.parametrize("num_steps, margin", [(1, 0), (2, 1), (10, 8), (12, 9), (np.int64(10), 8), (10.0, 8)])
def test_the_default_margin_is_four_fifths_rounded_down(num_steps, margin):
    encoder = DelayedBurstEncoder(num_steps)
    assert encoder.margin == margin and encoder.num_steps == int(num_steps)
    assert encoder(np.float32([[0.0, 0.5, 1.0]])).shape == (1, int(num_steps), 3)


def test_silence_one_silences_everything():
    x = np.linspace(0.0, 1.0, 2000, dtype="float32")[None]
    encoder = DelayedBurstEncoder(10, silence=1.0, seed=0)
    assert not ops.convert_to_numpy(encoder(x)).any() and not ops.convert_to_numpy(encoder.spike_probability(x)).any()
    assert ops.convert_to_numpy(DelayedBurstEncoder(10, silence=None, seed=0)(x)).any()


def test_brighter_is_earlier():
    x = np.tile(np.float32([0.1, 0.5, 0.9, 1.0]), (5000, 1))
    spikes = ops.convert_to_numpy(DelayedBurstEncoder(20, mean_burst_size=50.0, margin=5, overflow="clip", seed=0)(x))
    onset = spikes.argmax(axis=1).mean(axis=0)
    # E[min(D, 19)] = q (1 - q**19) / (1 - q) = mu (1 - q**19), mu = 15 (1 - x), q = mu / (1 + mu)
    mu = 15.0 * (1.0 - x[0].astype("float64"))
    np.testing.assert_allclose(onset, mu * (1.0 - (mu / (1.0 + mu)) ** 19), atol=6 * 7 / 5000**0.5)
    assert onset[3] == 0.0


def test_the_uniforms_ends_decide_nothing_wrongly(extreme_uniforms):
    x = np.float32([[0.0, 0.5, np.nextafter(np.float32(1), np.float32(0)), 1.0]])
    for overflow in ("drop", "clip"):
        encoder = DelayedBurstEncoder(6, margin=0, overflow=overflow, silence=None)
        extreme_uniforms(0)  # no delay, and the smallest size: P(N <= 0) > 0
        assert not ops.convert_to_numpy(encoder(x)).any()
        extreme_uniforms(1)  # delay and size as long as they get
        late = 0 if overflow == "drop" else 1
        # The third: mu = 6 * 2**-24, log(2**-23) / log(mu / (1 + mu)) = 1.07: one step late.
        assert ops.convert_to_numpy(encoder(x)).sum(axis=1).tolist() == [[late, late, 5, 6]]


@pytest.mark.parametrize("num_steps", [127, 128, 300])
def test_a_longer_window_shows_more_of_the_same_bursts(num_steps):
    """The delay's mean is (1 - x)(T - m): with T - m as it was, the same bursts, to whatever number of steps."""
    x = tf.constant(np.random.default_rng(0).random((20, 30)), tf.float32)
    short = ops.convert_to_numpy(delayed_burst(x, 40, 7, mean_burst_size=5.0, margin=10.0))
    longer = ops.convert_to_numpy(delayed_burst(x, num_steps, 7, mean_burst_size=5.0, margin=num_steps - 30.0))
    np.testing.assert_array_equal(longer[:, :40], short)
    assert longer[:, 40:].any()  # late bursts, which the short window lost
    assert (np.diff(longer.astype(int), axis=1, prepend=0) == 1).sum(1).max() == 1  # and no second one of a feature
