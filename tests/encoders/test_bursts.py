"""Trained burst encoders, on whichever backend Keras runs: their marginals, gradients, weights and likelihood."""

import itertools
import json

import keras
import numpy as np
import pytest
from keras import ops
from scipy import optimize, stats

from kerasburst import backend
from kerasburst.encoders.bursts import probability_of_size, survival
from kerasburst.encoders.delayed_burst import DelayedBurstEncoder
from kerasburst.encoders.draws import draws
from kerasburst.encoders.poisson_burst import PoissonBurstEncoder
from tests.neurons.common import gradients

from . import oracles

BOTH = {"trainable_burst_size": True, "trainable_intensity_map": True}
KINDS = {
    "truncate": (PoissonBurstEncoder, {"burst_interval": 3}),
    "spill": (PoissonBurstEncoder, {"burst_interval": 2, "overflow": "spill"}),
    "drop": (DelayedBurstEncoder, {"margin": 2}),
    "clip": (DelayedBurstEncoder, {"margin": 2, "overflow": "clip", "silence": None}),
}
X = np.float32([[0.0, 0.1, 0.3], [0.5, 0.85, 1.0]])
STEPS = 5
every_kind = pytest.mark.parametrize("kind", KINDS)


def array(tensor):
    return ops.convert_to_numpy(tensor)


def make(kind, num_steps=STEPS, **arguments):
    cls, given = KINDS[kind]
    return cls(num_steps, **{**given, "mean_burst_size": 2.0, **arguments})


def gradient(encoder, function):
    """Return the gradients of `function()` in the encoder's weights, and their present values."""
    values = [array(weight) for weight in encoder.trainable_weights]

    def loss(*given):
        with keras.StatelessScope(list(zip(encoder.trainable_weights, given, strict=True))):
            return function()

    return gradients(loss, *values)


def reference_marginal(kind, start, lam):
    """Return P(spike) `(STEPS, features)` of one example with f(x) = `start`, by scipy."""
    arguments = KINDS[kind][1]
    if kind in ("truncate", "spill"):
        return oracles.poisson_marginal(start, STEPS, arguments["burst_interval"], lam, kind)
    return oracles.delayed_marginal(start, STEPS, lam, 2, kind, arguments.get("silence", 0.0))


@pytest.mark.parametrize("lam", [1e-3, 0.5, 2.0, 9.9, 60.0, 200.0])
def test_the_law_of_sizes_is_scipys(lam):
    lam, j = np.float32(lam), np.arange(80)
    for ours, theirs in ((survival, stats.poisson.sf), (probability_of_size, stats.poisson.pmf)):
        want = theirs(j, np.float64(lam))
        np.testing.assert_allclose(array(ours(ops.convert_to_tensor(lam), 80)), want, rtol=2e-5, atol=1e-30)


def test_a_small_size_keeps_its_digits():
    for lam in np.linspace(1e-3, 0.05, 12, dtype="float32"):
        want = -np.expm1(-np.float64(lam))  # P(N > 0)
        np.testing.assert_allclose(array(survival(ops.convert_to_tensor(lam), 3))[0], want, rtol=1e-6)


@pytest.mark.parametrize("lam", [0.5, 2.0, 20.0])
def test_the_derivative_of_survival_is_the_probability_of_the_size(lam):
    for j in range(6):
        (found,) = gradients(lambda value, j=j: survival(value, 6)[j], np.float32(lam))
        np.testing.assert_allclose(found, stats.poisson.pmf(j, lam), rtol=2e-5)


@pytest.mark.sampled(4)
@every_kind
@pytest.mark.parametrize("per_feature", [False, True])
@pytest.mark.parametrize("intensity_map", ["linear", "power"])
def test_it_begins_as_the_encoder_that_is_not_trained(kind, intensity_map, per_feature):
    arguments = {"intensity_map": intensity_map, "gamma": 1.5, "seed": 3}
    trained, fixed = make(kind, **BOTH, per_feature=per_feature, **arguments), make(kind, **arguments)
    np.testing.assert_allclose(array(trained.spike_probability(X)), array(fixed.spike_probability(X)), atol=1e-6)
    for _ in range(3):
        np.testing.assert_array_equal(array(trained(X)), array(fixed(X)))
    shape = (3,) if per_feature else ()
    of_map = shape if intensity_map == "power" else (8, *shape)
    assert [(w.name, tuple(w.shape)) for w in trained.trainable_weights] == [
        ("mean_burst_size", shape),
        ("intensity_map", of_map),
    ]
    assert not fixed.weights


