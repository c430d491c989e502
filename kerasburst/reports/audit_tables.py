"""The tables of an audit's page."""

from __future__ import annotations

import dataclasses

from kerasburst.privacy.reading import arm_word, failed_controls, is_own, step_word
from kerasburst.registry import ATTACKS
from kerasburst.reports.audit_figures import undetermined
from kerasburst.reports.table import Cell, Table, count, estimate, name_cell, number, percent, span, table_of

_PURPOSES = {
    "splits_disjoint": "parts that share an example would tell nothing",
    "blind_baseline": "a forest that sees the examples and no model",
    "untrained": "the loss attack on a network that has learnt nothing",
    "permuted_membership": "the main attack's scores against shuffled membership: how scores become an AUC",
    "planted_leak": "mislabelled examples learnt by heart: a leak that must be found",
    "weights_differ": "a target that is its own shadow would be found everywhere",
    "cross_target": "scores of each model against the training sets of others",
    "canaries": "mislabelled examples inside shadows, which the attacks must find",
}


def controls(audit: dict) -> Table:
    """Return the controls, by encoding, and their rules."""
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


def _with_interval(found: dict, name: str, at: str | None = None) -> Cell:
    """Return the cell of a figure with its interval; of figures at several rates or priors, that at one."""
    value, ends = found[name], found[f"{name}_interval"]
    return number(value, ends) if at is None else number(value[at], ends[at])


def auc(attack: dict | None, note: str = "") -> Cell:
    """Return the cell of an AUC with its interval, bold where that lies above a guess."""
    if attack is None:
        return number(None)
    cell = _with_interval(attack, "auc")
    mark = "bold" if attack["auc_interval"][0] > 0.5 else ""
    return dataclasses.replace(cell, mark=mark, note=f"{cell.note}{note}")


def summary(audit: dict, main: str) -> Table:
    """Return accuracies and AUCs of each encoding; `main` is the main attack."""
    ks = sorted({a["queries"] for e in audit["encodings"].values() for a in e["attacks"]})
    rows = []
    for name, e in audit["encodings"].items():
        if failed := failed_controls(audit, name):
            rows.append(
                (name, *[number(None)] * (4 + len(ks)), Cell(f"not to be used: {', '.join(failed)}", mark="text bad"))
            )
            continue
        best = max(e["attacks"], key=lambda a: a["auc"])
        parts = [f"{part}_accuracy" for part in ("test", "train")]
        cells = [number(e[part], e[f"{part}_interval"], 1, 100) for part in parts]
        cells += [*(auc(find(e, main, k)) for k in ks), _limit(e, main)]
        rows.append((name, *cells, auc(best, f"; {best['name']}, K = {best['queries']}"), ""))
    head = (arm_word(audit), "test accuracy, %", "accuracy on members, %", *(f"AUC of {main}, K = {k}" for k in ks))
    own = is_own(audit)
    note = (
        f"{_whose(audit)} 95 % intervals, over examples. AUC: 0.5 is a guess, 1 is certainty; bold where the interval "
        f"is above 0.5. K is how many {'answers to' if own else 'encodings of'} each example the attacker sees"
        f"{'' if len(ks) == 1 else '; the limit is the AUC with their noise averaged away'}. The highest AUC "
        "of all attacks was chosen on these same examples, so it is optimistic. A lower AUC with a lower accuracy may "
        "be underfitting, not privacy."
    )
    if not own:
        note += " If an encoder's advantage fades as K grows, it hides the leak and does not remove it."
    return table_of((*head, "limit for K → ∞", "highest AUC of any attack", "controls"), rows, note=note)


def _whose(audit: dict) -> str:
    """Return which models the figures of targets are of, and how they differ from those over all models."""
    targets = audit["config"]["targets"]
    whose = (
        "These figures are of one model, the first target"
        if targets == 1
        else f"These are means over {targets} targets"
    )
    models = next((points[0]["models"] for points in audit.get("curves", {}).values() if points), None)
    if models is None:
        return f"{whose}."
    return f"{whose}. Those above are means over all {models} models of each {arm_word(audit)}, so they differ."


