import json

import pytest

from kerasburst import records
from kerasburst.profiling.measurement import Measurement

KNOWN = {"label": "kerasburst", "work": "lif", "num_steps": 10, "threads": 2}


def test_figures_by_hand():
    blocks = [{"seconds": 1.0, "wait_s": 0.1}, {"seconds": 2.0, "wait_s": 0.3}, {"seconds": 4.0, "wait_s": 0.2}]
    m = Measurement.of_blocks(blocks, steps_per_block=10, batch_size=50, peak_rss_mb=7.5, **KNOWN)
    assert m.block_step_ms == (100.0, 200.0, 400.0)
    assert (m.step_ms_q1, m.step_ms_median, m.step_ms_q3) == (150.0, 200.0, 300.0)
    assert m.spread_percent == 75.0
    assert m.samples_per_s_median == 250.0
    assert m.more == {"wait_s": 0.2} and m.peak_rss_mb == 7.5 and m.reason is None


def test_a_worker_may_do_more_steps_than_it_was_asked_for():
    m = Measurement.of_blocks([{"seconds": 1.0, "steps": 20}], steps_per_block=13, batch_size=1, **KNOWN)
    assert m.step_ms_median == 50.0 and m.steps_per_block == 20


def test_share_of_the_limit():
    m = Measurement.of_blocks([{"seconds": 0.2}], steps_per_block=1, batch_size=1, **KNOWN)
    assert m.against(50.0).share_of_limit_percent == 25.0 and m.against(50.0).limit_ms == 50.0
    assert m.against(None).share_of_limit_percent is None


def test_what_is_not_known_is_null_in_json():
    m = Measurement(**KNOWN, batch_size=1, reason="killed by SIGKILL").against(50.0)
    value = json.loads(json.dumps(records.to_json(m)))
    assert value["step_ms_median"] is None and value["peak_rss_mb"] is None
    assert value["share_of_limit_percent"] is None and value["reason"] == "killed by SIGKILL"


def test_every_figure_has_its_unit_in_its_name():
    plain = {"label", "work", "num_steps", "batch_size", "threads", "steps_per_block", "more", "versions", "reason"}
    m = Measurement(**KNOWN, batch_size=1)
    for name in set(records.to_json(m)) - plain:
        assert any(unit in name for unit in ("_ms", "_mb", "_percent", "_per_s")), name


def test_no_blocks():
    with pytest.raises(ValueError, match="values"):
        Measurement.of_blocks([], steps_per_block=1, batch_size=1, **KNOWN)
