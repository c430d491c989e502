"""One line on each result, for the top of the page of many results."""

from __future__ import annotations

from kerasburst.privacy.result import MAIN_ATTACK
from kerasburst.reports.sweep_figures import shown


def headline(item) -> str:
    """Say in one line what a result found."""
    return _HEADLINES[item.kind](item)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _of_reproduction(item) -> str:
    by: dict[str, list[str]] = {}
    for claim in item.value["claims"]:
        verdict = claim["verdict"]
        by.setdefault(verdict["verdict"] + ", confounded" * verdict["confounded"], []).append(claim["name"])
    told = "; ".join(f"{len(names)} {verdict} ({', '.join(names)})" for verdict, names in by.items())
    state = "" if item.value["complete"] else ", of a part of the plan"
    return f"{len(item.value['claims'])} claims{state}: {told}"


def _of_sweep(item) -> str:
    value = item.value
    text = f"{', '.join(value['parameters'])}: {len(value['points'])} points"
    best = [p for p in value["points"] if "test_accuracy" in p["estimates"]]
    if best:
        text += "; most accurate " + _point(max(best, key=lambda p: p["estimates"]["test_accuracy"]["mean"]), value)
    least = [p for p in best if "audit_auc" in p["estimates"]]
    if least:
        lowest = min(least, key=lambda p: p["estimates"]["audit_auc"]["mean"])
        text += f"; least AUC, K = {value['attack']['queries']}, {_point(lowest, value)}"
    return text


def _point(point: dict, sweep: dict) -> str:
    """Give a point with its accuracy, and its AUC where it has one; and the seeds, where some do not count."""
    values = ", ".join(shown(value) for value in point["values"].values())
    parts = []
    for metric, name in (("test_accuracy", "accuracy"), ("audit_auc", "AUC")):
        found = point["estimates"].get(metric)
        if found is not None:
            ends = found["interval"]
            parts.append(f"{name} {found['mean']:.3f}" + (f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends else ""))
    counted, of = point["estimates"]["test_accuracy"]["seeds"], len(sweep["seeds"])
    return f"at {values}: {', '.join(parts)}" + (f", of {counted} of {of} seeds" if counted < of else "")


def _of_audit(item) -> str:
    value = item.value
    parts = []
    for name, found in value["encodings"].items():
        attacks = [a for a in found["attacks"] if a["name"] == MAIN_ATTACK[value["protocol"]]]
        best = max(attacks, key=lambda a: a["queries"])
        ends = f"{best['auc_interval'][0]:.3f} to {best['auc_interval'][1]:.3f}"
        accuracy = _percent(found["test_accuracy"])
        parts.append(f"{name} AUC {best['auc']:.3f} ({ends}) at K = {best['queries']}, accuracy {accuracy}")
    state = "" if value["valid"] else "invalid, not to be used; "
    return f"{value['data']['name']}, {value['protocol']}: {state}" + "; ".join(parts)


def _of_transfer(item) -> str:
    value = item.value
    parts = []
    for name, found in value["encodings"].items():
        ends = found["difference_interval"]
        over = "" if ends is None else f" ({100 * ends[0]:+.1f} to {100 * ends[1]:+.1f})"
        parts.append(f"{name} {100 * found['difference']:+.1f}{over}")
    names = f"{value['data']['source']['name']} to {value['data']['target']['name']}"
    return f"{names}, points over training from scratch: " + ", ".join(parts)


def _of_run(item) -> str:
    low, high = item.value["test_accuracy_interval"]
    what = f"{item.config.get('dataset', '')} {item.config.get('encoding', '')}".strip()
    return f"{what}: test accuracy {_percent(item.value['test_accuracy'])} ({_percent(low)} to {_percent(high)})"


def _of_profile(item) -> str:
    return ", ".join(item.value["encodings"])


_HEADLINES = {
    "reproduction": _of_reproduction,
    "sweep": _of_sweep,
    "audit": _of_audit,
    "transfer": _of_transfer,
    "run": _of_run,
    "profile": _of_profile,
}
