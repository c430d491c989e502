"""The five patterns of Izhikevich 2003 against a loop in float64; on every backend."""

import numpy as np
import pytest
from keras import ops

import kerasburst as kb

from .common import BACKEND, arrays, gradients

PATTERNS = {  # a, b, c, d
    "regular spiking": (0.02, 0.2, -65.0, 8.0),
    "intrinsically bursting": (0.02, 0.2, -55.0, 4.0),
    "chattering": (0.02, 0.2, -50.0, 2.0),
    "fast spiking": (0.1, 0.2, -65.0, 2.0),
    "low-threshold spiking": (0.02, 0.25, -65.0, 2.0),
}


def loop(current, a, b, c, d):
    """Return the times of the spikes in ms, v with its peaks cut at 30, and the last u, as the paper's program does."""
    v, u, times, trace = c, b * c, [], []
    for t, i in enumerate(current):
        if v >= 30:
            v, u = c, u + d
        v += 0.5 * (0.04 * v**2 + 5 * v + 140 - u + i)
        v += 0.5 * (0.04 * v**2 + 5 * v + 140 - u + i)
        u += a * (b * v - u)
        if v >= 30:
            times.append(t)
        trace.append(min(v, 30.0))
    return times, np.array(trace), u


@pytest.fixture(scope="module")
def all_five():
    """One layer, whose neurons have the five patterns' parameters, over 240 ms of a current of 15 from 20 ms on."""
    a, b, c, d = np.array(list(PATTERNS.values())).T
    layer = kb.Izhikevich(a, b, c, d, return_mem=True)
    current = np.where(np.arange(240) >= 20, 15.0, 0.0)
    return current, arrays(layer(np.tile(current[None, :, None], (1, 1, 5)).astype("float32")))


@pytest.mark.parametrize("number", range(5), ids=list(PATTERNS))
def test_spike_times(number, all_five):
    current, (spk, mem) = all_five
    current, spk, mem = current[:85], spk[0, :85, number], mem[0, :85, number]  # later float32 differs by itself
    times, trace, _ = loop(current, *list(PATTERNS.values())[number])
    assert np.flatnonzero(spk).tolist() == times and len(times) > 2
    quiet = (trace < -50) & (np.arange(85) < 60)  # in the upswing float32 differs more, and after each spike
    np.testing.assert_allclose(mem[quiet], trace[quiet], atol=0.5)


def test_the_patterns_are_what_they_are_called(all_five):
    _, (spk, _) = all_five
    gaps = {name: np.diff(np.flatnonzero(spk[0, :, i])) for i, name in enumerate(PATTERNS)}
    regular, bursting, chattering, fast, low = gaps.values()
    assert regular[0] < 15 < regular[1:].min()  # adapts
    assert bursting[:2].max() < 5 < bursting[2:].min()  # begins with a burst
    assert (chattering < 10).sum() > 3 and (chattering > 30).sum() > 3  # burst after burst
    assert fast.max() < regular[1:].min()
    assert (np.diff(low[:5]) > 0).all() and low.max() < 30  # fast, and slower and slower


@pytest.mark.skipif(BACKEND == "jax", reason="JAX computes in float32 unless it is told otherwise at its start")
@pytest.mark.parametrize("name", PATTERNS)
def test_float64_is_the_program_itself(name):
    rng = np.random.default_rng(0)
    current = 5 * rng.normal(size=200) + 6
    layer = kb.Izhikevich(*PATTERNS[name], return_mem=True, return_state=True, dtype="float64")
    spk, mem, _, u = arrays(layer(ops.convert_to_tensor(current[None, :, None], dtype="float64")))
    times, trace, last = loop(current, *PATTERNS[name])
    assert np.flatnonzero(spk).tolist() == times and len(times) > 2
    np.testing.assert_allclose(mem.ravel(), trace, rtol=1e-5)
    np.testing.assert_allclose(u.ravel(), last, rtol=1e-5)


def test_a_current_far_too_large_overflows_nothing():
    outputs = arrays(kb.Izhikevich(return_mem=True, return_state=True)(np.full((1, 50, 2), [1e6, -1e6], "float32")))
    assert all(np.isfinite(x).all() for x in outputs)


def test_it_starts_at_rest():
    """v = c, u = b v: without input the first step is that of the loop from there, for any b and c."""
    for b, c in ((0.2, -65.0), (0.25, -50.0)):
        _, mem = arrays(kb.Izhikevich(b=b, c=c, return_mem=True)(np.zeros((1, 1, 1), "float32")))
        np.testing.assert_allclose(mem.ravel(), loop([0.0], 0.02, b, c, 8.0)[1], rtol=1e-5)


def test_scale_and_offset_make_the_current():
    x = np.random.default_rng(0).uniform(0, 1, (2, 60, 3)).astype("float32")
    scaled = arrays(kb.Izhikevich(input_scale=12.0, input_offset=3.0)(x))[0]
    np.testing.assert_array_equal(scaled, arrays(kb.Izhikevich()(12.0 * x + 3.0))[0])
    assert scaled.any()


def test_scale_and_offset_are_trained_and_no_gradient_passes_a_reset():
    layer = kb.Izhikevich(input_scale=15.0, trainable_input=True, return_mem=True)
    x = np.full((1, 8, 1), 1.0, "float32")
    layer.build(x.shape)
    assert [w.name for w in layer.trainable_weights] == ["input_scale", "input_offset"]
    spk, _ = arrays(layer(x))
    first = int(np.flatnonzero(spk)[0])

    def membrane_after(x):
        return layer(x)[1][0, first + 1, 0]

    gradient = gradients(membrane_after, x)[0].ravel()
    assert gradient[first + 1] > 0
    # v restarts from c; what came before is in u alone, which moves slowly: 0.02 * 0.2 of v at each step.
    assert np.abs(gradient[:first]).max() < np.abs(gradient[first + 1])
