"""An audit: its page, tables and picture, from audit.json and scores.npz."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from kerasburst import files
from kerasburst.privacy.result import MAIN_ATTACK, failed_controls
from kerasburst.registry import ATTACKS
from kerasburst.reports import equal_fit
from kerasburst.reports.audit_figures import audit_figures, undetermined
from kerasburst.reports.palette import GREY, GUESS, SIZE, Drawing, encoding_styles, errors, legend, panel, svg, widen
from kerasburst.reports.table import Cell, Table, count, estimate, name_cell, number, percent, span, table_of
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
        scores = {name: stored[name] for name in stored.files}
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
        at_equal_fit=equal_fit.sentence(audit),
        equal_fit_figure=equal_fit.drawing(audit),
        equal_fit_tables=equal_fit.tables(audit),
        descriptions=_descriptions(audit),
        epsilon=_epsilon(audit),
        alarms=alarms(audit),
        shadow_count=1 if paper else audit["config"]["shadows"],
        largest=largest,
        summary=_summary(audit, main),
        main_comparisons=_comparisons([c for c in of_main if c["queries"] == largest] or of_main, several),
        all_comparisons=_comparisons(compared, several),
        controls_table=_controls(audit),
        splits=_splits(audit["counts"], audit["protocol"]),
        attack_tables={name: _attacks(audit, name, several) for name in audit["encodings"]},
        tf_privacy=_tf_privacy(audit["encodings"]),
        limits=_limits(audit),
        figures=audit_figures(audit, scores),
    )
    files.write_text(out / "audit.html", page)
    return out / "audit.html"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the controls say of an audit.

    Args:
        word: "valid", "partly valid" or "invalid".
        text: which controls hold, or which figures are not to be used.
        failed: a line for each failed control.
    """

    word: str
    text: str
    failed: tuple[str, ...]


def judge(audit: dict) -> Verdict:
    """Return the verdict on an audit: an encoding counts if all its own controls hold, and those of the data."""
    controls = audit["controls"]
    failed = [c for c in controls if not c["ok"]]
    lines = []
    for c in failed:
        came = f"the AUC was {estimate(c['auc'], c['interval'])}" if c.get("auc") is not None else c.get("detail", "")
        what = f". What to do: {c['remedy']}" if c.get("remedy") else ""
        lines.append(f"{c['name']}{_of(c)} failed: {came}; the rule: {c.get('rule', '')}{what}")
    if not failed:
        names = ", ".join(dict.fromkeys(c["name"] for c in controls))
        return Verdict("valid", f"All {len(controls)} controls hold: {names}.", ())
    unusable = [name for name in audit["encodings"] if failed_controls(audit, name)]
    sound = [name for name in audit["encodings"] if name not in unusable]
    text = f"{len(failed)} of {len(controls)} controls failed. "
    if not sound:
        return Verdict("invalid", text + "Use no figure of this audit.", tuple(lines))
    text += f"Use no figure of {', '.join(unusable)}. All controls of {', '.join(sound)} hold."
    return Verdict("partly valid", text, tuple(lines))


def _of(control: dict) -> str:
    return f" ({control['encoding']})" if control["encoding"] else ""


_PURPOSES = {
    "splits_disjoint": "parts that share an example would tell nothing",
    "blind_baseline": "a forest that sees the examples and no model",
    "untrained": "the loss attack on a network that has learnt nothing",
    "permuted_membership": "the main attack against permuted membership: how scores become an AUC",
    "planted_leak": "mislabelled examples learnt by heart: a leak that must be found",
    "weights_differ": "a target that is its own shadow would be found everywhere",
    "cross_target": "scores of each model against the training sets of others",
    "canaries": "mislabelled examples inside shadows, which the attacks must find",
}


