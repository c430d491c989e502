"""The page of an audit: it reads audit.json and scores.npz."""

from __future__ import annotations

import io
import re
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from scipy import stats

from kerasburst import files
from kerasburst.privacy.averaging import AveragingFit
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.validation import InputError

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's
_ROC_ATTACKS = ("lira_online", "rmia", "loss", "svm")


def write_report(out: str | Path) -> Path:
    """Write `out`/audit.html from the audit's results there.

    The page is one file and asks no other host for anything.

    Args:
        out: directory of a finished audit.

    Returns:
        the page's path.

    Raises:
        InputError: where there is no finished audit.
    """
    out = Path(out)
    if not (out / "audit.json").exists():
        raise InputError(f"out must be a finished audit, {out} has no audit.json")
    audit = files.read_json(out / "audit.json")
    with np.load(out / "scores.npz", allow_pickle=False) as stored:
        scores = {name: stored[name] for name in stored.files}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kerasburst.reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.globals.update(cell=_cell, limit=_limit, span=_span, signed=_signed, number=_number)
    paper = audit["protocol"] != "audit"
    page = environment.get_template("audit.html.j2").render(
        **audit,
        main="svm" if paper else "lira_online",
        shadow_count=1 if paper else audit["config"]["shadows"],
        figures=_figures(audit, scores),
    )
    files.write_text(out / "audit.html", page)
    return out / "audit.html"


def _figures(audit: dict, scores: dict[str, np.ndarray]) -> list[dict]:
    found = [
        (
            "ROC, both axes logarithmic",
            _roc(audit, scores),
            "Target 0 at the largest K. Bands: pointwise 95 % Clopper-Pearson intervals of the TPR for one attack, "
            "the dashed line is a guess. What counts is the left: who is found with few false accusations.",
        ),
        (
            "AUC against the number of queries",
            _averaging(audit),
            "Points with 95 % intervals; lines: AUC(K) = Φ(Δμ / √(2(σ_m² + σ_e²/K))) fitted to target 0; "
            "dotted: its limit. Where a line rises, the encoder's noise had hidden a leak from a single query.",
        ),
        ("AUC against the time step", _steps(audit), "AUC of phi of the membrane at each step, at the largest K."),
        (
            "Members and non-members",
            _histograms(audit),
            "phi = log(p_y / (1 - p_y)) of target 0's examples, mean over the largest K.",
        ),
        (
            "Accuracy against AUC",
            _accuracy(audit),
            "Each encoding at the largest K: to the left without going down is privacy, to the lower left may be "
            "underfitting.",
        ),
    ]
    return [{"title": title, "svg": _svg(figure, title), "caption": text} for title, figure, text in found if figure]


def _roc(audit: dict, scores: dict[str, np.ndarray]) -> Figure:
    encodings = list(audit["encodings"])
    figure = Figure(figsize=(3.4 * len(encodings) + 0.4, 3.6), layout="constrained")
    member = scores["membership"][0]
    low = 0.5 / (~member).sum()
    for axes, encoding in zip(_row(figure, len(encodings)), encodings, strict=True):
        attacks = {a["name"]: a["queries"] for a in audit["encodings"][encoding]["attacks"]}  # the largest K is last
        for colour, name in zip(_COLOURS, [n for n in _ROC_ATTACKS if n in attacks], strict=False):
            of = MembershipScores.from_labels(scores[f"{encoding}/{name}/{attacks[name]}"][0], member)
            fpr, tpr = of.roc()
            axes.step(np.maximum(fpr, low), np.maximum(tpr, low), where="post", color=colour, label=name, lw=1.3)
            if name == next(n for n in _ROC_ATTACKS if n in attacks):
                m = len(of.member_scores)
                k = np.rint(tpr * m)
                lower = np.where(k > 0, stats.beta.ppf(0.025, np.maximum(k, 1), m - k + 1), 0.0)
                upper = np.where(k < m, stats.beta.ppf(0.975, k + 1, np.maximum(m - k, 1)), 1.0)
                axes.fill_between(
                    np.maximum(fpr, low), np.maximum(lower, low), upper, step="post", color=colour, alpha=0.15, lw=0
                )
        axes.plot([low, 1], [low, 1], ls="--", color="#999", lw=1)
        axes.set(xscale="log", yscale="log", xlim=(low, 1), ylim=(low, 1.05), title=encoding, xlabel="FPR")
    figure.axes[0].set_ylabel("TPR")
    figure.axes[0].legend(fontsize=8, loc="lower right", frameon=False)
    return figure


