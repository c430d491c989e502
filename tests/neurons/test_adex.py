"""AdEx against loops in float64 with Brette and Gerstner's parameters; on every backend."""

import math

import numpy as np
import pytest
from keras import ops

import kerasburst as kb

from .common import BACKEND, arrays

# Brette and Gerstner 2005: pF, nS, mV, mV, mV, ms, nS, pA, mV, mV
C, G, E, V_T, DELTA, TAU_W, A, B, V_R, PEAK = 281.0, 30.0, -70.6, -50.4, 2.0, 144.0, 4.0, 80.5, -70.6, 20.0


def loop(current, sub_steps, a=A, b=B, v_r=V_R, c=C, g=G, e=E, v_t=V_T, tau_w=TAU_W):
    """Return the times of the spikes in ms and the membrane, by Euler steps of 1 / sub_steps ms."""
    v, w, times, trace, dt = e, 0.0, [], [], 1.0 / sub_steps
    for t, i in enumerate(current):
        if v >= PEAK:
            v, w = v_r, w + b
        for _ in range(sub_steps):
            if v >= PEAK:
                break
            upswing = math.exp(min((v - v_t) / DELTA, 10.0))
            dv = (-g * (v - e) + g * DELTA * upswing - w + i) / c
            dw = (a * (v - e) - w) / tau_w
            v, w = v + dt * dv, w + dt * dw
        if v >= PEAK:
            times.append(t)
        trace.append(min(v, PEAK))
    return times, np.array(trace)


STEP = np.where(np.arange(400) >= 20, 800.0, 0.0)
CASES = {  # what the paper's figure and its successors call them: a, b, v_reset, current
    "default": (A, B, V_R, STEP),
    "tonic": (0.0, 5.0, V_R, STEP),
    "bursting": (A, B, -47.2, STEP),
}


@pytest.mark.parametrize("name", CASES)
def test_spike_times(name):
    a, b, v_r, current = CASES[name]
    layer = kb.AdEx(a=a, b=b, v_reset=v_r, return_mem=True)
    spk, mem = arrays(layer(current[None, :, None].astype("float32")))
    times, trace = loop(current, 4, a, b, v_r)
    assert len(times) > 3
    assert np.flatnonzero(spk).tolist() == times
    quiet = trace < -55
    np.testing.assert_allclose(mem.ravel()[quiet], trace[quiet], atol=0.1)


def test_the_patterns_differ_as_they_should():
    adapting, tonic, bursting = (np.diff(loop(i, 4, a, b, v)[0]) for a, b, v, i in CASES.values())
    assert adapting[-1] > 1.5 * adapting[0] and tonic[-1] - tonic[0] <= tonic[0]
    assert bursting[0] < 8 < bursting.max()


# Naud et al. 2008, of their figure 4: pF, nS, mV, nS, ms, pA, mV, and the constant current in pA
PATTERNS = {
    "tonic spiking": (200.0, 10.0, -70.0, 2.0, 30.0, 0.0, -58.0, 500.0),
    "adaptation": (200.0, 12.0, -70.0, 2.0, 300.0, 60.0, -58.0, 500.0),
    "initial burst": (130.0, 18.0, -58.0, 4.0, 150.0, 120.0, -50.0, 400.0),
    "regular bursting": (200.0, 10.0, -58.0, 2.0, 120.0, 100.0, -46.0, 210.0),
    "accelerating": (200.0, 12.0, -70.0, -10.0, 300.0, 0.0, -58.0, 300.0),
}


def pattern(name, num_steps=300, sub_steps=10):
    """Return what the loop finds for a pattern."""
    c, g, e, a, tau_w, b, v_r, current = PATTERNS[name]
    return loop([current] * num_steps, sub_steps, a, b, v_r, c, g, e, -50.0, tau_w)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", PATTERNS)
def test_spike_times_of_the_five_patterns(name):
    c, g, e, a, tau_w, b, v_r, current = PATTERNS[name]
    settings = {"capacitance": c, "g_leak": g, "e_leak": e, "a": a, "tau_w": tau_w, "b": b, "v_reset": v_r}
    layer = kb.AdEx(**settings, v_threshold=-50.0, sub_steps=10, return_mem=True)
    spk, mem = arrays(layer(np.full((1, 300, 1), current, "float32")))
    times, trace = pattern(name)
    assert np.flatnonzero(spk).tolist() == times
    quiet = trace < -52
    np.testing.assert_allclose(mem.ravel()[quiet], trace[quiet], atol=0.1)


def test_the_five_patterns_are_what_they_are_called():
    gaps = {name: np.diff(pattern(name)[0]) for name in PATTERNS}
    tonic, adapting, initial, bursting, accelerating = gaps.values()
    assert np.ptp(tonic[2:]) <= 1 and len(tonic) > 20
    assert (np.diff(adapting) > 0).all() and adapting[-1] > 4 * adapting[0]
    assert initial[:2].max() < 10 < 50 < initial[2:].min() and np.ptp(initial[3:]) <= 1
    assert (bursting < 10).tolist() == [True, True, False, True, False]  # three spikes, then two, then two ...
    assert bursting.max() > 100
    assert (np.diff(accelerating) <= 0).all() and accelerating[-1] < 0.7 * accelerating[0]


def test_four_sub_steps_are_near_the_equation_itself():
    """Steps of 0.001 ms: each spike is within 3 % and a step of it."""
    exact, _ = loop(STEP[:200], 1000)
    coarse, _ = loop(STEP[:200], 4)
    assert len(coarse) == len(exact)
    np.testing.assert_allclose(coarse, exact, rtol=0.03, atol=1)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX computes in float32 unless it is told otherwise at its start")
def test_float64_is_the_loop_itself():
    current = 400 * np.random.default_rng(0).normal(size=200) + 700
    layer = kb.AdEx(sub_steps=2, return_mem=True, dtype="float64")
    spk, mem = arrays(layer(ops.convert_to_tensor(current[None, :, None], dtype="float64")))
    times, trace = loop(current, 2)
    assert np.flatnonzero(spk).tolist() == times and len(times) > 3
    np.testing.assert_allclose(mem.ravel(), trace, rtol=1e-6)


def test_a_huge_current_stays_finite():
    x = np.float32([[[1e8], [-1e8], [1e8], [0.0]]])
    spk, mem, *state = arrays(kb.AdEx(return_mem=True, return_state=True)(x))
    assert all(np.isfinite(each).all() for each in (mem, *state)) and spk.any()


def test_it_starts_at_the_leak_potential_and_stays_there():
    _, mem = arrays(kb.AdEx(return_mem=True)(np.zeros((1, 5, 1), "float32")))
    # The upswing alone moves it: 30 * 2 * exp(-10.1) / 281 = 9e-6 mV a ms
    np.testing.assert_allclose(mem, E, atol=1e-4)


@pytest.mark.parametrize("sub_steps", [0, 1001, 2 * 10**9, 1.5, "x", None])
def test_sub_steps_are_written_out_so_that_they_are_few(sub_steps):
    with pytest.raises(kb.InputError, match="sub_steps must be an integer from 1 to 1000, received"):
        kb.AdEx(sub_steps=sub_steps)
