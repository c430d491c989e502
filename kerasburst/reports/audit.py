"""The page of an audit: it reads audit.json and scores.npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerasburst import files
from kerasburst.privacy.result import MAIN_ATTACK
from kerasburst.reports.audit_figures import audit_figures, undetermined
from kerasburst.reports.page import make_environment
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
    environment.globals.update(found=_found, span=_span, signed=_signed, number=_number, undetermined=undetermined)
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
    """Give an attack's figures at K, or at its largest K; None where it was not run there."""
    attacks = [a for a in encoding["attacks"] if a["name"] == name and queries in (None, a["queries"])]
    return attacks[-1] if attacks else None  # the largest K is last


def _span(interval) -> str:
    return "–" if interval is None else f"{interval[0]:.3f}–{interval[1]:.3f}"


def _signed(*values: float) -> str:
    return " to ".join(f"{value:+.3f}" for value in values).replace("-", "−")


def _number(value, otherwise: str = "–") -> str:
    return otherwise if value is None else f"{value:.3f}"
