"""The sweep: SNNConvNet's training step against T and against the batch size, time and peak memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import psutil
from plan import GROUPS, QUICK, QUICK_BATCHES, QUICK_STEPS, SWEEP_BATCHES, SWEEP_STEPS, participants
from scipy import stats
from table import Settings, one_alone

from kerasburst import records
from kerasburst.profiling.bench import LimitRates
from kerasburst.profiling.measurement import measure_together
from kerasburst.profiling.works import make_inputs

_WORK = "conv_train"
# What a process needs by rough estimate, to decide whether all may live at once.
_LIBRARY_MB, _STEP_MB = 700.0, 0.5  # and for each example and time step


def points(quick: bool) -> list[tuple[int, int]]:
    """Return the (batch size, T) of the sweep, T first; the work's own size is in it once."""
    if quick:
        batch_size, num_steps = QUICK["batch_size"], QUICK["num_steps"]
        return [(batch_size, t) for t in QUICK_STEPS] + [(n, num_steps) for n in QUICK_BATCHES]
    size = GROUPS[_WORK].size
    return [(size["batch_size"], t) for t in SWEEP_STEPS] + [(n, size["num_steps"]) for n in SWEEP_BATCHES]


def measure_point(batch_size: int, num_steps: int, settings: Settings, tell: Callable[[str], None]) -> dict:
    """Measure all at one size: together where all fit into memory, otherwise one after the other.

    Returns:
        "batch_size", "num_steps", "measured_together", and "measurements", of type `Measurement`.
    """
    with tempfile.TemporaryDirectory() as folder:
        size = {"batch_size": batch_size, "num_steps": num_steps}
        make_inputs("images", f"{folder}/i.npz", **size, seed=settings.seed, data_dir=settings.data_dir)
        options = settings.options(**size, inputs=f"{folder}/i.npz")
        everybody = participants(GROUPS[_WORK], options, settings.commands, settings.variants)
        everybody = [p for p in everybody if p.work == _WORK]
        needed = len(everybody) * (_LIBRARY_MB + _STEP_MB * batch_size * num_steps)
        together = needed < 0.6 * psutil.virtual_memory().available / 1e6
        if together:
            how = {"block_s": settings.block_s / 4, "settle_s": settings.settle_s}
            found = measure_together(everybody, repeats=settings.repeats, **how, tell=tell)
        else:
            found = [one_alone(p, repeats=settings.repeats, settings=settings, tell=tell) for p in everybody]
    return {**size, "measured_together": together, "measurements": found}


def point_json(point: dict, limits: LimitRates) -> dict:
    """Return a point as JSON values, with the limits known so far."""
    limit_ms = limits.limit_ms(_WORK, point["batch_size"], point["num_steps"])
    return {**point, "measurements": [records.to_json(m.against(limit_ms)) for m in point["measurements"]]}


def lines(measured: list[dict]) -> list[dict]:
    """Fit, for each library, time and peak memory of points as JSON values against T, at the commonest batch size.

    "step_ms_per_time_step" is the slope of a straight line, "r_squared" how straight the points lie, and
    "last_to_first" the time for each time step at the largest T over that at the smallest: 1 is linear.
    """
    sizes = [point["batch_size"] for point in measured]
    batch_size = max(set(sizes), key=sizes.count)
    by_label: dict[str, list[dict]] = {}
    for point in measured:
        for m in point["measurements"]:
            if point["batch_size"] == batch_size and m["reason"] is None:
                by_label.setdefault(m["label"], []).append(m)
    rows = []
    for label, found in by_label.items():
        found = sorted({m["num_steps"]: m for m in found}.values(), key=lambda m: m["num_steps"])
        if len(found) < 2:
            continue
        steps, times = [m["num_steps"] for m in found], [m["step_ms_median"] for m in found]
        line = stats.linregress(steps, times)
        row = {"label": label, "batch_size": batch_size, "step_ms_per_time_step": round(float(line.slope), 3)}
        row |= {
            "r_squared": round(float(line.rvalue**2), 5),
            "last_to_first": round(times[-1] / steps[-1] / times[0] * steps[0], 3),
        }
        peaks = [m["peak_rss_mb"] for m in found]
        known = None not in peaks
        row["peak_rss_mb_per_time_step"] = round(float(stats.linregress(steps, peaks).slope), 2) if known else None
        rows.append(row)
    return rows
