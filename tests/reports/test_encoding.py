import json

import numpy as np
import pytest

from kerasburst import DirectEncoder, InputError, PoissonBurstEncoder, RateEncoder, draw_encoding, encode
from kerasburst.encoders.statistics import encoding_statistics

pytestmark = pytest.mark.usefixtures("eagerly")


def test_writes_picture_and_figures(tmp_path):
    x = np.array([0.0, 0.5, 1.0], "float32")
    summary = draw_encoding(RateEncoder(4, mode="regular"), x, tmp_path / "out", draws=5)
    assert (tmp_path / "out" / "encoding.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "out" / "encoding.json").read_text()) == summary
    # 0, 2 and 4 spikes of 4 steps; regular coding equals its probability in every draw.
    assert summary["spikes_per_feature"] == 2.0 and summary["spikes_per_feature_max"] == 4.0
    assert summary["firing_rate"] == summary["firing_rate_exact"] == 0.5
    assert summary["silent_share"] == pytest.approx(1 / 3)
    assert summary["largest_deviation"] == 0.0
    assert summary["firing_rate_by_step"] == pytest.approx([1 / 3, 2 / 3, 1 / 3, 2 / 3])
    assert summary["p_value"] == 1.0
    biased = RateEncoder(4)
    biased.probability = lambda x: np.repeat(0.5 * np.asarray(x)[:, None], 4, axis=1)  # half, at x = 1 too low
    told = encoding_statistics(biased, x, draws=20).to_json()
    assert told["p_value"] == pytest.approx(12 * 2 / 2**20)  # 20 spikes of 20 fair coins, in one of 12 cells
    assert encoding_statistics(DirectEncoder(4), x, draws=2).to_json()["p_value"] is None


@pytest.mark.thorough
def test_empirical_agrees_with_exact(tmp_path):
    x = np.full((4, 4, 1), 0.5, "float32")
    summary = draw_encoding(PoissonBurstEncoder(6), x, tmp_path, draws=400, features=[0, 15])
    assert summary["features_drawn"] == [0, 15]
    assert summary["largest_deviation_in_standard_errors"] < 5
    assert summary["firing_rate"] == pytest.approx(summary["firing_rate_exact"], abs=0.03)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("per_feature", [False, True])
def test_a_trained_encoder_is_drawn_with_what_it_learnt(tmp_path, per_feature):
    encoder = PoissonBurstEncoder(4, trainable_burst_size=True, trainable_intensity_map=True, per_feature=per_feature)
    encoder.build((None, 2))
    slopes = np.float32([0.5] * 8)
    values = [np.float32([1.0, 2.0]), np.stack([slopes, 2 * slopes], axis=1)] if per_feature else [1.5, slopes]
    encoder.set_weights([np.float32(each) for each in values])
    summary = draw_encoding(encoder, np.float32([0.5, 1.0]), tmp_path / "out", draws=5)
    if per_feature:
        found = summary["trained"]["mean_burst_size"]
        assert found == {"min_over_features": 1.0, "mean_over_features": 1.5, "max_over_features": 2.0}
        assert summary["trained"]["intensity_map"]["mean_over_features"] == [0.75] * 8
    else:
        assert summary["trained"] == {"mean_burst_size": 1.5, "intensity_map": [0.5] * 8}
    plain = draw_encoding(PoissonBurstEncoder(4), np.float32([0.5, 1.0]), tmp_path / "plain", draws=5)
    assert "trained" not in plain
    widths = [png_width(tmp_path / name / "encoding.png") for name in ("out", "plain")]
    assert widths[0] > widths[1]  # there is a picture more


def png_width(path):
    return int.from_bytes(path.read_bytes()[16:20], "big")


@pytest.mark.parametrize("features, x", [([3], [0.1, 0.2]), ([-1], [0.1, 0.2]), (None, [0.1, 1.2]), (None, [])])
def test_refuses(tmp_path, features, x):
    with pytest.raises(InputError):
        draw_encoding(RateEncoder(3), np.array(x, "float32"), tmp_path / "out", features=features)
    assert not (tmp_path / "out").exists()


def test_of_a_data_set(tmp_path):
    summary = encode("delayed_burst", out=tmp_path, index=2, num_steps=6, encoder={"margin": 3.0}, draws=5)
    assert summary["encoder"] == "DelayedBurstEncoder" and summary["draws"] == 5
    assert summary["example"]["dataset"] == "digits" and summary["example"]["index"] == 2
    assert json.loads((tmp_path / "encoding.json").read_text()) == summary


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoding": "brust"}, "encoding must be one of"),
        ({"index": 30}, "index must be an integer from 0 to 29"),
        ({"encoder": {"gian": 1.0}}, "encoder.gian is unknown.*did you mean gain"),
        ({"draws": 0}, "draws must be"),
    ],
)
def test_refusals_write_nothing(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        encode(**{"out": tmp_path / "out", "dataset": "iris"} | arguments)
    assert not (tmp_path / "out").exists()


def test_never_writes_among_other_files(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="out must be a new or empty directory"):
        encode(out=tmp_path, dataset="iris")
