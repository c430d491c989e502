"""A profile's directory and order, with a fleet that only pretends."""

import dataclasses
import json
import os
import shutil

import pytest

import kerasburst as kb
from kerasburst import records
from kerasburst.profiling import study as tasks
from kerasburst.profiling.cost import network_cost
from kerasburst.profiling.metrics import RegionProfile
from kerasburst.profiling.study import turns
from kerasburst.seeding import derive_seed
from kerasburst.validation import InputError
from tests.eager import eagerly

from .pretend import RUN_FLEET, Pretend, measurement


@pytest.fixture
def fleet(monkeypatch):
    def use(**how):
        pretend = Pretend(**how)
        monkeypatch.setattr(RUN_FLEET, pretend)
        return pretend

    return use


def config(**how):
    train = kb.TrainConfig(dataset="iris", num_steps=3, epochs=1, network={"hidden_units": 4})
    return kb.ProfileConfig(**{"train": train, "repeats": 2, **how})


def test_orders_rotate():
    names = ("rate", "rate_regular", "poisson_burst", "delayed_burst")
    order = turns(config(repeats=5))
    assert [name for name, _, repeat in order if repeat == 0] == list(names)
    assert [name for name, _, repeat in order if repeat == 1] == [*names[1:], names[0]]
    assert [name for name, _, repeat in order if repeat == 4] == list(names)
    for name in names:  # over four repeats each is once at each place
        assert {[n for n, _, r in order if r == repeat].index(name) for repeat in range(4)} == {0, 1, 2, 3}


def test_feeds_take_turns_with_the_encodings():
    order = turns(config(encodings=("rate", "poisson_burst"), feeds=("pipeline", "encoded")))
    first = [("rate", "pipeline"), ("rate", "encoded"), ("poisson_burst", "pipeline"), ("poisson_burst", "encoded")]
    assert order == [(*arm, 0) for arm in first] + [(*arm, 1) for arm in [*first[1:], first[0]]]


def test_directory_and_result(fleet, tmp_path):
    pretend = fleet(trace={"gpu": [[0.0, 50.0], [0.05, 75.5]]}, gpu_power_w=60.0)
    result = kb.profile(config(), tmp_path / "p")
    assert pretend.did[:4] == [f"{name}/network" for name in ("rate", "rate_regular", "poisson_burst", "delayed_burst")]
    assert pretend.did[4:6] == ["rate/measurement-0", "rate_regular/measurement-0"] and pretend.jobs == 1
    assert pretend.did[8] == "rate_regular/measurement-1" and len(pretend.did) == 12
    stored = json.loads((tmp_path / "p" / "profile.json").read_text())
    assert stored == json.loads(json.dumps(records.to_json(result)))
    one = stored["encodings"]["poisson_burst"]
    assert set(one["ratios"]) == {"rate", "rate_regular"} and one["ratios"]["rate"]["wall_s"] == [1.0, 1.0, 1.0]
    assert one["gpu_power_w"] == 60.0 and one["gpu_energy_j"] is None and one["reasons"]["gpu_energy_j"]
    assert stored["seed"] == 0 and stored["repeats"] == 2 and stored["mode"] == "train"
    assert stored["config"]["repeats"] == 2 and stored["trainings"]["rate_regular"]["encoder"]["mode"] == "regular"
    assert stored["data"]["examples"] == {"train": 120, "test": 30} and stored["machine"]["cores"] >= 1
    assert "one epoch of training" in stored["pass_is"] and "Horowitz" in stored["energy_source"]
    trace = (tmp_path / "p" / "power_trace.csv").read_text().splitlines()
    assert trace[:3] == [
        "encoding,repeat,device,seconds,power_w",
        "rate,0,gpu,0.0000,50.000",
        "rate,0,gpu,0.0500,75.500",
    ]
    assert len(trace) == 1 + 4 * 2 * 2


def test_no_power_no_trace(fleet, tmp_path):
    fleet()
    kb.profile(config(encodings=("delayed_burst",)), tmp_path)
    assert not (tmp_path / "power_trace.csv").exists()
    assert json.loads((tmp_path / "profile.json").read_text())["encodings"]["delayed_burst"]["ratios"] == {}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("after", [0, 2, 7])
def test_goes_on_where_it_was_stopped(fleet, tmp_path, after):
    fleet(stop_after=after)
    with pytest.raises(KeyboardInterrupt):
        kb.profile(config(), tmp_path / "p")
    with pytest.raises(InputError, match="unfinished profile: --resume goes on with it, --force replaces it"):
        kb.profile(config(), tmp_path / "p")
    again = fleet()
    kb.profile(config(), tmp_path / "p", resume=True)
    assert len(again.asked) == 12 and len(again.did) == 12 - after
    with pytest.raises(InputError, match="a finished profile"):
        kb.profile(config(), tmp_path / "p")


