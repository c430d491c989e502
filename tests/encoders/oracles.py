"""Closed forms and checkers in float64, from scipy and numpy alone: nothing here comes from kerasburst."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import stats

ALPHA = 1e-6  # the chance that a whole check rejects a right encoder; the seeds are fixed besides


# Closed forms: `x` is `(features,)`, the marginals `(num_steps, features)` --------------------------


def rate_marginal(x, num_steps, gain=1.0):
    """P(spike) = clip(gain x, 0, 1) at every step."""
    return np.tile(np.minimum(gain * np.asarray(x, "float64"), 1.0), (num_steps, 1))


def poisson_marginal(start, num_steps, tau, lam, overflow="truncate"):
    """f(x) P(N > t mod tau), or the chance that one of the bursts begun so far still lasts; `start` is f(x)."""
    start = np.asarray(start, "float64")
    p = np.empty((num_steps, len(start)))
    for t in range(num_steps):
        onsets = [t - t % tau] if overflow == "truncate" else range(0, t + 1, tau)
        p[t] = 1.0 - np.prod([1.0 - start * stats.poisson.sf(t - onset, lam) for onset in onsets], axis=0)
    return p


def onset_distribution(x, num_steps, margin, overflow="drop"):
    """P(D = d), d < num_steps, of a geometric delay on {0, 1, ...} with mean (1 - x)(num_steps - margin)."""
    mean = (1.0 - np.asarray(x, "float64")) * (num_steps - margin)
    delay = stats.geom(1.0 / (1.0 + mean), loc=-1)
    p = np.array([delay.pmf(d) for d in range(num_steps)])
    if overflow == "clip":
        p[-1] = 1.0 - p[:-1].sum(axis=0)
    return p


def delayed_marginal(x, num_steps, lam, margin, overflow="drop", silence=0.0):
    """Sum over d <= t of P(D = d) P(N > t - d), nothing at or below `silence`."""
    onset = onset_distribution(x, num_steps, margin, overflow)
    p = np.zeros((num_steps, len(x)))
    for t in range(num_steps):
        for d in range(t + 1):
            p[t] += onset[d] * stats.poisson.sf(t - d, lam)
    if silence is not None:
        p[:, np.asarray(x, "float32") <= np.float32(silence)] = 0.0
    return p


# Exact distributions of whole spike trains: {train as a tuple of 0 and 1: probability} ----------------


def rate_trains(p, num_steps):
    """Independent steps."""
    return {
        train: float(np.prod([p if spike else 1.0 - p for spike in train]))
        for train in itertools.product((0, 1), repeat=num_steps)
    }


def poisson_trains(start, num_steps, tau, lam, overflow):
    """Every combination of the intervals' burst sizes, OR-ed together."""
    trains = {(0,) * num_steps: 1.0}
    for onset in range(0, num_steps, tau):
        room = num_steps - onset
        sizes = [start * stats.poisson.pmf(n, lam) for n in range(room)] + [start * stats.poisson.sf(room - 1, lam)]
        sizes[0] += 1.0 - start
        longer = {}
        for (train, before), (size, chance) in itertools.product(trains.items(), enumerate(sizes)):
            seen = min(size, tau) if overflow == "truncate" else size
            burst = [onset <= t < onset + seen for t in range(num_steps)]
            both = tuple(int(a or b) for a, b in zip(train, burst, strict=True))
            longer[both] = longer.get(both, 0.0) + before * chance
        trains = longer
    return trains


def delayed_trains(x, num_steps, lam, margin, overflow):
    """Every onset with every size."""
    onset = onset_distribution([x], num_steps, margin, overflow)[:, 0]
    trains = {(0,) * num_steps: 1.0 - onset.sum()}
    for d, size in itertools.product(range(num_steps), range(num_steps + 1)):
        chance = stats.poisson.sf(num_steps - 1, lam) if size == num_steps else stats.poisson.pmf(size, lam)
        train = tuple(int(d <= t < d + size) for t in range(num_steps))
        trains[train] = trains.get(train, 0.0) + onset[d] * chance
    return trains


# Checkers: each gives True for draws that agree ------------------------------------------------------


def marginals_agree(spikes, p):
    """Whether the mean of `spikes` `(draws, ...)` is within simultaneous exact binomial bounds of `p` `(...)`.

    A cell with p = 0 or p = 1 admits no exception. Bonferroni over all cells.
    """
    draws, p = len(spikes), np.asarray(p, "float64")
    count = spikes.sum(axis=0, dtype="int64")
    tail = ALPHA / 2 / p.size
    low, high = stats.binom.ppf(tail, draws, p), stats.binom.isf(tail, draws, p)
    low, high = np.where(p == 1.0, draws, low), np.where(p == 0.0, 0, high)
    return bool(np.all((low <= count) & (count <= high)))


def counts_agree(counts, p):
    """Whether `counts` pass a chi-square test against the cells' probabilities `p`, which sum to 1.

    Cells that expect fewer than 5 are pooled; a cell of probability 0 admits no count.
    """
    counts, p = np.asarray(counts, "float64"), np.asarray(p, "float64")
    np.testing.assert_allclose(p.sum(), 1.0, atol=1e-9)
    if counts[p == 0.0].any():
        return False
    expected = counts.sum() * p
    rare = expected < 5.0
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    if expected[-1] < 5.0:  # too few even together: they join the rarest of the others
        nearest = expected[:-1].argmin()
        expected[nearest] += expected[-1]
        counts[nearest] += counts[-1]
        counts, expected = counts[:-1], expected[:-1]
    return bool(stats.chisquare(counts, expected * (counts.sum() / expected.sum())).pvalue > ALPHA)


def trains_agree(spikes, trains):
    """Whether whole spike trains `(draws, num_steps)` come in the proportions of `trains`."""
    seen, counts = np.unique(np.asarray(spikes, "int64"), axis=0, return_counts=True)
    seen = {tuple(int(s) for s in train): count for train, count in zip(seen, counts, strict=True)}
    if any(train not in trains for train in seen):
        return False
    return counts_agree([seen.get(train, 0) for train in trains], list(trains.values()))


def independent(draws):
    """Whether no two columns of 0/1 `draws` `(draws, columns)` are correlated; Bonferroni over the pairs."""
    draws = np.asarray(draws, "float64")
    if (draws.min(axis=0) == draws.max(axis=0)).any():
        return False  # a column that never changes proves nothing
    correlation = np.corrcoef(draws, rowvar=False)
    pairs = correlation[np.triu_indices(draws.shape[1], 1)]
    bound = stats.norm.isf(ALPHA / 2 / len(pairs)) / np.sqrt(len(draws))
    return bool(np.all(np.abs(pairs) < bound))


def prefix_in_intervals(spikes, tau):
    """Whether the spikes `(draws, num_steps, ...)` of every interval fill its first steps without a gap."""
    rises = (spikes[:, 1:] == 1) & (spikes[:, :-1] == 0)
    return not np.delete(rises, np.arange(tau - 1, rises.shape[1], tau), axis=1).any()


def one_run(spikes):
    """Whether every train `(draws, num_steps, ...)` is one contiguous run of spikes at most."""
    rises = np.diff(spikes.astype("int8"), axis=1, prepend=0) == 1
    return bool((rises.sum(axis=1) <= 1).all())
