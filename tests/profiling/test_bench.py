import json

import pytest

from kerasburst import records
from kerasburst.profiling import bench as module
from kerasburst.profiling.bench import CHOICES, LimitRates, bench
from kerasburst.profiling.measurement import Measurement
from kerasburst.validation import InputError


@pytest.fixture
def without_processes(monkeypatch):
    """Put figures in the place of processes; tell what was asked."""
    asked = []

    class Meter:
        def __init__(self, options):
            self.options = options

        def measure(self):
            return LimitRates(matmul_float32_gflop_per_s=100.0, copy_gb_per_s=10.0, samples=1)

        def close(self):
            asked.append("closed")

    def measure_together(participants, **how):
        (p,) = participants
        asked.append((p, how))
        known = {"label": p.label, "work": p.work, "num_steps": p.options["num_steps"], "threads": 1}
        if p.work == "lif":
            return [Measurement(**known, batch_size=p.options["batch_size"], reason="killed by SIGKILL")]
        batch_size = p.options["batch_size"]
        return [Measurement.of_blocks([{"seconds": 0.001}], steps_per_block=1, batch_size=batch_size, **known)]

    monkeypatch.setattr(module, "LimitMeter", Meter)
    monkeypatch.setattr(module, "measure_together", measure_together)
    return asked


def test_result(without_processes, tmp_path):
    result = bench(["fc_train", "lif"], repeats=5, threads=3, batch_size=8, out=tmp_path / "new" / "place")
    fc, lif = result.measurements
    assert fc.batch_size == 8 and fc.num_steps == 10
    assert fc.limit_ms == round(80 * 2 * 66_000 / 100e6, 4) and fc.share_of_limit_percent == 10.6  # 0.1056 of 1 ms
    assert lif.reason == "killed by SIGKILL" and lif.step_ms_median is None and lif.share_of_limit_percent is None
    written = json.loads((tmp_path / "new" / "place" / "bench.json").read_text())
    assert written == json.loads(json.dumps(records.to_json(result)))
    (first, how), (second, _), closed = without_processes
    assert first.options["threads"] == 3 and how["repeats"] == 5 and closed == "closed"
    assert second.work == "lif"


def test_every_work_has_a_size_of_its_own(without_processes):
    sizes = {m.work: (m.batch_size, m.num_steps) for m in bench(["conv_train", "encode_rate"]).measurements}
    assert sizes == {"conv_train": (128, 10), "encode_rate": (256, 32)}


def test_a_work_is_measured_once(without_processes):
    assert len(bench(["fc_train", "fc_train"], batch_size=1, num_steps=1).measurements) == 1


REFUSED = {
    "unknown work": ({"works": ["conv_trian"]}, r"did you mean conv_train\?"),
    "the limits alone": ({"works": ["limits"]}, "work must be one of"),
    "no repeats": ({"repeats": 0}, "repeats"),
    "no threads": ({"threads": 0}, "threads"),
    "no steps": ({"num_steps": 0}, "num_steps"),
    "no examples": ({"batch_size": -1}, "batch_size"),
    "negative seed": ({"seed": -1}, "seed"),
    "block before it begins": ({"block_s": -1.0}, "block"),
    "folder that is none": ({"data_dir": "nowhere"}, "data_dir"),
}


@pytest.mark.parametrize("arguments, part", REFUSED.values(), ids=REFUSED)
def test_refuses_before_it_measures(without_processes, arguments, part):
    with pytest.raises(InputError, match=part):
        bench(**arguments)
    assert without_processes == []


def test_does_not_write_over_a_measurement(without_processes, tmp_path):
    (tmp_path / "bench.json").write_text("{}")
    with pytest.raises(InputError, match="without a bench.json"):
        bench(["fc_train"], out=tmp_path)
    assert without_processes == [] and (tmp_path / "bench.json").read_text() == "{}"


def test_limits_are_no_choice():
    assert "limits" not in CHOICES and "conv_train" in CHOICES


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
