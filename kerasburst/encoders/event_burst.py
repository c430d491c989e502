"""Bursts on event streams: each event starts one."""

from __future__ import annotations

import keras
import numpy as np

from kerasburst.encoders.draws import burst_survival, draws, fused, ops_of, reach_of
from kerasburst.encoders.none import SpikeTrainEncoder
from kerasburst.validation import check_float


def _event_bursts(k, x, *, mean_burst_size: float, reach: int, dtype: str):
    """Return the spikes of the draws `k`, one for each feature and step, and the events `x`, of one shape."""
    ops = ops_of(k)
    spikes = None
    for lag, least in enumerate(np.ceil(burst_survival(mean_burst_size, reach).astype("float32") * 2.0**23)):
        longer = (k < int(least)) & (x > 0)  # the burst that an event starts lasts more than `lag` steps
        if lag:
            longer = ops.concatenate([ops.zeros_like(longer[:, :lag]), longer[:, :-lag]], axis=1)
        spikes = longer if spikes is None else ops.logical_or(spikes, longer)
    return ops.cast(spikes, dtype)


@keras.saving.register_keras_serializable("kerasburst")
class EventBurstEncoder(SpikeTrainEncoder):
    """Event-Burst coding: each event of a spike train starts a burst of Poisson size.

    An event of a feature at step s starts a burst of N ~ Poisson(lambda) spikes of that feature at s, s+1, ..., s+N-1,
    cut at T; where bursts overlap there is one spike. The law of sizes is Poisson-Burst's: an event with N = 0, of
    probability exp(-lambda), is lost. This is `PoissonBurstEncoder` with burst_interval 1 and overflow "spill", whose
    intensity is the spike train at each step.
    P(spike at t | x) = 1 - product over s <= t of (1 - x[s] P(N > t - s)).

    Args:
        num_steps: T, time steps of the data, at least 1.
        mean_burst_size: lambda, spikes, above 0.
        seed: int of at least 0 that fixes the sequence of draws, or None.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: spikes `(batch, num_steps, *features)`, each 0 or 1. As int8, steps that are padding hold -1 in all
            features.

    Returns:
        Spikes of the same shape, exactly 0 or 1, in the layer's compute dtype; 0 in padding.

    Raises:
        InputError: for bad parameters, another number of steps, or values other than 0 and 1.

    Example:
        >>> encoder = EventBurstEncoder(num_steps=4, mean_burst_size=2.0)
        >>> p = encoder.spike_probability(np.array([[[0], [1], [0], [0]]])).numpy().ravel()
        >>> [round(float(v), 3) for v in p]  # from the event on P(N > 0), P(N > 1), P(N > 2)
        [0.0, 0.865, 0.594, 0.323]

    References:
        The law of sizes is that of arXiv 2505.04034, Poisson-Burst.
    """

    def __init__(self, num_steps: int, *, mean_burst_size: float = 3.0, seed: int | None = None, **kwargs):
        super().__init__(num_steps, seed=seed, **kwargs)
        self.mean_burst_size = check_float("mean_burst_size", mean_burst_size, above=0.0)

    def spikes(self, x, seed, dtype: str):
        """Return the spikes of the bursts that events start, for a stateless `seed`."""
        k = draws(x[:, 0], self.num_steps, seed)
        reach = reach_of(self.mean_burst_size, self.num_steps)
        compiled = fused(_event_bursts, x, "uint8" if dtype == "int8" else dtype)  # both are of pipelines
        return compiled(k, x, mean_burst_size=self.mean_burst_size, reach=reach, dtype=dtype)

    def probability(self, x):
        """Return P(spike at t | x) in closed form."""
        ops = ops_of(x)
        live = x >= 0
        events = ops.cast(ops.where(live, x, ops.zeros_like(x)), "float32")
        silent = 1.0 - events * 0.0
        for lag, survival in enumerate(burst_survival(self.mean_burst_size, self.num_steps).tolist()):
            quiet = 1.0 - survival * events
            if lag:
                quiet = ops.concatenate([ops.ones_like(quiet[:, :lag]), quiet[:, :-lag]], axis=1)
            silent = silent * quiet
        return ops.where(live, 1.0 - silent, ops.zeros_like(silent))
