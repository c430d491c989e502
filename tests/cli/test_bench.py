"""kerasburst bench."""

import json

import pytest
from kerasburst_cli import cmd_bench

from kerasburst.profiling.bench import BenchResult, LimitRates
from kerasburst.profiling.measurement import Measurement
from tests.cli.test_bad_input import assert_refused

TINY = ("--work", "encode_poisson_burst", "--repeats", "2", "--steps", "2", "--batch-size", "2", "--threads", "1")


@pytest.mark.thorough
def test_measures(kerasburst, tmp_path, monkeypatch):
    bench = cmd_bench.bench
    quick = {"settle_s": 0.0, "limit_scale": 0.02}
    monkeypatch.setattr(cmd_bench, "bench", lambda works, **how: bench(works, **how, **quick))
    outcome = kerasburst("bench", *TINY, "--block", "0.01", "--out", "figures", "--json")
    assert outcome.code == 0, outcome
    result = json.loads(outcome.out)
    assert result == json.loads((tmp_path / "figures" / "bench.json").read_text())
    (m,) = result["measurements"]
    assert m["reason"] is None and (m["work"], m["num_steps"], m["batch_size"], m["threads"]) == (TINY[1], 2, 2, 1)
    assert len(m["block_step_ms"]) == 2 and m["step_ms_median"] > 0 and m["peak_rss_mb"] > 100
    assert m["limit_ms"] > 0 and result["limits"]["copy_gb_per_s"] > 0
    assert "block 2 of 2" in outcome.err


REFUSED = {
    "unknown work": (["--work", "conv"], ["--work", "conv_train", "'conv'"]),
    "no repeats": (["--repeats", "0"], ["repeats", "1", "received 0"]),
    "no threads": (["--threads", "0"], ["threads", "1", "received 0"]),
    "no steps": (["--steps", "0"], ["num_steps", "1", "received 0"]),
    "no examples": (["--batch-size", "0"], ["batch_size", "1", "received 0"]),
    "a block of less than nothing": (["--block", "-1"], ["block", "0", "received -1"]),
    "not a number": (["--repeats", "often"], ["--repeats", "often"]),
    "absent data folder": (["--data-dir", "nowhere"], ["data_dir", "nowhere"]),
}


@pytest.mark.parametrize("arguments, parts", REFUSED.values(), ids=REFUSED)
def test_refuses(kerasburst, tmp_path, arguments, parts):
    assert_refused(kerasburst("bench", *arguments, "--out", "figures"), *parts)
    assert not list(tmp_path.iterdir())


def test_refuses_a_directory_with_figures(kerasburst, tmp_path):
    (tmp_path / "bench.json").write_text("{}")
    assert_refused(kerasburst("bench", "--out", "."), "out", "bench.json")


def test_summary_says_what_is_unknown():
    known = {"label": "kerasburst", "num_steps": 10, "batch_size": 128, "threads": 2}
    slow = Measurement.of_blocks([{"seconds": 0.4, "wait_percent": 1.5}], steps_per_block=1, work="train_wait", **known)
    lost = Measurement(work="lif", reason="killed by SIGKILL", **known)
    machine = {"cpu": None, "cores": 2}
    text = cmd_bench.summary(BenchResult(machine, 7.0, LimitRates(copy_gb_per_s=25.0), (slow, lost), {}))
    lines = text.splitlines()
    assert "unknown processor" in lines[0]
    assert "float32 matmul unknown GFLOP/s" in lines[1] and "copy 25 GB/s" in lines[1]
    assert "400.00" in text and "320" in text and "wait_percent 1.5" in text
    assert any(line.startswith("lif") and "unknown: killed by SIGKILL" in line for line in lines)
    assert "7 processes wanted to run" in text
