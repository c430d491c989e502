import json

import pytest

from kerasburst import records
from kerasburst.config import TrainConfig
from kerasburst.studies.transfer.config import TransferConfig
from kerasburst.training.run_directory import RunReference
from kerasburst.validation import InputError
from tests.studies.transfer.common import small


def test_a_config_comes_back_from_json(tmp_path):
    for config in (
        small(seeds=4, freeze="conv"),
        small(train={"encoding": "rate"}, run=RunReference("runs/a", "0" * 64)),
    ):
        (tmp_path / "config.json").write_text(json.dumps(records.to_json(config)))
        assert records.load(TransferConfig, tmp_path / "config.json") == config
    assert small(train={"seed": 5}, seeds=3).seed_list == (5, 6, 7)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"seeds": 0}, "seeds must be an integer from 1"),
        ({"freeze": "all"}, "freeze must be one of conv, hidden"),
        ({"encodings": ("rate", "rate")}, "each once"),
        ({"encodings": ()}, "one or more names"),
        ({"source": ""}, "source must be a name or a path"),
        ({"source_epochs": 0}, "source_epochs must be"),
        ({"train": "digits"}, "train must be a TrainConfig"),
        ({"train": TrainConfig(validation_split=0.1)}, "validation_split must be 0"),
        ({"train": TrainConfig(epsilon=8.0)}, "epsilon must be None in a transfer; a source run may be private"),
        ({"run": RunReference("a", "0" * 64)}, "encoding must be the run's, rate"),
    ],
)
def test_wrong_fields_are_refused(fields, part):
    with pytest.raises(InputError, match=part):
        TransferConfig(**{"train": TrainConfig(), **fields})


def test_another_commands_config_is_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(records.to_json(TrainConfig())))
    with pytest.raises(InputError, match="must be a transfer's config of format 1"):
        records.load(TransferConfig, path)
