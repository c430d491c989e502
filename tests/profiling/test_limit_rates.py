import pytest

from kerasburst.profiling.bench import LimitRates


def test_the_best_of_a_run():
    answers = [
        {"seconds": 1.0, "matmul_float32_gflop_per_s": 150.0, "copy_gb_per_s": 24.0},
        {"seconds": 1.0, "matmul_float32_gflop_per_s": 120.0, "copy_gb_per_s": 26.0},
    ]
    rates = LimitRates.best_of(answers)
    assert rates.matmul_float32_gflop_per_s == 150.0 and rates.copy_gb_per_s == 26.0
    assert rates.matmul_bfloat16_gflop_per_s is None
    assert rates.samples == 2 and rates.lowest_share_percent == 80.0


def test_nothing_measured():
    rates = LimitRates.best_of([], "killed by SIGKILL")
    assert rates.matmul_float32_gflop_per_s is None and rates.lowest_share_percent is None
    assert rates.limit_ms("conv_train", 128, 10) is None and rates.reason == "killed by SIGKILL"


def test_limits_by_hand():
    rates = LimitRates(matmul_float32_gflop_per_s=178.0, matmul_bfloat16_gflop_per_s=380.0, copy_gb_per_s=25.0)
    step = 128 * 0.414552  # GFLOP of a training step
    assert rates.limit_ms("conv_train", 128, 10) == pytest.approx(1000 * step / 178.0, rel=1e-6)
    assert rates.limit_ms("conv_train_bf16", 128, 10) == pytest.approx(1000 * step / 380.0, rel=1e-6)
    assert rates.limit_ms("encode_rate", 1, 32) == pytest.approx(33 * 3072 * 4 / 25e6, abs=1e-4)
    assert rates.limit_ms("train_epoch", 128, 10) is None
