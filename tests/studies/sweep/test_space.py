import math

import pytest

from kerasburst import records
from kerasburst.studies.sweep.space import MOST_POINTS, Parameter, grid, parse_parameter, sample
from kerasburst.validation import InputError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("encoder.burst_interval=2,5,10", (2, 5, 10)),
        ("encoder.mean_burst_size=1:6", (1, 2, 3, 4, 5, 6)),
        ("encoder.mean_burst_size=1:6:2", (1, 3, 5)),
        ("neuron.beta=0.5:1:0.25", (0.5, 0.75, 1.0)),
        ("neuron.beta=0.7:1:0.1", (0.7, 0.8, 0.9, 1.0)),  # 0.7 + 3 * 0.1 is a little less than 1
        ("train.learning_rate=1e-4,1e-3", (1e-4, 1e-3)),
        ("neuron.beta=.5", (0.5,)),
        ("encoder.silence=none,0", (None, 0)),
        ("encoder.intensity_map=linear,power", ("linear", "power")),
        ("model.filters=[8,16],[16,32]", ([8, 16], [16, 32])),
        (" train.num_steps = 5, 10 ", (5, 10)),
    ],
)
def test_lists_and_ranges(text, values):
    found = parse_parameter(text)
    assert found.values == values and found.low is None
    assert [type(value) for value in found.values] == [type(value) for value in values]


def test_a_range_without_steps_is_for_a_random_search():
    found = parse_parameter("train.learning_rate=1e-4:1e-2")
    assert (found.values, found.low, found.high, found.label) == ((), 1e-4, 1e-2, "train.learning_rate")
    with pytest.raises(InputError, match=r"train.learning_rate must have steps in a grid, received 0.0001:0.01"):
        grid([found])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("burst_interval=2", "SCOPE.NAME=VALUES"),
        ("encoder.burst_interval", "SCOPE.NAME=VALUES"),
        ("encoder.=2", "SCOPE.NAME=VALUES"),
        ("encoder.burst_interval=", "SCOPE.NAME=VALUES"),
        ("encodr.burst_interval=2", "SCOPE one of encoder, neuron, model, train"),
        ("train.dataset=iris", "--param train must be one of num_steps, epochs"),
        ("encoder.margin=6:1", "must run upwards, received 6:1"),
        ("encoder.margin=1:6:0", "must run upwards, received 1:6:0"),
        ("neuron.beta=0.9:0.5", "must run upwards, received 0.9:0.5"),
        ("encoder.margin=2,2", "values that differ"),
        ("encoder.margin=1:100000", "at most 1000 values, received 100000"),
        ("neuron.beta=0:1e400:1", "a range of finite numbers, received '0:1e400:1'"),
        ("neuron.beta=0.1:1e400", "a range of finite numbers"),
    ],
)
def test_what_is_no_parameter_is_refused(text, part):
    with pytest.raises(InputError, match=part.replace("(", r"\(")):
        parse_parameter(text)


def test_a_parameter_comes_back_from_json():
    for text in ("encoder.margin=1:3", "model.filters=[8,16],[4,4]", "neuron.beta=0.5:0.9"):
        parameter = parse_parameter(text)
        assert Parameter(**records.to_json(parameter)) == parameter


def test_a_grid_has_every_combination_in_order():
    parameters = [Parameter("encoder", "a", (1, 2)), Parameter("encoder", "b", ("x", "y"))]
    assert grid(parameters) == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]
    too_many = [Parameter("encoder", "a", tuple(range(101))), Parameter("encoder", "b", tuple(range(100)))]
    with pytest.raises(InputError, match="at most 10,000 points"):
        grid(too_many)
    assert MOST_POINTS == 10_000


def test_random_points_differ_and_repeat_by_their_seed():
    parameters = [Parameter("encoder", "a", (1, 2, 3)), Parameter("neuron", "b", low=0.5, high=0.6)]
    points = sample(parameters, 8, seed=3)
    assert len(set(points)) == 8 and points == sample(parameters, 8, seed=3) != sample(parameters, 8, seed=4)
    assert all(a in (1, 2, 3) and 0.5 <= b <= 0.6 for a, b in points)
    # More samples begin with those of fewer.
    assert sample(parameters, 5, seed=3) == points[:5]


def test_a_random_search_takes_no_more_than_there_are():
    parameters = [Parameter("encoder", "a", (1, 2, 3)), Parameter("encoder", "b", (4, 5))]
    found = sample(parameters, 100, seed=0)
    assert sorted(found) == grid(parameters) and len(found) == math.prod((3, 2))
    narrow = [Parameter("neuron", "beta", low=0.9, high=0.900001)]
    assert sorted(sample(narrow, 20, seed=0)) == [(0.9,), (0.900001,)]


def test_a_parameter_has_values_or_a_range():
    with pytest.raises(InputError, match="must have values, or a range"):
        Parameter("encoder", "a")
    with pytest.raises(InputError, match="must have values, or a range"):
        Parameter("encoder", "a", (1,), low=0.0, high=1.0)
