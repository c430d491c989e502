import json
import math
import sys
from pathlib import Path

import pytest

from kerasburst import records
from kerasburst.profiling.measurement import (
    Measurement,
    Participant,
    measure_together,
    paired_ratios,
    quartiles,
)
from kerasburst.validation import InputError

FAKE = (sys.executable, str(Path(__file__).with_name("fake.py")))


@pytest.fixture
def participant(tmp_path):
    def make(label, step_s=0.1, **options):
        size = {"num_steps": 10, "batch_size": 4, "threads": 1}
        return Participant(label, label, {**size, "step_s": step_s, "log": str(tmp_path / "log"), **options}, FAKE)

    return make


@pytest.fixture
def log(tmp_path):
    return lambda: (tmp_path / "log").read_text().splitlines()


def test_they_take_turns(participant, log):
    measure_together([participant("a"), participant("b"), participant("c")], repeats=3, block_s=0.1, settle_s=0.0)
    assert [line.split()[0] for line in log()][-9:] == ["a", "b", "c"] * 3


def test_a_block_lasts_as_long_as_asked(participant, log):
    slow, quick = measure_together(
        [participant("slow", 0.3), participant("quick", 0.01)], repeats=1, block_s=1.0, settle_s=0.0
    )
    assert log()[-2:] == ["slow 4", "quick 100"]  # the first whole number of steps of 1 s or more
    assert (slow.steps_per_block, quick.steps_per_block) == (4, 100)
    assert slow.step_ms_median == 300.0 and quick.samples_per_s_median == 400.0
    assert slow.more == {"extra_mj": 2.0} and slow.versions == {"fake": "1.0"} and slow.peak_rss_mb == 12.5
    assert slow.first_step_s == 0.3 and slow.device_peak_mb is None


def test_a_block_of_no_length_is_one_step(participant, log):
    measure_together([participant("a", 5.0)], repeats=2, block_s=0.0, settle_s=0.0)
    assert log()[-2:] == ["a 1", "a 1"]


@pytest.mark.parametrize("how, reason", [({"dies_at": 4}, "exit status 3: out of luck"), ({"fails_at": 1}, "Val")])
def test_one_that_fails_is_left_out_and_the_others_go_on(participant, how, reason):
    told = []
    good, bad, last = measure_together(
        [participant("good"), participant("bad", **how), participant("last")],
        repeats=3,
        block_s=0.1,
        settle_s=0.0,
        tell=told.append,
    )
    assert bad.reason.startswith(reason) and bad.step_ms_median is None and bad.block_step_ms == ()
    assert len(good.block_step_ms) == len(last.block_step_ms) == 3
    assert sum(line.startswith("bad: ") and bad.reason in line for line in told) == 1


def test_a_command_that_does_not_start_is_a_reason(participant):
    lost = Participant("lost", "lost", participant("lost").options, ("/nowhere/python",))
    (m,) = measure_together([lost], repeats=1, settle_s=0.0)
    assert m.reason == "/nowhere/python does not start: No such file or directory"


def test_no_repeats(participant):
    with pytest.raises(InputError, match="repeats"):
        measure_together([participant("a")], repeats=0)


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
        assert any(unit in name for unit in ("_ms", "_mb", "_percent", "_per_s", "_step_s")), name


def test_no_blocks():
    with pytest.raises(ValueError, match="values"):
        Measurement.of_blocks([], steps_per_block=1, batch_size=1, **KNOWN)


def test_quartiles_by_hand():
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)
    assert quartiles([1.0, 2.0]) == (1.25, 1.5, 1.75)
    assert quartiles([8.0, 1.0, 4.0, 2.0]) == (1.75, 3.0, 5.0)  # of 1 2 4 8, at places 0.75, 1.5 and 2.25


def test_one_slow_block_does_not_move_the_median():
    assert quartiles([10.0, 10.0, 10.0, 10.0, 500.0])[1] == 10.0


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_quartiles_of_what_is_no_number(values):
    with pytest.raises(InputError, match="values"):
        quartiles(values)


@pytest.mark.parametrize("seconds, spread", [([1.0, 2.0, 3.0], 50.0), ([5.0, 5.0, 5.0], 0.0)])
def test_spread_by_hand(seconds, spread):
    blocks = [{"seconds": value} for value in seconds]  # quartiles 1.5 and 2.5, median 2
    assert Measurement.of_blocks(blocks, steps_per_block=1, batch_size=1, **KNOWN).spread_percent == spread


def test_a_drift_of_the_machine_falls_out_of_paired_ratios():
    fast = [10.0, 20.0, 40.0]
    assert paired_ratios([3.0 * value for value in fast], fast) == (3.0, 3.0, 3.0)


def test_paired_ratios_need_pairs():
    with pytest.raises(InputError, match="one length, received 2 and 1"):
        paired_ratios([1.0, 2.0], [1.0])
