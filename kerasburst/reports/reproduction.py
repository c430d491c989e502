"""A reproduction: its Markdown page, tables and picture, from reproduction.json."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes

from kerasburst import files
from kerasburst.reports.palette import GREY, STYLES, Drawing, panel, svg
from kerasburst.reports.table import Cell, Table, estimate, markdown, name_cell, number, over_seeds, table_of
from kerasburst.reports.view import Item, StudyView

WARNED = "Networks with silent or saturated layers, behind these figures"
_KINDS = {
    "equal_fit": "audit at equal fit",
    "audit": "audit",
    "paper": "the paper's protocol",
    "train": "training",
    "transfer": "transfer",
    "profile": "profile",
}


def write_markdown(result: dict, path: str | Path) -> None:
    """Write the page of `Reproduction.to_json()`."""
    files.write_text(path, reproduction_markdown(result))


def reproduction_markdown(result: dict) -> str:
    """Return the page: verdicts first, then every figure behind them, then what was run on what.

    Args:
        result: `Reproduction.to_json()`.
    """
    finished = sum(part["state"] == "finished" for part in result["plan"])
    claims = result["claims"]
    verdicts = [[c["text"], c["paper"], _ours(c), interval(c), c["verdict"]["seeds"], said(c)] for c in claims]
    blocks = [
        "# The paper's claims, tested",
        f"Scale `{result['scale']}` ({result['note']}); {finished} of {len(result['plan'])} parts finished"
        + ("." if result["complete"] else ": **not complete**, the verdicts use the finished parts."),
        "## Verdicts",
        markdown(table_of(["claim", "the paper", "ours", "95 % interval", "seeds", "verdict"], verdicts)),
        *([f"{WARNED}:", _list(warned)] if (warned := warnings(result)) else []),
        "## Rules",
        _list(result["rules"]),
        _list(f"`{c['name']}` ({c['figure']}): {c['rule']}." for c in claims),
    ]
    if result["audits"]:
        blocks += ["## AUC and accuracy", "Means, with 95 % intervals over seeds, cut to 0 to 1.", _audits(result)]
    blocks.append("## Every figure")
    for claim in claims:
        blocks.append(f"### {claim['text']}")
        spoken = f" Decided by {claim['spoken_for']}." if claim["spoken_for"] else ""
        blocks.append(f"Figure: {claim['figure']}. The paper: {claim['paper']}.{spoken}")
        blocks.append(_rows(claim) if claim["rows"] else f"{said(claim)}.")
    blocks += ["## What was run", _runs(result)]
    missing = [f"{name}: {why}" for name, why in result["skipped"].items()]
    missing += [f"{part['name']}: {part['reason']}" for part in result["plan"] if part["reason"]]
    if missing:
        blocks += ["Left out:", _list(missing)]
    if result["notes"]:
        blocks += ["Of the data:", _list(f"{name}: {note}" for name, note in result["notes"].items())]
    made = [", ".join(f"{name} {version}" for name, version in each.items()) for each in result["versions"]]
    blocks += ["## Made with", _list(made) or "Nothing has been made."]
    return "\n\n".join(blocks) + "\n"


def _ours(claim: dict) -> str:
    return "; ".join(part for part in (f"{claim['figure']}: {figure(claim)}", claim.get("by_paper")) if part)


def figure(claim: dict) -> str:
    """Return a claim's or a row's figure as text."""
    value = claim["verdict"]["figure"]
    return "–" if value is None else _signed(value, claim)


def interval(claim: dict) -> str:
    """Return its interval as text."""
    ends = claim["verdict"]["interval"]
    return "–" if ends is None else " to ".join(_signed(end, claim) for end in ends)


def said(claim: dict) -> str:
    """Return its verdict, with what qualifies it; a size that is refuted comes first."""
    verdict = claim["verdict"]
    text = verdict["verdict"] + (", confounded" if verdict["confounded"] else "")
    text = f"{text}: {verdict['reason']}" if verdict["reason"] else text
    doubts = list(claim.get("doubts", ()))
    first = [doubts.pop(0)] if verdict.get("size") == "missed" and doubts else []
    return "; ".join([*first, text, *doubts])


def warnings(result: dict) -> list[str]:
    """Return the networks that fell silent or saturated, of all claims."""
    rows = [row for claim in result["claims"] for row in claim["rows"]]
    return list(dict.fromkeys(f"{row['dataset']}: {text}" for row in rows for text in row["warnings"]))


def of_auc(claim: dict) -> bool:
    """Return whether a claim's figures are differences of AUCs."""
    return claim["figure"].startswith("AUC")


