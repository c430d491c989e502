"""The head of an audit's page: whether each arm leaks, and arms compared where they fit equally well."""

from __future__ import annotations

from collections.abc import Sequence

from kerasburst.privacy.matching import EQUIVALENT, HIGHER, LOWER, MARGIN, NOT_COMPARABLE
from kerasburst.privacy.reading import failed_controls, has_not_learnt, is_own, step_word
from kerasburst.privacy.result import MAIN_ATTACK
from kerasburst.reports.palette import GREY, GUESS, WIDE, Drawing, encoding_styles, legend, panel, svg, widen
from kerasburst.reports.table import Cell, Table, count, estimate, number, percent, table_of

HEADLINE = "strongest"
_AT = {"test_accuracy": "test accuracy", "gap": "gap"}
_OPPOSITE = {LOWER: HIGHER, HIGHER: LOWER}
_NARROW = 0.01  # of accuracies or gaps: curves that share less than a point share hardly more than a place


def usable_curves(audit: dict) -> dict[str, list[dict]]:
    """Return the curves of arms whose controls hold, by arm."""
    return {name: points for name, points in audit.get("curves", {}).items() if not failed_controls(audit, name)}


def answers(audit: dict) -> list[str]:
    """Return a sentence for each arm whose controls hold: whether it leaks, by the interval of its AUC.

    The AUC is the strongest attack's on all models at the last epoch, or where only targets were attacked, the main
    attack's on these.

    Args:
        audit: what audit.json holds.
    """
    found, curves = [], usable_curves(audit)
    for name, arm in audit["encodings"].items():
        if failed_controls(audit, name):
            continue
        if name in curves:
            last = curves[name][-1]
            auc, ends, models = last["auc"][HEADLINE], last["auc_interval"][HEADLINE], last["models"]
            attack, accuracy = "the strongest attack", last["test_accuracy"]
            when, of = _when(audit, last["epoch"]), f"mean over all {models} models, "
        else:
            best = [a for a in arm["attacks"] if a["name"] == MAIN_ATTACK[audit["protocol"]]][-1]  # the largest K
            auc, ends, targets = best["auc"], best["auc_interval"], audit["config"]["targets"]
            attack, accuracy = best["name"], arm["test_accuracy"]
            when, of = _when(audit, arm["epochs"]), "" if targets == 1 else f"mean over {targets} targets, "
        if ends is None:
            leaks, than = f"It is not known whether {name} leaks", "too few models for an interval"
        elif ends[0] > 0.5:
            leaks, than = f"{name} leaks", "above the 0.5 of guessing"
        elif ends[1] < 0.5:
            leaks, than = f"It is not known whether {name} leaks", "below the 0.5 of guessing: members score lower"
        elif has_not_learnt(audit, name):
            leaks, than = f"It is not known whether {name} leaks once it has learnt", "and its accuracy is no better"
            than += " than always giving the same answer"
        else:
            leaks, than = f"No leak was found in {name}", "not above the 0.5 of guessing"
        found.append(
            f"{leaks}: the AUC of {attack} {when} is {estimate(auc, ends)}, {than} ({of}test accuracy "
            f"{percent(accuracy)})."
        )
    return found


def _when(audit: dict, epochs: int) -> str:
    if is_own(audit):
        return "after training" if epochs == 1 else f"at the last of {epochs} snapshots"
    return f"after {count(epochs, 'epoch')}"


def sentence(audit: dict) -> str:
    """Return what an audit found at equal test accuracy, each arm against the first, and what disagrees with it.

    Args:
        audit: what audit.json holds.

    Returns:
        Sentences, or "" for an audit of one arm or without curves.
    """
    said, rest = _found(audit)
    return " ".join([f"At equal test accuracy, {'; '.join(said)}.", *rest]) if said else ""


def lines(audit: dict) -> list[str]:
    """Return the same for a list: a line for each arm, and one for whatever disagrees; all in one for two arms."""
    said, rest = _found(audit)
    if len(said) < 2:
        return [sentence(audit)] if said else []
    return [f"{each[0].upper()}{each[1:]}." if each.startswith("it ") else f"{each}." for each in said] + rest


def _found(audit: dict) -> tuple[list[str], list[str]]:
    """Return a clause for each arm but the first, and sentences on what disagrees or says little."""
    first, *others = usable_curves(audit) or [""]
    of_arms = [(m, name) for name in others for m in [_matched(audit, first, name, "test_accuracy", HEADLINE)] if m]
    said, rest, against, at_gap = [_said(m, first, name, "test accuracy") for m, name in of_arms], [], [], []
    narrow = [_narrow(m, first, name) for m, name in of_arms]
    for m, name in of_arms:
        by_verdict: dict[str, list[str]] = {}
        for other in _pairs(audit, first, name, "test_accuracy"):
            if other["verdict"] in _OPPOSITE and m["verdict"] != NOT_COMPARABLE:
                by_verdict.setdefault(other["verdict"], []).append(other["attack"])
        against += [
            f"{_words(verdict, first, name)} by {', '.join(attacks)}"
            for verdict, attacks in by_verdict.items()
            if verdict != m["verdict"]
        ]
        gap = _matched(audit, first, name, "gap", HEADLINE)
        if gap and gap["verdict"] != m["verdict"]:
            at_gap.append(_said(gap, first, name, "gap"))
            narrow.append(_narrow(gap, first, name))
    if against:
        rest.append(f"Other attacks disagree: {'; '.join(against)}.")
    if at_gap:
        gap = "At an equal gap (accuracy on members less test accuracy), however"
        rest.append(f"{gap}, {'; '.join(at_gap)}.")
    return said, rest + [each for each in narrow if each]


