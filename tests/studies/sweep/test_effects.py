import pytest

from kerasburst.studies.sweep.result import SeedFigures, SweepPoint, parameter_effects

A, B = "encoder.burst_interval", "model.filters"
METRICS = ("test_accuracy", "audit_auc")


def point(a, b, accuracies, aucs=None, reasons=None):
    seeds = [
        SeedFigures(
            seed=seed,
            figures={"test_accuracy": accuracy} | ({} if aucs is None else {"audit_auc": aucs[seed]}),
            reason=(reasons or {}).get(seed, ""),
        )
        for seed, accuracy in enumerate(accuracies)
    ]
    return SweepPoint(values={A: a, B: b}, seeds=tuple(seeds))


def test_differences_are_paired_by_seed_and_averaged_over_the_other_parameter():
    points = [
        point(1, [8], [0.50, 0.70, 0.60], [0.6, 0.6, 0.6]),
        point(1, [8, 16], [0.52, 0.72, 0.62], [0.7, 0.7, 0.7]),
        point(5, [8], [0.48, 0.66, 0.60], [0.5, 0.5, 0.5]),
        point(5, [8, 16], [0.50, 0.70, 0.58], [0.6, 0.6, 0.6]),
    ]
    tau, filters = parameter_effects([A, B], points, METRICS)
    assert (tau.parameter, tau.value, tau.against, tau.pairs, tau.of) == (A, 5, 1, 2, 2)
    found = tau.estimates["test_accuracy"]
    # Seed by seed: (-0.02 - 0.02) / 2, (-0.04 - 0.02) / 2, (0 - 0.04) / 2; t_2(0.975) = 4.302653
    assert found.mean == pytest.approx(-0.07 / 3) and found.seeds == 3
    half = 4.302653 * 0.0057735 / 3**0.5
    assert found.interval == pytest.approx((-0.07 / 3 - half, -0.07 / 3 + half), abs=1e-6)
    assert tau.estimates["audit_auc"].mean == pytest.approx(-0.1)
    assert (filters.parameter, filters.value, filters.against) == (B, [8, 16], [8])
    assert filters.estimates["test_accuracy"].mean == pytest.approx((0.02 + 0.03 + 0.0) / 3)


def test_a_seed_that_lacks_one_of_the_pairs_is_left_out():
    points = [
        point(1, 4, [0.5, 0.6, 0.7]),
        point(1, 8, [0.5, 0.6, 0.7]),
        point(5, 4, [0.4, 0.5, 0.1], reasons={2: "the loss was not a number"}),
        point(5, 8, [0.2, 0.3, 0.7]),
    ]
    tau, filters = parameter_effects([A, B], points, METRICS)
    # At seed 2 the pair that is left would say 0, where both say -0.2.
    assert tau.estimates["test_accuracy"].mean == pytest.approx(-0.2) and tau.estimates["test_accuracy"].seeds == 2
    assert filters.estimates["test_accuracy"].mean == pytest.approx(-0.1) and list(tau.estimates) == ["test_accuracy"]


def test_a_point_without_figures_leaves_its_pair_out_alone():
    corner = point(1, 4, [0.5, 0.5], reasons={0: "the loss was not a number", 1: "the loss was not a number"})
    points = [corner, point(1, 8, [0.6, 0.7]), point(5, 4, [0.7, 0.9]), point(5, 8, [0.8, 0.8])]
    tau, filters = parameter_effects([A, B], points, METRICS)
    assert (tau.value, tau.against, tau.pairs, tau.of) == (5, 1, 1, 2)
    assert tau.estimates["test_accuracy"].mean == pytest.approx(0.15) and tau.estimates["test_accuracy"].seeds == 2
    assert (filters.pairs, filters.of) == (1, 2)
    assert filters.estimates["test_accuracy"].mean == pytest.approx(0.0)


def test_points_that_are_no_configurations_have_no_effect():
    none = SweepPoint(values={A: 8, B: 4}, reason="burst_interval must be at most 4")
    hole = SweepPoint(values={A: 5, B: 8}, reason="burst_interval must be at most 4")
    one, other, third = point(1, 4, [0.5]), point(5, 4, [0.7]), point(1, 8, [0.5])
    first, filters = parameter_effects([A, B], [none, one, other, third, hole], METRICS)
    assert (first.value, first.against) == (5, 1)  # not against 8, for which nothing stands
    assert (first.pairs, first.of) == (1, 2)
    assert first.estimates["test_accuracy"].mean == pytest.approx(0.2)
    assert first.estimates["test_accuracy"].interval is None
    assert (filters.value, filters.pairs, filters.of, filters.estimates["test_accuracy"].mean) == (8, 1, 2, 0.0)


def test_where_no_pair_has_figures_there_are_no_estimates():
    failed = point(5, 4, [0.5], reasons={0: "failed"})
    (tau,) = parameter_effects([A], [point(1, 4, [0.5]), failed], METRICS)
    assert (tau.value, tau.pairs, tau.of, tau.estimates) == (5, 0, 1, {})
    assert parameter_effects([A, B], [failed], METRICS) == ()
    assert parameter_effects([A, B], [point(1, 4, [0.5])], METRICS) == ()
