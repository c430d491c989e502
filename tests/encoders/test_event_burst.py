"""Each event starts a burst: exact distributions by enumeration, Poisson-Burst's special case, and padding."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from kerasburst.data.pipeline import make_dataset
from kerasburst.encoders.event_burst import EventBurstEncoder
from kerasburst.encoders.none import NoEncoder
from kerasburst.encoders.poisson_burst import PoissonBurstEncoder

from .oracles import ALPHA


def array(tensor):
    return ops.convert_to_numpy(tensor)


def trains(events, lam):
    """Return the probability of every spike train, over all sizes of the bursts that the events start."""
    steps, found = len(events), {}
    onsets = [t for t, event in enumerate(events) if event]
    for sizes in itertools.product(*(range(steps - onset + 1) for onset in onsets)):
        p, spikes = 1.0, [0] * steps
        for onset, size in zip(onsets, sizes, strict=True):
            room = steps - onset
            p *= stats.poisson.pmf(size, lam) if size < room else stats.poisson.sf(room - 1, lam)
            spikes[onset : onset + size] = [1] * size
        found[tuple(spikes)] = found.get(tuple(spikes), 0.0) + p
    return found


@pytest.mark.parametrize("lam", [0.7, 2.5])
@pytest.mark.parametrize("events", [(1, 0, 0, 0), (0, 1, 0, 1), (1, 1, 0, 1)])
def test_the_distribution_of_whole_trains(events, lam):
    n = 4000
    exact = trains(events, lam)
    layer = EventBurstEncoder(4, mean_burst_size=lam)
    x = np.tile(np.array(events, np.uint8)[None, :, None], (1, 1, n))
    drawn = array(layer.encode(ops.convert_to_tensor(x), 5))[0].T
    counts = {train: int((drawn == train).all(axis=1).sum()) for train in exact}
    assert sum(counts.values()) == n
    kept = [train for train in exact if exact[train] * n > 5]
    rest = n - sum(counts[train] for train in kept)
    expected = [exact[train] * n for train in kept]
    observed = [counts[train] for train in kept]
    if n - sum(expected) > 5:
        expected, observed = [*expected, n - sum(expected)], [*observed, rest]
    assert stats.chisquare(observed, np.array(expected) * sum(observed) / sum(expected)).pvalue > ALPHA
    marginal = np.sum([np.array(train) * p for train, p in exact.items()], axis=0)
    np.testing.assert_allclose(array(layer.spike_probability(x[..., :1]))[0, :, 0], marginal, rtol=1e-5, atol=1e-7)


def test_a_constant_train_is_poisson_burst_with_interval_1():
    x = np.ones((1, 6, 3), np.uint8)
    theirs = PoissonBurstEncoder(6, burst_interval=1, mean_burst_size=1.5, overflow="spill")
    mine = EventBurstEncoder(6, mean_burst_size=1.5)
    np.testing.assert_allclose(
        array(mine.spike_probability(x)), array(theirs.spike_probability(np.ones((1, 3), "float32"))), rtol=1e-5
    )


def test_silence_stays_silent_and_long_bursts_fill_the_rest():
    x = np.zeros((2, 5, 4), np.uint8)
    x[1, 2] = 1
    spikes = array(EventBurstEncoder(5, mean_burst_size=60.0, seed=0)(x))
    assert not spikes[0].any() and not spikes[1, :2].any() and spikes[1, 2:].all()


@pytest.mark.parametrize("encoder", [NoEncoder, EventBurstEncoder])
def test_padding_is_kept_in_pipelines_and_silent_elsewhere(encoder):
    x = (np.random.default_rng(0).random((3, 6, 2, 2)) < 0.5).astype(np.int8)
    x[1, 3:] = x[2, 1:] = -1
    layer = encoder(6, seed=0)
    (spikes, _), *_ = make_dataset(x, np.arange(3), layer, 3, seed=0)
    assert spikes.dtype == "int8"
    np.testing.assert_array_equal(spikes.numpy() == -1, x == -1)
    for outputs in (array(layer(ops.convert_to_tensor(x))), array(layer.spike_probability(x))):
        assert outputs.dtype == np.float32 and outputs.min() == 0 and not outputs[x == -1].any()
    plain = np.maximum(x, 0).astype(np.uint8)
    (unpadded, _), *_ = make_dataset(plain, np.arange(3), layer, 3, seed=0)
    np.testing.assert_array_equal(spikes.numpy()[x >= 0], unpadded.numpy()[x >= 0])


def test_counts():
    x = np.arange(12, dtype=np.uint8).reshape(1, 4, 3)
    layer = NoEncoder(4, counts=True)
    np.testing.assert_array_equal(array(layer(x)), x)
    assert (
        not layer.spiking and keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)).counts
    )
    with pytest.raises(ValueError, match="inputs must be counts from 0 to 255, received .values from 0 to 0.5"):
        layer.spike_probability(np.full((1, 4, 3), 0.5) * np.eye(4, 3))
    with pytest.raises(ValueError, match="inputs must be spikes, each 0 or 1"):
        EventBurstEncoder(4)(x)
