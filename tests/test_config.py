"""Trainings and studies as configs: what is checked, compared, filled in."""

import dataclasses
from pathlib import Path

import pytest

from kerasburst import config as configs
from kerasburst import records
from kerasburst.config import TrainConfig
from kerasburst.paper.config import ReproduceConfig
from kerasburst.profiling.config import ProfileConfig
from kerasburst.studies.transfer.config import TransferConfig
from kerasburst.training.run_directory import RunReference
from kerasburst.validation import InputError

PATHS = {
    "dataset": lambda path: TrainConfig(dataset=path),
    "data_dir": lambda path: TrainConfig(data_dir=path),
    "data_dir of a reproduction": lambda path: ReproduceConfig(data_dir=path),
    "source": lambda path: TransferConfig(train=TrainConfig(), source=path),
    "run": lambda path: ProfileConfig(train=TrainConfig(), run=path),
    "run of a reference": lambda path: RunReference(path, "0" * 64),
}


@pytest.mark.parametrize("make", PATHS.values(), ids=PATHS)
def test_a_path_may_be_a_path(make):
    config = make(Path("some") / "where")
    assert config == make("some/where") and records.to_json(config) == records.to_json(make("some/where"))
    for wrong in ("", 3, b"some", ["some"]):
        with pytest.raises(InputError, match=r"must be .*(path|run directory)"):
            make(wrong)


FIELDS = {
    "num_steps": (0, "an integer from 1 to 2147483647"),
    "batch_size": (2.5, "an integer from 1"),
    "epochs": (0, "an integer from 1"),
    "seed": (-1, "an integer from 0"),
    "learning_rate": (0, "a finite number above 0"),
    "validation_split": (1, "a finite number of at least 0 and below 1"),
    "epsilon": (1e4, "a finite number above 0 and of at most 1000"),
    "delta": (1, "a finite number above 0 and below 1"),
    "keep_best": (1, "true or false"),
    "encoder": ([], "a mapping of parameters"),
    "precision": ("float64", "one of float32, mixed_bfloat16, mixed_float16"),
    "model": ("SNNFc", "one of "),
    "encoding": ("burst", "one of "),
    "spike_cost": (-0.1, "a finite number of at least 0"),
    "reference_split": (0, "a finite number above 0 and below 1"),
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_is_refused_by_name(field):
    value, allowed = FIELDS[field]
    with pytest.raises(InputError) as caught:
        TrainConfig(**{field: value})
    assert str(caught.value).startswith(f"{field} must be {allowed}")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"early_stopping": 2}, "early_stopping needs a validation_split above 0"),
        ({"encodings_per_example": 2}, "encodings_per_example needs epsilon"),
        ({"adversary": 1.0, "epsilon": 1.0}, "adversary and epsilon exclude each other"),
        ({"adversary": 1.0, "encoding": "none"}, "adversary must be 0 with the encoding none"),
        ({"precision": "mixed_float16", "epsilon": 1.0}, "precision with epsilon must be"),
    ],
)
def test_fields_that_exclude_each_other(fields, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**fields)


def test_parameters_are_set_by_scope_and_the_config_is_left_alone():
    config = TrainConfig(encoder={"gain": 1.0})
    changed = configs.set_parameters(config, [("encoder", "gain", 2.0), ("model", "hidden_units", 4)])
    assert (changed.encoder, changed.network) == ({"gain": 2.0}, {"hidden_units": 4})
    assert (config.encoder, config.network) == ({"gain": 1.0}, {})
    with pytest.raises(InputError, match="^--set must be one of encoder, model, neuron, data, received 'network'"):
        configs.set_parameters(config, [("network", "hidden_units", 4)])


def test_each_encoding_gets_its_own_parameters_and_one_that_none_has_is_refused():
    config = TrainConfig(encoder={"mean_burst_size": 2.0, "gain": 0.5})
    shared = configs.for_encodings(config, ("rate", "poisson_burst"))
    each = {encoding: training.resolved("tabular", 7) for encoding, training in shared.items()}
    assert each["rate"].encoder == {"mode": "bernoulli", "gain": 0.5}
    assert each["poisson_burst"].encoder["mean_burst_size"] == 2.0 and "gain" not in each["poisson_burst"].encoder
    assert {one.epochs for one in each.values()} == {7} and {one.model for one in each.values()} == {"SNNFCNet"}
    with pytest.raises(InputError, match="^encoder.margin is unknown: rate has gain, mode"):
        configs.for_encodings(TrainConfig(encoder={"margin": 1}), ("rate",))


@pytest.mark.parametrize("names", ["rate", [], ["rate", "rate"], ["rate", 3], ["rate", "none"], None])
def test_encodings_are_a_list_of_names_each_once_of_one_kind_of_data(names):
    with pytest.raises(InputError, match="^encodings? must be "):
        configs.check_encodings(names)


def test_configs_are_the_same_whichever_version_wrote_them_and_wherever_the_data_lies():
    old = TrainConfig(neuron={"beta": 0.9}, network={"hidden_units": 8}, model="SNNFCNet", data_dir="here")
    new = dataclasses.replace(old, neuron={"beta": 0.9, "threshold": 1.0, "per_neuron": False}, data_dir="there")
    assert configs.same_config(old, new) and configs.differing_fields(old, new) == ["data_dir"]
    other = dataclasses.replace(new, neuron={"beta": 0.9, "threshold": 0.5}, seed=3)
    assert not configs.same_config(old, other)
    assert configs.differing_fields(old, other) == ["neuron", "seed", "data_dir"]
    assert not configs.same_config(old, 3) and configs.same_config((1, 2), (1, 2))
    study = TransferConfig(train=old, source="iris")
    assert configs.same_config(study, dataclasses.replace(study, train=new))
    assert not configs.same_config(study, dataclasses.replace(study, train=other))
