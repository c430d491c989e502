"""One line on each result, for the top of the page of many results."""

from __future__ import annotations

from kerasburst.reports.collection_tables import MAIN


def headline(item) -> str:
    """Say in one line what a result found."""
    return _HEADLINES[item.kind](item)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _of_reproduction(item) -> str:
    counts: dict[str, int] = {}
    for claim in item.value["claims"]:
        verdict = claim["verdict"]["verdict"]
        counts[verdict] = counts.get(verdict, 0) + 1
    return f"{len(item.value['claims'])} claims: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items())


def _of_sweep(item) -> str:
    value = item.value
    text = f"{', '.join(value['parameters'])}: {len(value['points'])} points"
    return text + (f", {len(value['front'])} on the Pareto front of accuracy against AUC" if value["front"] else "")


def _of_audit(item) -> str:
    value = item.value
    parts = []
    for name, found in value["encodings"].items():
        attacks = [a for a in found["attacks"] if a["name"] == MAIN[value["protocol"]]]
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
