"""Trainings whose encoder is inside the network, and those against an attacker: runs, resuming, and who reads them."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

import kerasburst as kb
from kerasburst import files
from kerasburst.data.pipeline import make_dataset
from kerasburst.models.saving import weights_hash
from kerasburst.training.adversary import AdversarialModel, with_reference
from kerasburst.training.evaluation import load_network
from kerasburst.training.run_directory import RunDirectory
from kerasburst.training.setup import build, prepare, to_fit
from kerasburst.validation import InputError
from tests.eager import eagerly

pytestmark = pytest.mark.usefixtures("eagerly")

SMALL = {"dataset": "iris", "encoding": "poisson_burst", "num_steps": 4, "network": {"hidden_units": 8}, "queries": 2}
TRAINED = {**SMALL, "encoder": {"trainable": True}, "epochs": 2, "spike_cost": 0.1, "firing_penalty": 0.1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of a trained encoder, against an attacker."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with eagerly():
        kb.train(kb.TrainConfig(**TRAINED, adversary=0.5), folder)
    return folder


def test_the_run_holds_what_was_learnt(run):
    result = RunDirectory(run).result()
    encoder = load_network(run).encoder
    assert set(result.trained_encoder) == {"mean_burst_size", "intensity_map"}
    assert result.trained_encoder["mean_burst_size"] == pytest.approx(
        float(encoder.trained_values()["mean_burst_size"])
    )
    np.testing.assert_allclose(result.trained_encoder["intensity_map"], encoder.trained_values()["intensity_map"])
    assert result.trained_encoder["mean_burst_size"] != 3.0
    assert result.config.encoder["trainable_burst_size"] and result.config.encoder["trainable_intensity_map"]
    assert np.isfinite(result.loss) and 0 < result.firing_rates["input"] < 1


def test_the_reference_part_is_recorded_and_trains_nothing_else(run):
    splits = RunDirectory(run).splits()
    assert len(splits.reference) == round(0.2 * (len(splits.reference) + len(splits.train)))
    others = np.concatenate([splits.train, splits.validation, splits.test])
    assert not np.isin(splits.reference, others).any() and len(splits.unused) == 0
    with np.load(run / "splits.npz") as stored:
        assert "reference" in stored


def test_the_run_is_evaluated_and_predicted_with_the_trained_values(run):
    result = RunDirectory(run).result()
    evaluation = kb.evaluate(run, queries=2)
    assert evaluation.accuracies == result.test_accuracies and evaluation.firing_rates == result.firing_rates
    encoder = load_network(run).encoder
    data = prepare(result.config, RunDirectory(run).splits())[1]
    exact = keras.ops.convert_to_numpy(encoder.spike_probability(data.x_test)).mean()
    assert evaluation.firing_rates["input"] == pytest.approx(exact, abs=0.05)
    answer = kb.predict(run, data.x_test, queries=2, seed=0)
    assert answer.probabilities.shape == (len(data.x_test), 3)


@pytest.mark.thorough
def test_killed_and_resumed_it_comes_to_the_same(run, tmp_path):
    config = kb.TrainConfig(**TRAINED, adversary=0.5)
    kb.train(dataclasses.replace(config, epochs=1), tmp_path / "run")
    kb.train(config, tmp_path / "run", resume=True)
    whole, resumed = (RunDirectory(each).result() for each in (run, tmp_path / "run"))
    assert resumed.weights == whole.weights and resumed.trained_encoder == whole.trained_encoder
    assert (resumed.loss, resumed.test_accuracies) == (whole.loss, whole.test_accuracies)


@pytest.mark.thorough
@pytest.mark.parametrize("format", ["savedmodel", "litert", "onnx"])
def test_an_export_has_the_trained_values(run, tmp_path, format):
    if format == "onnx":
        pytest.importorskip("tf2onnx")
    changed = tmp_path / "run"  # far from where the encoder began, so that initial values would be seen
    shutil.copytree(run, changed)
    network = load_network(run)
    network.encoder.set_weights([np.float32(0.4), np.linspace(0.9, 0.1, 8, dtype="float32")])
    network.save(changed / "model.keras")
    files.write_json(
        changed / "result.json", {**files.read_json(run / "result.json"), "weights": weights_hash(network)}
    )
    run = changed
    kb.export.export_run(run, tmp_path / "out", format)  # compared with the run's network as it is written
    x = np.random.default_rng(0).random((5, 4)).astype("float32")
    ours, theirs = (kb.predict(each, x, queries=3, seed=5).logits for each in (run, tmp_path / "out"))
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4)


def test_untrained_checkpoints_are_as_they_were(tmp_path):
    kb.train(kb.TrainConfig(**SMALL, epochs=1), tmp_path / "run")
    result = RunDirectory(tmp_path / "run").result()
    assert result.trained_encoder is None
    with np.load(tmp_path / "run" / "checkpoint.npz") as stored:
        assert not [name for name in stored if name.startswith("seed")]
    with np.load(tmp_path / "run" / "splits.npz") as stored:
        assert "reference" not in stored


def test_what_fit_trains():
    config, data = prepare(kb.TrainConfig(**SMALL, epochs=1))
    network, encoder = build(config, data)
    assert to_fit(network, encoder, config) is network
    config, data = prepare(kb.TrainConfig(**{**TRAINED, "spike_cost": 0.3, "learning_rate": 0.01}))
    network, encoder = build(config, data)
    model = to_fit(network, encoder, config)
    assert type(model) is kb.EncodedModel and model.spike_cost == 0.3
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert network.hidden_lif.spike_regularizer.strength == 0.1 and network.output_lif.spike_regularizer is None


# The adversary --------------------------------------------------------------------------------


def game(weight=2.0, **arguments):
    encoder = kb.PoissonBurstEncoder(3, trainable_burst_size=True, seed=0, **arguments)
    network = kb.SNNFCNet(2, hidden_units=4, seed=0)
    model = AdversarialModel(encoder, network, weight=weight, seed=1)
    model.build((None, 5))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


X = np.random.default_rng(0).uniform(0.2, 0.9, (8, 5)).astype("float32")
Y = np.arange(8) % 2
WEIGHTS = np.float32([8 / 6] * 6 + [0, 0])


def tape_gradients(model, variables, **fit):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("of TensorFlow: its tape")
    model.encoder.seed_generator.state.assign(model.encoder.seed_generator.state * 0 + 7)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(X, Y, model(X, training=True), fit.get("weights", WEIGHTS), training=True)
    return float(loss), tape.gradient(loss, variables)


def test_the_value_is_the_members_cross_entropy():
    model = game()
    loss, _ = tape_gradients(model, model.trainable_variables)
    model.encoder.seed_generator.state.assign(model.encoder.seed_generator.state * 0 + 7)
    logits = keras.ops.convert_to_numpy(model(X))[:6]
    want = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(6), Y[:6]])
    assert loss == pytest.approx(want, rel=1e-5)


def test_the_gradients_are_those_of_the_game():
    """The attacker descends its loss b; network and encoder descend cross-entropy - weight b."""
    plain, doubled = game(weight=0.0), game(weight=2.0)
    variables = [each.trainable_variables for each in (plain, doubled)]
    gradients = [tape_gradients(m, v)[1] for m, v in zip((plain, doubled), variables, strict=True)]
    attackers = {id(v) for v in (*plain.attacker.trainable_variables, *doubled.attacker.trainable_variables)}

    # b by hand, differentiated by TensorFlow without any change of sign
    import tensorflow as tf

    model = game(weight=2.0)
    model.encoder.seed_generator.state.assign(model.encoder.seed_generator.state * 0 + 7)
    with tf.GradientTape() as tape:
        _, mem = model.model.respond(model.encoder(X), True)
        seen = tf.concat([tf.reshape(mem, (8, -1)), tf.one_hot(Y, 2)], axis=1)
        h = tf.sigmoid(model.attacker(seen)[:, 0])
        b = -(tf.reduce_mean(tf.math.log(h[:6])) + tf.reduce_mean(tf.math.log(1 - h[6:]))) / 2
    of_b = tape.gradient(b, model.trainable_variables)
    for variable, without, with_game, by_hand in zip(variables[0], *gradients, of_b, strict=True):
        want = by_hand if id(variable) in attackers else without - 2.0 * by_hand
        np.testing.assert_allclose(with_game, want, rtol=1e-4, atol=1e-6, err_msg=variable.path)


@pytest.mark.thorough
def test_the_attacker_learns_what_leaks():
    """Members whose label can be read from the input leave other membranes than random ones."""
    model = game(weight=0.0)
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.concatenate([np.full((64, 5), 0.9), np.full((64, 5), 0.1)]).astype("float32")
    y, weights = np.arange(128) % 2, np.float32([2.0] * 64 + [0.0] * 64)
    model.fit(x, y, sample_weight=weights, epochs=4, batch_size=128, verbose=0)
    _, mem = model.model.respond(model.encoder(x))
    seen = np.concatenate([np.reshape(mem, (128, -1)), np.eye(2)[y]], axis=1)
    score = keras.ops.convert_to_numpy(model.attacker(seen.astype("float32")))[:, 0]
    assert score[:64].mean() > score[64:].mean()


def test_batches_of_members_and_reference_examples():
    member = lambda first: make_dataset(np.full((5, 1), 0.2), np.zeros(5, int), None, 2, 0, first, num_epochs=3 - first)  # noqa: E731
    x = np.float32([[0.5], [0.6], [0.7]])
    given = {"batch_size": 2, "steps": 3, "seed": 3}
    batches = list(with_reference(member(0), x, np.ones(3, int), **given, epochs=range(3)))
    assert len(batches) == 9
    for intensities, labels, weights in batches:
        mine = intensities.numpy()[:, 0] == np.float32(0.2)
        np.testing.assert_array_equal(labels, ~mine)
        np.testing.assert_allclose(weights, np.where(mine, len(mine) / mine.sum(), 0.0))
        assert 0 < mine.sum() < len(mine) and (np.diff(mine.astype(int)) <= 0).all()
    later = list(with_reference(member(1), x, np.ones(3, int), **given, epochs=range(1, 3)))
    for one, other in zip(batches[3:], later, strict=True):
        np.testing.assert_array_equal(one[0], other[0])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"adversary": -1.0}, "adversary must be a finite number of at least 0, received -1.0"),
        ({"spike_cost": "much"}, "spike_cost must be a finite number of at least 0, received 'much'"),
        ({"firing_penalty": -0.5}, "firing_penalty must be a finite number of at least 0, received -0.5"),
        ({"reference_split": 1.0}, "reference_split must be a finite number above 0 and below 1, received 1.0"),
        ({"adversary": 1.0, "epsilon": 8.0}, "adversary and epsilon exclude each other, received 1.0 and 8.0"),
        ({"adversary": 1.0, "encoding": "none"}, "adversary must be 0 with the encoding none, received 1.0"),
        ({"encoder": {"trainable": "yes"}}, "encoder.trainable must be true or false, received 'yes'"),
    ],
)
def test_bad_configs(arguments, message):
    with pytest.raises(InputError) as error:
        kb.TrainConfig(**arguments)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"encoding": "rate", "encoder": {"trainable": True}}, "encoder.trainable_burst_size is unknown"),
        ({"spike_cost": 1.0}, "spike_cost needs an encoder that is trained, received 1 without one"),
        ({"adversary": 1.0, "reference_split": 0.001}, "reference_split must leave at least 1 reference"),
    ],
)
def test_configs_that_do_not_fit(arguments, message, tmp_path):
    with pytest.raises(InputError) as error:
        kb.train(kb.TrainConfig(**{**SMALL, **arguments}), tmp_path / "run")
    assert message in str(error.value) and not (tmp_path / "run").exists()


def test_the_old_form_of_a_result_is_read(run):
    value = json.loads((run / "result.json").read_text())
    for name in ("trained_encoder", "privacy"):
        value.pop(name)
    for name in ("spike_cost", "firing_penalty", "adversary", "reference_split"):
        value["config"].pop(name)
    from kerasburst import records
    from kerasburst.training.result import TrainResult

    assert records.from_json(TrainResult, value).trained_encoder is None
