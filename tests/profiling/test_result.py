"""Medians, spreads and ratios, by hand."""

import json

import pytest

from kerasburst.profiling.result import EncodingProfile

from .pretend import measurement, record


def of(*measurements, acs=1000.0):
    return EncodingProfile.of_measurements(record(acs), measurements)


def test_times_and_energies_are_of_one_pass():
    one = of(
        measurement("a", 0, wall_s=4.0, passes=4, gpu_energy_j=80.0, gpu_power_w=20.0),  # 1 s, 20 J
        measurement("a", 1, wall_s=4.0, passes=2, gpu_energy_j=80.0, gpu_power_w=20.0),  # 2 s, 40 J
        measurement("a", 2, wall_s=6.0, passes=1, gpu_energy_j=90.0, gpu_power_w=15.0),  # 6 s, 90 J
    )
    assert one.values["wall_s"] == (1.0, 2.0, 6.0) and one.figures["wall_s"] == 2.0
    assert one.spread["wall_s"] == (1.5, 4.0)
    assert one.values["gpu_energy_j"] == (20.0, 40.0, 90.0) and one.figures["gpu_power_w"] == 20.0
    assert one.values["samples_per_s"] == pytest.approx((100.0, 50.0, 100 / 6))
    assert one.passes == (4, 2, 1) and one.examples == 100
    assert "gpu_energy_j" not in one.reasons and one.reasons["gpu_peak_mb"] == "no GPU here"
    assert one.figures["gpu_peak_mb"] is None


def test_joules_an_example_and_watts_are_not_the_same():
    """100 examples a pass; the second waits: half the watts, twice the time, and the same joules but for rest."""
    busy = of(measurement("a", 0, wall_s=4.0, passes=4, gpu_power_w=400.0, gpu_energy_j=1600.0))
    waits = of(measurement("b", 0, wall_s=8.0, passes=4, gpu_power_w=200.0, gpu_energy_j=1600.0))
    assert busy.figures["gpu_energy_j_per_sample"] == waits.figures["gpu_energy_j_per_sample"] == 4.0
    assert (busy.figures["samples_per_s"], waits.figures["samples_per_s"]) == (100.0, 50.0)
    ratios = waits.against({"a": busy}).ratios["a"]
    assert ratios["gpu_power_w"][1] == 0.5 and ratios["gpu_energy_j_per_sample"][1] == 1.0
    assert busy.figures["gpu_energy_above_idle_j_per_sample"] is None
    assert busy.reasons["gpu_energy_above_idle_j_per_sample"] == "no GPU here"


def test_feed_is_the_pipeline_in_files_of_earlier_versions():
    assert (of(measurement("a", 0)).encoding, of(measurement("a", 0)).feed) == ("a", "pipeline")
    assert of(measurement("a", 0, feed="encoded")).to_json()["feed"] == "encoded"


def test_memory_beyond_libraries_and_data():
    one = of(
        measurement("a", 0, peak_rss_mb=900.0, held_mb=500.0), measurement("a", 1, peak_rss_mb=920.0, held_mb=480.0)
    )
    assert one.figures["peak_rss_mb"] == 910.0 and one.figures["peak_rss_increase_mb"] == 420.0


def test_what_one_repeat_lacks_has_no_median():
    one = of(measurement("a", 0, gpu_power_w=5.0), measurement("a", 1), measurement("a", 2, gpu_power_w=5.0))
    assert one.figures["gpu_power_w"] is None and "gpu_power_w" not in one.values
    assert one.reasons["gpu_power_w"] == "in 1 of 3 repeats: no GPU here"


def test_ratios_are_paired_by_repeat():
    base = of(
        measurement("rate", 0, wall_s=4.0), measurement("rate", 1, wall_s=8.0), measurement("rate", 2, wall_s=4.0)
    )
    other = of(
        measurement("b", 0, wall_s=6.0),
        measurement("b", 1, wall_s=8.0),
        measurement("b", 2, wall_s=8.0),
        acs=250.0,
    ).against({"rate": base})
    assert other.ratios["rate"]["wall_s"] == (1.25, 1.5, 1.75)  # of 1.5, 1, 2
    assert other.ratios["rate"]["effective_acs_per_sample"] == (0.25, 0.25, 0.25)
    assert "gpu_power_w" not in other.ratios["rate"] and base.ratios == {}


def test_no_ratio_to_nothing():
    silent = of(measurement("rate", 0), acs=0.0)
    assert "effective_acs_per_sample" not in of(measurement("b", 0)).against({"rate": silent}).ratios["rate"]


def test_json_has_the_figures_at_the_top():
    value = json.loads(json.dumps(of(measurement("a", 0)).to_json()))
    assert value["wall_s"] == 0.5 and value["effective_acs_per_sample"] == 1000.0
    assert value["energy_estimate_j_per_sample"] == pytest.approx(10.1e-9)
    assert value["accuracy"] == 0.9 and value["firing_rates"]["input"] == 0.2
    assert value["cost"]["layers"][0]["effective_acs"] == 9000
    for name in ("gpu_power_w", "gpu_energy_j", "gpu_peak_mb"):
        assert value[name] is None and value["reasons"][name] == "no GPU here"
