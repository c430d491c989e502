import keras
import numpy as np
import pytest

from kerasburst.config import TrainConfig
from kerasburst.training import fit


class Batches(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen, self.rows = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(batch)

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append(logs)


def trained(config, at_once, monkeypatch):
    monkeypatch.setattr("kerasburst.models.snn_fc_net.SNNFCNet.steps_at_once", at_once)
    config, data = fit.prepare(config)
    network, encoder = fit.build(config, data)
    batches = Batches()
    fit.run_epochs(network, encoder, config, data, callbacks=[batches])
    return network.get_weights(), batches, -(-len(data.x_train) // config.batch_size)


@pytest.mark.thorough
def test_several_steps_a_call_train_as_one_at_a_time(monkeypatch):
    # 90 examples of iris in batches of 24: four, the last of them of 18
    options = {"epochs": 2, "batch_size": 24, "validation_split": 0.25, "num_steps": 4, "network": {"hidden_units": 8}}
    config = TrainConfig(dataset="iris", encoding="rate", **options)
    one, each, steps = trained(config, 1, monkeypatch)
    many, together, _ = trained(config, 3, monkeypatch)
    assert steps == 4
    assert each.seen == [0, 1, 2, 3] * 2
    assert together.seen == [1, 3] * 2
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a, b)
    assert each.rows == together.rows
    assert {"val_loss", "val_accuracy"} <= set(together.rows[0])


@pytest.mark.parametrize(("steps", "expected"), [(1, 1), (15, 5), (18, 9), (32, 8), (34, 2), (37, 1)])
def test_a_call_ends_with_the_epoch(steps, expected):
    config = TrainConfig(dataset="iris", encoding="rate").resolved("tabular", 1)
    assert fit._steps_at_once(config.make_network(3), steps) == expected


def test_a_convolutional_network_goes_step_by_step():
    config = TrainConfig(dataset="digits", encoding="rate").resolved("image", 1)
    assert fit._steps_at_once(config.make_network(10), 15) == 1


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("dataset", "network"), [("iris", {"hidden_units": 4}), ("digits", {"filters": (2, 2), "hidden_units": 4})]
)
def test_a_step_is_traced_once(monkeypatch, dataset, network):
    options = {"epochs": 2, "num_steps": 3, "train_limit": 90, "batch_size": 30, "network": network}
    config = TrainConfig(dataset=dataset, encoding="rate", **options)
    config, data = fit.prepare(config)
    network, encoder = fit.build(config, data)
    calls, call = [], type(network).call
    monkeypatch.setattr(
        type(network), "call", lambda *arguments, **options: calls.append(1) or call(*arguments, **options)
    )
    fit.run_epochs(network, encoder, config, data)
    assert len(calls) == 1