@every_kind
def test_the_marginals_of_trained_values_are_the_closed_form(kind):
    encoder = make(kind, **BOTH)
    encoder.build(X.shape)
    slopes = np.float32([0.4, 1.0, 2.0, 0.8, 0.4, 0.8, 1.0, 0.8])
    encoder.set_weights([np.float32(1.3), slopes])
    start = np.interp(X, np.arange(9) / 8, np.concatenate([[0.0], np.cumsum(slopes / 8)]))
    found = array(encoder.spike_probability(X))
    for p, f, x in zip(found, start, X, strict=True):
        want = reference_marginal(kind, f, 1.3)
        want[:, x <= 0] *= kind != "drop"
        np.testing.assert_allclose(p, want, atol=1e-6)
    draws = array(encoder.encode(ops.convert_to_tensor(np.tile(X[1:], (4000, 1))), 7))
    assert oracles.marginals_agree(draws, np.clip(np.where(found[1] > 1 - 1e-6, 1.0, found[1]), 0.0, 1.0))


@every_kind
def test_the_marginals_gradient_is_a_finite_difference_of_scipys(kind):
    encoder = make(kind, **BOTH, intensity_map="power", gamma=1.5)
    encoder.build((None, 1))
    weight, x, h = np.random.default_rng(0).normal(size=STEPS), 0.3, 1e-5
    wanted = ops.convert_to_tensor(np.float32(weight)[None, :, None])
    found = gradient(encoder, lambda: ops.sum(wanted * encoder.spike_probability([[x]])))

    def value(lam, gamma):
        return weight @ reference_marginal(kind, np.array([x**gamma]), lam)[:, 0]

    by_size = (value(2.0 + h, 1.5) - value(2.0 - h, 1.5)) / (2 * h)
    by_gamma = (value(2.0, 1.5 + h) - value(2.0, 1.5 - h)) / (2 * h)
    np.testing.assert_allclose(found, [by_size, by_gamma], rtol=1e-4, atol=1e-6)


@every_kind
def test_log_prob_is_the_law_of_whole_trains(kind):
    encoder, x = make(kind), 0.3
    trains = np.array(list(itertools.product((0, 1), repeat=STEPS)), "float32")
    if kind in ("truncate", "spill"):
        law = oracles.poisson_trains(x, STEPS, encoder.burst_interval, 2.0, kind)
    else:
        law = oracles.delayed_trains(x, STEPS, 2.0, 2, kind)
    found = np.exp(array(encoder.log_prob(np.full((len(trains), 1), x), trains[:, :, None])))
    np.testing.assert_allclose(found, [law.get(tuple(map(int, t)), 0.0) for t in trains], atol=1e-6)
    dark = array(encoder.log_prob(np.zeros((1, 1)), np.zeros((1, STEPS, 1))))
    assert kind == "clip" or dark == 0.0


@every_kind
def test_log_prob_has_a_finite_gradient_at_the_ends_of_the_range(kind):
    encoder = make(kind, **BOTH, intensity_map="power", seed=0)
    spikes = encoder(X)
    for found in gradient(encoder, lambda: ops.sum(encoder.log_prob(X, spikes))):
        assert np.isfinite(found).all() and found.any()
    for found in gradient(encoder, lambda: ops.sum(encoder(X))):
        assert np.isfinite(found).all() and found.any()


def test_straight_through_has_the_documented_derivative():
    """One u for an interval: s (1 - s) / temperature with s = sigmoid((p - u) / temperature), at each of its steps."""
    encoder = make("truncate", num_steps=3, trainable_burst_size=True, temperature=0.2)
    encoder.build((None, 1))
    seed, x = 5, ops.convert_to_tensor(np.full((1, 1), 0.7, "float32"))
    u = float(array(draws(x, 1, seed)).item()) / 2**23
    assert (array(encoder.encode(x, seed))[0, :, 0] == (u < 0.7 * stats.poisson.sf(np.arange(3), 2.0))).all()
    for t in range(3):
        p = 0.7 * stats.poisson.sf(t, 2.0)
        s = 1.0 / (1.0 + np.exp(-(p - u) / 0.2))
        (found,) = gradient(encoder, lambda t=t: encoder.encode_as(x, seed, "float32")[0, t, 0])
        np.testing.assert_allclose(found, s * (1 - s) / 0.2 * 0.7 * stats.poisson.pmf(t, 2.0), rtol=1e-4)