def _controls(audit: dict) -> Table:
    rows = []
    for name in dict.fromkeys(c["name"] for c in audit["controls"]):
        group = {c["encoding"]: c for c in audit["controls"] if c["name"] == name}
        cells = []
        for encoding in audit["encodings"]:
            c = group.get(encoding, group.get(None))
            if c is None:
                cells.append(Cell("–", mark="name muted"))
                continue
            note = c["detail"] if c["auc"] is None else estimate(c["auc"], c["interval"])
            cells.append(
                Cell("holds", note=note, mark="name good") if c["ok"] else Cell("FAILED", "", "", note, "name bad")
            )
        rows.append(
            (name_cell(name, _PURPOSES.get(name, "")), *cells, Cell(next(iter(group.values()))["rule"], mark="text"))
        )
    return table_of(("control", *audit["encodings"], "rule"), rows)


def _auc(attack: dict | None, note: str = "") -> Cell:
    """Return the cell of an AUC with its interval, bold where that lies above a guess."""
    if attack is None:
        return number(None)
    cell = number(attack["auc"], attack["auc_interval"])
    mark = "bold" if attack["auc_interval"][0] > 0.5 else ""
    return dataclasses.replace(cell, mark=mark, note=f"{cell.note}{note}")


def _summary(audit: dict, main: str) -> Table:
    ks = sorted({a["queries"] for e in audit["encodings"].values() for a in e["attacks"]})
    rows = []
    for name, e in audit["encodings"].items():
        if failed := failed_controls(audit, name):
            rows.append(
                (name, *[number(None)] * (4 + len(ks)), Cell(f"not to be used: {', '.join(failed)}", mark="text bad"))
            )
            continue
        best = max(e["attacks"], key=lambda a: a["auc"])
        rows.append(
            (
                name,
                *(number(e[f"{part}_accuracy"], e[f"{part}_accuracy_interval"], 1, 100) for part in ("test", "train")),
                *(_auc(_found(e, main, k)) for k in ks),
                _limit(e, main),
                _auc(best, f"; {best['name']}, K = {best['queries']}"),
                "",
            )
        )
    head = ("encoding", "test accuracy, %", "accuracy on members, %", *(f"AUC of {main}, K = {k}" for k in ks))
    note = (
        "Intervals are of 95 %, over examples. AUC: 0.5 is a guess, 1 is certainty. K is how many encodings of each "
        "example the attacker sees; the limit is what is left when their noise is averaged away. The highest of all "
        "attacks was chosen on these very examples: it is better than its interval says. A lower AUC beside a lower "
        "accuracy may be underfitting and not privacy. An encoder whose advantage fades as K grows hides what the "
        "model has leaked, it does not remove it."
    )
    return table_of((*head, "limit for K → ∞", "highest AUC of any attack", "controls"), rows, note=note)


def _epsilon(audit: dict) -> Table | None:
    """Return the lower bounds of epsilon; None without any."""
    rows = []
    certified = [e.get("certified_epsilon") for e in audit["encodings"].values()]
    for (name, e), most in zip(audit["encodings"].items(), certified, strict=True):
        for bound in () if failed_controls(audit, name) else e.get("epsilon") or ():
            row = (
                name,
                bound["attack"],
                bound["method"].replace("_", " "),
                Cell(f"{bound['epsilon']:.2f}", bound["epsilon"]),
            )
            if any(each is not None for each in certified):
                row += (Cell("none" if most is None else f"{most:g}", most),)
            rows.append(row)
    note = (
        "Epsilon is at least this, in nats, with 95 % confidence each. Attack, threshold and number of guesses were "
        "chosen on other models. The bound by Clopper and Pearson takes the examples of one model as independent; the "
        "one from one run takes only that their membership was dealt by independent flips (--flips). A bound of 0 does "
        "not say that a model is private."
    )
    head = ("arm", "attack", "method", "epsilon, lower bound", "certified epsilon")
    return table_of(head[: len(rows[0])], rows, note=note) if rows else None


def alarms(audit: dict) -> list[str]:
    """Return a line for each lower bound of epsilon that is above what private training guarantees."""
    return [
        f"{name}: epsilon is at least {bound['epsilon']:.2f} by {bound['attack']}, with {bound['confidence']:.0%} "
        f"confidence, above the certified {e['certified_epsilon']:g}: training or accounting is broken"
        for name, e in audit["encodings"].items()
        for bound in e.get("epsilon") or ()
        if e.get("certified_epsilon") is not None and bound["epsilon"] > e["certified_epsilon"]
    ]


