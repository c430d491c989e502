"""The LIF equation and its backward pass written again, in float64 NumPy, apart from the code under test."""

import numpy as np

RESETS = ("subtract", "zero", "none")

# Of the documented surrogates, with the default alpha and k.
DERIVATIVES = {
    "atan": lambda v, alpha=2.0: (alpha / 2) / (1 + (np.pi * alpha * v / 2) ** 2),
    "fast_sigmoid": lambda v, k=25.0: 1 / (1 + k * np.abs(v)) ** 2,
    "sigmoid": lambda v, k=25.0: k * np.exp(-k * np.abs(v)) / (1 + np.exp(-k * np.abs(v))) ** 2,
    "triangular": lambda v: np.maximum(0.0, 1 - np.abs(v)),
    "straight_through": lambda v: np.ones_like(v),
}


def forward(current, beta=0.95, threshold=1.0, reset="subtract", mem=None):
    """Give (spk, mem), each (batch, time, ...)."""
    current = np.asarray(current, np.float64)
    mem = np.zeros_like(current[:, 0]) if mem is None else np.asarray(mem, np.float64)
    spks, mems = [], []
    for t in range(current.shape[1]):
        spiked = mem > threshold
        if reset == "zero":
            mem = np.where(spiked, 0.0, mem)
        mem = beta * mem + current[:, t]
        if reset == "subtract":
            mem = np.where(spiked, mem - threshold, mem)
        spks.append((mem > threshold).astype(np.float64))
        mems.append(mem)
    return np.stack(spks, 1), np.stack(mems, 1)


def backward(current, d_spk, d_mem, derivative, beta=0.95, threshold=1.0, reset="subtract", mem=None):
    """Give dL/d(current, beta, threshold, initial mem) for dL/dspk = `d_spk` and dL/dmem = `d_mem`.

    The spike that resets is a constant; the threshold is reached through v = mem - threshold at every
    step and, with "subtract", through the amount subtracted after a spike. beta and threshold are per
    (batch, neuron): sum them for a shared one.
    """
    _, mems = forward(current, beta, threshold, reset, mem)
    first = np.zeros_like(mems[:, 0]) if mem is None else np.asarray(mem, np.float64)
    d_current = np.zeros_like(mems)
    d_beta, d_threshold, d_next = (np.zeros_like(first) for _ in range(3))
    for t in reversed(range(mems.shape[1])):
        before = mems[:, t - 1] if t else first
        spiked = (before > threshold).astype(np.float64)
        d_v = d_spk[:, t] * derivative(mems[:, t] - threshold)
        d_now = d_mem[:, t] + d_v + d_next
        d_current[:, t] = d_now
        d_threshold -= d_v
        kept = 1 - spiked if reset == "zero" else np.ones_like(spiked)
        d_beta += d_now * before * kept
        d_next = d_now * beta * kept
        if reset == "subtract":
            d_threshold -= d_now * spiked
    return d_current, d_beta, d_threshold, d_next