LOSS, LAM, START = np.array([0.3, -1.0, 2.0, 0.5]), 1.5, 0.6  # of 0, 1, 2, 3 spikes in one interval of 3 steps


def exact():
    """Return d/d lambda of the mean loss of one interval, sum over m of loss_m d P(m) / d lambda."""
    pmf = stats.poisson.pmf(np.arange(-1, 3), LAM)  # of -1 to 2
    d_sf = pmf[1:]  # d SF(j) = P(N = j)
    d_p = START * np.array([-d_sf[0], d_sf[0] - d_sf[1], d_sf[1] - d_sf[2], d_sf[2]])
    return LOSS @ d_p


def estimates(gradient_kind, temperature, loss, count=20, batch=1000):
    """Return estimates of the mean loss's gradient in lambda from batches of draws."""
    from kerasburst.models.encoded import score_function_term

    encoder = make("truncate", 3, mean_burst_size=LAM, trainable_burst_size=True, gradient=gradient_kind,
                   temperature=temperature)  # fmt: skip
    encoder.build((None, 1))
    x = ops.convert_to_tensor(np.full((batch, 1), START, "float32"))

    def objective(seed):
        spikes = encoder.encode_as(x, seed, "float32")
        losses = loss(spikes[:, :, 0])
        if gradient_kind == "straight_through":
            return ops.mean(losses)
        return score_function_term(losses, encoder.log_prob(x, spikes))

    return np.array([float(gradient(encoder, lambda seed=seed: objective(seed))[0]) for seed in range(count)])


def by_size(spikes):
    """Return the loss of each size, as a polynomial of the spikes that is linear in each."""
    rises = np.diff(LOSS)
    return LOSS[0] + sum(float(rises[j]) * spikes[:, j] for j in range(3))


def agree(found, wanted):
    return abs(found.mean() - wanted) < 5.0 * found.std(ddof=1) / np.sqrt(len(found))


def test_the_score_function_is_unbiased():
    assert agree(estimates("score_function", 0.1, by_size), exact())


@pytest.mark.sampled(2)
@pytest.mark.parametrize("temperature", [0.05, 0.3])
def test_the_bias_of_straight_through_is_known_where_the_loss_is_linear(temperature):
    """Its mean is each spike's exact term times Z(p) = sigmoid(p / temperature) - sigmoid((p - 1) / temperature)."""
    p = START * stats.poisson.sf(np.arange(3), LAM)
    z = 1 / (1 + np.exp(-p / temperature)) - 1 / (1 + np.exp((1 - p) / temperature))
    terms = np.diff(LOSS) * START * stats.poisson.pmf(np.arange(3), LAM)
    np.testing.assert_allclose(terms.sum(), exact())
    found = estimates("straight_through", temperature, by_size)
    assert agree(found, (terms * z).sum())
    assert temperature < 0.1 or not agree(found, exact())


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", ["truncate", "drop"])
def test_lambda_is_recovered_by_maximum_likelihood(kind):
    encoder = make(kind, trainable_burst_size=True)
    x = np.random.default_rng(0).uniform(0.2, 1.0, (400, 10)).astype("float32")
    truth = make(kind, mean_burst_size=1.2)
    spikes = ops.cast(truth.encode(ops.convert_to_tensor(x), 4), "float32")
    encoder.build(x.shape)
    (weight,) = encoder.weights

    def score(lam):
        weight.assign(lam)
        return float(gradient(encoder, lambda: ops.sum(encoder.log_prob(x, spikes)))[0])

    found = optimize.brentq(score, 0.5, 3.0, xtol=1e-3)
    information = (score(found - 0.05) - score(found + 0.05)) / 0.1
    assert abs(found - 1.2) < 4.0 / np.sqrt(information) < 0.15


@pytest.mark.parametrize("intensity_map, want", [("linear", None), ("power", 1e-3)])
def test_trained_values_stay_in_their_range(intensity_map, want):
    encoder = make("truncate", **BOTH, intensity_map=intensity_map)
    encoder.build((None, 2))
    size, shape = encoder.trainable_weights
    assert float(array(size.constraint(ops.convert_to_tensor(np.float32(-3.0))))) == np.float32(1e-3)
    if want is not None:
        assert float(array(shape.constraint(ops.convert_to_tensor(np.float32(-1.0))))) == np.float32(want)
        return
    slopes = array(shape.constraint(ops.convert_to_tensor(np.float32([-1, 0, 1, 2, 3, 4, 5, 6]))))
    assert (slopes > 0).all() and slopes.mean() == pytest.approx(1.0)
    low = np.full(8, 0.5, "float32")
    np.testing.assert_array_equal(array(shape.constraint(ops.convert_to_tensor(low))), low)


