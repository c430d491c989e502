"""What the processes of a profile do, done in this one on a small table."""

import json

import pytest

import kerasburst as kb
from kerasburst import records
from kerasburst.profiling import study as tasks
from kerasburst.profiling.cost import network_cost
from kerasburst.seeding import derive_seed

from .pretend import RUN_FLEET


class Stopped(Exception):
    pass


def _stop(*_, **__):
    raise Stopped


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """Plan a profile, and give its directory; the tasks are left to the test."""

    def plan(**how):
        small = {"dataset": "iris", "num_steps": 3, "epochs": 2, "batch_size": 50, "network": {"hidden_units": 4}}
        config = kb.ProfileConfig(**{"train": kb.TrainConfig(**small), "repeats": 1, "window_s": 0.05, **how})
        monkeypatch.setattr(RUN_FLEET, _stop)
        with pytest.raises(Stopped):
            kb.profile(config, tmp_path)
        return tmp_path

    return plan


def read(path):
    return json.loads(path.read_text())


def test_teach_counts_what_the_trained_network_does(planned):
    folder = planned(encodings=("rate_regular",))
    task = tasks.teaching(folder, "rate_regular")
    assert not tasks.task_path(task).exists()
    tasks.teach(**task.arguments)
    assert tasks.task_path(task).exists()
    record = read(tasks.record_path(folder, "rate_regular"))
    network = kb.load_model(tasks.record_path(folder, "rate_regular").with_suffix(".keras"))
    assert network.encoder is None
    data = kb.load_dataset("iris", seed=0)
    encoder = kb.RateEncoder(3, mode="regular")
    cost = network_cost(network, data.x_test, encoder=encoder, seed=derive_seed(0, "test"))
    assert record["cost"] == json.loads(json.dumps(records.to_json(cost))) and cost.examples == 30
    assert record["evaluation"]["queries"] == 1 and 0 <= record["evaluation"]["accuracy"] <= 1


@pytest.mark.thorough
def test_teach_trains_as_train_does(planned, tmp_path_factory):
    folder = planned(encodings=("poisson_burst",))
    tasks.teach(str(folder), "poisson_burst")
    plan = read(folder / "plan.json")["trainings"]["poisson_burst"]
    run = tmp_path_factory.mktemp("run") / "same"
    kb.train(records.from_json(kb.TrainConfig, plan), run)
    ours = kb.load_model(tasks.record_path(folder, "poisson_burst").with_suffix(".keras"))
    theirs = kb.load_network(run).with_encoder(None)
    assert all((a == b).all() for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True))


@pytest.mark.thorough
def test_teach_copies_a_runs_network(planned, tmp_path_factory):
    run = tmp_path_factory.mktemp("run") / "mine"
    small = {"dataset": "iris", "num_steps": 3, "epochs": 1, "network": {"hidden_units": 4}, "queries": 1, "seed": 5}
    kb.train(kb.TrainConfig(**small), run)
    config = kb.ProfileConfig.of_run(run)
    folder = planned(train=config.train, encodings=config.encodings, run=config.run)
    tasks.teach(str(folder), "rate")
    ours = kb.load_model(tasks.record_path(folder, "rate").with_suffix(".keras"))
    assert all((a == b).all() for a, b in zip(ours.get_weights(), kb.load_network(run).get_weights(), strict=False))
    assert read(tasks.record_path(folder, "rate"))["evaluation"]["examples"] == 30


@pytest.mark.sampled(2)
@pytest.mark.parametrize("mode, examples", [("train", 120), ("infer", 30)])
def test_measure(planned, mode, examples):
    folder = planned(encodings=("delayed_burst",), mode=mode)
    if mode == "infer":
        tasks.teach(str(folder), "delayed_burst")
    task = tasks.measuring(folder, "delayed_burst", 0)
    assert not tasks.task_path(task).exists()
    tasks.measure(**task.arguments)
    assert tasks.task_path(task).exists()
    found = read(tasks.measurement_path(folder, "delayed_burst", 0))
    assert (found["name"], found["repeat"], found["examples"]) == ("delayed_burst", 0, examples)
    assert found["passes"] >= 1 and found["region"]["wall_s"] >= 0.05
    assert found["region"]["peak_rss_mb"] > 100 and found["held_mb"] > 100
    lacking = [name for name, value in found["region"].items() if value is None and name != "gpu"]
    assert set(lacking) == set(found["region"]["reasons"])
