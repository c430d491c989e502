"""The encoders' draws against their closed forms, and proof that each check would see a wrong encoder."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy import stats

from kerasburst.encoders.delayed_burst import DelayedBurstEncoder
from kerasburst.encoders.poisson_burst import PoissonBurstEncoder
from kerasburst.encoders.rate import RateEncoder

from . import oracles

DRAWS = 20_000
STEPS = 20
X = np.array([0.0, 0.1, 0.3, 0.5, 0.85, 1.0], "float32")
x64 = X.astype("float64")

POISSON = dict(burst_interval=7, mean_burst_size=5.0)  # 7 does not divide 20; bursts of 8 and more spill over
DELAYED = dict(mean_burst_size=4.0, margin=12)
RATE_CASES = {f"rate-{gain}": (dict(gain=gain), oracles.rate_marginal(x64, STEPS, gain)) for gain in (1.0, 0.5, 1.7)}
POISSON_CASES = {
    f"poisson-{overflow}-{name}": (
        dict(POISSON, overflow=overflow, intensity_map=name, gamma=1.5),
        oracles.poisson_marginal(start, STEPS, 7, 5.0, overflow),
    )
    for overflow in ("truncate", "spill")
    for name, start in (("linear", x64), ("power", x64**1.5))
}
DELAYED_CASES = {
    f"delayed-{overflow}-{silence}": (
        dict(DELAYED, overflow=overflow, silence=silence),
        oracles.delayed_marginal(x64, STEPS, 4.0, 12, overflow, silence),
    )
    for overflow in ("drop", "clip")
    for silence in (0.0, None, 0.3)
}
CASES = {
    **{name: (RateEncoder, *case) for name, case in RATE_CASES.items()},
    **{name: (PoissonBurstEncoder, *case) for name, case in POISSON_CASES.items()},
    **{name: (DelayedBurstEncoder, *case) for name, case in DELAYED_CASES.items()},
}
every_case = pytest.mark.parametrize("kind, arguments, marginal", CASES.values(), ids=CASES)


def draw(kind, x=X, num_steps=STEPS, seed=11, draws=DRAWS, **arguments):
    """Spikes `(draws, num_steps, features)` of one call on `draws` equal examples."""
    encoder = kind(num_steps, seed=seed, **arguments)
    return ops.convert_to_numpy(encoder(np.broadcast_to(np.asarray(x, "float32"), (draws, len(x)))))


# Marginals --------------------------------------------------------------------------------------


@every_case
def test_spike_probability_is_the_closed_form(kind, arguments, marginal):
    p = np.asarray(kind(STEPS, **arguments).spike_probability(X[None]))
    assert p.shape == (1, STEPS, len(X)) and p.dtype == "float32"
    np.testing.assert_allclose(p[0], marginal, atol=1e-5)


@every_case
def test_draws_have_the_exact_marginals(kind, arguments, marginal):
    assert oracles.marginals_agree(draw(kind, **arguments), marginal)


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    "name, wrong",
    [
        ("rate-1.0", dict(gain=1.1)),
        ("rate-0.5", dict(gain=0.55)),
        ("poisson-truncate-linear", dict(mean_burst_size=5.5)),
        ("poisson-truncate-linear", dict(mean_burst_size=4.5)),
        ("poisson-truncate-power", dict(gamma=1.65)),
        ("poisson-spill-linear", dict(mean_burst_size=5.5)),
        ("poisson-spill-linear", dict(overflow="truncate")),
        ("poisson-truncate-linear", dict(overflow="spill")),
        ("poisson-truncate-linear", dict(burst_interval=6)),
        *[
            (f"delayed-{overflow}-{silence}", wrong)
            for overflow in ("drop", "clip")
            for silence in (0.0, None, 0.3)
            for wrong in (dict(mean_burst_size=4.4), dict(mean_burst_size=3.6), dict(margin=13.2), dict(margin=10.8))
        ],
        ("delayed-drop-None", dict(silence=0.0)),
        ("delayed-drop-0.0", dict(silence=None)),
        ("delayed-drop-0.3", dict(silence=0.29)),
        ("delayed-drop-0.0", dict(overflow="clip")),
        ("delayed-clip-0.0", dict(overflow="drop")),
    ],
)
def test_power_a_tenth_off_is_refused(name, wrong):
    kind, arguments, marginal = CASES[name]
    arguments = {**arguments, **wrong}
    assert not oracles.marginals_agree(draw(kind, **arguments), marginal)
    assert np.abs(np.asarray(kind(STEPS, **arguments).spike_probability(X[None]))[0] - marginal).max() > 1e-3


@pytest.mark.parametrize("num_steps", [1, 3])
def test_rate_of_other_numbers_of_steps(num_steps):
    spikes = draw(RateEncoder, num_steps=num_steps)
    assert oracles.marginals_agree(spikes, oracles.rate_marginal(x64, num_steps))


@pytest.mark.parametrize("tau, lam", [(1, 0.7), (3, 2.5), (20, 6.0)])
@pytest.mark.parametrize("overflow", ["truncate", "spill"])
def test_poisson_burst_of_other_intervals_and_sizes(tau, lam, overflow):
    arguments = dict(burst_interval=tau, mean_burst_size=lam, overflow=overflow)
    marginal = oracles.poisson_marginal(x64, STEPS, tau, lam, overflow)
    encoder = PoissonBurstEncoder(STEPS, **arguments)
    np.testing.assert_allclose(encoder.spike_probability(X[None])[0], marginal, atol=1e-5)
    assert oracles.marginals_agree(draw(PoissonBurstEncoder, **arguments), marginal)


@pytest.mark.parametrize("num_steps, lam, margin", [(2, 2.0, 1), (1, 0.5, 0), (20, 2.0, 0), (20, 9.0, 19.5)])
@pytest.mark.parametrize("overflow", ["drop", "clip"])
def test_delayed_burst_of_other_windows(num_steps, lam, margin, overflow):
    arguments = dict(mean_burst_size=lam, margin=margin, overflow=overflow, silence=None)
    marginal = oracles.delayed_marginal(x64, num_steps, lam, margin, overflow, None)
    encoder = DelayedBurstEncoder(num_steps, **arguments)
    np.testing.assert_allclose(encoder.spike_probability(X[None])[0], marginal, atol=1e-5)
    assert oracles.marginals_agree(draw(DelayedBurstEncoder, num_steps=num_steps, **arguments), marginal)


# Whole trains: sizes, onsets, contiguity and independence of intervals at once ------------------------


TRAIN_CASES = {
    "rate": (RateEncoder, {}, lambda x: oracles.rate_trains(x, 5)),
    **{
        f"poisson-{overflow}-{tau}": (
            PoissonBurstEncoder,
            dict(burst_interval=tau, mean_burst_size=1.7, overflow=overflow),
            lambda x, tau=tau, overflow=overflow: oracles.poisson_trains(x, 5, tau, 1.7, overflow),
        )
        for overflow in ("truncate", "spill")
        for tau in (1, 2, 3)
    },
    **{
        f"delayed-{overflow}": (
            DelayedBurstEncoder,
            dict(mean_burst_size=1.7, margin=2, overflow=overflow),
            lambda x, overflow=overflow: oracles.delayed_trains(x, 5, 1.7, 2, overflow),
        )
        for overflow in ("drop", "clip")
    },
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind, arguments, trains", TRAIN_CASES.values(), ids=TRAIN_CASES)
def test_whole_trains_have_the_exact_distribution(kind, arguments, trains):
    x = np.array([0.2, 0.6, 0.9], "float32")
    spikes = draw(kind, x, num_steps=5, **arguments)
    for feature, intensity in enumerate(x.astype("float64")):
        assert oracles.trains_agree(spikes[:, :, feature], trains(intensity))
        # Power: the same steps, dealt out anew to the examples, have the same marginals but are no trains.
        if kind is not RateEncoder and arguments.get("burst_interval") != 1:
            steps = [np.random.default_rng(t).permutation(spikes[:, t, feature]) for t in range(5)]
            assert not oracles.trains_agree(np.stack(steps, axis=1), trains(intensity))


@pytest.mark.parametrize("overflow", ["truncate", "spill"])
def test_poisson_bursts_fill_intervals_from_their_first_step(overflow):
    spikes = draw(PoissonBurstEncoder, **POISSON, overflow=overflow)
    assert spikes.any() and oracles.prefix_in_intervals(spikes, 7)


def test_delayed_bursts_are_one_run():
    for overflow in ("drop", "clip"):
        spikes = draw(DelayedBurstEncoder, **DELAYED, overflow=overflow, silence=None)
        assert spikes.any(axis=(0, 1)).all() and oracles.one_run(spikes)


@pytest.mark.parametrize("name", ["poisson-truncate-linear", "poisson-spill-linear", "delayed-drop-None"])
def test_power_independent_spikes_with_the_right_marginals_are_refused(name):
    marginal = CASES[name][2]
    spikes = (np.random.default_rng(3).random((DRAWS, *marginal.shape)) < marginal).astype("uint8")
    assert oracles.marginals_agree(spikes, marginal)
    assert not oracles.prefix_in_intervals(spikes, 7)
    assert not oracles.one_run(spikes)


# Sizes and delays -------------------------------------------------------------------------------


def poisson_cells(lam, cap):
    """P(min(N, cap) = n), n in 0..cap."""
    return np.append(stats.poisson.pmf(np.arange(cap), lam), stats.poisson.sf(cap - 1, lam))


@pytest.mark.parametrize("factor", [1.0, 1.1, 0.9])
def test_burst_sizes_are_poisson(factor):
    lam, cap = 3.0, 12
    sizes = {
        "poisson": draw(PoissonBurstEncoder, [1.0], cap, burst_interval=cap, mean_burst_size=lam * factor),
        "delayed": draw(DelayedBurstEncoder, [1.0], cap, mean_burst_size=lam * factor, margin=2),
    }
    for spikes in sizes.values():
        counts = np.bincount(spikes.sum(axis=1, dtype=int)[:, 0], minlength=cap + 1)
        assert oracles.counts_agree(counts, poisson_cells(lam, cap)) is (factor == 1.0)


@pytest.mark.parametrize("x", [0.25, 0.6])
@pytest.mark.parametrize("factor", [1.0, 1.1, 0.9])
@pytest.mark.parametrize("overflow", ["drop", "clip"])
def test_onset_delays_are_geometric(x, factor, overflow):
    # P(N = 0) = exp(-60): every burst that starts in the window shows, and its first spike is its onset.
    spikes = draw(DelayedBurstEncoder, [x], mean_burst_size=60.0, margin=12 * factor, overflow=overflow, silence=None)[
        :, :, 0
    ]
    onset = np.where(spikes.any(axis=1), spikes.argmax(axis=1), STEPS)
    cells = oracles.onset_distribution(np.float32([x]), STEPS, 12, overflow)[:, 0]
    cells = np.append(cells, 0.0 if overflow == "clip" else 1.0 - cells.sum())
    assert oracles.counts_agree(np.bincount(onset, minlength=STEPS + 1), cells) is (factor == 1.0)


def test_delay_and_size_are_independent():
    # Given an onset in the window's first half and lambda = 2, sizes below 10 are seen whole.
    spikes = draw(DelayedBurstEncoder, [0.5], mean_burst_size=2.0, margin=12)[:, :, 0]
    seen = spikes.any(axis=1)
    onset, size = spikes.argmax(axis=1)[seen], spikes.sum(axis=1, dtype=int)[seen]
    table = np.histogram2d(onset, size, bins=[[0, 1, 2, 4, 10], [1, 2, 3, 4, 10]])[0]
    assert stats.chi2_contingency(table).pvalue > oracles.ALPHA
    shared = np.sort(size)[np.argsort(np.argsort(onset, kind="stable"))]  # negative control: one uniform for both
    table = np.histogram2d(onset, shared, bins=[[0, 1, 2, 4, 10], [1, 2, 3, 4, 10]])[0]
    assert stats.chi2_contingency(table).pvalue < oracles.ALPHA


# Independence -----------------------------------------------------------------------------------

INDEPENDENCE_CASES = {
    "rate": (RateEncoder, {}),
    "poisson-truncate": (PoissonBurstEncoder, dict(burst_interval=4, mean_burst_size=3.0)),
    "poisson-spill": (PoissonBurstEncoder, dict(burst_interval=4, mean_burst_size=3.0, overflow="spill")),
    "delayed": (DelayedBurstEncoder, dict(mean_burst_size=3.0, margin=9)),
}
every_encoder = pytest.mark.parametrize("kind, arguments", INDEPENDENCE_CASES.values(), ids=INDEPENDENCE_CASES)


def share(draws, axis, first=0, second=1):
    """Let the entry `second` along `axis` copy the entry `first`: what a shared draw at equal x would give."""
    draws = np.moveaxis(draws.copy(), axis, -1)
    draws[..., second] = draws[..., first]
    return np.moveaxis(draws, -1, axis)


@every_encoder
def test_features_are_independent(kind, arguments):
    spikes = draw(kind, [0.5] * 6, num_steps=12, **arguments)
    for step in (0, 4, 5):
        assert oracles.independent(spikes[:, step])
        assert not oracles.independent(share(spikes, 2, 1, 4)[:, step])
        assert not oracles.independent(np.repeat(spikes[:, step, :1], 6, axis=1))


@pytest.mark.sampled(3)
@every_encoder
@pytest.mark.parametrize("per_example", [False, True])
def test_examples_are_independent(kind, arguments, per_example):
    # One column per example of a batch of 6, one row per (seed, feature).
    encoder = kind(12, **arguments)
    x = np.full((6, 2000), 0.5, "float32")
    draws = []
    for call in range(10):
        seed = [[call, i] for i in range(6)] if per_example else call
        draws.append(ops.convert_to_numpy(encoder.encode(tf.constant(x), seed)))
    spikes = np.moveaxis(np.stack(draws), 1, -1)  # (calls, steps, features, examples)
    for step in (0, 5):
        columns = spikes[:, step].reshape(-1, 6)
        assert len(columns) == DRAWS and oracles.independent(columns)
        assert not oracles.independent(share(columns, 1, 2, 5))


@every_encoder
def test_calls_are_independent(kind, arguments):
    encoder = kind(12, seed=5, **arguments)
    x = np.full((20, 1000), 0.5, "float32")
    spikes = np.stack([ops.convert_to_numpy(encoder(x)) for _ in range(5)], axis=-1)
    assert oracles.independent(spikes[:, 0].reshape(-1, 5))
    assert not oracles.independent(share(spikes, -1)[:, 0].reshape(-1, 5))


def test_steps_of_rate_are_independent():
    spikes = draw(RateEncoder, [0.5])[:, :, 0]
    assert oracles.independent(spikes)
    assert not oracles.independent(share(spikes, 1, 3, 17))


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_intervals_of_poisson_burst_are_independent(offset):
    spikes = draw(PoissonBurstEncoder, [0.5], burst_interval=4, mean_burst_size=3.0)[:, offset::4, 0]
    assert spikes.shape == (DRAWS, 5) and oracles.independent(spikes)
    assert not oracles.independent(share(spikes, 1, 1, 4))


# The ends of the range --------------------------------------------------------------------------


@every_case
def test_zero_never_spikes_unless_every_feature_bursts(kind, arguments, marginal):
    spikes = draw(kind, [0.0], draws=50_000, **arguments)
    assert spikes.any() == (kind is DelayedBurstEncoder and arguments["silence"] is None)


SURE = {
    "rate": (RateEncoder, {}),
    "rate-gain": (RateEncoder, dict(gain=3.0)),
    "regular": (RateEncoder, dict(mode="regular")),
    "poisson-truncate": (PoissonBurstEncoder, dict(burst_interval=7, mean_burst_size=200.0)),
    "poisson-spill": (PoissonBurstEncoder, dict(burst_interval=7, mean_burst_size=200.0, overflow="spill")),
    "delayed-drop": (DelayedBurstEncoder, dict(mean_burst_size=200.0)),
    "delayed-clip": (DelayedBurstEncoder, dict(mean_burst_size=200.0, overflow="clip", silence=0.5)),
}


@pytest.mark.parametrize("kind, arguments", SURE.values(), ids=SURE)
def test_one_always_spikes_when_bursts_are_longer_than_the_window(kind, arguments):
    assert draw(kind, [1.0], draws=50_000, **arguments).all()  # P(N <= 20), lambda = 200, is below 1e-50


def test_silence_is_at_or_below():
    just_above = np.nextafter(np.float32(0.3), np.float32(1.0))
    spikes = draw(DelayedBurstEncoder, [0.3, just_above], mean_burst_size=4.0, margin=12, silence=0.3)
    assert not spikes[:, :, 0].any() and spikes[:, :, 1].any()