def _signed(value: float, claim: dict) -> str:
    return f"{value:+.3f}" if of_auc(claim) else f"{value:+.2f}"


def _rows(claim: dict) -> str:
    auc = of_auc(claim)
    head = ["data", "measured by", "K"] if auc else ["data", "measured by"]
    head += ["of", "figure", "95 % interval", "seeds", "verdict"]
    rows = []
    for row in claim["rows"]:
        as_claim = claim | {"verdict": row["verdict"], "doubts": ()}
        cells = [row["dataset"], f"{_KINDS[row['kind']]}: {row['measured']}"]
        cells += [row["queries"]] if auc else []
        cells += [_levels(row), figure(as_claim), interval(as_claim), row["verdict"]["seeds"], said(as_claim)]
        qualified = (*row["left_out"], *row["warnings"], *row.get("doubts", ()))
        cells[-1] += "".join(f" ({why})" for why in qualified if why not in cells[-1])
        rows.append(cells)
    return markdown(table_of(head, rows))


def _levels(row: dict) -> str:
    """Return what a figure is the difference of; AUCs with their accuracies."""
    parts = []
    for name, value in row["levels"].items():
        accuracy = "" if not row["accuracies"] else f" at accuracy {row['accuracies'][name]:.1%}"
        number = f"{value:.1%}" if row["kind"] in ("train", "transfer") else f"{value:.4g}"
        parts.append(f"{name} {number}{accuracy}")
    return ", ".join(parts) or row.get("context") or "–"


def _audits(result: dict) -> str:
    rows = []
    for each in result["audits"]:
        aucs = []
        for k, by_seed in each["aucs"].items():
            mean, ends = over_seeds(by_seed.values())
            if mean is not None:
                aucs.append(f"K = {k}: {estimate(mean, ends)}")
        of_attack = f"{each['attack']}, {'; '.join(aucs)}" if aucs else "–"
        failed = "; ".join(f"seed {seed}: control failed: {names}" for seed, names in each["failed"].items())
        shares = [_share(each[name]) for name in ("test_accuracies", "train_accuracies")]
        rows.append([each["dataset"], _KINDS[each["kind"]], each["encoding"], *shares, of_attack, failed or "all"])
    head = ["data", "protocol", "encoding", "test accuracy", "on members", "AUC", "seeds that count"]
    return markdown(table_of(head, rows))


def _share(by_seed: dict[str, float]) -> str:
    mean, ends = over_seeds(by_seed.values())
    return "–" if mean is None else f"{mean:.1%}" + (f" ({ends[0]:.1%} to {ends[1]:.1%})" if ends else "")


