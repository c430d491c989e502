"""The figures of an audit's page: panels of one width, side by side or one above the other."""

from __future__ import annotations

import dataclasses

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from scipy import stats

from kerasburst.privacy.averaging import AveragingFit
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.privacy.reading import arm_word, failed_controls, step_word
from kerasburst.privacy.result import MAIN_ATTACK
from kerasburst.reports.palette import (
    GREY,
    GUESS,
    SIZE,
    STYLES,
    WIDE,
    Drawing,
    Style,
    encoding_styles,
    errors,
    key,
    legend,
    panel,
    styles_of,
    widen,
)
from kerasburst.reports.palette import svg as _svg

_WIDEST = 0.25  # interval of a limit: half the way from a guess to certainty
_MOST = 4  # attacks in colours of their own; the others are drawn in grey
_PALE, _DOTS = "#bbbbbb", (1, 1)


def undetermined(fit: dict) -> bool:
    """Return whether the interval of an averaging fit's limit is too wide for the limit to mean anything."""
    interval = fit["limit_interval"]
    return interval is not None and interval[1] - interval[0] > _WIDEST


def audit_figures(audit: dict, scores: dict[str, np.ndarray]) -> list[Drawing]:
    """Draw the figures.

    Args:
        audit: what audit.json holds.
        scores: what scores.npz holds.
    """
    encodings = {
        name: dataclasses.replace(style, label=name + " (controls failed)" * bool(failed_controls(audit, name)))
        for name, style in encoding_styles(audit["encodings"]).items()
    }
    others = (_averaging, _references, _steps, _histograms, _accuracy)
    found = [_roc(audit, scores, encodings), *(draw(audit, encodings) for draw in others)]
    return [part for part in found if part is not None]


def _ranked(audit: dict) -> list[str]:
    """Return the attacks: the main one, then by their AUC at the largest K on the encoding where it is highest."""
    highest: dict[str, float] = {}
    for encoding in audit["encodings"].values():
        for attack in {a["name"]: a for a in encoding["attacks"]}.values():  # the largest K is last
            highest[attack["name"]] = max(highest.get(attack["name"], 0.0), attack["auc"])
    main = MAIN_ATTACK[audit["protocol"]]
    return sorted(highest, key=lambda name: (name != main, -highest[name]))


def _others(names: list[str]) -> list[tuple[Markup, str]]:
    """Return the legend of the attacks that are drawn in grey."""
    return [(key(Style("", _PALE, _DOTS), marker=False), f"others: {', '.join(names)}")] if names else []


def _roc(audit: dict, scores: dict[str, np.ndarray], encodings: dict[str, Style]) -> Drawing:
    member = scores["membership"][0]
    low = 0.5 / min(member.sum(), (~member).sum())
    ranked = _ranked(audit)
    styles = styles_of(ranked[:_MOST])
    panels = []
    for encoding, result in audit["encodings"].items():
        axes = panel(SIZE)
        for name in reversed(ranked):
            stored = scores.get(f"{encoding}/{name}/{_largest(result, name)}")
            if stored is None:  # not run on this encoding
                continue
            of = MembershipScores.from_labels(stored[0], member)
            fpr, tpr = (np.maximum(rate, low) for rate in of.roc())
            if name not in ranked[:_MOST]:
                axes.step(fpr, tpr, where="post", color=_PALE, ls=(0, _DOTS), lw=0.8)
                continue
            style = styles[ranked.index(name)]
            axes.step(fpr, tpr, where="post", color=style.colour, ls=style.ls, lw=1.4)
            if name == ranked[0]:
                lower, upper = _tpr_band(of.roc()[1], len(of.member_scores))
                axes.fill_between(fpr, np.maximum(lower, low), upper, step="post", color=style.colour, alpha=0.18, lw=0)
        axes.plot([low, 1], [low, 1], ls=(0, GUESS), color=GREY, lw=1)
        title = encodings[encoding].label
        axes.set(xscale="log", yscale="log", xlim=(low, 1), ylim=(low, 1.1), title=title, xlabel="FPR", ylabel="TPR")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
        panels.append(axes)
    return _part(
        "ROC, both axes logarithmic",
        panels,
        legend(styles, marker=False)
        + _others(ranked[_MOST:])
        + [(key(Style("", GREY, GUESS), marker=False), "a guess")],
        f"Target 0, at the largest K of each attack. The band is the pointwise 95 % Clopper-Pearson interval of "
        f"{ranked[0]}'s TPR. The left end matters most: members found with few false accusations.",
    )


