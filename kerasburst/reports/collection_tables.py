"""The tables of the page of many results."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kerasburst.intervals import wilson
from kerasburst.privacy.result import MAIN_ATTACK, failed_controls
from kerasburst.reports.reproduction import WARNED, figure, interval, over_seeds, said, warnings
from kerasburst.reports.sweep_figures import EFFECTS, fewer_queries, metric_title, pairs_used, shown

_LAST = -1e300  # sorts what is not known below all else


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: what it says.
        sort: what the table is sorted by; the text without.
        link: where it leads, relative to the page; empty for nowhere.
        note: a second line.
        mark: classes: "text" for a sentence, "name" for a word, none of both for a number; "good", "bad", "muted".
    """

    text: str
    sort: Any = None
    link: str = ""
    note: str = ""
    mark: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """One table.

    Args:
        title: above it; empty for the only one of its kind.
        head: of each column.
        rows: of cells.
        note: below it.
        link: of the title, where the rows have none of their own.
        points: a list below the note.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    link: str = ""
    points: tuple[str, ...] = ()


def number(
    value: float | None, ends: Sequence[float] | None = None, digits: int = 3, scale: float = 1.0, sign: str = ""
) -> Cell:
    """Give a figure with its interval below; `sign` is "+" for a difference."""
    if value is None:
        return Cell("–", sort=_LAST, mark="muted")
    text, *said = (f"{scale * each:{sign}.{digits}f}" for each in (value, *(ends or ())))
    return Cell(text, sort=value, note=" to ".join(said))


def _name(text: str, note: str = "") -> Cell:
    return Cell(text, note=note, mark="name")


def _place(item) -> Cell:
    return Cell(item.label, link=item.link, mark="text")


def _reproductions(items) -> list[Table]:
    tables = []
    for item in items:
        value = item.value
        rows = []
        for claim in value["claims"]:
            verdict = claim["verdict"]["verdict"]
            marks = {} if claim["verdict"]["confounded"] else {"supported": "good", "contradicted": "bad"}
            mark = marks.get(verdict, "")
            rows.append(
                (
                    Cell(claim["text"], mark="text"),
                    Cell(said(claim), mark=f"text {mark}".strip(), note=claim["spoken_for"]),
                    Cell(figure(claim), sort=claim["verdict"]["figure"], note=interval(claim).strip("–")),
                    Cell(claim["figure"], mark="text"),
                    Cell(claim["paper"], mark="text"),
                    Cell(str(claim["verdict"]["seeds"]), sort=claim["verdict"]["seeds"]),
                )
            )
        head = ("claim", "verdict", "ours, 95 % over seeds", "figure", "the paper", "seeds")
        notes = [] if value["complete"] else ["Not complete."]
        notes += [f"{WARNED}: {'; '.join(each)}."] if (each := warnings(value)) else []
        title = f"{item.label}: scale {value['scale']}"
        tables.append(Table(title, head, tuple(rows), " ".join(notes), item.link, tuple(value["rules"])))
        beside = tuple(_beside(value))
        if beside:
            ks = sorted({k for each in value["audits"] for k in each["aucs"]}, key=int)
            head = ("data", "protocol", "encoding", "test accuracy, %", "on members, %")
            head = (*head, *(f"AUC, K = {k}" for k in ks), "left out")
            title = f"{item.label}: AUC beside accuracy"
            tables.append(Table(title, head, beside, "Means and 95 % over seeds, cut to 0 to 1.", item.link))
    return tables


def _beside(value) -> Iterable[tuple[Cell, ...]]:
    ks = sorted({k for each in value["audits"] for k in each["aucs"]}, key=int)
    for each in value["audits"]:
        cells = [_name(each["dataset"]), _name(each["kind"], each["attack"]), _name(each["encoding"])]
        cells += [number(*over_seeds(each[name].values()), 1, 100) for name in ("test_accuracies", "train_accuracies")]
        for k in ks:
            cells.append(number(*over_seeds(each["aucs"].get(k, {}).values())))
        failed = "; ".join(f"seed {seed}: {names}" for seed, names in each["failed"].items())
        yield (*cells, Cell(failed or "–", mark="text bad" if failed else "name muted"))


def _audits(items) -> list[Table]:
    ks = sorted({a["queries"] for i in items for e in i.value["encodings"].values() for a in e["attacks"]})
    rows = []
    for item in items:
        value = item.value
        attack = MAIN_ATTACK[value["protocol"]]
        for name, found in value["encodings"].items():
            failed = failed_controls(value, name)
            aucs = {a["queries"]: a for a in found["attacks"] if a["name"] == attack}
            cells = [
                _place(item),
                _name(value["data"]["name"]),
                _name(value["protocol"], attack),
                _name(name),
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


def _transfers(items) -> list[Table]:
    rows = []
    for item in items:
        value = item.value
        names = f"{value['data']['source']['name']} to {value['data']['target']['name']}"
        for name, found in value["encodings"].items():
            cells = [_place(item), _name(names, f"{value['freeze']} frozen"), _name(name)]
            cells += [number(*over_seeds(found[arm]), 1, 100) for arm in ("scratch", "transfer", "control")]
            cells += [number(found[f], found[f"{f}_interval"], 1, 100) for f in ("difference", "over_control")]
            rows.append((*cells, Cell(str(len(value["seeds"])), sort=len(value["seeds"]))))
    head = ("transfer", "data", "encoding", "from scratch, %", "transferred, %", "random features, %")
    head += ("transferred − scratch, points", "transferred − random, points", "seeds")
    return [
        Table(
            "",
            head,
            tuple(rows),
            "Intervals are of 95 %, over seeds; of differences over pairs; of accuracies cut to 0 to 100.",
        )
    ]


def _sweeps(items) -> list[Table]:
    tables = []
    for item in items:
        value = item.value
        ks = fewer_queries(value)
        rows = []
        for i, point in enumerate(value["points"]):
            values = [
                Cell(shown(point["values"][p]), sort=point["values"][p] if _is_number(point["values"][p]) else None)
                for p in value["parameters"]
            ]
            found = [point["estimates"].get(metric) for metric in value["metrics"]]
            found += [(point["auc_by_queries"] or {}).get(k) for k in ks]
            cells = [number(e and e["mean"], e and e["interval"]) for e in found]
            why = [f"seed {each['seed']}: {each['reason']}" for each in point["seeds"] if each["reason"]]
            why += [point["reason"]] if point["reason"] else []
            front = ("on the front", "text good") if i in value["front"] else ("", "text")
            rows.append((*values, *cells, Cell(front[0], note="; ".join(why), mark=front[1])))
        heads = tuple(metric_title(value, metric) for metric in value["metrics"])
        heads += tuple(f"AUC, K = {k}" for k in ks)
        names = tuple(map(_short, value["parameters"]))
        title = f"{item.label}: {value['config']['train']['encoding']} on {value['data']['name']}"
        seeds = f"Means and 95 % over {len(value['seeds'])} seed{'s' * (len(value['seeds']) != 1)}."
        tables.append(Table(title, (*names, *heads, "Pareto"), tuple(rows), seeds, item.link))
        effects = value.get("effects")  # an older version's sweeps have none
        if effects:
            head = ("parameter", "from", "to", "pairs", *(metric_title(value, metric) for metric in value["metrics"]))
            rows = tuple(_effect(each, value["metrics"], len(value["seeds"])) for each in effects)
            note = f"{EFFECTS[0].upper()}{EFFECTS[1:]}."
            tables.append(Table(f"{item.label}: what each parameter does", head, rows, note, item.link))
    return tables


def _short(label: str) -> str:
    """Leave a parameter's scope out, which stands in the summary: a phone has no room for it."""
    return label.partition(".")[2].replace("_", " ")


