import itertools

import matplotlib.image
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from kerasburst.reports.sweep import (
    fewer_queries,
    judged_table,
    metric_title,
    save_sweep_figures,
    shown,
    sweep_figures,
)
from kerasburst.reports.table import terminal


def estimate(mean, half=None):
    return {"mean": mean, "interval": None if half is None else [mean - half, mean + half], "seeds": 3}


def point(values, accuracy=None, auc=None, reason="", half=0.01, on_front=None):
    by_k = None if auc is None else {"4": estimate(auc, half), "1": estimate(auc - 0.05, half)}
    estimates = {} if accuracy is None else {"test_accuracy": estimate(accuracy, half)}
    estimates |= {} if auc is None else {"audit_auc": estimate(auc, half)}
    return {"values": values, "reason": reason, "estimates": estimates, "on_front": on_front, "seeds": []} | {
        "auc_by_queries": by_k
    }


def sweep(points, *parameters, front=(), metrics=("test_accuracy",)):
    return {
        "parameters": [parameter["label"] for parameter in parameters],
        "config": {"parameters": [{"values": parameter["values"]} for parameter in parameters]},
        "metrics": list(metrics),
        "points": points,
        "front": list(front),
        "effects": [],
        "attack": {"name": "lira_online", "queries": 4},
    }


TAU = {"label": "encoder.burst_interval", "values": [2, 5, 20]}
LAMBDA = {"label": "encoder.mean_burst_size", "values": [1.0, 3.0]}


def both():
    points = [
        point({TAU["label"]: 2, LAMBDA["label"]: 1.0}, 0.9, 0.7, on_front=True),
        point({TAU["label"]: 2, LAMBDA["label"]: 3.0}, 0.8, 0.6, on_front=True),
        point({TAU["label"]: 5, LAMBDA["label"]: 1.0}, 0.8, 0.65, on_front=False),
        point({TAU["label"]: 5, LAMBDA["label"]: 3.0}, 0.7, None),
        point({TAU["label"]: 20, LAMBDA["label"]: 1.0}, reason="burst_interval must be at most 10"),
        point({TAU["label"]: 20, LAMBDA["label"]: 3.0}, reason="burst_interval must be at most 10"),
    ]
    return sweep(points, TAU, LAMBDA, front=(0, 1), metrics=("test_accuracy", "audit_auc"))


def test_heat_maps_have_each_mean_in_its_cell():
    figures = sweep_figures(both())
    assert list(figures) == ["test_accuracy", "audit_auc", "pareto"]
    axes = figures["test_accuracy"].axes[0]
    said = {text.get_position(): text.get_text() for text in axes.texts}
    assert said[0, 0] == "0.900\n0.890–0.910" and said[1, 1] == "0.700\n0.690–0.710" and said[0, 2] == "no run"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "3"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["2", "5", "20"]
    assert {t.get_position(): t.get_text() for t in figures["audit_auc"].axes[0].texts}[1, 1] == "–"
    assert axes.images[0].get_array().tolist()[0] == [0.9, 0.8]


def test_labels_of_points_that_lie_close_do_not_cover_each_other():
    near = [(0.680, 0.5617), (0.681, 0.5625), (0.600, 0.5350)]
    points = [
        point({TAU["label"]: tau, LAMBDA["label"]: 3.0}, *each, on_front=True)
        for tau, each in zip(TAU["values"], near, strict=True)
    ]
    figure = sweep_figures(sweep(points, TAU, LAMBDA, front=(1, 0, 2), metrics=()))["pareto"]
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    labels = [text for text in figure.axes[0].texts if text.get_text() in ("2, 3", "5, 3", "20, 3")]
    boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels]
    assert len(boxes) == 3
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_the_front_is_marked_and_joined():
    axes = sweep_figures(both())["pareto"].axes[0]
    said = {text.get_text() for text in axes.texts}
    assert {"2, 1", "2, 3"} <= said and "5, 1" not in said
    steps = [line for line in axes.lines if line.get_drawstyle() == "steps-pre"]
    assert list(steps[0].get_xdata()) == [0.7, 0.6] and list(steps[0].get_ydata()) == pytest.approx([90, 80])
    assert len(axes.containers) == 3  # the points that have both figures


