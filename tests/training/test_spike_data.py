"""Data that holds spikes, from a file to answers: trained, evaluated, saved, asked and exported without an encoder."""

import dataclasses

import numpy as np
import pytest

import kerasburst as kb
from kerasburst.config import takes_spikes
from kerasburst.validation import InputError

STEPS = 5


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on recordings in which even features or odd ones fire more: their path, their spikes, the run."""
    folder = tmp_path_factory.mktemp("spikes")
    y = np.arange(240) % 2
    share = np.where((np.arange(8) % 2 == y[:, None])[:, None, None, :, None], 0.5, 0.1)
    spikes = (np.random.default_rng(0).random((240, STEPS, 4, 8, 2)) < share).astype("uint8")
    np.savez(folder / "camera.npz", x=spikes, y=y, class_names=["even", "odd"])
    config = kb.TrainConfig(
        dataset=folder / "camera.npz",
        encoding="none",
        num_steps=STEPS,
        network={"hidden_units": 32},
        model="SNNFCNet",
        epochs=4,
        batch_size=32,
        learning_rate=5e-3,
    )
    return config, spikes, folder / "run", kb.train(config, folder / "run")


def test_it_learns_from_the_spikes_themselves(run):
    config, spikes, folder, result = run
    assert result.test_accuracy > 0.9
    test = kb.Splits.load(folder / "splits.npz").test
    assert result.firing_rates["input"] == pytest.approx(spikes[test].mean(), abs=1e-6)
    evaluation = kb.evaluate(folder)
    assert evaluation.accuracy == result.test_accuracy and evaluation.queries == 1
    network = kb.load_network(folder)
    np.testing.assert_allclose(network(spikes[:3]), network.with_encoder(None)(spikes[:3]), rtol=1e-6)
    again = network.with_encoder(None).with_encoder(kb.NoEncoder(STEPS))
    np.testing.assert_array_equal(again(spikes[:3]), network(spikes[:3]))


def test_it_answers_for_spikes_alone(run):
    _, spikes, folder, _ = run
    answer = kb.predict(folder, spikes[:4])
    np.testing.assert_array_equal(answer.probabilities, kb.predict(folder, spikes[:4].astype(bool)).probabilities)
    assert answer.queries == 1 and answer.labels == ("even", "odd", "even", "odd")
    with pytest.raises(InputError, match="input must be spikes, each 0 or 1, received 0 to 2"):
        kb.predict(folder, 2 * spikes[:4])
    with pytest.raises(InputError, match="input must be of shape"):
        kb.predict(folder, spikes[:4, :3])


@pytest.mark.thorough
def test_its_export_answers_alike(run, tmp_path):
    _, spikes, folder, _ = run
    manifest = kb.export.export_run(folder, tmp_path / "out", "savedmodel")
    assert manifest["preprocessing"]["inputs"] == "the model takes spikes, each 0 or 1"
    exported, own = (kb.predict(where, spikes[:4], seed=0) for where in (tmp_path / "out", folder))
    np.testing.assert_allclose(exported.probabilities, own.probabilities, rtol=1e-5)


def test_what_does_not_fit_is_one_line(run, tmp_path):
    config, _, _, _ = run
    for changed, message in (
        ({"num_steps": 10}, "^num_steps must be 5, the time steps of the spikes, received 10$"),
        (
            {"encoding": "rate"},
            r"^encoding must be none or event_burst for camera, which holds spikes of shape \(240, 5, 4, 8, 2\)$",
        ),
        ({"dataset": "iris"}, "^encoding must not be none or event_burst for iris, which holds no spikes$"),
    ):
        with pytest.raises(InputError, match=message):
            kb.train(dataclasses.replace(config, **changed), tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(
        InputError, match="encoding must be of none, event_burst alone, since the others do not take spikes"
    ):
        kb.AuditConfig(train=config, encodings=("none", "rate"))
    with pytest.raises(InputError, match="encoding must be of none, event_burst alone"):
        takes_spikes(["direct", "none"])


@pytest.mark.thorough
def test_an_audit_of_spike_data(run, tmp_path):
    config, _, _, _ = run
    audit = kb.AuditConfig(train=config, encodings=("none",), targets=1, shadows=4, tf_privacy=False)
    result = kb.audit(audit, tmp_path / "audit")
    assert list(result.encodings) == ["none"]
