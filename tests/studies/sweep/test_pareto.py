from kerasburst.studies.sweep.result import pareto_front


def test_no_other_is_as_accurate_and_leaks_as_little():
    points = [
        (0.95, 0.70),  # the most accurate
        (0.90, 0.60),  # between
        (0.90, 0.65),  # as accurate as the one before, and leaks more
        (0.85, 0.62),  # less accurate than the second, and leaks more
        (0.80, 0.51),  # leaks least
        (0.80, 0.52),
        None,
    ]
    assert pareto_front(points) == [0, 1, 4]


def test_equals_share_the_front():
    assert pareto_front([(0.9, 0.6), (0.9, 0.6), (0.9, 0.7)]) == [0, 1]


def test_one_and_none():
    assert pareto_front([(0.1, 0.9)]) == [0] and pareto_front([]) == [] and pareto_front([None]) == []
