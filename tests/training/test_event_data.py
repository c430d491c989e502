"""Event data is trained and evaluated as other data is, with bursts, padding and flips."""

import numpy as np
import pytest

import kerasburst as kb
from kerasburst import files
from kerasburst.data.datasets import load_source
from kerasburst.training.evaluation import evaluate
from tests.data.event_layouts import write_nmnist, write_shd


@pytest.mark.thorough
@pytest.mark.parametrize("encoding", ["none", "event_burst"])
@pytest.mark.usefixtures("eagerly")
def test_nmnist_shaped_files_are_trained(encoding, tmp_path):
    write_nmnist(tmp_path / "NMNIST", train=3, test=1)
    config = kb.TrainConfig(
        dataset="nmnist",
        encoding=encoding,
        num_steps=4,
        data_dir=str(tmp_path),
        data={"size": 8, "flip": True, "crop": 1},
        network={"filters": [2, 3], "hidden_units": 8},
        epochs=2,
        batch_size=16,
    )
    result = kb.train(config, tmp_path / "run")
    assert result.examples == {"train": 30, "validation": 0, "test": 10} and np.isfinite(result.loss)
    assert files.read_json(tmp_path / "run/data.json")["sample_shape"] == [4, 8, 8, 2]
    assert files.read_json(tmp_path / "run/config.json")["data"] == {"size": 8, "flip": True, "crop": 1}
    assert evaluate(tmp_path / "run", queries=4).accuracy == result.test_accuracy


@pytest.mark.thorough
def test_shd_shaped_files_are_trained_alike_whatever_the_padding(tmp_path):
    for part, seed in (("train", 0), ("test", 1)):
        write_shd(tmp_path / "SHD" / f"shd_{part}.h5", list(range(20)) * 2, seed=seed)
    weights = []
    for num_steps in (9, 14):  # all recordings end within 9 steps of 100 ms
        config = kb.TrainConfig(
            dataset="shd",
            encoding="none",
            num_steps=num_steps,
            data_dir=str(tmp_path),
            data={"step_us": 100_000, "size": 35},
            network={"hidden_units": 8},
            epochs=2,
            batch_size=16,
        )
        result = kb.train(config, tmp_path / f"run-{num_steps}")
        source = load_source("shd", **config.reading())
        assert source.x.dtype == np.int8 and (np.asarray(source.x) == -1).any() == (num_steps > 8)
        weights.append((result.loss, kb.load_model(tmp_path / f"run-{num_steps}" / "model.keras").get_weights()))
    assert weights[0][0] == pytest.approx(weights[1][0], rel=1e-4)
    for short, long in zip(weights[0][1], weights[1][1], strict=True):
        np.testing.assert_allclose(short, long, rtol=1e-3, atol=1e-5)