def epsilon(audit: dict) -> Table | None:
    """Return the lower bounds of epsilon beside what is certified; None without either."""
    rows = []
    certified = [e.get("certified_epsilon") for e in audit["encodings"].values()]
    uncertified = "–" if certified.count(None) == len(certified) else "none"
    for (name, e), most in zip(audit["encodings"].items(), certified, strict=True):
        bounds = [] if failed_controls(audit, name) else e.get("epsilon") or []
        guaranteed = Cell(uncertified if most is None else f"{most:g}", most)
        for each in bounds:
            cells = Cell(f"{each['epsilon']:.2f}", each["epsilon"]), Cell(_counted(each), mark="text"), guaranteed
            rows.append((name, each["attack"], each["method"].replace("_", " "), *cells))
        if not bounds and most is not None:
            rows.append((name, "–", "–", number(None), "–", guaranteed))
    note = (
        "Epsilon is at least this, each with 95 % confidence, by the counts on the first target. It is in nats: with "
        "an epsilon of 1, one example can make an answer e = 2.7 times as likely. Attack, threshold and number of "
        "guesses were chosen on other models. The bound by Clopper and Pearson takes both rates at the ends of their "
        "intervals and assumes that the examples of one model are independent. The bound from one run "
        f"({'flips=True' if is_own(audit) else '--flips'}) only assumes that membership was chosen by independent coin "
        "flips. It guesses that the highest scores are members and the lowest non-members, leaves out the rest, and "
        "counts the right guesses. A bound of 0 does not mean that a model is private. Bounds vary more than AUCs: "
        "arms with the same AUC may have very different ones."
    )
    head = ("arm", "attack", "method", "epsilon, lower bound", "counted", "certified epsilon")
    return table_of(head, rows, note=note) if rows else None


def _counted(bound: dict) -> str:
    """Return the counts behind a lower bound of epsilon; an older version's audits do not have them."""
    if bound.get("right") is not None:
        return f"{bound['right']} of {bound['guesses']} guesses are right"
    if bound.get("true_positives") is None:
        return "–"
    tp, members, fp, others = (bound[n] for n in ("true_positives", "members", "false_positives", "non_members"))
    return (
        f"TPR {tp} of {members} members ({percent(tp / members)}), FPR {fp} of {others} non-members "
        f"({percent(fp / others)}) with scores of at least {bound['threshold']:.4g}"
    )


def descriptions(audit: dict) -> dict[str, str]:
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


def limits(audit: dict) -> Table:
    """Return what is left of each attack's AUC with unlimited queries."""
    encodings = audit["encodings"]
    attacks = dict.fromkeys(a for e in encodings.values() for a in e["averaging"])
    rows = [(attack, *(_limit(e, attack, details=True) for e in encodings.values())) for attack in attacks]
    note = (
        "With its 95 % interval, and the share of the noise σ_e² in the variance of one query. Undetermined: "
        "the interval is wider than 0.25, so the scores do not determine the limit."
    )
    return table_of(("attack", *encodings), rows, "The limit for K → ∞", note)


def comparisons(audit: dict, pairs: list[dict]) -> Table:
    """Return the differences between encodings; over targets, too, where there are several."""
    rows, several = [], audit["config"]["targets"] >= 3
    for c in pairs:
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
    return table_of(("attack", "K", f"{arm_word(audit)}s", "difference of AUCs", "over targets"), rows)


def splits(counts: dict, protocol: str) -> Table:
    """Return the parts of the data, their sizes and uses."""
    pool = {
        "paper": "the shadow's own data",
        "audit": "only for shadow models, if the audited examples do not fill them",
    }
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