def test_what_a_search_chose_is_shown_as_it_was_judged():
    result = both() | {"seeds": [0, 1, 2], "data": {"name": "iris"}, "chosen": 1}
    result["config"] |= {"search": "pareto", "train": {"encoding": "poisson_burst"}}
    points = [
        point({TAU["label"]: 2, LAMBDA["label"]: size}, *found)
        for size, *found in ((3.0, 0.85, 0.62), (1.0, 0.91, 0.69))
    ]
    difference = {"test_accuracy": estimate(-0.06, 0.01), "audit_auc": estimate(-0.07, 0.02)}
    judged = {"chosen": 1, "rule": "the lowest", "compared": 4, "points": points, "difference": difference}
    result["judged"] = judged | {"matched": estimate(-0.01, 0.03), "by_seed": {}}
    rows = [" ".join(line.split()) for line in terminal(judged_table(result)).splitlines()]
    assert "chosen 2 3 0.850 (0.840 to 0.860) 0.620 (0.610 to 0.630)" in rows
    assert "first 2 1 0.910 (0.900 to 0.920) 0.690 (0.680 to 0.700)" in rows
    assert "chosen - first -0.060 (-0.070 to -0.050) -0.070 (-0.090 to -0.050) -0.010 (-0.040 to +0.020)" in rows
    assert "Chosen among 4 points: the lowest." in " ".join(rows)
    axes = sweep_figures(result)["pareto"].axes[0]
    diamonds = [line for line in axes.lines if line.get_marker() == "D"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in diamonds] == [(0.62, 85), (0.69, 91)]
    assert {"chosen, judged", "first, judged"} <= {text.get_text() for text in axes.texts}
    # A search's points lie on no grid: a cloud, not a heat map; without a judgement it says why.
    assert not sweep_figures(result)["test_accuracy"].axes[0].images
    assert judged_table(both()) is None


def test_one_parameter_is_a_line_with_intervals():
    points = [point({TAU["label"]: 5}, 0.8), point({TAU["label"]: 2}, 0.9, half=None), point({TAU["label"]: 20})]
    axes = sweep_figures(sweep(points, TAU))["test_accuracy"].axes[0]
    line = axes.containers[0].lines[0]
    assert list(line.get_xdata()) == [2, 5] and list(line.get_ydata()) == [0.9, 0.8]
    words = {"label": "encoder.silence", "values": [None, 0]}
    points = [point({words["label"]: None}, 0.5), point({words["label"]: 0}, 0.8)]
    axes = sweep_figures(sweep(points, words))["test_accuracy"].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["none", "0"]


def test_random_numbers_are_a_cloud():
    beta = {"label": "neuron.beta", "values": []}
    points = [point({TAU["label"]: t, "neuron.beta": b}, a) for t, b, a in ((2, 0.81, 0.7), (5, 0.92, 0.8))]
    axes = sweep_figures(sweep(points, TAU, beta))["test_accuracy"].axes[0]
    assert axes.collections[0].get_offsets().tolist() == [[0.81, 2.0], [0.92, 5.0]]


def test_a_cloud_has_places_for_what_is_no_number():
    filters, beta = {"label": "model.filters", "values": [[8, 16], [16, 32]]}, {"label": "neuron.beta", "values": []}
    draws = (([16, 32], 0.6, 0.7), ([8, 16], 0.8, 0.8), ([16, 32], 0.7, 0.9))
    points = [point({"model.filters": f, "neuron.beta": b}, a) for f, b, a in draws]
    axes = sweep_figures(sweep(points, filters, beta))["test_accuracy"].axes[0]
    assert axes.collections[0].get_offsets().tolist() == [[0.6, 0.0], [0.8, 1.0], [0.7, 0.0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["16,32", "8,16"]


def test_more_parameters_have_the_front_alone():
    values = {TAU["label"]: 2, LAMBDA["label"]: 1.0, "neuron.beta": 0.5}
    result = sweep([point(values, 0.9, 0.6, on_front=True)], TAU, LAMBDA, {"label": "neuron.beta", "values": [0.5]})
    assert list(sweep_figures(result | {"front": [0]})) == ["pareto"]


def test_pictures_are_written(tmp_path):
    paths = save_sweep_figures(both(), tmp_path)
    assert [path.name for path in paths] == ["test_accuracy.png", "audit_auc.png", "pareto.png"]
    assert all(matplotlib.image.imread(path).std() > 0.01 for path in paths)


def test_names():
    assert fewer_queries(both()) == ["1"] and fewer_queries(sweep([point({TAU["label"]: 2}, 0.9)], TAU)) == []
    assert metric_title(both(), "audit_auc") == "AUC, lira_online, K = 4"
    assert metric_title({"attack": None}, "test_accuracy") == "test accuracy"
    assert [shown(value) for value in (2, 0.5, True, None, [8, 16])] == ["2", "0.5", "true", "none", "8,16"]


def test_a_small_difference_does_not_fill_the_picture():
    """Neither an axis nor the colours show less than five points, and what is drawn stays within 0 to 100 %."""
    near = sweep([point({"model.x": x}, 0.999 + 0.0005 * x) for x in (0, 1)], {"label": "model.x", "values": [0, 1]})
    low, high = sweep_figures(near)["test_accuracy"].axes[0].get_ylim()
    assert high - low == pytest.approx(0.05) and low < 0.999 and high <= 1.0
    flat = [point({**{LAMBDA["label"]: x}, TAU["label"]: y}, 0.9) for x in LAMBDA["values"] for y in TAU["values"]]
    image = sweep_figures(sweep(flat, TAU, LAMBDA))["test_accuracy"].axes[0].images[0]
    assert image.get_clim() == pytest.approx((0.875, 0.925))
