"""An example's spikes depend on (seed, epoch, index) alone, its place on (seed, epoch) alone."""

import numpy as np
import pytest
import tensorflow as tf

from kerasburst.data.pipeline import make_dataset, make_parts
from kerasburst.encoders.delayed_burst import DelayedBurstEncoder
from kerasburst.encoders.poisson_burst import PoissonBurstEncoder
from kerasburst.encoders.rate import RateEncoder

N, STEPS = 23, 10
X = np.random.default_rng(0).random((N, 4, 3)).astype("float32")
INDEX = np.arange(N)
ENCODERS = {
    "rate": RateEncoder(STEPS),
    "poisson-spill": PoissonBurstEncoder(STEPS, burst_interval=4, mean_burst_size=4.0, overflow="spill"),
    "delayed": DelayedBurstEncoder(STEPS, mean_burst_size=3.0, margin=7),
}
every_encoder = pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)


def stream(encoder, x=X, batch_size=7, seed=5, **options):
    """All spikes and all indices in the order in which they come."""
    batches = list(make_dataset(x, np.arange(len(x)), encoder, batch_size, seed, **options).as_numpy_iterator())
    return tuple(np.concatenate(part) for part in zip(*batches, strict=True))


def by_index(encoder, **options):
    """The spikes of one epoch in the order of their indices."""
    spikes, index = stream(encoder, **options)
    assert sorted(index) == list(range(len(index)))
    return spikes[np.argsort(index)]


@pytest.fixture(scope="module")
def plain():
    """Batch 7, one call at a time, in order, seed 5, epoch 0."""
    return {name: stream(encoder, num_parallel_calls=1)[0] for name, encoder in ENCODERS.items()}


@pytest.mark.sampled(11)
@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(
    "batch_size, num_parallel_calls, shuffle",
    [(1, 2, False), (1, 8, True), (3, 1, True), (3, 8, False), (7, 1, True), (7, 2, False), (100, None, True)],
)
def test_batch_size_parallel_calls_and_order_change_no_spike(plain, name, batch_size, num_parallel_calls, shuffle):
    options = dict(batch_size=batch_size, num_parallel_calls=num_parallel_calls, shuffle=shuffle)
    np.testing.assert_array_equal(by_index(ENCODERS[name], **options), plain[name])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ENCODERS)
def test_another_seed_epoch_or_index_differs(plain, name):
    encoder = ENCODERS[name]
    equal = np.tile(X[:1], (N, 1, 1))
    versions = [by_index(encoder, x=equal, seed=seed, epoch=epoch) for seed, epoch in ((0, 0), (0, 1), (0, 2), (1, 0))]
    flat = np.stack(versions).reshape(4 * N, -1)
    assert len(np.unique(flat, axis=0)) == len(flat)  # of 92 encodings of one example no two are the same
    np.testing.assert_array_equal(by_index(encoder, seed=5, epoch=0), plain[name])
    # An index' draws are its own, however many examples follow it.
    np.testing.assert_array_equal(by_index(encoder, x=X[:9]), plain[name][:9])


@pytest.mark.sampled(3)
@every_encoder
def test_draws_of_neighbours_epochs_and_seeds_are_uncorrelated(encoder):
    x = np.full((200, 150), 0.5, "float32")
    draws = [stream(encoder, x=x, batch_size=64, seed=s, epoch=e)[0][:, 0] for s, e in ((0, 0), (0, 1), (1, 0))]
    # The first step of (epochs and seeds, examples, features); each is compared with the others at several lags.
    for i, one in enumerate(draws):
        for j, other in enumerate(draws):
            for lag in range(-3, 4):
                ends = (one[3:-3], other[3 + lag : len(other) - 3 + lag])
                correlation = np.corrcoef(ends[0].ravel(), ends[1].ravel())[0, 1]
                if (i, lag) == (j, 0):
                    assert correlation == pytest.approx(1.0)  # the control: draws that are shared do show
                else:
                    assert abs(correlation) < 5.5 / ends[0].size ** 0.5  # five and a half standard deviations


