"""Parameters of encoders, neurons and networks: a bad value is refused by the parameter's name."""

from pathlib import Path

import pytest

from kerasburst import records
from kerasburst.config import TrainConfig
from kerasburst.paper.config import ReproduceConfig
from kerasburst.parameters import parameters
from kerasburst.profiling.config import ProfileConfig
from kerasburst.registry import ENCODERS, NETWORKS
from kerasburst.studies.transfer.config import TransferConfig
from kerasburst.training.run_directory import RunReference
from kerasburst.validation import InputError

BAD = {"word": "x", "nothing a number can be": "", "list": [1, [2]], "object": {"a": 1}, "nan": float("nan")}
OURS = [
    *(("encoder", name, each) for name in ENCODERS for each in parameters("encoder", name)),
    *(("neuron", "", each) for each in parameters("neuron", "")),
    *(("network", name, each) for name in NETWORKS for each in parameters("model", name)),
]


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("scope, name, parameter", OURS, ids=[".".join(filter(None, each)) for each in OURS])
def test_a_parameter_that_is_not_one_is_refused_by_name(scope, name, parameter, bad):
    kinds = {"encoder": {"encoding": name}, "neuron": {"model": "SNNFCNet"}, "network": {"model": name}}[scope]
    with pytest.raises(InputError, match=f"(^|[ .]){parameter} must "):
        config = TrainConfig(**kinds, **{scope: {parameter: bad}})
        config.make_encoder()
        config.make_network(3)


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
