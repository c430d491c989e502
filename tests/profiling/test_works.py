"""Every work runs, on the smallest sizes; what it measures is not asserted."""

import inspect
import math
import sys

import keras
import pytest

from kerasburst.profiling import builders
from kerasburst.profiling.measurement import KERASBURST, Participant, measure_together
from kerasburst.profiling.works import DEFAULT_WORKS, WORKS, builder, make_inputs

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


@pytest.mark.sampled(3)
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
    once, amount = builders._copy(4 * 1003, threads=3)
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