def _effect(effect: dict, metrics: Sequence[str], seeds: int) -> tuple[Cell, ...]:
    cells = []
    for metric in metrics:
        found = effect["estimates"].get(metric)
        cell = number(found and found["mean"], found and found["interval"], sign="+")
        if found and found["seeds"] < seeds:
            cell = dataclasses.replace(cell, note=f"{cell.note}, {found['seeds']} of {seeds} seeds".strip(", "))
        cells.append(cell)
    values = (Cell(shown(effect[name])) for name in ("against", "value"))
    return (_name(_short(effect["parameter"])), *values, Cell(pairs_used(effect), sort=effect["pairs"]), *cells)


def _runs(items) -> list[Table]:
    rows = []
    for item in items:
        value, config = item.value, item.config
        warned = "; ".join(value["warnings"])
        rows.append(
            (
                _place(item),
                _name(str(config.get("dataset", "–"))),
                _name(str(config.get("encoding", "–"))),
                Cell(str(value["seed"]), sort=value["seed"]),
                number(value["test_accuracy"], value["test_accuracy_interval"], 1, 100),
                number(value["train_accuracy"], wilson(value["train_accuracy"], value["examples"]["train"]), 1, 100),
                number(value["firing_rates"].get("input")),
                Cell(str(value["epochs"]), sort=value["epochs"]),
                number(value["train_seconds"], None, 1),
                Cell(warned or "–", mark="text" if warned else "name muted"),
            )
        )
    head = ("run", "data", "encoding", "seed", "test accuracy, %", "on training part, %", "input rate", "epochs")
    return [Table("", (*head, "trained, s", "warnings"), tuple(rows), "Intervals are of 95 %, over examples.")]


