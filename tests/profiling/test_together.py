import sys
from pathlib import Path

import pytest

from kerasburst.profiling.measurement import Participant, measure_together
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
