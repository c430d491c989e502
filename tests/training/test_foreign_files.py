"""Files of a run that contradict each other are refused, by the names of file and field."""

import dataclasses
import functools
import json
import shutil

import keras
import numpy as np
import pytest

import kerasburst as kb
from kerasburst import files, records
from kerasburst.privacy.audited_run import AuditedRun
from kerasburst.profiling.config import ProfileConfig
from kerasburst.studies.transfer.study import config_of_run
from kerasburst.training.run_directory import RunDirectory
from kerasburst.training.setup import build, describe_data, prepare
from kerasburst.training.task import TrainingPart, stored_run
from tests.eager import eagerly

pytestmark = pytest.mark.usefixtures("eagerly")

IRIS = kb.TrainConfig(
    dataset="iris", encoding="poisson_burst", num_steps=2, epochs=1, train_limit=48, network={"hidden_units": 4}
)
OTHERS = {
    "seed": dataclasses.replace(IRIS, seed=5),
    "wine": dataclasses.replace(IRIS, dataset="wine", train_limit=None),
    "encoding": dataclasses.replace(IRIS, encoding="rate"),
    "beta": dataclasses.replace(IRIS, neuron={"beta": 0.5}),
    "smaller": dataclasses.replace(IRIS, train_limit=30),
}