@every_kind
def test_trained_values_are_saved(kind, tmp_path):
    encoder = make(kind, **BOTH, per_feature=True, seed=3)
    model = keras.Sequential([keras.Input((3,)), encoder, keras.layers.Flatten()])
    values = [np.float32([1.0, 2.0, 3.0]), np.random.default_rng(0).uniform(0.1, 1.0, (8, 3)).astype("float32")]
    encoder.set_weights(values)
    assert model.count_params() == 27
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    copies = keras.models.clone_model(model), keras.models.clone_model(model)
    copies[0].load_weights(tmp_path / "model.weights.h5")
    copies[1].set_weights(model.get_weights())
    for other in (loaded, *copies):
        for have, want in zip(other.get_weights(), values, strict=True):
            np.testing.assert_array_equal(have, want)
        np.testing.assert_array_equal(array(other.layers[0].spike_probability(X)), array(encoder.spike_probability(X)))
    config = json.loads(json.dumps(encoder.get_config()))
    assert type(encoder).from_config(config).get_config() == encoder.get_config()


def test_an_earlier_config_is_read():
    old = {"num_steps": 5, "burst_interval": 2, "mean_burst_size": 3.0, "intensity_map": "linear", "gamma": 2.0,
           "overflow": "truncate", "seed": 1, "name": "e", "trainable": True, "dtype": "float32"}  # fmt: skip
    assert not PoissonBurstEncoder.from_config(old).weights
    old = {"num_steps": 5, "mean_burst_size": 6.0, "margin": 4.0, "overflow": "drop", "silence": 0.0, "seed": 1}
    assert not DelayedBurstEncoder.from_config(old).weights


@pytest.mark.sampled(2)
@every_kind
def test_a_pipeline_encodes_with_the_trained_values(kind):
    from kerasburst.data.pipeline import make_dataset

    encoder = make(kind, **BOTH, per_feature=True)
    encoder.build(X.shape)
    encoder.set_weights([np.float32([0.5, 1.0, 300.0]), np.full((8, 3), 1.0, "float32")])
    x = np.ones((600, 3), "float32")
    batches = [spikes.numpy() for spikes, _ in make_dataset(x, np.zeros(600), encoder, 600, seed=0)]
    assert oracles.marginals_agree(
        np.concatenate(batches)[:, :, :2], np.clip(array(encoder.spike_probability(x[:1]))[0, :, :2], 0.0, 1.0)
    )


@pytest.mark.parametrize(
    "given, message",
    [
        ({"trainable_burst_size": 1}, "trainable_burst_size must be true or false, received 1"),
        ({"trainable_intensity_map": "yes"}, "trainable_intensity_map must be true or false, received 'yes'"),
        ({"per_feature": 2}, "per_feature must be true or false, received 2"),
        ({"gradient": "straight"}, "gradient must be one of straight_through, score_function, received 'straight'"),
        ({"temperature": 0.0}, "temperature must be a finite number above 0, received 0.0"),
        ({**BOTH, "intensity_map": np.sqrt}, "intensity_map must be one of linear, power to be trained, received"),
        ({**BOTH, "mean_burst_size": 1e-4}, "mean_burst_size must be at least 0.001 to be trained, received 0.0001"),
        ({**BOTH, "intensity_map": "power", "gamma": 1e-4}, "gamma must be at least 0.001 to be trained"),
    ],
)
@pytest.mark.parametrize("kind", ["truncate", "drop"])
def test_bad_arguments(kind, given, message):
    if callable(given.get("intensity_map")) and backend.name == "torch":
        given = {**given, "intensity_map": ops.sqrt}
    with pytest.raises(ValueError) as error:
        make(kind, **given)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_features_and_spikes_that_do_not_fit():
    with pytest.raises(ValueError, match="known features for per_feature"):
        make("drop", **BOTH, per_feature=True).build((None, None))
    with pytest.raises(ValueError, match=r"spikes must be of shape \('batch', 5, 3\), received"):
        make("drop").log_prob(X, np.zeros((2, 4, 3)))
