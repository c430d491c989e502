"""The table: measure each group and compare, and measure memory against time steps."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable

from plan import GROUPS, MEMORY_PEERS, MEMORY_STEPS, MEMORY_TARGET, MOST_WAITING_PERCENT, QUICK, Group, participants

from kerasburst import records
from kerasburst.profiling.bench import LimitRates
from kerasburst.profiling.measurement import (
    BLOCK_S,
    SETTLE_S,
    Measurement,
    Participant,
    measure_together,
    paired_ratios,
)
from kerasburst.profiling.works import make_inputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a whole run.

    Args:
        commands: by peer, how to start its worker.
        variants: by label, network parameters for another measurement of kerasburst's first work.
        threads: threads of each process.
        repeats: blocks of each work.
        quick: use tiny sizes, only to see that everything runs; the figures mean nothing.
        bfloat16: whether the processor has instructions for it; None for unknown.
        seed: of inputs and weights.
        beta: of all neurons.
        data_dir: folder of data files; None for KERASBURST_DATA.
    """

    commands: dict[str, tuple[str, ...]]
    variants: dict[str, dict]
    threads: int
    repeats: int
    quick: bool
    bfloat16: bool | None
    seed: int = 0
    beta: float = 0.95
    data_dir: str | None = None

    def options(self, **size) -> dict:
        """Return the options of a worker."""
        return {"threads": self.threads, "seed": self.seed, "beta": self.beta, **size}

    @property
    def block_s(self) -> float:
        """Seconds of a block at least."""
        return 0.02 if self.quick else BLOCK_S

    @property
    def settle_s(self) -> float:
        """Seconds of rest before a block."""
        return 0.0 if self.quick else SETTLE_S


def measure_group(group: Group, settings: Settings, tell: Callable[[str], None]) -> tuple[list[Measurement], str]:
    """Measure a group; give the measurements, and where the inputs come from."""
    size = {**group.size, **(QUICK if settings.quick else {})}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/inputs.npz"
        origin = make_inputs(group.inputs, path, **size, seed=settings.seed, data_dir=settings.data_dir)
        options = settings.options(**size, inputs=path)
        everybody = participants(group, options, settings.commands, settings.variants)
        cannot = {p.label for p in everybody if p.work == "conv_train_bf16" and settings.bfloat16 is False}
        able = [p for p in everybody if p.label not in cannot]
        how = {"repeats": settings.repeats, "block_s": settings.block_s, "settle_s": settings.settle_s}
        found = {m.label: m for m in measure_together(able, **how, tell=tell)}
    reason = "this processor has no bfloat16 instructions"
    for p in everybody:
        if p.label in cannot:
            found[p.label] = Measurement(label=p.label, work=p.work, **size, threads=settings.threads, reason=reason)
    return [found[p.label] for p in everybody], origin


def compare(group: Group, measurements: list[Measurement]) -> list[dict]:
    """Return a group's comparisons: the speed ratios, in pairs of blocks, and whether they meet the targets.

    Where one of two has no figures, the ratio is None, with the reason; where a peer was left out, there is no entry.
    """
    by_label = {m.label: m for m in measurements}
    rows = []
    for c in group.comparisons:
        if c.of not in by_label or c.to not in by_label:
            continue
        of, to = by_label[c.of], by_label[c.to]
        row = {"of": c.of, "to": c.to, "ratio_median": None, "ratio_q1": None, "ratio_q3": None}
        row |= {"target_ratio": c.target, "or_limit_percent": c.or_limit_percent, "met": None, "reason": None}
        missing = next((m for m in (of, to) if m.reason is not None), None)
        if missing is not None:
            row["reason"] = f"{missing.label}: {missing.reason}"
        else:
            low, median, high = paired_ratios(to.block_step_ms, of.block_step_ms)
            row |= {"ratio_median": round(median, 3), "ratio_q1": round(low, 3), "ratio_q3": round(high, 3)}
            if c.target is not None:
                enough = (of.share_of_limit_percent or 0.0) >= (c.or_limit_percent or float("inf"))
                row["met"] = bool(median >= c.target or enough)
        rows.append(row)
    return rows