@pytest.mark.sampled(2)
@every_encoder
def test_spikes_have_the_encoders_marginals(encoder):
    x = np.tile(np.float32([[0.0, 0.2, 0.5, 0.8, 1.0]]), (4000, 1))
    spikes = stream(encoder, x=x, batch_size=512)[0]
    p = encoder.spike_probability(x[:1]).numpy()[0]  # held against closed forms in tests/encoders
    np.testing.assert_allclose(spikes.mean(axis=0), p, atol=5.5 * 0.5 / 4000**0.5)
    assert not spikes[:, :, 0].any()


@pytest.mark.sampled(6)
@pytest.mark.parametrize("shuffle", [True, False])
def test_several_epochs_are_the_single_ones_in_a_row(shuffle):
    encoder = ENCODERS["poisson-spill"]
    spikes, index = stream(encoder, epoch=3, num_epochs=2, shuffle=shuffle)
    singles = [stream(encoder, epoch=epoch, shuffle=shuffle) for epoch in (3, 4)]
    np.testing.assert_array_equal(spikes, np.concatenate([single[0] for single in singles]))
    np.testing.assert_array_equal(index, np.concatenate([single[1] for single in singles]))


@pytest.mark.sampled(4)
@pytest.mark.parametrize("of", [3, 1, 2, 4])
def test_the_parts_of_machines_make_up_each_batch(of):
    encoder, order = ENCODERS["poisson-spill"], {"epoch": 2, "shuffle": True, "num_epochs": 2}
    whole = list(make_dataset(X, INDEX, encoder, 7, 5, **order).as_numpy_iterator())
    machines = [range(0, 1), range(1, of)] if of > 1 else [range(0, 1)]
    dealt = [list(make_parts(X, INDEX, encoder, 7, 5, parts, of, **order).as_numpy_iterator()) for parts in machines]
    for number, (spikes, index) in enumerate(whole):
        parts = [
            part
            for mine, all_parts in zip(machines, dealt, strict=True)
            for part in all_parts[number * len(mine) : (number + 1) * len(mine)]
        ]
        assert len(parts) == of and all(size == len(index) for _, _, size in parts)
        sizes = [len(part[1]) for part in parts]
        assert sum(sizes) == len(index) and max(sizes) - min(sizes) <= 1  # the last batch has 2: some get none
        got = {i: spike for part in parts for spike, i in zip(*part[:2], strict=True)}
        for spike, i in zip(spikes, index, strict=True):
            np.testing.assert_array_equal(got[i], spike)
    assert [len(parts) for parts in dealt] == [len(whole) * len(mine) for mine in machines]


def test_iterating_again_gives_the_same():
    dataset = make_dataset(X, INDEX, ENCODERS["rate"], 5, 1, shuffle=True)
    once, twice = (list(dataset.as_numpy_iterator()) for _ in range(2))
    for (spikes, labels), (spikes_again, labels_again) in zip(once, twice, strict=True):
        np.testing.assert_array_equal(spikes, spikes_again)
        np.testing.assert_array_equal(labels, labels_again)


@pytest.mark.thorough
def test_the_order():
    encoder = RateEncoder(1)
    x = np.zeros((100, 1), "float32")
    orders = {
        (seed, epoch): stream(encoder, x=x, seed=seed, epoch=epoch, shuffle=True)[1].tolist()
        for seed in (0, 1)
        for epoch in (0, 7)
    }
    for order in orders.values():
        assert sorted(order) == list(range(100)) and order != list(range(100))
    assert len({tuple(order) for order in orders.values()}) == 4
    options = dict(x=x, seed=1, epoch=7, shuffle=True)
    for others in (dict(batch_size=1), dict(batch_size=100), dict(num_parallel_calls=8)):
        assert stream(encoder, **options, **others)[1].tolist() == orders[1, 7]
    assert stream(encoder, x=x)[1].tolist() == list(range(100))