def _runs(result: dict) -> str:
    """Sum the plan up by kind and data set."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for part in result["plan"]:
        groups.setdefault((part["kind"], part["dataset"]), []).append(part)
    rows = []
    for (kind, dataset), parts in groups.items():
        counts = collections.Counter(part["state"] for part in parts)
        states = ", ".join(f"{counts[state]} {state}" for state in ("finished", "failed", "not run") if counts[state])
        rows.append([_KINDS[kind], dataset, len(parts), sum(part["tasks"] for part in parts), states])
    return markdown(table_of(["what", "data", "parts", "models", "state"], rows))


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


_BAND = 0.01  # differences of AUCs inside it do not matter


def headline(item: Item) -> str:
    """Return in one line what a result found."""
    by: dict[str, list[str]] = {}
    for claim in item.value["claims"]:
        verdict = claim["verdict"]
        by.setdefault(verdict["verdict"] + ", confounded" * verdict["confounded"], []).append(claim["name"])
    told = "; ".join(f"{len(names)} {verdict} ({', '.join(names)})" for verdict, names in by.items())
    state = "" if item.value["complete"] else " (the plan is not finished)"
    return f"{len(item.value['claims'])} claims{state}: {told}"


def tables(items: list[Item]) -> list[Table]:
    """Return the tables of the page of many results."""
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
        notes = [] if value["complete"] else ["The plan is not finished: some parts were not run."]
        notes += [f"{WARNED}: {'; '.join(each)}."] if (each := warnings(value)) else []
        title = f"{item.label}: scale {value['scale']}"
        tables.append(Table(title, head, tuple(rows), " ".join(notes), item.link, tuple(value["rules"])))
        ks = sorted({k for each in value["audits"] for k in each["aucs"]}, key=int)
        if beside := tuple(_beside(value["audits"], ks)):
            head = ("data", "protocol", "encoding", "test accuracy, %", "on members, %")
            head = (*head, *(f"AUC, K = {k}" for k in ks), "left out")
            title = f"{item.label}: AUC and accuracy"
            tables.append(Table(title, head, beside, "Means and 95 % over seeds, cut to 0 to 1.", item.link))
    return tables


def _beside(audits: list[dict], ks: list[str]) -> Iterable[tuple[Cell, ...]]:
    for each in audits:
        cells = [name_cell(each["dataset"]), name_cell(each["kind"], each["attack"]), name_cell(each["encoding"])]
        cells += [number(*over_seeds(each[name].values()), 1, 100) for name in ("test_accuracies", "train_accuracies")]
        for k in ks:
            cells.append(number(*over_seeds(each["aucs"].get(k, {}).values())))
        failed = "; ".join(f"seed {seed}: {names}" for seed, names in each["failed"].items())
        yield (*cells, Cell(failed or "–", mark="text bad" if failed else "name muted"))


def drawings(items: list[Item]) -> list[Drawing]:
    """Return the pictures of the page of many results."""
    drawings = []
    for item in items:
        auc = [(c, row) for c in item.value["claims"] for row in c["rows"] if row["accuracies"] is not None]
        other = [(c, row) for c in item.value["claims"] for row in c["rows"] if row["accuracies"] is None]
        panels = []
        for name, rows, unit in (("AUC", auc, "difference of AUCs"), ("all else", other, "points or %")):
            rows = [(c, row) for c, row in rows if row["verdict"]["figure"] is not None]
            if rows:
                panels.append((f"{item.label}, {name}", _forest(rows, unit, band=_BAND if name == "AUC" else None)))
        if panels:
            drawings.append(
                Drawing(
                    f"{item.label}: every figure with its interval",
                    tuple(svg(axes.figure, name) for name, axes in panels),
                    (),
                    "There is one row for each data set and way of measuring. Bars are 95 % intervals over seeds; an "
                    "arrow means that the interval goes on outside. Grey band: ±0.01, where a difference of AUCs "
                    "does not matter. A claim's rule says which values support it.",
                )
            )
    return drawings


def _forest(rows, unit: str, band: float | None) -> Axes:
    figures = [row["verdict"]["figure"] for _, row in rows]
    ends = [end for _, row in rows for end in row["verdict"]["interval"] or ()]
    # The widest intervals, of two seeds, would press all figures into one line.
    reach = 3.0 * max(max(map(abs, figures)), band or 0.0, 1e-6)
    reach = min(reach, max([*map(abs, figures), *map(abs, ends), 1e-6]))
    groups = list(dict.fromkeys(claim["name"] for claim, _ in rows))
    axes = panel((4.4, 0.8 + 0.24 * (len(rows) + len(groups))))
    labels = []
    for style, name in zip(itertools.cycle(STYLES), groups, strict=False):
        labels.append(name)
        for _, row in [(claim, row) for claim, row in rows if claim["name"] == name]:
            y, colour, found = len(labels), style[0], row["verdict"]
            if found["interval"] is not None:
                low, high = found["interval"]
                shown = max(low, -reach), min(high, reach)
                axes.plot(shown, [y, y], color=colour, lw=1.4)
                for end, mark, cut in ((shown[0], "<", low < -reach), (shown[1], ">", high > reach)):
                    axes.plot([end], [y], mark if cut else "|", color=colour, ms=5 if cut else 6)
            axes.plot([found["figure"]], [y], "o", color=colour, ms=4)
            at = "" if row["queries"] is None else f", K = {row['queries']}"
            how = row["measured"] if row["kind"] == "profile" else row["kind"]
            labels.append(f"{row['dataset']}, {how}{at}")
    axes.axvline(0.0, color=GREY, lw=0.9)
    if band is not None:
        axes.axvspan(-band, band, color=GREY, alpha=0.15, lw=0)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    for tick, label in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if label in groups else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(labels) - 0.5, -0.5), xlim=(-1.08 * reach, 1.08 * reach), xlabel=unit)
    axes.grid(alpha=0.3, axis="x")
    return axes


_FIELDS = ("claims", "plan", "scale")
VIEW = StudyView("The paper's claims", "reproduction.json", _FIELDS, headline, tables, drawings, owns_inside=True)
