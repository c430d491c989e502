"""Every work runs, on the smallest sizes; what it measures is not asserted."""

import inspect
import math
import sys

import keras
import numpy as np
import pytest

from kerasburst.profiling import limits, works
from kerasburst.profiling.measurement import KERASBURST, Participant, measure_together
from kerasburst.profiling.works import DEFAULT_WORKS, KINDS, WORKS, builder, make_inputs
from kerasburst.validation import InputError

TINY = {"filters": (2, 2), "hidden_units": 4}
TINY_TABLE = {"hidden_units": 4}


def options(work, tmp_path, **more):
    info = WORKS[work]
    size = {"batch_size": 2, "num_steps": 2}
    path = tmp_path / f"{info.inputs}.npz"
    if info.inputs != "none":
        make_inputs(info.inputs, path, **size, epoch_steps=5)
    network = {"images": TINY, "training_set": TINY, "table": TINY_TABLE}.get(info.inputs, {})
    return {**size, "threads": 1, "inputs": str(path), "network": network, **more}


def build(work, given):
    return builder(work)(given)


@pytest.fixture
def policy():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.sampled(7)
@pytest.mark.parametrize("work", [name for name in WORKS if name not in ("train_epoch", "limits")])
def test_runs(work, tmp_path, policy):
    run = build(work, options(work, tmp_path))
    answers = [run(1), run(2)]
    assert all(math.isfinite(answer["seconds"]) and answer["seconds"] > 0 for answer in answers)
    assert answers[1].get("steps", 2) >= 2
    if work == "train_wait":
        assert 0.0 <= answers[1]["wait_percent"] <= 100.0
    if work == "conv_train_bf16":
        assert keras.config.dtype_policy().name == "mixed_bfloat16"


def test_limits(tmp_path):
    answer = build("limits", {"threads": 2, "scale": 0.02})(1)
    rates = {"matmul_float32_gflop_per_s", "matmul_bfloat16_gflop_per_s", "copy_gb_per_s"}
    assert set(answer) == rates | {"seconds"} and all(value > 0 for value in answer.values())
    without = build("limits", {"threads": 1, "scale": 0.02, "bfloat16": False})(1)
    assert "matmul_bfloat16_gflop_per_s" not in without


def test_a_copy_copies_everything():
    once, amount = limits._copy(4 * 1003, threads=3)
    target = inspect.getclosurevars(once).nonlocals["target"]
    target[:] = 0.0
    once()
    assert target.all() and amount == 2 * 4 * len(target)


@pytest.mark.thorough
def test_whole_trainings_rest_between_epochs(tmp_path):
    given = options("train_epoch", tmp_path)
    (m,) = measure_together([Participant("kerasburst", "train_epoch", given)], repeats=2, block_s=0.0, settle_s=0.0)
    assert m.reason is None and m.steps_per_block == 5 and len(m.block_step_ms) == 2
    assert m.more["saving_s"] >= 0.0 and m.peak_rss_mb > 100
    (run,) = tmp_path.glob("*/run")
    assert len((run / "history.csv").read_text().splitlines()) == 1 + 4  # two to warm up, two blocks
    assert KERASBURST[0] == sys.executable


def test_what_a_user_gets_by_default_is_known():
    assert set(DEFAULT_WORKS) < set(WORKS)


def test_options_reach_the_network(tmp_path):
    with pytest.raises(ValueError, match="no_such_option"):
        build("conv_train", options("conv_train", tmp_path, network={"no_such_option": 1}))


# Conv 32 on 28 x 28, Conv 64 on 14 x 14, Dense 1000 on 7 x 7 x 64, Dense 10: two operations a weight and position.
CONV1, CONV2, HIDDEN, OUTPUT = 451_584, 7_225_344, 6_272_000, 20_000


def test_conv_net():
    forward = CONV1 + CONV2 + HIDDEN + OUTPUT
    assert works.conv_net_flop(1, 1, training=False) == forward
    assert works.conv_net_flop(1, 1, training=True) == 3 * forward - CONV1
    assert works.conv_net_flop(128, 10, training=True) == 1280 * (3 * forward - CONV1)
    assert works.conv_net_flop(1, 10, training=True) / 1e9 == pytest.approx(0.4146, abs=1e-4)


def test_fc_net():
    assert works.fc_net_flop(128, 10, training=False) == 1280 * 2 * (30_000 + 2_000)
    assert works.fc_net_flop(128, 10, training=True) == 1280 * 2 * (2 * 30_000 + 3 * 2_000)