def _said(m: dict, first: str, name: str, at: str) -> str:
    if m["verdict"] == NOT_COMPARABLE:
        return f"{name} cannot be compared with {first}, no {at} is reached by both"
    difference = estimate(m["difference"], m["interval"], sign="+")
    return f"{_words(m['verdict'], first, name)}: AUC {first} − {name} {difference}"


def _narrow(m: dict, first: str, name: str) -> str:
    """Return a warning where both arms reach so few of the same accuracies or gaps that these decide little."""
    if not m.get("common") or m["common"][1] - m["common"][0] >= _NARROW:
        return ""
    low, high = (f"{100 * end:.1f}" for end in m["common"])
    what = {"test_accuracy": "test accuracies", "gap": "gaps"}[m["at"]]
    return (
        f"{first} and {name} both reach only {what} of {low} to {high} %: this says little of the rest of their curves."
    )


def _words(verdict: str, first: str, name: str) -> str:
    """Return a verdict on the first arm's AUC as words on the other arm."""
    words = {LOWER: f"{name} leaks more than {first}", HIGHER: f"{name} leaks less than {first}"}
    words[EQUIVALENT] = f"{name} leaks as much as {first}"
    return words.get(verdict, f"it is undecided whether {name} leaks more or less than {first}")


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
        at = {"xytext": (4, 3), "textcoords": "offset points"}
        axes.annotate(str(points[-1]["epoch"]), (x[-1], aucs[-1]), **at, fontsize=7, color=style.colour)
    axes.axhline(0.5, color=GREY, ls=(0, GUESS), lw=1)
    axes.set(xlabel="test accuracy, %", ylabel="AUC of the strongest attack")
    widen(axes, "x", 5, (0, 100))
    widen(axes, "y", 0.1, (0, 1))
    first = next(iter(curves.values()))[0]
    times = "at a snapshot" if is_own(audit) else "after some epochs"
    compared = " At the same test accuracy, the lower arm leaks less." if len(curves) > 1 else ""
    return Drawing(
        "AUC over test accuracy",
        (svg(axes.figure, "AUC over test accuracy"),),
        tuple(legend(list(styles.values()))),
        f"Each point is an arm {times}, the mean over its {first['models']} models, with at most K = "
        f"{first['queries']} queries; the number is the last {step_word(audit)}. Every model is attacked in turn, with "
        "the others as its reference models. Shadow models come in pairs that were trained on complementary halves; "
        "the partner of the attacked model is no reference. For each pair, the attack is the one with the highest mean "
        "AUC on all other pairs. Bands are 95 % intervals over pairs of models, or over pools if there are three or "
        f"more.{compared}",
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
    points, attacks = [], _attacks(curves)
    for name, of_arm in curves.items():
        for p in of_arm:
            accuracy = number(p["test_accuracy"], p["test_accuracy_interval"], 1, 100)
            member = number(p["member_accuracy"], None, 1, 100)
            aucs = [number(p["auc"].get(a), p["auc_interval"].get(a)) for a in attacks]
            tpr = number(p["tpr_at_1_fpr"].get(HEADLINE))
            points.append((name, p["epoch"], accuracy, member, *aucs, tpr, p.get("strongest", "")))
    head = ("arm", step_word(audit), "test accuracy, %", "on members, %", *(f"AUC, {name}" for name in attacks))
    if points:
        head = (*head, "TPR at 1 % FPR, strongest", "most often strongest")
        note = (
            "Means over models, with intervals as in the picture. The TPR at 1 % FPR is shown if all models together "
            "have at least 1,000 non-members and each has at least 100."
        )
        found.append(
            table_of(head, points, f"{'Every arm at every' if len(curves) > 1 else 'Every'} {step_word(audit)}", note)
        )
    return found


def _attacks(curves: dict[str, list[dict]]) -> list[str]:
    return list(dict.fromkeys(name for points in curves.values() for point in points for name in point["auc"]))


def _pairs(audit: dict, first: str, second: str, at: str) -> Sequence[dict]:
    return [m for m in audit["matched"] if (m["first"], m["second"], m["at"]) == (first, second, at)]


def _matched(audit: dict, first: str, second: str, at: str, attack: str) -> dict | None:
    return next((m for m in _pairs(audit, first, second, at) if m["attack"] == attack), None)
