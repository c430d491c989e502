"""Losses by hand, and against snnTorch's where it is installed; on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasburst as kb

pytestmark = pytest.mark.usefixtures("eagerly")

LABELS = np.array([2, 0, 1, 2])
SPIKES = (np.random.default_rng(0).uniform(size=(4, 7, 3)) < 0.4).astype("float32")
MEMBRANES = np.random.default_rng(1).normal(size=(4, 7, 3)).astype("float32")


def log_softmax(z):
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def by_hand():
    at = (np.arange(4), LABELS)
    one_hot = np.eye(3)[LABELS]
    rate = -np.mean([log_softmax(SPIKES[:, t])[at] for t in range(7)])
    count = SPIKES.sum(1)
    return [
        (kb.CERateLoss(), SPIKES, rate),
        (kb.CECountLoss(), SPIKES, -np.mean(log_softmax(count)[at])),
        (kb.CEMaxMembraneLoss(), MEMBRANES, -np.mean(log_softmax(MEMBRANES.max(1))[at])),
        (kb.MSECountLoss(), SPIKES, np.mean((count - 7 * one_hot) ** 2) / 7),
        # floor(7 * 0.8) = 5, floor(7 * 0.2) = 1
        (kb.MSECountLoss(0.8, 0.2), SPIKES, np.mean((count - 1 - 4 * one_hot) ** 2) / 7),
        (kb.MSEMembraneLoss(), MEMBRANES, np.mean((MEMBRANES - one_hot[:, None]) ** 2)),
        (kb.MSEMembraneLoss(2.0, 0.25), MEMBRANES, np.mean((MEMBRANES - 0.25 - 1.75 * one_hot[:, None]) ** 2)),
    ]


@pytest.mark.parametrize("number", range(7))
def test_by_hand(number):
    loss, outputs, want = by_hand()[number]
    assert float(loss(LABELS, outputs)) == pytest.approx(want, rel=1e-5)
    assert float(loss(LABELS[:, None], outputs)) == pytest.approx(want, rel=1e-5)  # Keras' column of labels
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert float(copy(LABELS, outputs)) == pytest.approx(want, rel=1e-5)
    each = ops.convert_to_numpy(loss.call(LABELS, outputs))
    weights = np.float32([1, 0, 0, 0])
    assert float(loss(LABELS, outputs, sample_weight=weights)) == pytest.approx(each[0] / 4, rel=1e-5)


@pytest.mark.parametrize("number", range(7))
def test_against_snntorch(number):
    torch, functional = pytest.importorskip("torch"), pytest.importorskip("snntorch.functional")
    theirs = [
        functional.ce_rate_loss(),
        functional.ce_count_loss(),
        functional.ce_max_membrane_loss(),
        functional.mse_count_loss(),
        functional.mse_count_loss(0.8, 0.2),
        functional.mse_membrane_loss(),
        functional.mse_membrane_loss(on_target=2, off_target=0.25),
    ][number]
    loss, outputs, _ = by_hand()[number]
    want = float(theirs(torch.tensor(outputs.swapaxes(0, 1)), torch.tensor(LABELS)))
    assert float(loss(LABELS, outputs)) == pytest.approx(want, rel=1e-5)


def test_firing_rate_by_hand():
    rates = SPIKES.mean(1)
    want = 0.5 * ((rates - 0.2) ** 2).mean(-1).sum()
    regularizer = kb.FiringRate(strength=0.5, target=0.2)
    assert float(regularizer(SPIKES)) == pytest.approx(want, rel=1e-5)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(regularizer))
    assert float(copy(SPIKES)) == pytest.approx(want, rel=1e-5)
    layer = kb.LIF(threshold=0.5, beta=0.0, activity_regularizer=copy, reset_mechanism="none")
    layer(SPIKES)  # spikes of 1 pass as they are
    assert float(ops.convert_to_numpy(layer.losses[0])) == pytest.approx(want / 4, rel=1e-5)


def test_l1_is_snntorchs_rate_sparsity():
    regularization = pytest.importorskip("snntorch.functional")
    import torch

    want = float(regularization.l1_rate_sparsity(1e-3)(torch.tensor(SPIKES)))
    assert float(keras.regularizers.L1(1e-3)(ops.convert_to_tensor(SPIKES))) == pytest.approx(want, rel=1e-5)


def test_a_model_is_trained_by_them():
    model = keras.Sequential([keras.Input((7, 3)), keras.layers.Dense(3), kb.LIF(threshold=0.3)])
    model.compile(keras.optimizers.Adam(0.05), kb.CECountLoss())
    losses = model.fit(SPIKES, LABELS, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kb.MSECountLoss(1.5), "correct_rate must be a finite number from 0 to 1, received 1.5"),
        (lambda: kb.FiringRate(-1.0), "strength must be a finite number of at least 0, received -1.0"),
        (lambda: kb.FiringRate(target=2.0), "target must be a finite number from 0 to 1, received 2.0"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(kb.InputError, match=message):
        make()


LOSSES = [kb.CERateLoss, kb.CECountLoss, kb.CEMaxMembraneLoss, kb.MSECountLoss, kb.MSEMembraneLoss]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("labels", "outputs", "message"),
    [
        (np.eye(3)[LABELS], SPIKES, r"y_true must be classes, of shape \(batch,\) or \(batch, 1\), not one-hot"),
        (LABELS[:3], SPIKES, "y_true must be one class for each of 4 predictions"),
        (LABELS + 1, SPIKES, "y_true must be classes from 0 to 2, received 1 to 3"),
        (LABELS - 1, SPIKES, "y_true must be classes from 0 to 2, received -1 to 1"),
        (LABELS + 0.5, SPIKES, "y_true must be classes from 0 to 2, received 0.5 to 2.5"),
        (LABELS, SPIKES[:, 0], r"y_pred must be of shape \(batch, time, classes\), received \(4, 3\)"),
        (LABELS, SPIKES[..., None], r"y_pred must be of shape \(batch, time, classes\)"),
    ],
    ids=["one-hot", "fewer", "above", "below", "halves", "no time", "images"],
)
def test_labels_and_outputs_that_do_not_fit(loss, labels, outputs, message):
    with pytest.raises(kb.InputError, match=message):
        loss()(labels, outputs)


def test_a_rate_needs_steps():
    for layer in (keras.layers.Dense(2, activity_regularizer=kb.FiringRate()), kb.LIF(return_sequences=False)):
        if isinstance(layer, kb.LIF):
            layer.spike_regularizer = kb.FiringRate()
        x = np.ones((2, 3) if isinstance(layer, keras.layers.Dense) else (2, 4, 3), "float32")
        with pytest.raises(kb.InputError, match="spikes of FiringRate must be of shape"):
            layer(x)


def test_a_readout_is_regularised_by_its_membrane():
    """mem = 1, 2 at two steps of one neuron: the sum of squares is 5 for each example."""
    layer = kb.LeakyIntegrator(1.0, activity_regularizer=keras.regularizers.L2(1.0))
    layer(np.ones((3, 2, 1), "float32"))
    assert float(layer.losses[0]) == pytest.approx(5.0)