@pytest.mark.parametrize("size", [(0, 1), (1, 0)])
def test_sizes_below_one(size):
    with pytest.raises(InputError):
        works.conv_net_flop(*size, training=True)


def test_bytes():
    assert works.lif_bytes(neurons=128 * 28 * 28 * 32, num_steps=10) == 642_252_800
    assert works.encoder_bytes(values=256 * 32 * 32 * 3, num_steps=32) == 33 * 786_432 * 4


def test_works_count_their_own_sizes():
    assert WORKS["conv_train"].amount(2, 3) == works.conv_net_flop(2, 3, training=True)
    assert WORKS["conv_infer"].amount(2, 3) == works.conv_net_flop(2, 3, training=False)
    assert WORKS["lif"].amount(2, 3) == 5 * 2 * 28 * 28 * 32 * 3 * 4
    assert WORKS["encode_rate"].amount(2, 3) == 2 * 32 * 32 * 3 * 4 * 4
    assert all((info.limit is None) == (info.amount is None) for info in WORKS.values())


SHAPES = {
    "images": {"spikes": (6, 3, 28, 28, 1), "labels": (6,)},
    "table": {"spikes": (6, 3, 30), "labels": (6,)},
    "current": {"current": (6, 3, 28, 28, 32)},
    "intensities": {"x": (6, 32, 32, 3)},
    "training_set": {
        **{"x_train": (12, 28, 28, 1), "y_train": (12,)},
        **{"x_test": (6, 28, 28, 1), "y_test": (6,)},
    },
}


@pytest.fixture(autouse=True)
def without_mnist(monkeypatch, tmp_path):
    monkeypatch.delenv("KERASBURST_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras-home"))


def made(kind, path, seed=0, **more):
    where = make_inputs(kind, path, batch_size=6, num_steps=3, epoch_steps=2, seed=seed, **more)
    with np.load(path) as file:
        return dict(file), where


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_repeatability(kind, tmp_path):
    arrays, where = made(kind, tmp_path / "a.npz")
    assert {name: array.shape for name, array in arrays.items()} == SHAPES[kind] and where
    same, other = made(kind, tmp_path / "b.npz")[0], made(kind, tmp_path / "c.npz", seed=1)[0]
    assert all(np.array_equal(arrays[name], same[name]) for name in arrays)
    assert not all(np.array_equal(arrays[name], other[name]) for name in arrays)


def test_spikes_follow_the_intensities(tmp_path):
    make_inputs("table", tmp_path / "a.npz", batch_size=200, num_steps=50)
    with np.load(tmp_path / "a.npz") as file:
        spikes, labels = file["spikes"], file["labels"]
    rates = spikes.mean(axis=1)  # of uniform intensities: mean 1/2, deviation sqrt(1/12 + 1/6/50)
    assert abs(rates.mean() - 0.5) < 0.02 and abs(rates.std() - (1 / 12 + 1 / 300) ** 0.5) < 0.01
    assert set(np.unique(spikes)) == {0, 1} and set(labels) == {0, 1}


def test_digits_stand_in_for_mnist(tmp_path):
    arrays, where = made("images", tmp_path / "a.npz")
    assert where == "scikit-learn's digits enlarged to 28 x 28, rate-coded"
    assert arrays["labels"].tolist() == [0, 1, 2, 3, 4, 5]


def test_mnist_where_it_is(tmp_path):
    x = np.zeros((40, 28, 28), "uint8")
    x[:, 3, 5] = 255
    y = np.arange(40) % 10
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    arrays, where = made("images", tmp_path / "a.npz", data_dir=str(tmp_path))
    assert where == "MNIST, rate-coded"
    assert arrays["spikes"].sum() == 6 * 3 and arrays["spikes"][:, :, 3, 5].all()


def test_the_training_set_has_every_class(tmp_path):
    arrays, _ = made("training_set", tmp_path / "a.npz")
    assert set(arrays["y_train"]) == set(range(10))
    assert arrays["x_train"].dtype == np.uint8 and arrays["x_train"].max() == 255


@pytest.mark.parametrize(
    "change, part", [({"kind": "image"}, "images"), ({"batch_size": 0}, "batch_size"), ({"data_dir": "no"}, "data_dir")]
)
def test_refuses(change, part, tmp_path):
    with pytest.raises(InputError, match=part):
        make_inputs(**{"kind": "images", "path": tmp_path / "a.npz", "batch_size": 1, "num_steps": 1, **change})
    assert not list(tmp_path.iterdir())