def _averaging(audit: dict, encodings: dict[str, Style]) -> Drawing | None:
    asked: dict[str, set[int]] = {}
    for result in audit["encodings"].values():
        for a in result["attacks"]:
            asked.setdefault(a["name"], set()).add(a["queries"])
    names = [name for name in _ranked(audit) if len(asked[name]) > 1][: _MOST - 1]
    ks = sorted({k for name in names for k in asked[name]})
    if len(ks) < 2:
        return None
    infinity = max(ks) * 4.0
    curve = np.geomspace(min(ks), infinity / 1.4, 60)
    shown = []
    panels = [panel(SIZE) for _ in names]
    for axes, name in zip(panels, names, strict=True):
        for i, (encoding, style) in enumerate(encodings.items()):
            result = audit["encodings"][encoding]
            aside = 1.07 ** (i - (len(encodings) - 1) / 2)  # so that intervals do not hide each other
            points = [a for a in result["attacks"] if a["name"] == name]
            for a in points:
                _interval(axes, aside * a["queries"], a["auc"], a["auc_interval"], style)
                shown += a["auc_interval"]
            fit = result["averaging"].get(name)
            if fit is not None and fit["reason"] is None:
                model = AveragingFit(
                    *(fit[part] for part in ("delta_mu", "model_variance", "encoding_variance", "ks", "aucs"))
                )
                axes.plot(curve, [model.auc(float(k)) for k in curve], color=style.colour, ls=style.ls, lw=1.3)
                _interval(axes, aside * infinity, fit["limit"], fit["limit_interval"], style, hollow=True)
                shown += [] if undetermined(fit) else fit["limit_interval"]
        axes.axhline(0.5, color=GREY, ls=(0, GUESS), lw=1)
        axes.axvline(infinity / 1.5, color="#ccc", lw=0.8)
        axes.set_xscale("log", base=2)
        axes.set_xticks([*ks, infinity], [*map(str, ks), "∞"])
        axes.minorticks_off()
        axes.set(title=name, xlabel="queries of each example, K", ylabel="AUC")
    edge = 0.08 * (max(shown) - min(shown))
    for axes in panels:
        axes.set_ylim(min(0.49, min(shown) - edge), min(1.01, max(shown) + edge))
        widen(axes, "y", 0.1, (0, 1.01))
    return _part(
        "AUC against the number of queries",
        panels,
        legend(list(encodings.values())),
        "Points: 95 % intervals over examples. Lines: AUC(K) = Φ(Δμ / √(2(σ_m² + σ_e²/K))), fitted to target 0. "
        "Hollow, at ∞: the fit's limit with its 95 % bootstrap interval, which leaves the panel where the scores do "
        "not determine it. Where a line rises, the noise of one query hid a leak without removing it.",
    )


def _references(audit: dict, encodings: dict[str, Style]) -> Drawing | None:
    curves = {name: audit["encodings"][name].get("by_references") or () for name in encodings}
    names = list(dict.fromkeys(attack for points in curves.values() for point in points for attack in point["auc"]))
    if not any(len(points) > 1 for points in curves.values()):
        return None
    panels = []
    for attack in names[: _MOST - 1]:
        axes = panel(SIZE)
        for i, (name, style) in enumerate(encodings.items()):
            aside = 1.04 ** (i - (len(encodings) - 1) / 2)  # so that intervals do not hide each other
            points = [point for point in curves[name] if attack in point["auc"]]
            for point in points:
                _interval(axes, aside * point["references"], point["auc"][attack], point["auc_interval"][attack], style)
            sizes = [aside * point["references"] for point in points]
            axes.plot(sizes, [point["auc"][attack] for point in points], color=style.colour, ls=style.ls, lw=1.3)
        sizes = sorted({point["references"] for points in curves.values() for point in points})
        axes.axhline(0.5, color=GREY, ls=(0, GUESS), lw=1)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [*map(str, sizes)])
        axes.minorticks_off()
        axes.set(title=attack, xlabel="reference models, N", ylabel="AUC")
        widen(axes, "y", 0.1, (0, 1.01))
        panels.append(axes)
    return _part(
        "AUC against the number of reference models",
        panels,
        legend(list(encodings.values())),
        f"At the last {step_word(audit)}, mean over all models, each a target, with 95 % intervals over pairs of "
        "models, taken as independent. Where a line still rises, more shadow models would make a stronger attack.",
    )


def _steps(audit: dict, encodings: dict[str, Style]) -> Drawing | None:
    if not all(audit["encodings"][name]["auc_by_step"] for name in encodings):
        return None  # models without a membrane
    axes = panel(WIDE)
    for name, style in encodings.items():
        found = audit["encodings"][name]
        aucs, ends = found["auc_by_step"], np.transpose(found["auc_interval_by_step"])
        steps = range(1, len(aucs) + 1)
        axes.fill_between(steps, *ends, color=style.colour, alpha=0.12, lw=0)
        axes.plot(steps, aucs, color=style.colour, ls=style.ls, marker=style.marker, ms=4, lw=1.3)
    axes.axhline(0.5, color=GREY, ls=(0, GUESS), lw=1)
    axes.set(xlabel="time step", ylabel="AUC")
    axes.xaxis.get_major_locator().set_params(integer=True)
    widen(axes, "y", 0.1, (0, 1))
    return _part(
        "AUC against the time step",
        [axes],
        legend(list(encodings.values())),
        "AUC of phi of the output neurons' membrane at each step, mean over the largest K: when in the sequence the "
        "members begin to stand out. Mean over targets, with pointwise 95 % intervals over examples.",
    )


