import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from kerasburst import InputError, PoissonBurstEncoder, RateEncoder, SNNFCNet
from kerasburst.data.pipeline import make_dataset
from kerasburst.models.saving import weights_hash
from kerasburst.privacy.signals import (
    collect_dropped,
    collect_replay,
    collect_signals,
    fed_probabilities,
    replay_rows,
    store,
    stored_key,
)
from kerasburst.privacy.statistics import phi

pytestmark = pytest.mark.usefixtures("eagerly")

X = np.random.default_rng(0).uniform(0.2, 0.8, (10, 4)).astype("float32")


@pytest.fixture(scope="module")
def network():
    network = SNNFCNet(3, hidden_units=6, seed=1)
    network.build((None, 5, 4))
    return network


def test_each_query_is_the_networks_answer_to_that_encoding(network):
    encoder = RateEncoder(5)
    signals = collect_signals(network, X, encoder=encoder, queries=3, seed=7, batch_size=4)
    assert signals.logits.shape == (10, 3, 3) and signals.trace.shape == (10, 3, 5, 3) and signals.queries == 3
    for query in range(3):
        spikes, _ = next(iter(make_dataset(X, np.arange(10), encoder, 10, 7, epoch=query)))
        np.testing.assert_allclose(signals.logits[:, query], network(spikes), atol=1e-5)
        np.testing.assert_allclose(signals.trace[:, query], network.membrane_trace(spikes), atol=1e-5)


def test_queries_differ_and_fewer_are_the_first_of_more(network):
    three = collect_signals(network, X, encoder=PoissonBurstEncoder(5), queries=3, seed=0)
    one = collect_signals(network, X, encoder=PoissonBurstEncoder(5), queries=1, seed=0)
    np.testing.assert_allclose(one.logits[:, 0], three.logits[:, 0], atol=1e-6)
    assert not np.allclose(three.logits[:, 0], three.logits[:, 1])
    assert not np.allclose(
        one.logits, collect_signals(network, X, encoder=PoissonBurstEncoder(5), queries=1, seed=1).logits
    )


def test_a_deterministic_encoder_is_asked_once(network):
    assert collect_signals(network, X, encoder=RateEncoder(5, mode="regular"), queries=4).queries == 1


def test_the_order_is_shuffled_and_the_answers_are_not():
    seen = []

    class Spy(keras.Model):
        def call(self, inputs):
            tf.py_function(lambda x: seen.extend(x.numpy()[:, 0].tolist()), [inputs], [])
            return inputs

    x = np.arange(50, dtype="float32")[:, None].repeat(2, 1)
    spy = Spy()
    np.testing.assert_array_equal(collect_signals(spy, x, batch_size=8).logits[:, 0], x)
    assert sorted(seen) == list(range(50)) and seen != sorted(seen)
    assert abs(np.corrcoef(seen, np.arange(50))[0, 1]) < 0.5


def test_any_keras_classifier(network):
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    signals = collect_signals(plain, X)
    np.testing.assert_allclose(signals.logits[:, 0], plain(X), atol=1e-6)
    assert signals.trace is None
    softmax = keras.Sequential([plain, keras.layers.Softmax()])
    from_probabilities = collect_signals(softmax, X, outputs="probabilities").logits
    np.testing.assert_allclose(from_probabilities, special.log_softmax(signals.logits, -1), atol=1e-5)
    recurrent = keras.Sequential([keras.Input((6, 4)), keras.layers.SimpleRNN(3, return_sequences=True)])
    traces = collect_signals(recurrent, X[:, None].repeat(6, 1))
    assert traces.trace.shape == (10, 1, 6, 3)
    np.testing.assert_array_equal(traces.logits, traces.trace[:, :, -1])


def test_bypass_is_the_answer_to_the_exact_probabilities(network):
    encoder = PoissonBurstEncoder(5)
    signals = fed_probabilities(network, encoder, X, batch_size=3)
    np.testing.assert_allclose(signals.logits[:, 0], network(encoder.spike_probability(X)), atol=1e-5)


def test_bad_input(network):
    with pytest.raises(InputError, match="x must be at least one example with features"):
        collect_signals(network, X[:0])
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(InputError, match="queries must be 1 for a model that answers all of them alike, received 2"):
        collect_signals(plain, X, queries=2)
    image = keras.Sequential([keras.Input((4,)), keras.layers.Reshape((2, 2, 1))])
    with pytest.raises(InputError, match=r"model must give logits \(batch, C\) or a trace"):
        collect_signals(image, X)
    with pytest.raises(InputError, match="outputs must be one of logits, probabilities"):
        collect_signals(plain, X, outputs="softmax")


