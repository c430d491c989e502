"""An audit: its page, tables and picture, from audit.json and scores.npz."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from kerasburst import files
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.privacy.reading import arm_word, caveats, failed_controls, is_own
from kerasburst.privacy.result import MAIN_ATTACK
from kerasburst.reports import audit_tables, equal_fit
from kerasburst.reports.audit_figures import audit_figures
from kerasburst.reports.palette import GREY, GUESS, SIZE, Drawing, encoding_styles, errors, legend, panel, svg, widen
from kerasburst.reports.table import Cell, Table, count, estimate, name_cell, number, percent, table_of
from kerasburst.reports.view import Item, StudyView, make_environment
from kerasburst.validation import InputError, visible


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
    audit = visible(files.read_json(out / "audit.json"))
    with np.load(out / "scores.npz", allow_pickle=False) as stored:
        scores = {visible(name): stored[name] for name in stored.files}
    _check_scores(out / "scores.npz", audit, scores)
    environment = make_environment()
    environment.globals.update(count=count)
    paper = audit["protocol"] != "audit"
    several = audit["config"]["targets"] >= 3
    main, largest = MAIN_ATTACK[audit["protocol"]], max(audit["config"]["queries"])
    unusable = {name: failed for name in audit["encodings"] if (failed := failed_controls(audit, name))}
    compared = [c for c in audit["comparisons"] if c["a"] not in unusable and c["b"] not in unusable]
    of_main = [c for c in compared if c["attack"] == main]
    page = environment.get_template("audit.html.j2").render(
        **audit | {"comparisons": compared},
        unusable=unusable,
        paper=paper,
        verdict=judge(audit),
        own=is_own(audit),
        arm=arm_word(audit),
        stepwise=any(e["auc_by_step"] for e in audit["encodings"].values()),
        other_notes=[note for note in audit.get("notes", ()) if note not in caveats(audit)],
        answers=equal_fit.answers(audit),
        at_equal_fit=equal_fit.lines(audit),
        equal_fit_figure=equal_fit.drawing(audit),
        equal_fit_tables=equal_fit.tables(audit),
        descriptions=audit_tables.descriptions(audit),
        epsilon=audit_tables.epsilon(audit),
        alarms=alarms(audit),
        pools=audit["config"].get("pools", 1),
        shadow_count=1 if paper else audit["config"]["shadows"],
        largest=largest,
        summary=audit_tables.summary(audit, main),
        main_comparisons=audit_tables.comparisons(audit, [c for c in of_main if c["queries"] == largest] or of_main),
        all_comparisons=audit_tables.comparisons(audit, compared),
        controls_table=audit_tables.controls(audit),
        splits=audit_tables.splits(audit["counts"], audit["protocol"]),
        attack_tables={name: audit_tables.attacks(audit, name, several) for name in audit["encodings"]},
        tf_privacy=audit_tables.tf_privacy(audit["encodings"]),
        limits=audit_tables.limits(audit),
        figures=audit_figures(audit, scores),
    )
    files.write_text(out / "audit.html", page)
    return out / "audit.html"


def _check_scores(path: Path, audit: dict, scores: dict[str, np.ndarray]) -> None:
    """Check that the AUCs in audit.json are those of the scores, whose curves the page shows beside them."""
    for encoding, found in audit["encodings"].items():
        for attack in found["attacks"]:
            stored = scores.get(f"{encoding}/{attack['name']}/{attack['queries']}")
            if stored is None:  # a bypass, or an attack of tensorflow-privacy
                continue
            aucs = [
                MembershipScores.from_labels(row, member).auc()
                for row, member in zip(stored, scores["membership"], strict=True)
            ]
            if abs(np.mean(aucs) - attack["auc"]) > 1e-6:
                raise InputError(
                    f"{path} must be of the scores of audit.json: the AUC of {attack['name']} on {encoding} is "
                    f"{np.mean(aucs):.6f} by these, and {attack['auc']:.6f} in audit.json"
                )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the controls say of an audit.

    Args:
        word: "valid", "partly valid" or "invalid".
        text: which controls hold, or which figures are not to be used.
        failed: a line for each failed control.
        caveats: what the controls that hold do not show.
    """

    word: str
    text: str
    failed: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()

    @property
    def lead(self) -> str:
        """The word, and what must be known with it."""
        return self.word + "".join(
            f", but {caveat}" if i == 0 else f". Also, {caveat}" for i, caveat in enumerate(self.caveats)
        )

    @property
    def line(self) -> str:
        """All of it but the failed controls."""
        return f"{self.lead}{'. ' if self.caveats else ': '}{self.text}"


def judge(audit: dict) -> Verdict:
    """Return the verdict on an audit: an encoding counts if all its own controls hold, and those of the data.

    Raises:
        InputError: for an audit without controls, of which no figure counts.
    """
    controls = audit["controls"]
    if not controls:
        raise InputError("audit.json must have controls, it has none")
    failed = [c for c in controls if not c["ok"]]
    lines = []
    for c in failed:
        came = f"the AUC was {estimate(c['auc'], c['interval'])}" if c.get("auc") is not None else c.get("detail", "")
        what = f". What to do: {c['remedy']}" if c.get("remedy") else ""
        of = f" ({c['encoding']})" if c["encoding"] else ""
        lines.append(f"{c['name']}{of} failed: {came}; the rule: {c.get('rule', '')}{what}")
    if not failed:
        names = ", ".join(dict.fromkeys(c["name"] for c in controls))
        return Verdict("valid", f"All {len(controls)} controls hold: {names}.", caveats=caveats(audit))
    unusable = [name for name in audit["encodings"] if failed_controls(audit, name)]
    sound = [name for name in audit["encodings"] if name not in unusable]
    text = f"{len(failed)} of {len(controls)} controls failed. "
    if not sound:
        return Verdict("invalid", text + "Use no figure of this audit.", tuple(lines))
    text += f"Use no figure of {', '.join(unusable)}. All controls of {', '.join(sound)} hold."
    return Verdict("partly valid", text, tuple(lines), caveats(audit))