def test_another_config_does_not_go_on(fleet, tmp_path):
    fleet()
    kb.profile(config(), tmp_path)
    with pytest.raises(InputError, match="mode, repeats differs"):
        kb.profile(config(mode="infer", repeats=3), tmp_path, resume=True)
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "data": "another"}))
    with pytest.raises(InputError, match="dataset must be the data that the profile in .* was begun with"):
        kb.profile(config(), tmp_path, resume=True)


def test_force_replaces_what_is_ours(fleet, tmp_path):
    fleet()
    kb.profile(config(), tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "profile.png").write_bytes(b"old")
    again = fleet()
    kb.profile(config(mode="infer"), tmp_path, force=True)
    assert len(again.did) == 12 and (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "profile.png").exists()
    assert json.loads((tmp_path / "profile.json").read_text())["mode"] == "infer"


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"force": True}], ids=str)
def test_what_is_not_ours_stays(fleet, tmp_path, how):
    fleet()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"format": 1}')
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("text")
    (tmp_path / "file").write_text("text")
    for name, part in (("run", "profile's config"), ("full", "holds other files"), ("file", "is a file")):
        with pytest.raises(InputError, match=part):
            kb.profile(config(), tmp_path / name, **how)
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.tex"]
    assert (tmp_path / "run" / "config.json").read_text() == '{"format": 1}'


def test_both_feeds_side_by_side(fleet, tmp_path):
    pretend = fleet(gpu_power_w=60.0)
    result = kb.profile(config(encodings=("rate_regular", "poisson_burst"), feeds=("pipeline", "encoded")), tmp_path)
    assert [name for name in pretend.did if name.endswith("measurement-0")] == [
        *("rate_regular/measurement-0", "rate_regular/encoded/measurement-0"),
        *("poisson_burst/measurement-0", "poisson_burst/encoded/measurement-0"),
    ]
    assert list(result.encodings) == ["rate_regular", "rate_regular/encoded", "poisson_burst", "poisson_burst/encoded"]
    one = json.loads((tmp_path / "profile.json").read_text())["encodings"]["poisson_burst/encoded"]
    assert (one["encoding"], one["feed"], list(one["ratios"])) == ("poisson_burst", "encoded", ["rate_regular"])
    assert "encoding left out in /encoded" in result.pass_is
    assert {path.name for path in (tmp_path / "measurements").iterdir()} == {
        *("rate_regular-0.json", "rate_regular-1.json", "rate_regular-encoded-0.json", "rate_regular-encoded-1.json"),
        *("poisson_burst-0.json", "poisson_burst-1.json", "poisson_burst-encoded-0.json"),
        "poisson_burst-encoded-1.json",
    }


def test_ratios_are_to_the_same_feed(fleet, tmp_path):
    pretend = fleet()
    walls = {
        ("rate", "pipeline"): 8.0,
        ("rate", "encoded"): 2.0,
        ("latency", "pipeline"): 8.0,
        ("latency", "encoded"): 3.0,
    }
    write = pretend._do

    def measured(arguments):
        pretend.figures = {"wall_s": walls.get((arguments["name"], arguments.get("feed")))}
        write(arguments)

    pretend._do = measured
    result = kb.profile(config(encodings=("rate", "latency"), feeds=("pipeline", "encoded")), tmp_path)
    assert result.encodings["latency"].ratios["rate"]["wall_s"] == (1.0, 1.0, 1.0)
    assert result.encodings["latency/encoded"].ratios["rate"]["wall_s"] == (1.5, 1.5, 1.5)


@pytest.mark.parametrize("mode, least", [("train", "120 examples of 12 spikes"), ("infer", "30 examples of 12 spikes")])
def test_encoded_examples_must_fit_into_memory(fleet, tmp_path, monkeypatch, mode, least):
    fleet()
    examples = {"train": 120, "infer": 30}[mode]
    monkeypatch.setattr(tasks, "free_memory", lambda: 2 * 12 * examples - 1)  # T = 3, four features, a byte each
    with pytest.raises(InputError, match=f"feed encoded must fit into memory: {least}.*reduce .*num_steps$"):
        kb.profile(config(mode=mode, feeds=("encoded",)), tmp_path / "p")
    assert not (tmp_path / "p").exists()
    monkeypatch.setattr(tasks, "free_memory", lambda: 2 * 12 * examples)
    kb.profile(config(mode=mode, feeds=("encoded",)), tmp_path / "p")
    monkeypatch.setattr(tasks, "free_memory", lambda: 0)
    kb.profile(config(mode=mode, feeds=("encoded",)), tmp_path / "p", resume=True)  # nothing is left to encode
    with pytest.raises(InputError, match="feed encoded must fit into memory"):
        kb.profile(config(mode=mode, feeds=("encoded",)), tmp_path / "p", force=True)
    assert (tmp_path / "p" / "profile.json").exists()


