"""`EncodedModel` on whichever backend Keras runs: what reaches the encoder, and what is saved."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasburst as kb
from kerasburst.models.encoded import EncodedModel, score_function_term
from tests.neurons.common import gradients

pytestmark = pytest.mark.usefixtures("eagerly")

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def array(tensor):
    return ops.convert_to_numpy(tensor)


def data(n=256):
    """Return two classes that bright and dark halves tell apart."""
    y = np.arange(n) % 2
    x = np.where((np.arange(8) < 4) == y[:, None], 0.7, 0.2).astype("float32")
    return np.clip(x + np.random.default_rng(0).normal(0, 0.1, x.shape), 0, 1).astype("float32"), y


def make(gradient="straight_through", encoder=kb.PoissonBurstEncoder, **arguments):
    layer = encoder(6, trainable_burst_size=True, trainable_intensity_map=True, gradient=gradient, seed=1)
    network = kb.SNNFCNet(2, hidden_units=16, seed=0)
    model = EncodedModel(layer, network, **arguments)
    model.compile(keras.optimizers.Adam(0.02), LOSS, metrics=["accuracy"])
    model.build((None, 8))
    return model


@pytest.mark.compiled
@pytest.mark.thorough
@pytest.mark.parametrize("gradient", ["score_function", "straight_through"])
@pytest.mark.parametrize("encoder", [kb.PoissonBurstEncoder, kb.DelayedBurstEncoder])
def test_encoder_and_network_learn(gradient, encoder):
    model, (x, y) = make(gradient, encoder), data()
    before = model.get_weights()
    history = model.fit(x, y, batch_size=32, epochs=3, verbose=0, shuffle=False).history
    assert history["loss"][-1] < 0.67 and history["accuracy"][-1] > 0.58  # of two classes: log 2 and 0.5 by chance
    assert all((new != old).any() for new, old in zip(model.get_weights(), before, strict=True))
    slopes = model.encoder.trained_values()["intensity_map"]
    assert (slopes > 0).all() and slopes.mean() < 1 + 1e-6
    assert model._log_prob is None


def test_a_network_with_the_encoder_inside_learns_too():
    encoder = kb.PoissonBurstEncoder(6, trainable_burst_size=True, seed=1)
    network, (x, y) = kb.SNNFCNet(2, hidden_units=8, encoder=encoder, seed=0), data(64)
    network.compile(keras.optimizers.Adam(0.02), LOSS)
    network.fit(x, y, batch_size=32, epochs=1, verbose=0, shuffle=False)
    assert encoder.trained_values()["mean_burst_size"] != 3.0
    assert sum(weight.path.endswith("mean_burst_size") for weight in network.trainable_weights) == 1


@pytest.mark.thorough
def test_the_cost_of_spikes_lowers_them():
    model, (x, y) = make(spike_cost=50.0), data()
    before = float(array(ops.mean(model.encoder.spike_probability(x))))
    model.fit(x, y, batch_size=32, epochs=2, verbose=0, shuffle=False)
    assert float(array(ops.mean(model.encoder.spike_probability(x)))) < 0.9 * before


def test_the_cost_of_spikes_is_the_mean_probability():
    x, y = data(4)
    logits = ops.zeros((4, 2))
    costs = [array(make(spike_cost=c).compute_loss(x, y, logits)) for c in (0.0, 2.0)]
    p = array(make().encoder.spike_probability(x)).mean()
    assert costs[1] - costs[0] == pytest.approx(2.0 * p, rel=1e-5)
    assert costs[0] == pytest.approx(np.log(2.0), rel=1e-6)


def test_the_term_has_no_value_and_the_leave_one_out_gradient():
    losses, log_p = np.float32([1.0, 2.0, 6.0]), np.float32([-1.0, -2.0, -3.0])
    assert float(score_function_term(losses, ops.convert_to_tensor(log_p))) == 0.0
    (found,) = gradients(lambda given: score_function_term(losses, given), log_p)
    np.testing.assert_allclose(found, [(1 - 4) / 3, (2 - 3.5) / 3, (6 - 1.5) / 3], rtol=1e-6)
    (alone,) = gradients(lambda given: score_function_term(losses[:1], given), log_p[:1])
    assert alone == losses[0]


def test_sample_weights_scale_the_losses():
    model, (_, y) = make("score_function"), data(3)
    logits, weight = np.float32([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]]), np.float32([2.0, 0.0, 1.0])
    want = (np.log(np.exp(logits).sum(1)) - logits[np.arange(3), y]) * weight
    np.testing.assert_allclose(
        array(model.losses_of_examples(y, ops.convert_to_tensor(logits), weight)), want, rtol=1e-5
    )


def test_the_loss_may_stand_in_a_list_and_a_sum_is_refused():
    encoder = kb.PoissonBurstEncoder(4, trainable_burst_size=True, gradient="score_function", seed=0)
    model = EncodedModel(encoder, kb.SNNFCNet(2, hidden_units=4, seed=0))
    x, y = np.full((4, 3), 0.5, "float32"), np.array([0, 1, 0, 1])
    loss = keras.losses.SparseCategoricalCrossentropy
    model.compile("sgd", [loss(from_logits=True)])
    model.train_on_batch(x, y)
    model.compile("sgd", loss(from_logits=True, reduction="sum"))
    with pytest.raises(kb.InputError, match="loss must be one, with the reduction sum_over_batch_size"):
        model.train_on_batch(x, y)


def test_a_saved_model_has_the_trained_values(tmp_path):
    model, (x, _) = make(spike_cost=0.1), data(64)
    values = [np.float32(1.2), np.linspace(0.2, 0.9, 8, dtype="float32")]
    model.encoder.set_weights(values)
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.spike_cost == 0.1
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(array(loaded.encoder.spike_probability(x)), array(model.encoder.spike_probability(x)))
    spikes = (np.random.default_rng(0).random((5, 6, 8)) < 0.5).astype("float32")
    network = model.model.with_encoder(model.encoder)
    network.save(tmp_path / "network.keras")
    again = kb.load_model(tmp_path / "network.keras")
    np.testing.assert_allclose(
        array(again.with_encoder(None)(spikes)), array(model.model(spikes)), rtol=1e-5, atol=1e-5
    )
    clone = keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    for other in (again, clone):
        for name, value in model.encoder.trained_values().items():
            np.testing.assert_array_equal(other.encoder.trained_values()[name], value)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"encoder": "rate"}, "encoder must be an encoder layer, received 'rate'"),
        ({"model": None}, "model must be a Keras model of spikes, received None"),
        ({"spike_cost": -1.0}, "spike_cost must be a finite number of at least 0, received -1.0"),
    ],
)
def test_bad_arguments(arguments, message):
    good = {"encoder": kb.RateEncoder(2), "model": kb.SNNFCNet(2)}
    with pytest.raises(kb.InputError) as error:
        EncodedModel(**{**good, **arguments})
    assert str(error.value) == message
