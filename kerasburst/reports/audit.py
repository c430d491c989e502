"""An audit: its page, tables and picture, from audit.json and scores.npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerasburst import files
from kerasburst.privacy.result import MAIN_ATTACK, failed_controls
from kerasburst.reports.audit_figures import audit_figures, undetermined
from kerasburst.reports.palette import GREY, GUESS, SIZE, Drawing, encoding_styles, legend, panel, svg
from kerasburst.reports.table import Cell, Table, estimate, name_cell, number, percent, span, table_of
from kerasburst.reports.view import Item, StudyView, make_environment
from kerasburst.validation import InputError


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
    environment = make_environment()
    environment.globals.update(found=_found, span=span, signed=_signed, number=_number, undetermined=undetermined)
    paper = audit["protocol"] != "audit"
    attacks = [a for encoding in audit["encodings"].values() for a in encoding["attacks"]]
    page = environment.get_template("audit.html.j2").render(
        **audit,
        paper=paper,
        main=MAIN_ATTACK[audit["protocol"]],
        shadow_count=1 if paper else audit["config"]["shadows"],
        largest=max(audit["config"]["queries"]),
        ks=sorted({a["queries"] for a in attacks}),
        attacks=list(dict.fromkeys(a["name"] for a in attacks)),
        figures=audit_figures(audit, scores),
    )
    files.write_text(out / "audit.html", page)
    return out / "audit.html"


def _found(encoding: dict, name: str, queries: int | None = None) -> dict | None:
    """Return an attack's figures at K, or at its largest K; None where it was not run there."""
    attacks = [a for a in encoding["attacks"] if a["name"] == name and queries in (None, a["queries"])]
    return attacks[-1] if attacks else None  # the largest K is last


def _signed(*values: float) -> str:
    return " to ".join(f"{value:+.3f}" for value in values).replace("-", "−")


def _number(value, otherwise: str = "–") -> str:
    return otherwise if value is None else f"{value:.3f}"


def attacks_table(name: str, found: dict, trained: str) -> Table:
    """Return every attack on an encoding.

    Args:
        name: of the encoding.
        found: its part of audit.json.
        trained: the training examples in words.
    """
    rows = []
    for a in found["attacks"]:
        tpr = a["tpr_at_fpr"]["0.1"]
        resolved = Cell("not resolvable", mark="muted") if tpr is None else number(tpr, a["tpr_at_fpr_interval"]["0.1"])
        rows.append((a["name"], a["queries"], number(a["auc"], a["auc_interval"]), resolved))
    tested, fitted = (
        estimate(found[f"{part}_accuracy"], found[f"{part}_accuracy_interval"], 1, 100) for part in ("test", "train")
    )
    title = f"{name}: test accuracy {tested} %, on {trained} {fitted} %"
    theirs = [
        f"{a['attack']} {a['auc']:.3f}"
        for a in (found.get("tf_privacy") or {"attacks": ()})["attacks"]
        if a["label"] is None and a["skipped"] is None
    ]
    note = f"AUC by tensorflow-privacy: {', '.join(theirs)}" if theirs else ""
    return table_of(("attack", "K", "AUC, 95 % interval", "TPR at 10 % FPR"), rows, title, note)


def headline(item: Item) -> str:
    """Return in one line what a result found."""
    value = item.value
    parts = []
    for name, found in value["encodings"].items():
        attacks = [a for a in found["attacks"] if a["name"] == MAIN_ATTACK[value["protocol"]]]
        best = max(attacks, key=lambda a: a["queries"])
        ends = f"{best['auc_interval'][0]:.3f} to {best['auc_interval'][1]:.3f}"
        accuracy = percent(found["test_accuracy"])
        parts.append(f"{name} AUC {best['auc']:.3f} ({ends}) at K = {best['queries']}, accuracy {accuracy}")
    state = "" if value["valid"] else "invalid, not to be used; "
    return f"{value['data']['name']}, {value['protocol']}: {state}" + "; ".join(parts)


def tables(items: list[Item]) -> list[Table]:
    """Return the tables of the page of many results."""
    ks = sorted({a["queries"] for i in items for e in i.value["encodings"].values() for a in e["attacks"]})
    rows = []
    for item in items:
        value = item.value
        attack = MAIN_ATTACK[value["protocol"]]
        for name, found in value["encodings"].items():
            failed = failed_controls(value, name)
            aucs = {a["queries"]: a for a in found["attacks"] if a["name"] == attack}
            cells = [
                item.cell,
                name_cell(value["data"]["name"]),
                name_cell(value["protocol"], attack),
                name_cell(name),
                Cell("invalid", note=", ".join(failed), mark="name bad") if failed else Cell("valid", mark="name good"),
                # An older version's audits have no intervals of these.
                number(found["test_accuracy"], found.get("test_accuracy_interval"), 1, 100),
                number(found["train_accuracy"], found.get("train_accuracy_interval"), 1, 100),
            ]
            cells += [number(aucs[k]["auc"], aucs[k]["auc_interval"]) if k in aucs else number(None) for k in ks]
            rows.append(tuple(cells))
    head = ("audit", "data", "protocol", "encoding", "controls", "test accuracy, %", "on members, %")
    note = "Intervals are of 95 %, over examples. AUC of the protocol's main attack at each number of queries K."
    return [Table("", (*head, *(f"AUC, K = {k}" for k in ks)), tuple(rows), note)]


def drawings(items: list[Item]) -> list[Drawing]:
    """Return the pictures of the page of many results."""
    panels = []
    styles = encoding_styles(name for item in items for name in item.value["encodings"])
    for dataset in dict.fromkeys(item.value["data"]["name"] for item in items):
        axes = panel(SIZE)
        for item in items:
            if item.value["data"]["name"] != dataset:
                continue
            for name, found in item.value["encodings"].items():
                attacks = [a for a in found["attacks"] if a["name"] == MAIN_ATTACK[item.value["protocol"]]]
                for attack in attacks[:1] + attacks[1:][-1:]:  # the fewest and the most queries
                    most = attack is attacks[-1]
                    low, high = attack["auc_interval"]
                    style = styles[name]
                    failed = bool(failed_controls(item.value, name))
                    axes.errorbar(
                        attack["auc"],
                        100 * found["test_accuracy"],
                        xerr=[[attack["auc"] - low], [high - attack["auc"]]] if most and not failed else None,
                        fmt="x" if failed else style.marker,
                        color=style.colour,
                        mfc=style.colour if most else "white",
                        alpha=0.5 if failed else 1.0,
                        ms=5,
                        elinewidth=0.7,
                    )
        axes.axvline(0.5, color=GREY, ls=(0, GUESS), lw=1)
        axes.set(title=dataset, xlabel="AUC", ylabel="test accuracy, %")
        panels.append(svg(axes.figure, f"accuracy against AUC, {dataset}"))
    keys = legend(list(styles.values()), line=False)
    caption = (
        "One mark an audit's encoding: its main attack at the most queries, with the 95 % interval over examples, and "
        "hollow at the fewest. Left is more privacy; left and lower may be underfitting. A pale cross: its controls "
        "failed, the figure is not to be used."
    )
    return [Drawing("Accuracy against AUC", tuple(panels), tuple(keys), caption)]


VIEW = StudyView("Audits", "audit.json", ("encodings", "controls", "protocol"), headline, tables, drawings)
