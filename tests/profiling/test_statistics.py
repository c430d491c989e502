import math

import pytest

from kerasburst.profiling.measurement import paired_ratios, quartiles, spread_percent
from kerasburst.validation import InputError


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


def test_spread_by_hand():
    assert spread_percent([1.0, 2.0, 3.0]) == 50.0  # quartiles 1.5 and 2.5, median 2
    assert spread_percent([5.0, 5.0, 5.0]) == 0.0


def test_a_drift_of_the_machine_falls_out_of_paired_ratios():
    fast = [10.0, 20.0, 40.0]
    assert paired_ratios([3.0 * value for value in fast], fast) == (3.0, 3.0, 3.0)


def test_paired_ratios_need_pairs():
    with pytest.raises(InputError, match="one length, received 2 and 1"):
        paired_ratios([1.0, 2.0], [1.0])