def _histograms(audit: dict, encodings: dict[str, Style]) -> Drawing:
    styles = styles_of(("members", "non-members"))
    panels, highest = [], 0.0
    for encoding, result in audit["encodings"].items():
        axes = panel(SIZE)
        for style in styles:
            counts = np.array(result["phi"][style.label.replace("-", "_")])
            share, edges = 100 * counts / counts.sum(), result["phi"]["edges"]
            axes.stairs(share, edges, color=style.colour, fill=True, alpha=0.25)
            axes.stairs(share, edges, color=style.colour, lw=1.3, ls=style.ls)
            highest = max(highest, share.max())
        axes.set(title=encodings[encoding].label, xlabel="phi", ylabel="% of each side")
        panels.append(axes)
    for axes in panels:
        axes.set_ylim(0, 1.05 * highest)
    return _part(
        "Members and non-members",
        panels,
        legend(styles, marker=False),
        "phi = log(p_y / (1 - p_y)), the log-odds of the true class, of target 0's examples, mean over the largest K. "
        "Where the histograms of members and non-members overlap, this signal alone does not separate members.",
    )


def _accuracy(audit: dict, encodings: dict[str, Style]) -> Drawing:
    ranked = _ranked(audit)
    axes = panel(WIDE)
    rows = {name: 100 * audit["encodings"][name]["test_accuracy"] for name in encodings}
    step = max(max(rows.values()) - min(rows.values()), 5.0) / 60  # attacks on one encoding: a little apart
    for name, style in encodings.items():
        for attack in {a["name"]: a for a in audit["encodings"][name]["attacks"]}.values():  # the largest K is last
            i = ranked.index(attack["name"])
            if i >= _MOST - 1:
                axes.plot(attack["auc"], rows[name] - 2 * step, "|", color=style.colour, alpha=0.6, ms=5)
                continue
            x, y, bars = attack["auc"], rows[name] + step * (1 - i), errors(attack["auc"], attack["auc_interval"])
            axes.errorbar(x, y, xerr=bars, fmt=STYLES[i][2], color=style.colour, ms=5, capsize=2, lw=1)
    axes.axvline(0.5, color=GREY, ls=(0, GUESS), lw=1)
    axes.set(xlabel="AUC", ylabel="test accuracy, %")
    widen(axes, "x", 0.1, (0, 1))
    widen(axes, "y", 5, (0, 100))
    marks = [Style(name, "#333333", marker=STYLES[i][2]) for i, name in enumerate(ranked[: _MOST - 1])]
    others = ranked[_MOST - 1 :]
    ticks = [(key(Style("", "#333333", marker="|"), line=False), f"others: {', '.join(others)}")] if others else []
    return _part(
        "Accuracy against AUC",
        [axes],
        legend([Style(style.label, style.colour) for style in encodings.values()], marker=False)
        + legend(marks, line=False)
        + ticks,
        f"Each {arm_word(audit)} at the largest K, with 95 % intervals of the AUC. Further left at the same height is "
        "more privacy; further left and lower may be underfitting.",
    )


def _part(title: str, panels: list[Axes], legend: list[tuple[Markup, str]], caption: str) -> Drawing:
    names = [f"{title}, {axes.get_title()}" if axes.get_title() else title for axes in panels]
    svgs = tuple(_svg(axes.figure, name) for axes, name in zip(panels, names, strict=True))
    return Drawing(title, svgs, tuple(legend), caption)


def _largest(result: dict, attack: str) -> int:
    return max((a["queries"] for a in result["attacks"] if a["name"] == attack), default=0)


def _tpr_band(tpr: np.ndarray, members: int) -> tuple[np.ndarray, np.ndarray]:
    k = np.rint(tpr * members)
    lower = np.where(k > 0, stats.beta.ppf(0.025, np.maximum(k, 1), members - k + 1), 0.0)
    return lower, np.where(k < members, stats.beta.ppf(0.975, k + 1, np.maximum(members - k, 1)), 1.0)


def _interval(axes: Axes, x: float, y: float, ends: list[float], style: Style, hollow: bool = False) -> None:
    face = "white" if hollow else style.colour
    axes.errorbar(x, y, errors(y, ends), fmt=style.marker, color=style.colour, mfc=face, ms=5, capsize=2.5, lw=1)
