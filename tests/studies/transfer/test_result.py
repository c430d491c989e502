import pytest

from kerasburst.studies.transfer.result import compare_arms


def test_differences_are_paired_by_seed():
    # transfer - scratch = 0.04, 0.02, 0.00: mean 0.02, s = 0.02, t_2(0.975) = 4.302653
    found = compare_arms([0.5, 0.7, 0.9], [0.54, 0.72, 0.9], [0.44, 0.62, 0.8], rate=[0.55, 0.73, 0.91])
    assert found.difference == pytest.approx(0.02)
    width = 4.302653 * 0.02 / 3**0.5
    assert found.difference_interval == pytest.approx((0.02 - width, 0.02 + width), abs=1e-6)
    # The seeds differ by 0.4, their differences not at all.
    assert found.over_control == pytest.approx(0.1) and found.over_control_interval == pytest.approx((0.1, 0.1))
    assert found.over_rate == pytest.approx(-0.01) and found.over_rate_interval == pytest.approx((-0.01, -0.01))
    assert set(found.reasons) == {"source"}


def test_what_is_not_known_is_none_with_a_reason():
    found = compare_arms([0.5], [0.6], [0.4], source=[0.9])
    assert (found.difference, found.over_control) == (pytest.approx(0.1), pytest.approx(0.2))
    for name in ("difference_interval", "over_control_interval", "over_rate", "over_rate_interval"):
        assert getattr(found, name) is None and found.reasons[name], name
    assert "seed" in found.reasons["difference_interval"] and found.source == (0.9,)