def _descriptions(audit: dict) -> dict[str, str]:
    """Return what each attack does, with its parameters; an audit of an earlier version does not state these."""
    stated = audit.get("attacks") or {}
    found = {}
    for name in dict.fromkeys(a["name"] for e in audit["encodings"].values() for a in e["attacks"]):
        known = name.removeprefix("bypass_")
        of = stated.get(known) or {"description": ATTACKS[known].description if known in ATTACKS else ""}
        if name != known or not of["description"]:
            continue
        parameters = ", ".join(f"{key} = {value:g}" for key, value in (of.get("parameters") or {}).items())
        found[name] = of["description"] + (f" ({parameters})" if parameters else "")
    return found


def _limit(encoding: dict, attack: str, details: bool = False) -> Cell:
    """Return the cell of the AUC that is left with unlimited queries."""
    fit = encoding["averaging"].get(attack)
    if fit is None:
        return number(None)
    if fit["limit"] is None:
        return Cell("no fit", note=fit["reason"] if details else "", mark="muted")
    cell = number(fit["limit"], fit["limit_interval"])
    if undetermined(fit):
        return dataclasses.replace(cell, note=f"{cell.note}, undetermined", mark="muted")
    noise = f"; noise {100 * fit['encoding_variance']:.0f} %" if details else ""
    return dataclasses.replace(cell, note=f"{cell.note}{noise}")


def _limits(audit: dict) -> Table:
    encodings = audit["encodings"]
    attacks = dict.fromkeys(a for e in encodings.values() for a in e["averaging"])
    rows = [(attack, *(_limit(e, attack, details=True) for e in encodings.values())) for attack in attacks]
    note = (
        "With its 95 % interval, and the share of the encoder's noise σ_e² in the variance of one query. Undetermined: "
        "the interval is wider than 0.25, the scores leave the limit open."
    )
    return table_of(("attack", *encodings), rows, "The limit for K → ∞", note)


def _comparisons(comparisons: list[dict], several: bool) -> Table:
    rows = []
    for c in comparisons:
        cell = number(c["difference"], c["interval"], sign="+")
        apart = c["interval"][0] > 0 or c["interval"][1] < 0
        over = c["interval_over_targets"] if several else None
        rows.append(
            (
                c["attack"],
                c["queries"],
                f"{c['a']} − {c['b']}",
                dataclasses.replace(cell, mark="bold" if apart else ""),
                number(None) if over is None else Cell(span(over, sign="+")),
            )
        )
    return table_of(("attack", "K", "encodings", "difference of AUCs", "over targets"), rows)


def _splits(counts: dict, protocol: str) -> Table:
    pool = {"paper": "the shadow's own data", "audit": "for shadows alone, where the audited do not fill them"}
    uses = {
        "members": "audited; each target trains on its half of the audited",
        "non_members": "audited; the other half",
        "population": "no model trains on them; RMIA compares with them",
        "shadow_pool": pool.get(protocol, "no model trains on them"),
        "test": "accuracy",
    }
    rows = [
        (part.replace("non_", "non-").replace("_", " "), counts[part], Cell(use, mark="text"))
        for part, use in uses.items()
        if counts[part] or part != "population"
    ]
    return table_of(("part", "examples", "for"), rows)


