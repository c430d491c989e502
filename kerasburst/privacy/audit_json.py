"""What is read from an audit.json."""

from __future__ import annotations


def failed_controls(audit: dict, encoding: str) -> list[str]:
    """Name the failed controls on which an encoding's figures stand: its own, and those of the data."""
    return [c["name"] for c in audit["controls"] if not c["ok"] and c["encoding"] in (None, encoding)]


def auc_at(audit: dict, encoding: str, attack: str, queries: int) -> float:
    """Give an AUC at K; of a deterministic encoder, which is asked once, at the most that there is."""
    aucs = {a["queries"]: a["auc"] for a in audit["encodings"][encoding]["attacks"] if a["name"] == attack}
    return aucs[max(k for k in aucs if k <= queries)]
