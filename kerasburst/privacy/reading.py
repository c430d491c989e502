"""What the JSON of an audit says: which figures count, and what its controls do not show.

Each function takes the values of an audit.json.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from kerasburst.privacy.result import LEAST_LEAK


def is_own(audit: dict) -> bool:
    """Return whether an audit is of models that a user's own functions trained."""
    return "train" not in audit["config"]


def arm_word(audit: dict) -> str:
    """Return what the things compared are called: "arm", or "encoding" where an audit is of encodings alone."""
    return "arm" if audit["config"].get("arms") else "encoding"


def step_word(audit: dict) -> str:
    """Return what the numbers of a curve count: a training function's yields, or epochs."""
    return "snapshot" if is_own(audit) else "epoch"


def failed_controls(audit: dict, encoding: str) -> list[str]:
    """Return the names of the failed controls that an encoding depends on: its own, and those of the data."""
    return [c["name"] for c in audit["controls"] if not c["ok"] and c["encoding"] in (None, encoding)]


def auc_at(audit: dict, encoding: str, attack: str, queries: int) -> float:
    """Return an attack's AUC at K queries, or at the largest smaller K: a deterministic encoder is asked once."""
    return attack_at(audit, encoding, attack, queries)["auc"]


def attack_at(audit: dict, encoding: str, attack: str, queries: int) -> dict:
    """Return an attack's figures as `auc_at` chooses them."""
    found = {a["queries"]: a for a in audit["encodings"][encoding]["attacks"] if a["name"] == attack}
    return found[max(k for k in found if k <= queries)]


def caveats(audit: dict) -> tuple[str, ...]:
    """Return what the controls of a valid audit do not show: that an arm has learnt, and that its leak can be found.

    A leak can be found if mislabelled examples were: by the control planted_leak in a network of its own, or as
    canaries. Arms whose controls failed are left out.
    """
    arms = {name: arm for name, arm in audit["encodings"].items() if not failed_controls(audit, name)}
    chance = _chance(audit)
    found, silent = [], [name for name in arms if has_not_learnt(audit, name)]
    if silent:
        reached = _and([f"{100 * arms[name]['test_accuracy']:.1f} %" for name in silent])
        have, no_better, they = (
            ("have", f"test accuracies of {reached} are no", "they have")
            if len(silent) > 1
            else ("has", f"a test accuracy of {reached} is no", "it has")
        )
        found.append(
            f"{_and(silent)} {have} not learnt: {no_better} better than always answering the most frequent class "
            f"({100 * chance:.1f} %), so these figures do not say how much leaks once {they} learnt"
        )
    for planted, why in (
        (False, "it has neither a planted leak nor canaries"),
        (True, "no model is shown to have learnt mislabelled examples by heart, so there was nothing planted to find"),
    ):
        names = [name for name in arms if not _finds(audit, name) and _has_planted(audit, name) == planted]
        if names:
            of = "" if names == list(audit["encodings"]) else f" of {_and(names)}"
            found.append(
                f"no control shows that this audit can find a leak{of}: {why}. An AUC near 0.5 is then no evidence of "
                "privacy; one whose interval lies above 0.5 is a leak all the same"
            )
    return tuple(found)


def has_not_learnt(audit: dict, name: str) -> bool:
    """Return whether the intervals of an arm's accuracies, on the test part and on its members, reach down to chance.

    Chance is what always answering the most frequent class reaches. An older version's audits have no intervals.
    """
    ends = [audit["encodings"][name].get(f"{part}_accuracy_interval") for part in ("test", "train")]
    return all(end is not None and end[0] <= _chance(audit) for end in ends)


def _chance(audit: dict) -> float:
    return audit["data"].get("chance", 1.0 / audit["data"].get("num_classes", math.inf))


def _has_planted(audit: dict, name: str) -> bool:
    return any(c["name"] in ("planted_leak", "canaries") and c["encoding"] == name for c in audit["controls"])


def _finds(audit: dict, name: str) -> bool:
    """Return whether an arm's planted leak or canaries were found."""
    canaries = audit["encodings"][name].get("canaries") or {}
    if canaries.get("learnt") and len(canaries["blind"]) < len(canaries["auc"]):
        return True
    planted = [c for c in audit["controls"] if (c["name"], c["encoding"]) == ("planted_leak", name)]
    return any(c["interval"][0] > LEAST_LEAK for c in planted)


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