def test_what_cannot_be_encoded_once(fleet, tmp_path):
    fleet()
    train = kb.TrainConfig(dataset="iris", num_steps=10, encoder={"trainable": True})
    with pytest.raises(InputError, match="feed must be pipeline where the encoder is trained"):
        kb.profile(config(train=train, encodings=("poisson_burst",), feeds=("encoded",)), tmp_path / "p")


def test_encoded_examples_are_those_of_the_first_epoch():
    """In the same order, too: the two feeds differ in when they encode, and in nothing else."""
    data = kb.load_dataset("iris", seed=0)
    training = kb.TrainConfig(dataset="iris", encoding="poisson_burst", num_steps=5, batch_size=50, seed=3)
    held = tasks.encoded("train", training.resolved("tabular", 1), data)
    streams = [
        kb.make_dataset(data.x_train, data.y_train, training.make_encoder(), 50, seed=3, shuffle=True),
        kb.make_dataset(held.x_train, held.y_train, tasks.HeldEncoder(5), 50, seed=3, shuffle=True),
    ]
    for (spikes, labels), (other, others) in zip(*streams, strict=True):
        assert spikes.dtype == other.dtype == "uint8"
        assert (spikes.numpy() == other.numpy()).all() and (labels.numpy() == others.numpy()).all()
    assert held.x_test is data.x_test


def test_tasks_share_a_gpu_with_this_process(fleet, tmp_path, monkeypatch):
    for name in ("TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    fleet()
    kb.profile(config(encodings=("rate",)), tmp_path)
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "mine"
    small = {"dataset": "iris", "num_steps": 3, "epochs": 1, "network": {"hidden_units": 4}, "queries": 2}
    with eagerly():
        kb.train(kb.TrainConfig(**small, encoding="delayed_burst", train_limit=60, validation_split=0.2), folder)
    return folder


def test_of_a_run(fleet, tmp_path, run):
    fleet()
    config = kb.ProfileConfig.of_run(run, mode="infer", repeats=1)
    assert config.encodings == ("delayed_burst",) and config.train.train_limit == 60
    result = kb.profile(config, tmp_path / "p")
    assert list(result.encodings) == ["delayed_burst"] and result.data["examples"] == {"train": 48, "test": 30}
    assert kb.Splits.load(tmp_path / "p" / "splits.npz") == kb.Splits.load(run / "splits.npz")


def test_of_no_run(tmp_path, run):
    with pytest.raises(InputError, match="run must be the directory of a training run"):
        kb.ProfileConfig.of_run(tmp_path)
    shutil.copytree(run, tmp_path / "copy")
    (tmp_path / "copy" / "result.json").unlink()
    with pytest.raises(InputError, match="run must be finished"):
        kb.ProfileConfig.of_run(tmp_path / "copy")


def test_pretended_fields_are_the_real_ones():
    """What the pretending fleet writes has the fields of a region."""
    assert set(measurement("a", 0)["region"]) <= {field.name for field in dataclasses.fields(RegionProfile)}


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


@pytest.mark.thorough
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


@pytest.mark.thorough
@pytest.mark.parametrize("mode, examples", [("train", 120), ("infer", 30)])
@pytest.mark.parametrize("feed", ["pipeline", "encoded"])
def test_measure(planned, mode, examples, feed):
    folder = planned(encodings=("delayed_burst",), mode=mode, feeds=(feed,))
    if mode == "infer":
        tasks.teach(str(folder), "delayed_burst")
    task = tasks.measuring(folder, "delayed_burst", feed, 0)
    assert not tasks.task_path(task).exists()
    tasks.measure(**task.arguments)
    assert tasks.task_path(task).exists()
    found = read(tasks.measurement_path(folder, "delayed_burst", feed, 0))
    assert (found["name"], found["repeat"], found["examples"]) == ("delayed_burst", 0, examples)
    assert found["passes"] >= 1 and found["region"]["wall_s"] >= 0.05
    assert found["region"]["peak_rss_mb"] > 100 and found["held_mb"] > 100
    lacking = [name for name, value in found["region"].items() if value is None and name != "gpu"]
    assert set(lacking) == set(found["region"]["reasons"])