def begun(config, folder):
    """Write what a run has when it begins, and the network that it begins with."""
    config, data = prepare(config)
    folder.mkdir()
    files.write_json(folder / "config.json", records.to_json(config))
    data.splits.save(folder / "splits.npz")
    files.write_json(folder / "data.json", records.to_json(describe_data(data, "")))
    network, encoder = build(config, data)
    network.with_encoder(encoder).save(folder / "model.keras")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a function from a name to its run: "mine" and "seed" are trained, of the others there is the beginning."""
    folder = tmp_path_factory.mktemp("runs")

    @functools.cache
    def get(name):
        make = kb.train if name in ("mine", "seed") else begun
        with eagerly():
            make(OTHERS.get(name, IRIS), folder / name)
        return folder / name

    return get


@pytest.fixture
def run(runs, tmp_path):
    return shutil.copytree(runs("mine"), tmp_path / "run")


def edited(run, name, **fields):
    path = run / name
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def foreign(name, which):
    return lambda run, runs: shutil.copy(runs(which) / name, run / name)


def with_weights(run, value):
    network = kb.load_model(run / "model.keras")
    network.set_weights([np.full_like(each, value) for each in network.get_weights()])
    network.save(run / "model.keras")


def truncated(name):
    return lambda run, runs: (run / name).write_bytes((run / name).read_bytes()[:-200])


def without_what_version_0_1_lacked(run):
    for name, fields in (("result.json", ("weights", "splits", "config")), ("data.json", ("splits",))):
        value = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps({key: v for key, v in value.items() if key not in fields}))


def plain_model(run, runs):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.save(run / "model.keras")


FOREIGN = {
    "config of another data set": (foreign("config.json", "wine"), ["config.json", "dataset", "iris", "wine"]),
    "config of another seed": (foreign("config.json", "seed"), ["config.json", "seed", "0", "5"]),
    "config of another encoding": (foreign("config.json", "encoding"), ["config.json", "encoding", "poisson_burst"]),
    "config of another neuron": (foreign("config.json", "beta"), ["config.json", "neuron.beta", "0.5"]),
    "epochs null": (lambda run, runs: edited(run, "config.json", epochs=None), ["config.json", "epochs"]),
    "model null": (lambda run, runs: edited(run, "config.json", model=None), ["config.json", "model"]),
    "splits of another seed": (foreign("splits.npz", "seed"), ["splits.npz", "other splits"]),
    "data of another data set": (foreign("data.json", "wine"), ["dataset", "wine"]),
    "result of another seed": (foreign("result.json", "seed"), ["splits.npz"]),
    "seed of the result": (lambda run, runs: edited(run, "result.json", seed=5), ["config.json", "seed", "5", "0"]),
    "classes of the result": (lambda run, runs: edited(run, "result.json", num_classes=4), ["num_classes", "4"]),
    "accuracy above 1": (lambda run, runs: edited(run, "result.json", test_accuracy=2.0), ["result.json", "2.0"]),
    "names of the classes": (
        lambda run, runs: edited(run, "data.json", class_names=["a"]),
        ["data.json", "class_names"],
    ),
    "weights of another network": (foreign("model.keras", "seed"), ["model.keras", "weights"]),
    "another network": (foreign("model.keras", "wine"), ["model.keras", "weights"]),
    "no network of ours": (plain_model, ["model.keras", "SNNFCNet", "Sequential"]),
    "weights not a number": (lambda run, runs: with_weights(run, np.nan), ["model.keras", "finite"]),
    "weights changed": (lambda run, runs: with_weights(run, 0.5), ["model.keras", "weights"]),
    "model cut short": (truncated("model.keras"), ["model.keras", "cannot be loaded"]),
    "splits cut short": (truncated("splits.npz"), ["splits.npz"]),
}
FOREIGN_TO_VERSION_0_1 = {
    "config of another data set": (foreign("config.json", "wine"), ["config.json", "dataset"]),
    "config of another seed": (foreign("config.json", "seed"), ["config.json", "seed"]),
    "config of another encoding": (foreign("config.json", "encoding"), ["encoding"]),
    "config of another neuron": (foreign("config.json", "beta"), ["beta"]),
    "splits of other sizes": (foreign("splits.npz", "smaller"), ["examples", "48", "30"]),
    "network of another encoding": (foreign("model.keras", "encoding"), ["model.keras", "encoding"]),
    "network of another neuron": (foreign("model.keras", "beta"), ["model.keras", "beta"]),
}
READERS = {
    "evaluate": lambda run: kb.evaluate(run, queries=1),
    "attack": AuditedRun.load,
    "export": lambda run: kb.export.export_run(run, run.parent / "export"),
    "predict": lambda run: kb.predict(run, np.ones((1, 4)), queries=1),
}


@pytest.mark.parametrize("damage, parts", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.sampled(14)
def test_what_reads_a_run_refuses_foreign_files(runs, run, damage, parts, reader):
    damage(run, runs)
    with pytest.raises(kb.InputError) as error:
        READERS[reader](run)
    assert all(part in str(error.value) for part in parts), error.value


@pytest.mark.sampled(3)
@pytest.mark.parametrize("damage, parts", FOREIGN_TO_VERSION_0_1.values(), ids=FOREIGN_TO_VERSION_0_1)
def test_runs_of_version_0_1_are_checked_by_what_they_hold(runs, run, damage, parts):
    without_what_version_0_1_lacked(run)
    assert kb.evaluate(run, queries=1).examples == 30
    damage(run, runs)
    with pytest.raises(kb.InputError) as error:
        kb.evaluate(run, queries=1)
    assert all(part in str(error.value) for part in parts), error.value


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    "damage, parts",
    [
        FOREIGN["config of another data set"],
        FOREIGN["config of another seed"],
        FOREIGN["epochs null"],
        FOREIGN["splits of another seed"],
    ],
)
@pytest.mark.parametrize("reader", ["profile", "transfer", "resume"])
def test_studies_of_a_run_refuse_foreign_files(runs, run, damage, parts, reader):
    damage(run, runs)
    read = {
        "profile": ProfileConfig.of_run,
        "transfer": lambda run: config_of_run(run, "wine"),
        "resume": lambda run: kb.train(dataclasses.replace(IRIS, epochs=3), run, resume=True),
    }[reader]
    with pytest.raises(kb.InputError) as error:
        read(run)
    assert all(part in str(error.value) for part in parts), error.value


def history(run, **arrays):
    with np.load(run / "checkpoint.npz") as stored:
        np.savez(run / "checkpoint.npz", **{**{name: stored[name] for name in stored.files}, **arrays})


CHECKPOINTS = {
    "of another run": (foreign("checkpoint.npz", "seed"), ["checkpoint.npz", "seed"]),
    "cut short": (truncated("checkpoint.npz"), ["checkpoint.npz", "--force"]),
    "not a number": (lambda run, runs: history(run, weight_0=np.full((4, 3), np.nan)), ["weight_0", "finite"]),
    "of another shape": (lambda run, runs: history(run, weight_0=np.ones((4, 4))), ["weight_0", "(4, 3)", "(4, 4)"]),
    "text": (lambda run, runs: history(run, weight_0=np.full((4, 3), "a")), ["weight_0", "finite"]),
    "history null": (lambda run, runs: history(run, history=np.array("null")), ["history", "a list"]),
    "history nested": (lambda run, runs: history(run, history=np.array("[" * 100_000)), ["history", "nested"]),
    "history of numbers": (lambda run, runs: history(run, history=np.array("[1]")), ["history", "JSON object"]),
    "history without a loss": (lambda run, runs: history(run, history=np.array('[{"epoch": 1}]')), ["loss", "missing"]),
    "a later epoch": (
        lambda run, runs: history(
            run, history=np.array('[{"epoch": 2, "loss": 1.0, "accuracy": 0.5, "seconds": 1.0}]')
        ),
        ["history", "epochs 1, 2"],
    ),
}


@pytest.mark.parametrize("damage, parts", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_a_run_does_not_go_on_from_a_damaged_checkpoint(runs, run, damage, parts):
    damage(run, runs)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(kb.InputError) as error:
        kb.train(dataclasses.replace(IRIS, epochs=3), run, resume=True)
    assert all(part in str(error.value) for part in parts), error.value
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.thorough
def test_an_untouched_run_passes(runs, run):
    without_what_version_0_1_lacked(run)
    for read in READERS.values():
        read(run)
    assert kb.train(dataclasses.replace(IRIS, epochs=3), run, resume=True).epochs == 3


def test_data_other_than_that_of_the_run_are_refused(run):
    assert kb.evaluate(run, queries=1).queries == 1
    edited(run, "data.json", fingerprint="0" * 16)
    with pytest.raises(kb.InputError, match="dataset must be the data that .* was begun with, iris has changed"):
        kb.evaluate(run, queries=1)
    with pytest.raises(kb.InputError, match="iris has changed"):
        kb.train(dataclasses.replace(IRIS, epochs=3), run, resume=True)
    assert len((run / "history.csv").read_text().splitlines()) == 2  # the head and one epoch: nothing was trained


def test_a_study_is_no_run(tmp_path):
    for name in ("config.json", "audit.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(kb.InputError, match="run must be .* a training run, .* holds audit.json of a study"):
        RunDirectory.of_finished(tmp_path)


def test_a_study_refuses_a_part_with_the_result_of_another(run):
    recorded = json.loads((run / "result.json").read_text())["config"]
    edited(run, "result.json", config=recorded | {"learning_rate": 0.5})
    config, data = RunDirectory(run).config(), RunDirectory(run).data().fingerprint
    for ask in (TrainingPart, lambda config, out, data: stored_run(out, config, data)):
        with pytest.raises(kb.InputError, match="learning_rate must be 0.5, as in result.json, received"):
            ask(config, run, data)