def attacks(audit: dict, name: str, several: bool) -> list[Table]:
    """Return an encoding's attacks at each K, those by class of the paper's protocol, and every figure."""
    e = audit["encodings"][name]
    names = list(dict.fromkeys(a["name"] for a in e["attacks"]))
    ks = sorted({a["queries"] for a in e["attacks"]})
    rates = list(e["attacks"][0]["tpr_at_fpr"])
    rows = []
    for attack in names:
        a = find(e, attack)
        over = a["auc_interval_over_targets"] if several else None
        aucs = (auc(find(e, attack, k)) for k in ks)
        cells = [_with_interval(a, "attacker_advantage"), *(_with_interval(a, "tpr_at_fpr", fpr) for fpr in rates)]
        over_targets = number(None) if over is None else Cell(span(over))
        rows.append((attack, *aucs, over_targets, *cells, _with_interval(a, "ppv", "0.1")))
    everything = []
    for a in e["attacks"]:
        cells = [_with_interval(a, name) for name in ("attacker_advantage", "threshold_advantage")]
        cells += [_with_interval(a, "tpr_at_fpr", fpr) for fpr in rates]
        everything.append((a["name"], a["queries"], auc(a), *cells))
    at = [f"TPR at {100 * float(fpr):g} % FPR" for fpr in rates]
    head = ("attack", *(f"AUC, K = {k}" for k in ks), "over targets", "advantage", *at, "PPV at 10 % FPR, prior 10 %")
    title = (
        f"{name}: test accuracy {percent(e['test_accuracy'])}, {percent(e['train_accuracy'])} on members "
        f"({count(e['epochs'], step_word(audit))}, {e['train_examples']} examples)"
    )
    tables = [table_of(head, rows, title, _below_chance(e))]
    by_class = e["attacks"][-1]["auc_per_class"]
    if by_class:
        a = e["attacks"][-1]
        cells = [number(value, a["auc_interval_per_class"][label]) for label, value in by_class.items()]
        cells += [_with_interval(a, name) for name in ("auc_macro", "auc")]
        head = (f"AUC by class, K = {a['queries']}", *map(str, by_class), "macro", "pooled")
        tables.append(table_of(head, [(a["name"], *cells)]))
    head = ("attack", "K", "AUC", "advantage", "advantage at the shadows' threshold", *at)
    return [*tables, table_of(head, everything)]


def tf_privacy(encodings: dict) -> dict | None:
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
            cells = [_with_interval(a, name) for name in ("auc", "attacker_advantage")]
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
        rows = []
        for label, group in by_class.items():
            aucs = (number(None if a["skipped"] else a["auc"]) for a in group)
            rows.append((label, group[0]["members"], group[0]["non_members"], *aucs))
        if rows:
            head = ("AUC by class", "members", "others", *(a["attack"].replace("_", " ") for a in whole))
            tables[-1].append(table_of(head, rows))
    first = next(iter(found.values()))
    versions = ", ".join(f"{package} {version}" for package, version in first["versions"].items())
    return {"tables": tables, "limits": first["limits"], "versions": versions}


def find(encoding: dict, name: str, queries: int | None = None) -> dict | None:
    """Return an attack's figures at K, or at its largest K; None where it was not run there."""
    attacks = [a for a in encoding["attacks"] if a["name"] == name and queries in (None, a["queries"])]
    return attacks[-1] if attacks else None  # the largest K is last


def _below_chance(encoding: dict) -> str:
    """Return why offline LiRA may be below chance, where it is."""
    if not any(a["name"] == "lira_offline" and a["auc"] < 0.5 for a in encoding["attacks"]):
        return ""
    return (
        "lira_offline is below 0.5. It only uses models that did not train on an example, and assumes that training "
        "raises phi (the scaled confidence) of every example. If training raises it for some examples and lowers it "
        "for others, the AUC is near 0.5 and may be below by chance, although online LiRA may find a leak."
    )


def attacks_table(name: str, found: dict, trained: str) -> Table:
    """Return every attack on an encoding.

    Args:
        name: of the encoding.
        found: its part of audit.json.
        trained: the training examples in words.
    """
    rows = [
        (a["name"], a["queries"], _with_interval(a, "auc"), _with_interval(a, "tpr_at_fpr", "0.1"))
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
