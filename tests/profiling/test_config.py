import json

import pytest

from kerasburst import records
from kerasburst.config import TrainConfig
from kerasburst.profiling.config import DEFAULT_ENCODINGS, ProfileConfig
from kerasburst.profiling.metrics import Unknown
from kerasburst.validation import InputError

from .nvml import Device, Library


def test_each_name_has_its_encoder_and_those_parameters_that_it_has():
    train = TrainConfig(dataset="iris", encoder={"gain": 0.5, "mean_burst_size": 4.0}, num_steps=20, epochs=2)
    found = ProfileConfig(train=train).trainings("tabular")
    assert list(found) == ["rate", "rate_regular", "poisson_burst", "delayed_burst"] == list(DEFAULT_ENCODINGS)
    assert [one.encoding for one in found.values()] == ["rate", "rate", "poisson_burst", "delayed_burst"]
    assert [one.encoder.get("mode") for one in found.values()] == ["bernoulli", "regular", None, None]
    assert [one.encoder.get("gain") for one in found.values()] == [0.5, 0.5, None, None]
    assert [one.encoder.get("mean_burst_size") for one in found.values()] == [None, None, 4.0, 4.0]
    assert {(one.model, one.epochs, one.num_steps) for one in found.values()} == {("SNNFCNet", 2, 20)}


def test_json_and_back(tmp_path):
    config = ProfileConfig(train=TrainConfig(seed=3), encodings=["rate_regular"], mode="infer", repeats=2)
    (tmp_path / "config.json").write_text(json.dumps(records.to_json(config)))
    assert records.load(ProfileConfig, tmp_path / "config.json") == config and config.encodings == ("rate_regular",)


def test_a_gpu_is_measured_for_longer(nvml, tmp_path):
    library = nvml(Library(Device()))
    config = ProfileConfig(train=TrainConfig())
    assert config.window_s == 20.0 and library.open == 0
    (tmp_path / "config.json").write_text(json.dumps(records.to_json(config)))
    nvml(Unknown("no GPU"))
    assert ProfileConfig(train=TrainConfig()).window_s == 2.0
    assert records.load(ProfileConfig, tmp_path / "config.json").window_s == 20.0  # as it was begun


@pytest.mark.parametrize("change", [{"format": 2}, {"more": 1}, {"mode": "sleep"}, {"train": 3}], ids=str)
def test_another_file(tmp_path, change):
    value = records.to_json(ProfileConfig(train=TrainConfig())) | change
    (tmp_path / "config.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match="config.json"):
        records.load(ProfileConfig, tmp_path / "config.json")


@pytest.mark.parametrize(
    "bad, part",
    [
        ({"train": None}, "train must be a TrainConfig"),
        ({"encodings": "rate"}, "encodings must be a list of names"),
        ({"encodings": ()}, "encoding must be one or more names"),
        ({"encodings": ("rate", "rate")}, "each once"),
        ({"encodings": ("regular",)}, "did you mean rate_regular?"),
        ({"mode": "training"}, "mode must be one of train, infer"),
        ({"repeats": 0}, "repeats must be an integer from 1"),
        ({"window_s": -1.0}, "window_s"),
        ({"window_s": 1e6}, "window_s"),
        ({"feeds": "encoded"}, "feeds must be a list of names"),
        ({"feeds": ()}, "feed must be one or more names"),
        ({"feeds": ("encoded", "encoded")}, "each once"),
        ({"feeds": ("file",)}, "feed must be one of pipeline, encoded"),
        ({"run": 3}, "run must be the path"),
        ({"train": TrainConfig(encoder={"mode": "regular"})}, "encoder.mode must not be set"),
    ],
    ids=str,
)
def test_refused(bad, part):
    with pytest.raises(InputError) as error:
        ProfileConfig(**{"train": TrainConfig(), **bad})
    assert part in str(error.value)


def test_a_parameter_that_no_encoding_has():
    config = ProfileConfig(train=TrainConfig(encoder={"mean_burst": 3}), encodings=("rate", "poisson_burst"))
    with pytest.raises(InputError, match="did you mean mean_burst_size?"):
        config.trainings("image")