def _attacks(audit: dict, name: str, several: bool) -> list[Table]:
    """Return an encoding's attacks at each K, those by class of the paper's protocol, and every figure."""
    e = audit["encodings"][name]
    names = list(dict.fromkeys(a["name"] for a in e["attacks"]))
    ks = sorted({a["queries"] for a in e["attacks"]})
    rates = list(e["attacks"][0]["tpr_at_fpr"])
    rows, everything = [], []
    for attack in names:
        a = _found(e, attack)
        over = a["auc_interval_over_targets"] if several else None
        rows.append(
            (
                attack,
                *(_auc(_found(e, attack, k)) for k in ks),
                number(None) if over is None else Cell(span(over)),
                number(a["attacker_advantage"], a["attacker_advantage_interval"]),
                *(number(a["tpr_at_fpr"][fpr], a["tpr_at_fpr_interval"][fpr]) for fpr in rates),
                number(a["ppv"]["0.1"], a["ppv_interval"]["0.1"]),
            )
        )
    for a in e["attacks"]:
        everything.append(
            (
                a["name"],
                a["queries"],
                _auc(a),
                number(a["attacker_advantage"], a["attacker_advantage_interval"]),
                number(a["threshold_advantage"], a["threshold_advantage_interval"]),
                *(number(a["tpr_at_fpr"][fpr], a["tpr_at_fpr_interval"][fpr]) for fpr in rates),
            )
        )
    at = [f"TPR at {100 * float(fpr):g} % FPR" for fpr in rates]
    head = ("attack", *(f"AUC, K = {k}" for k in ks), "over targets", "advantage", *at, "PPV at 10 % FPR, prior 10 %")
    title = (
        f"{name}: test accuracy {percent(e['test_accuracy'])}, {percent(e['train_accuracy'])} on members "
        f"({e['epochs']} epochs, {e['train_examples']} examples)"
    )
    tables = [table_of(head, rows, title, _below_chance(e))]
    by_class = e["attacks"][-1]["auc_per_class"]
    if by_class:
        a = e["attacks"][-1]
        cells = [number(value, a["auc_interval_per_class"][label]) for label, value in by_class.items()]
        cells += [number(a["auc_macro"], a["auc_macro_interval"]), number(a["auc"], a["auc_interval"])]
        head = (f"AUC by class, K = {a['queries']}", *map(str, by_class), "macro", "pooled")
        tables.append(table_of(head, [(a["name"], *cells)]))
    head = ("attack", "K", "AUC", "advantage", "advantage at the shadows' threshold", *at)
    return [*tables, table_of(head, everything)]


def _tf_privacy(encodings: dict) -> dict | None:
    """Return the tables of tensorflow-privacy's attacks, their limits and versions; None where they were not run."""
    found = {name: e["tf_privacy"] for name, e in encodings.items() if e.get("tf_privacy")}
    if not found:
        return None
    tables = []
    for name, each in found.items():
        whole = [a for a in each["attacks"] if a["label"] is None]
        rows = []
        for a in whole:
            attack = a["attack"].replace("_", " ")
            if a["skipped"]:
                rows.append((attack, *[number(None)] * 4, Cell(a["skipped"], mark="text")))
                continue
            bound, chance = a["epsilon_lower_bound"], a["epsilon_by_chance"]
            mark = "muted" if bound is None or bound < chance else ""
            cells = [
                number(a["auc"], a["auc_interval"]),
                number(a["attacker_advantage"], a["attacker_advantage_interval"]),
            ]
            cells += [Cell("none" if bound is None else f"{bound:.2f}", mark=mark), number(chance, None, 2)]
            rows.append((attack, *cells, ""))
        sides = f"{whole[0]['members']} members, {whole[0]['non_members']} non-members"
        title = f"{name}: {sides}, means over {count(each['queries'], 'query', 'queries')}"
        head = ("entire data set", "AUC", "advantage", "epsilon lower bound", "by chance", "not run")
        tables.append([table_of(head, rows, title)])
        by_class: dict[str, list[dict]] = {}
        for a in each["attacks"]:
            if a["label"] is not None:
                by_class.setdefault(str(a["label"]), []).append(a)
        rows = [
            (
                label,
                group[0]["members"],
                group[0]["non_members"],
                *(number(None if a["skipped"] else a["auc"]) for a in group),
            )
            for label, group in by_class.items()
        ]
        if rows:
            head = ("AUC by class", "members", "others", *(a["attack"].replace("_", " ") for a in whole))
            tables[-1].append(table_of(head, rows))
    first = next(iter(found.values()))
    versions = ", ".join(f"{package} {version}" for package, version in first["versions"].items())
    return {"tables": tables, "limits": first["limits"], "versions": versions}


def _found(encoding: dict, name: str, queries: int | None = None) -> dict | None:
    """Return an attack's figures at K, or at its largest K; None where it was not run there."""
    attacks = [a for a in encoding["attacks"] if a["name"] == name and queries in (None, a["queries"])]
    return attacks[-1] if attacks else None  # the largest K is last


