import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from kerasburst import InputError, PoissonBurstEncoder, RateEncoder, SNNFCNet
from kerasburst.data.pipeline import make_dataset
from kerasburst.models.saving import weights_hash
from kerasburst.privacy.signals import cached, collect_signals, fed_probabilities, stored_key

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


def test_a_frozen_encoder_is_found_out(network):
    class Frozen(RateEncoder):
        def encode(self, x, seed):
            return super().encode(x, tf.zeros_like(seed))

    x = np.full((300, 4), 0.5, "float32")
    with pytest.raises(RuntimeError, match="have the same encodings"):
        collect_signals(network, x, encoder=Frozen(5), queries=2)


def test_cache_is_read_under_the_same_key_only(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"a": np.arange(3)}

    path = tmp_path / "signals.npz"
    for _ in range(2):
        assert cached(path, {"seed": 0, "k": [1, 2]}, compute)["a"].tolist() == [0, 1, 2]
    assert len(calls) == 1
    cached(path, {"seed": 1, "k": [1, 2]}, compute)
    assert len(calls) == 2
    path.write_bytes(path.read_bytes()[:50])
    assert stored_key(path) is None
    cached(path, {"seed": 1, "k": [1, 2]}, compute)
    assert len(calls) == 3


def test_weights_hash_sees_every_weight(network):
    before = weights_hash(network)
    copy = network.with_encoder(None)
    assert weights_hash(copy) == before
    copy.weights[-1].assign_add(np.full(copy.weights[-1].shape, 1e-7, "float32") + copy.weights[-1] * 1e-6)
    assert weights_hash(copy) != before