WEIGHTS = np.random.default_rng(3).normal(size=(4, 3))


def linear(x):
    return x @ WEIGHTS


def test_a_function_of_arrays_and_log_probabilities_are_answers():
    logits = collect_signals(linear, X).logits
    np.testing.assert_allclose(logits[:, 0], X @ WEIGHTS, rtol=1e-5)
    logged = collect_signals(lambda x: special.log_softmax(linear(x), axis=-1), X).logits
    labels = np.arange(10) % 3
    np.testing.assert_allclose(phi(logged, labels), phi(logits, labels), atol=1e-4)
    asked = collect_signals(lambda x: special.softmax(linear(x), axis=-1), X, outputs="probabilities").logits
    np.testing.assert_allclose(phi(asked, labels), phi(logits, labels), atol=1e-4)


def test_a_trace_of_probabilities_becomes_one_of_logits():
    signals = collect_signals(
        lambda x: special.softmax(np.stack([0 * linear(x), linear(x)], axis=1), axis=-1), X, outputs="probabilities"
    )
    np.testing.assert_allclose(signals.trace[:, 0, 0], np.log(np.full((10, 3), 1 / 3)), rtol=1e-5)
    np.testing.assert_array_equal(signals.trace[:, :, -1], signals.logits)


def softmax(x):
    return special.softmax(linear(x), axis=-1)


PROBABILITIES = "model must return logits, its answers are probabilities"


@pytest.mark.parametrize(
    "model, options, message",
    [
        (softmax, {}, PROBABILITIES),
        (lambda x: softmax(x).astype("float16"), {}, PROBABILITIES),
        (lambda x: np.eye(3)[linear(x).argmax(-1)], {}, PROBABILITIES),  # one-hot predictions
        (lambda x: np.stack([softmax(x)] * 2, axis=1), {}, PROBABILITIES),  # at each of two steps
        (lambda x: (linear(x) > 0) * 1.0, {}, "model must return logits, its answers are spikes, 0 and 1"),
        (lambda x: np.stack([linear(x) > 0, 0 * linear(x)], axis=1), {}, "its answers are spikes"),
        (lambda x: linear(x) + 1j, {}, "model must return one array of numbers"),
        (linear, {"outputs": "probabilities"}, "model must return probabilities (0 to 1, rows that sum to 1)"),
        (lambda x: 100 * softmax(x), {"outputs": "probabilities"}, "model must return probabilities"),
        (lambda x: linear(x) * np.nan, {}, "model must return finite numbers, 30 of 30 are not"),
        (lambda x: np.where(np.arange(3) == 0, -np.inf, linear(x)), {}, "finite numbers, 10 of 30 are not"),
        (lambda x: linear(x)[:, :1], {}, "model must return at least 2 columns, received 1: for one logit z"),
        (lambda x: linear(x)[:, 0], {}, "model must give logits (batch, C) or a trace"),
        (lambda x: linear(x)[1:], {}, "model must return (10, 3) for a batch, received the shape (9, 3)"),
        (lambda x: [linear(x), linear(x)[:2]], {}, "model must return one array of numbers"),
        (lambda x: "spam", {}, "model must return one array of numbers"),
        (lambda x: None, {}, "model must"),
        ("a path", {}, "model must be a Keras model or a function, received 'a path'"),
        (linear, {"batch_size": 0}, "batch_size must be an integer of at least 1"),
        (linear, {"seed": -1}, "seed must be an integer of at least 0"),
    ],
)
def test_answers_that_are_no_logits(model, options, message):
    with pytest.raises(InputError, match=re.escape(message)) as error:
        collect_signals(model, X, **options)
    assert "\n" not in str(error.value)


def test_a_network_stays_silent_for_nan_and_is_not_asked(network):
    spikes = np.zeros((2, 6, 4), "float32")
    spikes[1, 2, 3] = np.nan
    with pytest.raises(InputError, match="x must hold finite numbers, received NaN"):
        collect_signals(network, spikes)


def test_columns_that_change_between_batches():
    with pytest.raises(InputError, match="model must return"):
        collect_signals(lambda x: linear(x)[:, : 3 if len(x) == 8 else 2], X, batch_size=8)


def test_a_keras_model_with_a_softmax_is_named_too(network):
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    with pytest.raises(InputError, match="give outputs='probabilities'"):
        collect_signals(plain, X)