@pytest.mark.thorough
def test_every_place_is_as_likely_in_the_shuffle():
    places = stream(RateEncoder(1), x=np.zeros((4, 1), "float32"), num_epochs=1000, shuffle=True)[1].reshape(1000, 4)
    counts = np.array([np.bincount(places[:, i], minlength=4) for i in range(4)])
    np.testing.assert_allclose(counts, 250, atol=5 * (1000 * 0.25 * 0.75) ** 0.5)  # five standard deviations


def test_shapes_dtypes_and_length():
    dataset = make_dataset(X, INDEX.astype("int32"), ENCODERS["delayed"], 7, 0, num_epochs=3)
    spikes, labels = dataset.element_spec
    assert spikes.dtype == tf.uint8 and spikes.shape.as_list() == [None, STEPS, 4, 3]
    assert labels.dtype == tf.int32 and labels.shape.as_list() == [None]
    assert len(dataset) == 12
    sizes = [len(labels) for _, labels in dataset]
    assert sizes == [7, 7, 7, 2] * 3
    assert set(np.unique(stream(ENCODERS["delayed"])[0])) == {0, 1}


def test_labels_stay_with_their_examples():
    x = np.zeros((50, 50), "float32")
    np.fill_diagonal(x, 1.0)
    spikes, labels = stream(RateEncoder(3), x=x, batch_size=8, shuffle=True, num_parallel_calls=8)
    assert (spikes == np.eye(50)[labels][:, None]).all()  # example i spikes at feature i, at every step


def test_the_encoders_own_seed_and_calls_do_not_matter(plain):
    encoder = RateEncoder(STEPS, seed=99)
    encoder(X)
    np.testing.assert_array_equal(by_index(encoder), plain["rate"])


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(x=X[:0], y=[]), "x and y must be of one length of at least 1, received the shapes"),
        (dict(y=INDEX[:-1]), "x and y must be of one length of at least 1, received the shapes"),
        (dict(y=None), "x and y must be of one length of at least 1, received the shapes"),
        (dict(x=X * 2.0), "x must be in the range 0 to 1, received values from .* to 1.9"),
        (dict(x=X - 1.0), "x must be in the range 0 to 1, received values from -0.9"),
        (dict(x=np.full_like(X, np.nan)), "x must be in the range 0 to 1, received NaN"),
        (dict(x=np.full((N, 2), 255, "uint8")), "x must be in the range 0 to 1, received values from 255 to 255"),
        (dict(x=X[:, 0, 0]), r"x must be of shape \(batch, \*features\).* received \(23,\)"),
        (dict(x=X.astype("float16")), "x must be at least 32 bits wide.* received 'float16'"),
        (dict(encoder="rate"), "encoder must be an encoder layer, received 'rate'"),
        (dict(batch_size=0), "batch_size must be an integer of at least 1, received 0"),
        (dict(batch_size=2.5), "batch_size must be an integer of at least 1, received 2.5"),
        (dict(seed=-1), "seed must be an integer of at least 0, received -1"),
        (dict(seed=None), "seed must be an integer of at least 0, received None"),
        (dict(epoch=-1), "epoch must be an integer of at least 0, received -1"),
        (dict(num_epochs=0), "num_epochs must be an integer of at least 1, received 0"),
        (dict(num_parallel_calls=0), "num_parallel_calls must be an integer of at least 1, received 0"),
        (dict(shuffle=1), "shuffle must be true or false, received 1"),
    ],
)
def test_bad_arguments(change, message):
    arguments = dict(x=X, y=INDEX, encoder=ENCODERS["rate"], batch_size=4, seed=0)
    with pytest.raises(ValueError, match="^" + message):
        make_dataset(**{**arguments, **change})
