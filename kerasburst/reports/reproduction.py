"""The Markdown page of a reproduction: it reads what reproduction.json holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from kerasburst import files
from kerasburst.intervals import seed_interval

WARNED = "Networks with silent or saturated layers, behind these figures"
_KINDS = {
    "audit": "audit",
    "paper": "the paper's protocol",
    "train": "training",
    "transfer": "transfer",
    "profile": "profile",
}


def write_markdown(result: dict, path: str | Path) -> Path:
    """Write the page.

    Args:
        result: `Reproduction.to_json()`.
        path: of the page.
    """
    files.write_text(path, reproduction_markdown(result))
    return Path(path)


def reproduction_markdown(result: dict) -> str:
    """Give the page: verdicts first, then every figure behind them, then what was run on what.

    Args:
        result: `Reproduction.to_json()`.
    """
    finished = sum(part["state"] == "finished" for part in result["plan"])
    blocks = [
        "# The paper's claims, tested",
        f"Scale `{result['scale']}` ({result['note']}); {finished} of {len(result['plan'])} parts finished"
        + ("." if result["complete"] else ": **not complete**, the verdicts are of what is there."),
        "## Verdicts",
        _table(
            ["claim", "the paper", "ours", "95 % interval", "seeds", "verdict"],
            [
                [c["text"], c["paper"], f"{c['figure']}: {figure(c)}", interval(c), c["verdict"]["seeds"], said(c)]
                for c in result["claims"]
            ],
        ),
        *([f"{WARNED}:", _list(warned)] if (warned := warnings(result)) else []),
        "## Rules",
        _list(result["rules"]),
        _list(f"`{c['name']}` ({c['figure']}): {c['rule']}." for c in result["claims"]),
    ]
    if result["audits"]:
        blocks += ["## AUC beside accuracy", "Means, with 95 % intervals over seeds, cut to 0 to 1.", _audits(result)]
    blocks.append("## Every figure")
    for claim in result["claims"]:
        blocks.append(f"### {claim['text']}")
        spoken = f" Spoken for by {claim['spoken_for']}." if claim["spoken_for"] else ""
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


def figure(claim: dict) -> str:
    """Give a claim's or a row's figure as text."""
    value = claim["verdict"]["figure"]
    return "–" if value is None else _signed(value, claim)


def interval(claim: dict) -> str:
    """Give its interval as text."""
    ends = claim["verdict"]["interval"]
    return "–" if ends is None else " to ".join(_signed(end, claim) for end in ends)


def said(claim: dict) -> str:
    """Give its verdict, with what qualifies it."""
    verdict = claim["verdict"]
    text = verdict["verdict"] + (", confounded" if verdict["confounded"] else "")
    text = f"{text}: {verdict['reason']}" if verdict["reason"] else text
    return "; ".join([text, *claim.get("doubts", ())])


def warnings(result: dict) -> list[str]:
    """Name the networks that fell silent or saturated, of all claims."""
    rows = [row for claim in result["claims"] for row in claim["rows"]]
    return list(dict.fromkeys(f"{row['dataset']}: {text}" for row in rows for text in row["warnings"]))


def over_seeds(values: Iterable[float]) -> tuple[float | None, tuple[float, float] | None]:
    """Give the mean over seeds of shares, with its 95 % interval inside of 0 to 1; None for what too few tell."""
    values = list(values)
    if len(values) < 2:
        return (values[0] if values else None), None
    mean, low, high = seed_interval(values)
    return mean, (max(0.0, low), min(1.0, high))


def of_auc(claim: dict) -> bool:
    """Tell whether a claim's figures are differences of AUCs."""
    return claim["figure"].startswith("AUC")


def _signed(value: float, claim: dict) -> str:
    return f"{value:+.3f}" if of_auc(claim) else f"{value:+.2f}"


def _rows(claim: dict) -> str:
    auc = of_auc(claim)
    head = ["data", "measured by", "K"] if auc else ["data", "measured by"]
    head += ["of", "figure", "95 % interval", "seeds", "verdict"]
    rows = []
    for row in claim["rows"]:
        as_claim = claim | {"verdict": row["verdict"]}
        cells = [row["dataset"], f"{_KINDS[row['kind']]}: {row['measured']}"]
        cells += [row["queries"]] if auc else []
        cells += [_levels(row), figure(as_claim), interval(as_claim), row["verdict"]["seeds"], said(as_claim)]
        qualified = (*row["left_out"], *row["warnings"], *row.get("doubts", ()))
        cells[-1] += "".join(f" ({why})" for why in qualified if why not in cells[-1])
        rows.append(cells)
    return _table(head, rows)


def _levels(row: dict) -> str:
    """Give what a figure is the difference of; AUCs with their accuracies."""
    parts = []
    for name, value in row["levels"].items():
        accuracy = "" if not row["accuracies"] else f" at accuracy {row['accuracies'][name]:.1%}"
        number = f"{value:.1%}" if row["kind"] in ("train", "transfer") else f"{value:.4g}"
        parts.append(f"{name} {number}{accuracy}")
    return ", ".join(parts) or "–"


def _audits(result: dict) -> str:
    rows = []
    for each in result["audits"]:
        aucs = []
        for k, by_seed in each["aucs"].items():
            mean, ends = over_seeds(by_seed.values())
            if mean is not None:
                aucs.append(f"K = {k}: {mean:.3f}" + (f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends else ""))
        rows.append(
            [
                each["dataset"],
                _KINDS[each["kind"]],
                each["encoding"],
                _share(each["test_accuracies"]),
                _share(each["train_accuracies"]),
                f"{each['attack']}, {'; '.join(aucs)}" if aucs else "–",
                "; ".join(f"seed {seed}: control failed: {names}" for seed, names in each["failed"].items()) or "all",
            ]
        )
    head = ["data", "protocol", "encoding", "test accuracy", "on members", "AUC", "seeds that count"]
    return _table(head, rows)


def _share(by_seed: dict[str, float]) -> str:
    mean, ends = over_seeds(by_seed.values())
    return "–" if mean is None else f"{mean:.1%}" + (f" ({ends[0]:.1%} to {ends[1]:.1%})" if ends else "")


def _runs(result: dict) -> str:
    """Sum the plan up by kind and data set."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for part in result["plan"]:
        groups.setdefault((part["kind"], part["dataset"]), []).append(part)
    rows = [
        [
            _KINDS[kind],
            dataset,
            len(parts),
            sum(part["tasks"] for part in parts),
            ", ".join(
                f"{count} {state}"
                for state in ("finished", "failed", "not run")
                if (count := sum(part["state"] == state for part in parts))
            ),
        ]
        for (kind, dataset), parts in groups.items()
    ]
    return _table(["what", "data", "parts", "models", "state"], rows)


def _table(head: Sequence[str], rows: Iterable[Sequence]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in lines)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