def test_dropped_copies_are_answers_to_inputs_without_some_features():
    seen = []

    def spy(x):
        seen.append(x.copy())
        return linear(x)

    ones = np.ones((500, 4), "float32")
    logits = collect_dropped(spy, ones, rate=0.25, copies=3, batch_size=500, seed=5)
    assert logits.shape == (500, 3, 3) and set(np.unique(seen)) == {0.0, 1.0}
    assert np.mean(np.array(seen) == 0) == pytest.approx(0.25, abs=0.03)  # of 6000 features: 4.5 standard errors
    assert not np.array_equal(np.sort(seen[0], 0), np.sort(seen[1], 0))
    fewer = collect_dropped(linear, ones, rate=0.25, copies=2, seed=5)
    np.testing.assert_array_equal(fewer, logits[:, :2])
    np.testing.assert_array_equal(np.unique(logits[:, 0].round(4), axis=0).shape[0] <= 16, True)  # of 2^4 masks
    with pytest.raises(InputError, match="rate must be a finite number above 0 and below 1"):
        collect_dropped(linear, ones, rate=0.0)


def test_dropped_intensities_are_encoded(network):
    logits = collect_dropped(network, X, encoder=RateEncoder(5), rate=0.5, copies=2)
    assert logits.shape == (10, 2, 3) and not np.allclose(logits[:, 0], logits[:, 1])


@pytest.mark.thorough
def test_replay_asks_with_the_spikes_of_training(network):
    encoder, train = RateEncoder(5), np.array([7, 2, 9, 4])
    x = np.random.default_rng(4).uniform(0.2, 0.8, (10, 4)).astype("float32")
    rows = replay_rows(np.arange(10), train, seed=1)
    assert rows[train].tolist() == [0, 1, 2, 3] and set(rows) <= set(range(4))
    logits = collect_replay(network, x, rows, encoder=encoder, seed=11, epochs=[0, 3], batch_size=3)
    assert logits.shape == (10, 2, 3)
    for place, epoch in enumerate((0, 3)):
        spikes, index = next(iter(make_dataset(x[train], np.arange(4), encoder, 4, 11, epoch=epoch, shuffle=True)))
        np.testing.assert_allclose(logits[train[index], place], network(spikes), atol=1e-5)
    # A point that was not there is encoded as if it stood in its row.
    as_if = x[train].copy()
    as_if[rows[0]] = x[0]
    spikes, _ = next(iter(make_dataset(as_if, np.arange(4), encoder, 4, 11, epoch=3)))
    np.testing.assert_allclose(logits[0, 1], network(spikes)[int(rows[0])], atol=1e-5)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(rows=[0]), "rows must be a row of at least 0 for each of 10 examples"),
        (dict(rows=np.full(10, -1)), "rows must be a row of at least 0"),
        (dict(rows=np.zeros(10)), "rows must be a row of at least 0"),
        (dict(epochs=[]), "epochs must be one or more numbers"),
        (dict(epochs=[-1]), "epochs must be an integer of at least 0"),
    ],
)
def test_bad_replay(network, change, message):
    given = dict(rows=np.arange(10), epochs=[0]) | change
    with pytest.raises(InputError, match=re.escape(message)):
        collect_replay(network, X, encoder=RateEncoder(5), seed=0, **given)


def test_a_frozen_encoder_is_found_out(network):
    class Frozen(RateEncoder):
        def encode(self, x, seed):
            return super().encode(x, tf.zeros_like(seed))

    x = np.full((300, 4), 0.5, "float32")
    with pytest.raises(RuntimeError, match="have the same encodings"):
        collect_signals(network, x, encoder=Frozen(5), queries=2)


def test_arrays_are_stored_under_their_key(tmp_path):
    path = tmp_path / "signals.npz"
    assert stored_key(path) is None
    store(path, '{"seed": 0}', {"a": np.arange(3)})
    with np.load(path) as stored:
        assert stored["a"].tolist() == [0, 1, 2]
    assert stored_key(path) == '{"seed": 0}'
    path.write_bytes(path.read_bytes()[:50])
    assert stored_key(path) is None


def test_weights_hash_sees_every_weight(network):
    before = weights_hash(network)
    copy = network.with_encoder(None)
    assert weights_hash(copy) == before
    copy.weights[-1].assign_add(np.full(copy.weights[-1].shape, 1e-7, "float32") + copy.weights[-1] * 1e-6)
    assert weights_hash(copy) != before
