"""The panels of an audit's page: what they draw is what audit.json and scores.npz hold."""

import copy
import re

import numpy as np
import pytest
from scipy import stats

from kerasburst.privacy.metrics import MembershipScores
from kerasburst.reports.audit_figures import audit_figures
from tests.reports.common import ENCODINGS

GREY = "#bbbbbb"


def points(container):
    line, *_ = container.lines
    return [float(value) for value in (*line.get_xdata(), *line.get_ydata())]


def ranked(found):
    """Return the attacks: the main one, then by their highest AUC at the most queries."""
    last = {(name, a["name"]): a["auc"] for name, e in found["encodings"].items() for a in e["attacks"]}
    names = list(dict.fromkeys(attack for _, attack in last))
    return sorted(names, key=lambda name: (name != "lira_online", -max(last[e, name] for e in ENCODINGS)))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_roc_is_log_log_with_a_band(audit_folder, drawn, found, encoding):
    axes = drawn[f"ROC, both axes logarithmic, {encoding}"]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    attacks = ranked(found)
    with np.load(audit_folder / "scores.npz") as stored:
        member = stored["membership"][0]
        names = reversed(attacks)  # the best is drawn last, above the others
        scores = {name: stored.get(f"{encoding}/{name}/4", stored.get(f"{encoding}/{name}/1"))[0] for name in names}
    low = 0.5 / 110
    assert axes.get_xlim()[0] == axes.get_ylim()[0] == pytest.approx(low)
    *lines, _ = axes.lines
    assert len({line.get_color() for line in lines[-4:]}) == 4 and {line.get_color() for line in lines[:-4]} == {GREY}
    for line, of in zip(lines, scores.values(), strict=True):
        fpr, tpr = MembershipScores.from_labels(of, member).roc()
        np.testing.assert_allclose(line.get_xdata(), np.maximum(fpr, low))
        np.testing.assert_allclose(line.get_ydata(), np.maximum(tpr, low))
    (band,) = axes.collections
    _, tpr = MembershipScores.from_labels(scores["lira_online"], member).roc()
    for share in tpr[1:-1:9]:
        exact = stats.binomtest(round(share * 110), 110).proportion_ci(0.95, method="exact")
        for end in (max(exact.low, low), exact.high):
            assert np.isclose(band.get_paths()[0].vertices[:, 1], end, atol=1e-9).any()


@pytest.mark.parametrize("place", range(3))
def test_auc_against_k_with_the_fitted_curve_and_its_limit(drawn, found, place):
    of = {a["name"] for a in found["encodings"]["rate"]["attacks"] if a["queries"] > 1}
    attack = [name for name in ranked(found) if name in of][place]
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


def test_accuracy_against_auc_has_every_attack(drawn, found):
    axes = drawn["Accuracy against AUC"]
    last = {
        (name, a["name"]): [a["auc"], 100 * result["test_accuracy"]]
        for name, result in found["encodings"].items()
        for a in result["attacks"]
    }
    first = ranked(found)[:3]
    shown = sorted(points(container) for container in axes.containers)
    np.testing.assert_allclose(shown, sorted(p for (_, a), p in last.items() if a in first), atol=0.2)  # a little apart
    ticks = sorted(float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "|" and line.get_alpha())
    assert ticks == sorted(auc for (_, a), (auc, _) in last.items() if a not in first)
    low, high = axes.get_ylim()
    assert high - low >= 5


@pytest.mark.thorough
def test_a_strangers_attack_and_encoding_are_in_every_figure(audit_folder, found):
    audit = copy.deepcopy(found)
    with np.load(audit_folder / "scores.npz") as stored:
        scores = {name.replace("rate/", "mine/"): stored[name] for name in stored.files}
    audit["encodings"] = {"mine": audit["encodings"]["rate"], "poisson_burst": audit["encodings"]["poisson_burst"]}
    for name, result in audit["encodings"].items():
        for a in [a for a in result["attacks"] if a["name"] == "loss"]:
            result["attacks"].append({**a, "name": "<margin>", "auc": 0.95})
            scores[f"{name}/<margin>/{a['queries']}"] = scores[f"{name}/loss/{a['queries']}"]
    for c in audit["controls"]:
        c["encoding"] = "mine" if c["encoding"] == "rate" else c["encoding"]
    drawings = {drawing.title: drawing for drawing in audit_figures(audit, scores)}
    labels = {title: [label for _, label in drawing.legend] for title, drawing in drawings.items()}
    assert all("mine" in names and "rate" not in names for title, names in labels.items() if title.startswith("AUC"))
    assert labels["ROC, both axes logarithmic"][:2] == ["lira_online", "<margin>"]
    assert ">mine<" in drawings["Members and non-members"].panels[0]
    assert "&lt;margin&gt;" in drawings["AUC against the number of queries"].panels[1]
    assert {"mine", "<margin>"} < set(labels["Accuracy against AUC"])


def test_each_figure_has_a_legend_that_needs_no_colour(html, found):
    figures = html.split("<figure>")[1:]
    assert len(figures) == 5
    for figure in figures:
        keys = re.findall(r'<li><svg class="key".*?>(<path.*?|<circle.*?)</svg>', figure.partition("</ul>")[0])
        assert len(keys) >= 2
    for figure in (*figures[:2], figures[3]):  # lines, of encodings, attacks, or sides
        keys = re.findall(r'<li><svg class="key".*?>(<path.*?)</svg>', figure.partition("</ul>")[0])
        assert len(set(keys)) == len(keys)