def _profiles(items) -> list[Table]:
    """Read profiles by their JSON alone: encodings.NAME.FIELD, null with a reason in reasons.FIELD.

    A field that none has a figure of is told of once, below the table.
    """
    found = [
        (item, name, values, {**(item.value.get("reasons") or {}), **(values.get("reasons") or {})})
        for item in items
        for name, values in item.value["encodings"].items()
    ]
    fields: dict[str, bool] = {}  # whether any has a figure of it
    for _, _, values, _ in found:
        for field, value in values.items():
            if value is None or _is_number(value):
                fields[field] = fields.get(field, False) or value is not None
    measured = [field for field, has_figures in fields.items() if has_figures]
    rows = []
    for item, name, values, reasons in found:
        cells = [_place(item), _name(name)]
        for field in measured:
            value, ends = values.get(field), (values.get("spread") or {}).get(field)
            if _is_number(value):
                note = f"{ends[0]:.4g} to {ends[1]:.4g}" if ends and ends[0] < ends[1] else ""
                cells.append(Cell(f"{value:.4g}", sort=value, note=note))
            else:
                cells.append(Cell("–", sort=_LAST, note=str(reasons.get(field, "")), mark="muted"))
        rows.append(tuple(cells))
    missing: dict[str, list[str]] = {}
    for field in fields.keys() - set(measured):
        why = "; ".join(dict.fromkeys(str(reasons.get(field) or "no reason given") for *_, reasons in found))
        missing.setdefault(why, []).append(field)
    note = "Medians of the repeats, with their quartiles where there are several. "
    note += "What this machine cannot measure is a dash with its reason, never 0."
    note += "".join(
        f" Without any figure: {', '.join(sorted(names))}: {why}." for why, names in sorted(missing.items())
    )
    return [Table("", ("profile", "encoding", *measured), tuple(rows), note)]


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TABLES: dict[str, Callable[[list], list[Table]]] = {
    "reproduction": _reproductions,
    "sweep": _sweeps,
    "audit": _audits,
    "transfer": _transfers,
    "run": _runs,
    "profile": _profiles,
}