def alarms(audit: dict) -> list[str]:
    """Return a line for each lower bound of epsilon that is above what private training guarantees."""
    return [
        f"{name}: epsilon is at least {bound['epsilon']:.2f} by {bound['attack']}, with {bound['confidence']:.0%} "
        f"confidence, above the certified {e['certified_epsilon']:g}: training or accounting is broken"
        for name, e in audit["encodings"].items()
        for bound in e.get("epsilon") or ()
        if e.get("certified_epsilon") is not None and bound["epsilon"] > e["certified_epsilon"]
    ]


def headline(item: Item) -> str:
    """Return in one line what a result found: the main attack's AUC on each encoding whose controls hold."""
    value = item.value
    parts = []
    for name, found in value["encodings"].items():
        if failed := failed_controls(value, name):
            parts.append(f"{name} not to be used ({', '.join(failed)} failed)")
            continue
        best = audit_tables.find(found, MAIN_ATTACK[value["protocol"]])
        auc, accuracy = estimate(best["auc"], best["auc_interval"]), percent(found["test_accuracy"])
        parts.append(f"{name} AUC {auc} at K = {best['queries']}, accuracy {accuracy}")
    found = f"{value['data']['name']}, {value['protocol']}: {judge(value).lead}; " + "; ".join(parts)
    compared = equal_fit.sentence(value) or " ".join(equal_fit.answers(value) if value.get("curves") else [])
    return ". ".join(filter(None, [found, compared.rstrip(".")]))


def tables(items: list[Item]) -> list[Table]:
    """Return the tables of the page of many results."""
    ks = sorted({a["queries"] for i in items for e in i.value["encodings"].values() for a in e["attacks"]})
    rows = []
    for item in items:
        value = item.value
        attack = MAIN_ATTACK[value["protocol"]]
        for name, found in value["encodings"].items():
            failed = failed_controls(value, name)
            cells = [
                item.cell,
                name_cell(value["data"]["name"]),
                name_cell(value["protocol"], attack),
                name_cell(name),
                Cell("not to be used", note=f"{', '.join(failed)} failed", mark="name bad")
                if failed
                else Cell("all hold", mark="name good"),
                # An older version's audits have no intervals of these.
                number(found["test_accuracy"], found.get("test_accuracy_interval"), 1, 100),
                number(found["train_accuracy"], found.get("train_accuracy_interval"), 1, 100),
            ]
            aucs = (audit_tables.auc(audit_tables.find(found, attack, k)) for k in ks)
            rows.append((*cells, *([number(None)] * len(ks) if failed else aucs)))
    head = ("audit", "data", "protocol", "arm", "controls", "test accuracy, %", "on members, %")
    note = "95 % intervals, over examples. The AUC is that of the protocol's main attack, at each number of queries K."
    return [table_of((*head, *(f"AUC, K = {k}" for k in ks)), rows, note=note)]


def drawings(items: list[Item]) -> list[Drawing]:
    """Return the pictures of the page of many results: encodings whose controls hold."""
    counted = [(i.value, n) for i in items for n in i.value["encodings"] if not failed_controls(i.value, n)]
    styles = encoding_styles(name for _, name in counted)
    panels = []
    for dataset in dict.fromkeys(value["data"]["name"] for value, _ in counted):
        axes = panel(SIZE)
        for value, name in counted:
            if value["data"]["name"] != dataset:
                continue
            found, style = value["encodings"][name], styles[name]
            attacks = [a for a in found["attacks"] if a["name"] == MAIN_ATTACK[value["protocol"]]]
            for attack in attacks[:1] + attacks[1:][-1:]:  # the fewest and the most queries
                most = attack is attacks[-1]
                bars = errors(attack["auc"], attack["auc_interval"] if most else None)
                look = {"fmt": style.marker, "color": style.colour, "mfc": style.colour if most else "white", "ms": 5}
                axes.errorbar(attack["auc"], 100 * found["test_accuracy"], xerr=bars, elinewidth=0.7, **look)
        axes.axvline(0.5, color=GREY, ls=(0, GUESS), lw=1)
        axes.set(title=dataset, xlabel="AUC", ylabel="test accuracy, %")
        widen(axes, "x", 0.1, (0, 1))
        widen(axes, "y", 5, (0, 100))
        panels.append(svg(axes.figure, f"accuracy against AUC, {dataset}"))
    if not panels:
        return []
    caption = (
        "One mark for each arm of an audit: its main attack at the most queries, with the 95 % interval over "
        "examples, and hollow at the fewest. Left is more privacy; left and lower may be underfitting. Arms whose "
        "controls failed are not drawn."
    )
    keys = legend(list(styles.values()), line=False)
    return [Drawing("Accuracy against AUC", tuple(panels), tuple(keys), caption)]


VIEW = StudyView(
    "Audits", "audit.json", ("encodings", "controls", "protocol"), headline, tables, drawings, page=write_report
)