def _averaging(audit: dict) -> Figure | None:
    names = ["svm"] if audit["protocol"] != "audit" else ["loss", "lira_online"]
    if len(audit["config"]["queries"]) < 2:
        return None
    figure = Figure(figsize=(4.2 * len(names) + 0.4, 3.4), layout="constrained")
    ks = np.array(audit["config"]["queries"])
    curve = np.geomspace(ks.min(), 4 * ks.max(), 60)
    for axes, name in zip(_row(figure, len(names)), names, strict=True):
        for colour, (encoding, result) in zip(_COLOURS, audit["encodings"].items(), strict=False):
            of = [a for a in result["attacks"] if a["name"] == name]
            k, auc = [a["queries"] for a in of], np.array([a["auc"] for a in of])
            ends = np.array([a["auc_interval"] for a in of]).T
            axes.errorbar(k, auc, np.abs(ends - auc), fmt="o", color=colour, label=encoding, ms=4, capsize=2, lw=1)
            fit = result["averaging"].get(name)
            if fit is not None and fit["reason"] is None:
                model = AveragingFit(
                    fit["delta_mu"],
                    fit["model_variance"],
                    fit["encoding_variance"],
                    tuple(fit["ks"]),
                    tuple(fit["aucs"]),
                )
                axes.plot(curve, [model.auc(float(q)) for q in curve], color=colour, lw=1)
                axes.axhline(model.limit, color=colour, ls=":", lw=1)
        axes.axhline(0.5, color="#999", ls="--", lw=1)
        axes.set_xscale("log", base=2)
        axes.set(title=name, xlabel="queries K")
        axes.xaxis.set_major_formatter("{x:g}")
    figure.axes[0].set_ylabel("AUC")
    figure.axes[0].legend(fontsize=8, frameon=False)
    return figure


def _steps(audit: dict) -> Figure:
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = figure.subplots()
    for colour, (encoding, result) in zip(_COLOURS, audit["encodings"].items(), strict=False):
        aucs = result["auc_by_step"]
        axes.plot(range(1, len(aucs) + 1), aucs, "o-", ms=3, lw=1.2, color=colour, label=encoding)
    axes.axhline(0.5, color="#999", ls="--", lw=1)
    axes.set(xlabel="time step", ylabel="AUC")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize=8, frameon=False)
    return figure


def _histograms(audit: dict) -> Figure:
    encodings = audit["encodings"]
    figure = Figure(figsize=(3.4 * len(encodings) + 0.4, 3.0), layout="constrained")
    for axes, (encoding, result) in zip(_row(figure, len(encodings)), encodings.items(), strict=True):
        for colour, side in zip(_COLOURS, ("members", "non_members"), strict=False):
            counts = np.array(result["phi"][side])
            label = side.replace("_", "-")
            axes.stairs(counts / counts.sum(), result["phi"]["edges"], color=colour, fill=True, alpha=0.35, label=label)
            axes.stairs(counts / counts.sum(), result["phi"]["edges"], color=colour, lw=1)
        axes.set(title=encoding, xlabel="phi")
    figure.axes[0].set_ylabel("share")
    figure.axes[0].legend(fontsize=8, frameon=False)
    return figure


def _accuracy(audit: dict) -> Figure:
    figure = Figure(figsize=(5.0, 3.6), layout="constrained")
    axes = figure.subplots()
    names = ("svm",) if audit["protocol"] != "audit" else ("lira_online", "loss", "svm")
    for marker, name in zip("osv", names, strict=False):
        for colour, (encoding, result) in zip(_COLOURS, audit["encodings"].items(), strict=False):
            attack = [a for a in result["attacks"] if a["name"] == name][-1]
            low, high = attack["auc_interval"]
            error = [[attack["auc"] - low], [high - attack["auc"]]]
            axes.errorbar(
                attack["auc"],
                100 * result["test_accuracy"],
                xerr=error,
                fmt=marker,
                color=colour,
                ms=5,
                capsize=2,
                lw=1,
                label=f"{encoding}, {name}",
            )
    axes.axvline(0.5, color="#999", ls="--", lw=1)
    axes.set(xlabel="AUC", ylabel="test accuracy, %")
    axes.legend(fontsize=7, frameon=False)
    return figure


def _row(figure: Figure, count: int):
    return figure.subplots(1, count, sharey=True, squeeze=False)[0]


def _svg(figure: Figure, title: str) -> Markup:
    """Give a figure as an inline SVG: text as text, no date, identifiers that do not meet other figures'."""
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title})
    text = re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    prefix = re.sub(r"\W+", "-", title.lower())
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{prefix}-", text)
    return Markup(text)


def _cell(encoding: dict, name: str, queries: int) -> str:
    found = next((a for a in encoding["attacks"] if (a["name"], a["queries"]) == (name, queries)), None)
    return "–" if found is None else f"{found['auc']:.3f} ({_span(found['auc_interval'])})"


def _limit(encoding: dict, name: str) -> str:
    fit = encoding["averaging"].get(name)
    if fit is None:
        return "–"
    if fit["limit"] is None:
        return "no fit"
    return f"{fit['limit']:.3f} ({_span(fit['limit_interval'])})"


def _span(interval) -> str:
    return "–" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _signed(interval) -> str:
    return "–" if interval is None else f"{interval[0]:+.3f} to {interval[1]:+.3f}"


def _number(value) -> str:
    return "not resolvable" if value is None else f"{value:.3f}"
