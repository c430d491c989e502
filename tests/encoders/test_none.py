"""Data that is encoded already passes through, on every backend; what is none is refused."""

import numpy as np
import pytest
from keras import ops

from kerasburst.data.pipeline import make_dataset
from kerasburst.encoders.none import NoEncoder
from kerasburst.encoders.statistics import encoding_statistics

SPIKES = (np.random.default_rng(0).random((5, 4, 3, 2, 2)) < 0.3).astype("uint8")


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int64", "float32", "float64"])
def test_spikes_pass_as_they_are(dtype):
    encoder = NoEncoder(4)
    for got in (encoder(SPIKES.astype(dtype)), encoder.spike_probability(SPIKES.astype(dtype))):
        assert got.shape == SPIKES.shape
        np.testing.assert_array_equal(ops.convert_to_numpy(got), SPIKES)
    batches = list(make_dataset(SPIKES.astype(dtype), np.arange(5), encoder, 2, 0, shuffle=True))
    order = np.concatenate([ops.convert_to_numpy(labels) for _, labels in batches])
    spikes = np.concatenate([ops.convert_to_numpy(each) for each, _ in batches])
    assert spikes.dtype == "uint8" and sorted(order) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(spikes, SPIKES[order])


@pytest.mark.parametrize("value", [2, -1, 0.5, 1 + 1e-7, np.nan])
def test_other_values_are_refused(value):
    x = SPIKES.astype("float32")
    x[1, 2, 0, 0, 0] = value
    with pytest.raises(ValueError, match="^inputs must be spikes, each 0 or 1, received"):
        NoEncoder(4).spike_probability(x)
    with pytest.raises(ValueError, match="x must be spikes, each 0 or 1, received"):
        make_dataset(x, np.arange(5), NoEncoder(4), 2, 0)


def test_other_shapes_are_refused():
    for method in (
        NoEncoder(5),
        NoEncoder(5).spike_probability,
        lambda x: make_dataset(x, np.arange(5), NoEncoder(5), 2, 0),
    ):
        with pytest.raises(ValueError, match="num_steps must be 4, the time steps of the spikes, received 5"):
            method(SPIKES)
    with pytest.raises(ValueError, match=r"inputs must be spikes of shape \(batch, num_steps, \*features\), received"):
        NoEncoder(4)(SPIKES[:, :, 0, 0, 0])


def test_statistics_of_an_example():
    found = encoding_statistics(NoEncoder(4), SPIKES[0], draws=3)
    np.testing.assert_array_equal(found.spikes, SPIKES[0])
    np.testing.assert_allclose(found.x, SPIKES[0].mean(axis=0))
    assert found.to_json()["largest_deviation"] == 0.0