def group_json(name: str, measurements: list[Measurement], origin: str, limits: LimitRates) -> dict:
    """Return a group's results as JSON values, with the limits known so far."""
    group = GROUPS[name]
    measurements = [m.against(limits.limit_ms(m.work, m.batch_size, m.num_steps)) for m in measurements]
    by_label = {m.label: m for m in measurements}
    result = {
        "group": name,
        "title": group.title,
        "inputs": origin,
        "measurements": [records.to_json(m) for m in measurements],
        "comparisons": compare(group, measurements),
        "more": [],
    }
    if group.limit_percent is not None:
        share = by_label["kerasburst"].share_of_limit_percent
        result["more"].append(_row("share of the machine's limit", "percent", share, group.limit_percent, least=True))
    if name == "train":
        epoch, bare, wait = (by_label[label] for label in ("train_epoch", "train_bare", "train_wait"))
        overhead = None
        if epoch.reason is None and bare.reason is None:
            overhead = round(100.0 * (paired_ratios(epoch.block_step_ms, bare.block_step_ms)[1] - 1.0), 2)
        waiting, saving = wait.more.get("wait_percent"), epoch.more.get("saving_s")
        result["more"] += [
            _row("an epoch is slower than the bare step by", "percent", overhead, 8.0, least=False),
            _row(
                "share of a step spent waiting for the pipeline", "percent", waiting, MOST_WAITING_PERCENT, least=False
            ),
            _row("saving after an epoch", "s", saving, None, least=False),
        ]
    return result


def measure_memory(settings: Settings, tell: Callable[[str], None]) -> dict:
    """Measure the peak memory of SNNConvNet's training at few and at many steps, a process for each."""
    work, batch_size = "conv_train", QUICK["batch_size"] if settings.quick else 128
    peaks: dict[str, dict[int, Measurement]] = {}
    for num_steps in (2, 4) if settings.quick else MEMORY_STEPS:
        with tempfile.TemporaryDirectory() as folder:
            size = {"batch_size": batch_size, "num_steps": num_steps}
            make_inputs("images", f"{folder}/i.npz", **size, seed=settings.seed, data_dir=settings.data_dir)
            options = settings.options(**size, inputs=f"{folder}/i.npz")
            them = {name: settings.commands[name] for name in MEMORY_PEERS if name in settings.commands}
            for p in [p for p in participants(GROUPS[work], options, them, settings.variants) if p.work == work]:
                tell(f"T = {num_steps}")
                peaks.setdefault(p.label, {})[num_steps] = one_alone(p, repeats=1, settings=settings, tell=tell)
    rows = {label: _growth(list(of_steps.values())) for label, of_steps in peaks.items()}
    for label, row in rows.items():
        growth, theirs = row["growth_mb_per_step"], rows.get("snntorch", {}).get("growth_mb_per_step")
        known = label != "snntorch" and growth is not None and theirs
        row["share_of_snntorch"] = round(growth / theirs, 3) if known else None
        row["target_share"] = MEMORY_TARGET if label == "kerasburst" else None
        row["met"] = row["share_of_snntorch"] <= MEMORY_TARGET if label == "kerasburst" and known else None
    return {"batch_size": batch_size, "rows": rows}


def one_alone(p: Participant, *, repeats: int, settings: Settings, tell: Callable[[str], None]) -> Measurement:
    """Measure one in blocks of a single step or little more, with nothing else alive."""
    (measurement,) = measure_together([p], repeats=repeats, block_s=0.0, settle_s=settings.settle_s, tell=tell)
    return measurement


def _growth(measurements: list[Measurement]) -> dict:
    """Return the growth of the peak from the first to the last of two numbers of steps."""
    first, last = measurements[0], measurements[-1]
    row = {f"peak_rss_mb_at_{m.num_steps}_steps": m.peak_rss_mb for m in measurements}
    row |= {f"step_ms_at_{m.num_steps}_steps": m.step_ms_median for m in measurements}
    row |= {"growth_mb_per_step": None, "reason": first.reason or last.reason}
    if first.peak_rss_mb is not None and last.peak_rss_mb is not None:
        steps = last.num_steps - first.num_steps
        row["growth_mb_per_step"] = round((last.peak_rss_mb - first.peak_rss_mb) / steps, 2)
    return row


def _row(what: str, unit: str, value: float | None, target: float | None, *, least: bool) -> dict:
    met = None
    if value is not None and target is not None:
        met = value >= target if least else value <= target
    bound = {"at_least" if least else "at_most": target}
    return {"what": what, f"value_{unit}": value, **bound, "met": met}
