"""The panels of an audit's page: what they draw is what audit.json and scores.npz hold."""

import re

import numpy as np
import pytest
from scipy import stats

from kerasburst.privacy.metrics import MembershipScores
from tests.reports.common import ENCODINGS


def points(container):
    line, *_ = container.lines
    return [float(value) for value in (*line.get_xdata(), *line.get_ydata())]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_roc_is_log_log_with_a_band(audit_folder, drawn, encoding):
    axes = drawn[f"ROC, both axes logarithmic, {encoding}"]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    with np.load(audit_folder / "scores.npz") as stored:
        member = stored["membership"][0]
        scores = {name: stored[f"{encoding}/{name}/4"][0] for name in ("lira_online", "rmia", "loss", "svm")}
    low = 0.5 / 110
    assert axes.get_xlim()[0] == axes.get_ylim()[0] == pytest.approx(low)
    for line, of in zip(axes.lines, scores.values(), strict=False):
        fpr, tpr = MembershipScores.from_labels(of, member).roc()
        np.testing.assert_allclose(line.get_xdata(), np.maximum(fpr, low))
        np.testing.assert_allclose(line.get_ydata(), np.maximum(tpr, low))
    (band,) = axes.collections
    _, tpr = MembershipScores.from_labels(scores["lira_online"], member).roc()
    for share in tpr[1:-1:9]:
        exact = stats.binomtest(round(share * 110), 110).proportion_ci(0.95, method="exact")
        for end in (max(exact.low, low), exact.high):
            assert np.isclose(band.get_paths()[0].vertices[:, 1], end, atol=1e-9).any()


@pytest.mark.parametrize("attack", ["lira_online", "rmia", "loss"])
def test_auc_against_k_with_the_fitted_curve_and_its_limit(drawn, found, attack):
    axes = drawn[f"AUC against the number of queries, {attack}"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "4", "∞"]
    curves = [line for line in axes.lines if len(line.get_xdata()) > 10]
    assert len(curves) == 2
    for curve, result in zip(curves, found["encodings"].values(), strict=True):
        fit = result["averaging"][attack]
        variance = fit["model_variance"] + fit["encoding_variance"] / np.array(curve.get_xdata())
        np.testing.assert_allclose(curve.get_ydata(), stats.norm.cdf(fit["delta_mu"] / np.sqrt(2 * variance)))
    shown = sorted(points(container)[1] for container in axes.containers)
    aucs = [a["auc"] for result in found["encodings"].values() for a in result["attacks"] if a["name"] == attack]
    limits = [result["averaging"][attack]["limit"] for result in found["encodings"].values()]
    assert shown == pytest.approx(sorted(aucs + limits))
    hollow = [points(container) for container in axes.containers if container.lines[0].get_mfc() == "white"]
    assert [y for _, y in hollow] == limits and all(x > 8 for x, _ in hollow)
    low, high = axes.get_ylim()
    assert all(low < auc < high for auc in aucs + [0.5])


def test_auc_against_the_time_step(drawn, found):
    axes = drawn["AUC against the time step"]
    for line, band, result in zip(axes.lines, axes.collections, found["encodings"].values(), strict=False):
        assert list(line.get_xdata()) == [1, 2, 3, 4, 5] and list(line.get_ydata()) == result["auc_by_step"]
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
        assert corners == {(x, end) for x, ends in enumerate(result["auc_interval_by_step"], 1) for end in ends}
    assert len(axes.collections) == len(found["encodings"])


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_histograms_of_members_and_non_members(drawn, found, encoding):
    axes, phi = drawn[f"Members and non-members, {encoding}"], found["encodings"][encoding]["phi"]
    sides = [axes.patches[0].get_data(), axes.patches[2].get_data()]
    for data, side in zip(sides, ("members", "non_members"), strict=True):
        np.testing.assert_allclose(data.values, 100 * np.array(phi[side]) / 110)
        assert data.values.sum() == pytest.approx(100) and list(data.edges) == phi["edges"]
        assert data.values.max() < axes.get_ylim()[1]


def test_accuracy_against_auc(drawn, found):
    shown = sorted(points(container) for container in drawn["Accuracy against AUC"].containers)
    wanted = sorted(
        [a["auc"], 100 * result["test_accuracy"]]
        for result in found["encodings"].values()
        for a in result["attacks"]
        if a["name"] in ("lira_online", "loss", "svm") and a["queries"] == 4
    )
    np.testing.assert_allclose(shown, wanted, atol=0.2)  # attacks on one encoding stand a little apart


def test_each_figure_has_a_legend_that_needs_no_colour(html, found):
    figures = html.split("<figure>")[1:]
    assert len(figures) == 5
    for figure in figures:
        keys = re.findall(r'<li><svg class="key".*?>(<path.*?|<circle.*?)</svg>', figure.partition("</ul>")[0])
        assert len(keys) >= 2
    for figure in (*figures[:2], figures[3]):  # lines, of encodings, attacks, or sides
        keys = re.findall(r'<li><svg class="key".*?>(<path.*?)</svg>', figure.partition("</ul>")[0])
        assert len(set(keys)) == len(keys)
