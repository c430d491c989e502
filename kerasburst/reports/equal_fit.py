"""The head of an audit's page: arms compared where they fit equally well, in one sentence and one picture."""

from __future__ import annotations

from collections.abc import Sequence

from kerasburst.privacy.matching import EQUIVALENT, HIGHER, LOWER, MARGIN, NOT_COMPARABLE
from kerasburst.privacy.result import failed_controls
from kerasburst.reports.palette import GREY, GUESS, WIDE, Drawing, encoding_styles, legend, panel, svg, widen
from kerasburst.reports.table import Cell, Table, estimate, number, percent, table_of

HEADLINE = "strongest"
_AT = {"test_accuracy": "test accuracy", "gap": "gap"}


def usable_curves(audit: dict) -> dict[str, list[dict]]:
    """Return the curves of arms whose controls hold, by arm."""
    return {name: points for name, points in audit.get("curves", {}).items() if not failed_controls(audit, name)}


def sentence(audit: dict) -> str:
    """Return what an audit found at equal test accuracy, each arm against the first; empty without curves.

    Args:
        audit: what audit.json holds.
    """
    curves = usable_curves(audit)
    if not curves:
        return ""
    first, *others = curves
    of_arms = [(m, name) for name in others for m in [_matched(audit, first, name, "test_accuracy", HEADLINE)] if m]
    if not of_arms:
        last = curves[first][-1]
        auc = estimate(last["auc"][HEADLINE], last["auc_interval"][HEADLINE])
        return (
            f"After {last['epoch']} epochs, with a test accuracy of {percent(last['test_accuracy'])}, the AUC of the "
            f"strongest attack on {first} is {auc}; 0.5 is a guess."
        )
    return f"At equal test accuracy, {'; '.join(_said(audit, m, first, name) for m, name in of_arms)}."


def _said(audit: dict, m: dict, first: str, name: str) -> str:
    if m["verdict"] == NOT_COMPARABLE:
        return f"{name} cannot be compared with {first}, no test accuracy is reached by both"
    # The difference is the first arm's less the other's; the sentence speaks of the other's.
    by = estimate(-m["difference"], (-m["interval"][1], -m["interval"][0]), sign="+")
    words = {
        LOWER: f"{name} leaks more than {first}",
        HIGHER: f"{name} leaks less than {first}",
        EQUIVALENT: f"{name} leaks as much as {first}",
    }
    said = f"{words.get(m['verdict'], f'it is undecided whether {name} leaks more or less than {first}')}, AUC {by}"
    opposite = {LOWER: HIGHER, HIGHER: LOWER}.get(m["verdict"])
    against = [o["attack"] for o in _pairs(audit, first, name, m["at"]) if o["verdict"] == opposite]
    return said + (f", but {', '.join(against)} says the opposite" if against else "")


def drawing(audit: dict) -> Drawing | None:
    """Return the picture of AUC over test accuracy, a curve with a band for each arm; None without curves."""
    curves = usable_curves(audit)
    if not curves:
        return None
    styles = encoding_styles(curves)
    axes = panel(WIDE)
    for name, points in curves.items():
        style = styles[name]
        x = [100 * point["test_accuracy"] for point in points]
        aucs = [point["auc"][HEADLINE] for point in points]
        ends = [point["auc_interval"][HEADLINE] or (auc, auc) for point, auc in zip(points, aucs, strict=True)]
        axes.fill_between(x, *zip(*ends, strict=True), color=style.colour, alpha=0.14, lw=0)
        axes.plot(x, aucs, color=style.colour, ls=style.ls, marker=style.marker, ms=4.5, lw=1.5)
        axes.annotate(
            str(points[-1]["epoch"]),
            (x[-1], aucs[-1]),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=7,
            color=style.colour,
        )
    axes.axhline(0.5, color=GREY, ls=(0, GUESS), lw=1)
    axes.set(xlabel="test accuracy, %", ylabel="AUC of the strongest attack")
    widen(axes, "x", 5, (0, 100))
    widen(axes, "y", 0.1, (0, 1))
    first = next(iter(curves.values()))[0]
    return Drawing(
        "AUC over test accuracy",
        (svg(axes.figure, "AUC over test accuracy"),),
        tuple(legend(list(styles.values()))),
        f"Each point is an arm after some epochs, the mean over its {first['models']} models, with at most K = "
        f"{first['queries']} queries; the number is the last epoch. Every model is attacked in turn, and the others "
        "are its reference models, except the one that was trained on the complementary half. Each is attacked by the "
        "attack that is strongest on the other models. Bands are 95 % intervals over pairs of models, or over pools if "
        "there are three or more. At the same test accuracy, the lower arm leaks less.",
    )


def tables(audit: dict) -> list[Table]:
    """Return the differences at equal fit, and every point of the curves."""
    curves = usable_curves(audit)
    rows = []
    for m in audit.get("matched", ()):
        if m["first"] not in curves or m["second"] not in curves:
            continue
        cell = number(m["difference"], m["interval"], sign="+")
        common = m.get("common")
        reach = number(None) if common is None else Cell(" to ".join(f"{100 * end:.1f}" for end in common))
        arms = f"{m['first']} − {m['second']}"
        rows.append((arms, _AT.get(m["at"], m["at"]), m["attack"], cell, reach, m["verdict"]))
    note = (
        "The AUC of the first arm minus that of the second, averaged over the test accuracies that both reach, or over "
        "the gaps between accuracy on members and test accuracy that both reach. Equivalent: the interval lies within "
        f"±{MARGIN:g}, a margin fixed before any audit. Not comparable: both reach no such accuracy or gap. Each "
        "interval is a 95 % interval by itself."
    )
    head = ("arms", "at equal", "attack", "difference of AUCs", "both reach, %", "verdict of the first")
    found = [table_of(head, rows, "Differences at equal accuracy or gap", note)] if rows else []
    points = []
    for name, of_arm in curves.items():
        for p in of_arm:
            accuracy = number(p["test_accuracy"], p["test_accuracy_interval"], 1, 100)
            member = number(p["member_accuracy"], None, 1, 100)
            aucs = [number(p["auc"].get(a), p["auc_interval"].get(a)) for a in _attacks(curves)]
            tpr = number(p["tpr_at_1_fpr"].get(HEADLINE))
            points.append((name, p["epoch"], accuracy, member, *aucs, tpr, p.get("strongest", "")))
    head = ("arm", "epoch", "test accuracy, %", "on members, %", *(f"AUC, {name}" for name in _attacks(curves)))
    if points:
        head = (*head, "TPR at 1 % FPR, strongest", "most often strongest")
        found.append(table_of(head, points, "Every arm at every epoch"))
    return found


def _attacks(curves: dict[str, list[dict]]) -> list[str]:
    return list(dict.fromkeys(name for points in curves.values() for point in points for name in point["auc"]))


def _pairs(audit: dict, first: str, second: str, at: str) -> Sequence[dict]:
    return [m for m in audit["matched"] if (m["first"], m["second"], m["at"]) == (first, second, at)]


def _matched(audit: dict, first: str, second: str, at: str, attack: str) -> dict | None:
    return next((m for m in _pairs(audit, first, second, at) if m["attack"] == attack), None)
