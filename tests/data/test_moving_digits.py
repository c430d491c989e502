"""The embedded event data: a real event file, the same on every machine, that can be learnt."""

import numpy as np
import pytest

import kerasburst as kb
from kerasburst.data.datasets import load_source
from kerasburst.data.moving_digits import SENSOR, simulated


def test_recordings_are_as_an_event_camera_makes_them():
    recordings, labels = simulated()
    of_each_digit = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert len(recordings) == 1797 and np.bincount(labels).tolist() == of_each_digit
    counts = [len(each.t) for each in recordings]
    assert 200 < min(counts) and max(counts) < 3000
    for each in recordings[::100]:
        assert each.t.dtype == np.int64 and (np.diff(each.t) >= 0).all() and 0 <= each.t[0] and each.t[-1] < 99_000
        assert each.x.max() < SENSOR[1] and each.y.max() < SENSOR[0] and set(each.p.tolist()) == {0, 1}
        assert len(np.unique(each.t % 3000)) > 50  # between the frames of the simulation, not at them


def test_a_digit_comes_back_to_where_it_was():
    """Its path is closed: each pixel's events up and down add up to no more than one."""
    recordings, _ = simulated()
    for each in recordings[::300]:
        balance = np.zeros(SENSOR)
        np.add.at(balance, (each.y, each.x), 2.0 * each.p - 1.0)
        assert np.abs(balance).max() <= 1


@pytest.mark.thorough
def test_the_file_is_the_data_set(tmp_path):
    kb.write_events(tmp_path / "digits.h5", *simulated(), sensor=SENSOR, class_names="0123456789")
    named, file = load_source("moving_digits", num_steps=5), load_source(tmp_path / "digits.h5", num_steps=5)
    assert file.class_names == named.class_names and file.y.tolist() == named.y.tolist()
    assert file.fingerprint == named.fingerprint
    for number in (0, 700, 1796):
        np.testing.assert_array_equal(file.x[number], named.x[number])


def test_classes_and_steps():
    source = load_source("moving_digits:3,5", num_steps=4, options={"step_us": 30_000})
    assert source.num_classes == 2 and source.sample_shape == (4, *SENSOR, 2)
    assert (np.asarray(source.x[:5]) >= 0).all()  # 99 ms fill 4 steps of 30


@pytest.mark.thorough
def test_it_is_learnt(tmp_path):
    small = {"num_steps": 5, "model": "SNNFCNet", "network": {"hidden_units": 128}}
    config = kb.TrainConfig(dataset="moving_digits", encoding="none", epochs=12, learning_rate=3e-3, **small)
    assert kb.train(config, tmp_path / "run").test_accuracy > 0.85