def _below_chance(encoding: dict) -> str:
    """Return why offline LiRA may be below chance, where it is."""
    if not any(a["name"] == "lira_offline" and a["auc"] < 0.5 for a in encoding["attacks"]):
        return ""
    return (
        "lira_offline is below 0.5: it knows only models that did not train on an example, and assumes that training "
        "raises phi of each. Where training raises it for some examples and lowers it for others, its AUC is near 0.5, "
        "and by chance below it, though online LiRA, which sees each example's own sign, may find a leak."
    )


def attacks_table(name: str, found: dict, trained: str) -> Table:
    """Return every attack on an encoding.

    Args:
        name: of the encoding.
        found: its part of audit.json.
        trained: the training examples in words.
    """
    rows = [
        (
            *(a["name"], a["queries"], number(a["auc"], a["auc_interval"])),
            number(a["tpr_at_fpr"]["0.1"], a["tpr_at_fpr_interval"]["0.1"]),
        )
        for a in found["attacks"]
    ]
    tested, fitted = (
        estimate(found[f"{part}_accuracy"], found[f"{part}_accuracy_interval"], 1, 100) for part in ("test", "train")
    )
    title = f"{name}: test accuracy {tested} %, on {trained} {fitted} %"
    theirs = [
        f"{a['attack']} {a['auc']:.3f}"
        for a in (found.get("tf_privacy") or {"attacks": ()})["attacks"]
        if a["label"] is None and a["skipped"] is None
    ]
    notes = [f"AUC by tensorflow-privacy: {', '.join(theirs)}"] if theirs else []
    note = "\n".join([*notes, *filter(None, [_below_chance(found)])])
    return table_of(("attack", "K", "AUC, 95 % interval", "TPR at 10 % FPR"), rows, title, note)


def headline(item: Item) -> str:
    """Return in one line what a result found: the main attack's AUC on each encoding whose controls hold."""
    value = item.value
    parts = []
    for name, found in value["encodings"].items():
        if failed := failed_controls(value, name):
            parts.append(f"{name} not to be used ({', '.join(failed)} failed)")
            continue
        best = _found(found, MAIN_ATTACK[value["protocol"]])
        auc, accuracy = estimate(best["auc"], best["auc_interval"]), percent(found["test_accuracy"])
        parts.append(f"{name} AUC {auc} at K = {best['queries']}, accuracy {accuracy}")
    found = f"{value['data']['name']}, {value['protocol']}: {judge(value).word}; " + "; ".join(parts)
    return ". ".join(filter(None, [found, equal_fit.sentence(value).rstrip(".")]))


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
            rows.append((*cells, *(number(None) if failed else _auc(_found(found, attack, k)) for k in ks)))
    head = ("audit", "data", "protocol", "encoding", "controls", "test accuracy, %", "on members, %")
    note = "Intervals are of 95 %, over examples. AUC of the protocol's main attack at each number of queries K."
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
                axes.errorbar(
                    attack["auc"],
                    100 * found["test_accuracy"],
                    xerr=errors(attack["auc"], attack["auc_interval"] if most else None),
                    fmt=style.marker,
                    color=style.colour,
                    mfc=style.colour if most else "white",
                    ms=5,
                    elinewidth=0.7,
                )
        axes.axvline(0.5, color=GREY, ls=(0, GUESS), lw=1)
        axes.set(title=dataset, xlabel="AUC", ylabel="test accuracy, %")
        widen(axes, "x", 0.1, (0, 1))
        widen(axes, "y", 5, (0, 100))
        panels.append(svg(axes.figure, f"accuracy against AUC, {dataset}"))
    if not panels:
        return []
    caption = (
        "One mark for each encoding of an audit: its main attack at the most queries, with the 95 % interval over "
        "examples, and hollow at the fewest. Left is more privacy; left and lower may be underfitting. Encodings whose "
        "controls failed are not drawn."
    )
    keys = legend(list(styles.values()), line=False)
    return [Drawing("Accuracy against AUC", tuple(panels), tuple(keys), caption)]


VIEW = StudyView(
    "Audits", "audit.json", ("encodings", "controls", "protocol"), headline, tables, drawings, page=write_report
)
