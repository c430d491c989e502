"""kerasburst bench."""

from __future__ import annotations

import json

import click
from kerasburst_cli.options import data_dir_option, json_option, quiet_option
from kerasburst_cli.running import compile_faster, say

from kerasburst import records
from kerasburst.profiling.bench import CHOICES, BenchResult, bench
from kerasburst.profiling.measurement import Measurement, paired_ratios
from kerasburst.profiling.works import DEFAULT_WORKS, WORKS
from kerasburst.reports.table import number, table_of, terminal
from kerasburst.validation import BACKENDS


@click.command("bench")
@click.option(
    "--work",
    "works",
    type=click.Choice(CHOICES),
    multiple=True,
    help=f"What to measure. Repeatable. Default: {', '.join(DEFAULT_WORKS)}.",
)
@click.option(
    "--keras-backend",
    "backends",
    type=click.Choice(list(BACKENDS)),
    multiple=True,
    help="Repeatable: they take turns, and each is compared with the first. Default: KERAS_BACKEND's.",
)
@click.option("--repeats", default=3, help="Blocks of a second or more, of each work.")
@click.option(
    "--block",
    "block_s",
    default=1.0,
    help="Least length of a block, seconds. From 5 on, and better from 20, a GPU's energy is measured.",
)
@click.option("--threads", type=int, help="Threads of each process. Default: all cores.")
@click.option("--num-steps", "--steps", type=int, help="T, time steps. Default: 10, for encoders 32.")
@click.option("--batch-size", type=int, help="Examples of a step. Default: 128, for encoders 256.")
@click.option("--seed", default=0)
@data_dir_option
@click.option("--out", type=click.Path(), help="Directory to write bench.json to.")
@json_option
@quiet_option
def command(works, out, as_json, quiet, **options):
    """Measure what training, inference, neurons and encoders cost on this machine.

    Each task runs in a process of its own, in blocks after a warm-up. The result is the median over the blocks, next to
    the machine's limit: its best matrix or copy rate in the same run. Takes a minute or two. The comparison
    with other libraries is benchmarks/run.py in kerasburst's sources.
    """

    def tell(text: str) -> None:
        if not quiet:
            say(text, err=True)

    compile_faster()
    result = bench(works or DEFAULT_WORKS, **options, out=out, tell=tell)
    click.echo(json.dumps(records.to_json(result), indent=2) if as_json else summary(result))
    if out is not None and not as_json:
        say(f"written to {out}")


def summary(result: BenchResult) -> str:
    """Return the table of the figures, and what they are to be read against."""
    machine, limits = result.machine, result.limits
    rates = {
        "float32 matmul": (limits.matmul_float32_gflop_per_s, "GFLOP/s"),
        "bfloat16 matmul": (limits.matmul_bfloat16_gflop_per_s, "GFLOP/s"),
        "copy": (limits.copy_gb_per_s, "GB/s"),
    }
    lines = [
        f"machine  {machine['cpu'] or 'unknown processor'}, {machine['cores']} cores"
        + (f", {machine['gpu']['name']}" if machine.get("gpu") else ""),
        "limits   " + ", ".join(f"{name} {_figure(rate)} {unit}" for name, (rate, unit) in rates.items()),
        "",
    ]
    rows, more = [], []
    several = len({m.label for m in result.measurements}) > 1
    gpu = any(m.device_peak_mb is not None for m in result.measurements)
    first: dict[str, Measurement] = {}
    for m in result.measurements:
        named = [m.work, *[m.label] * several]
        shared = (*named, m.batch_size, m.num_steps)
        if m.reason is not None:
            rows.append((*shared, *[number(None)] * (6 + several + gpu)))
            more.append(f"{' of '.join(named)} unknown: {m.reason}")
            continue
        to = first.setdefault(m.work, m)
        ratio = [number(paired_ratios(m.block_step_ms, to.block_step_ms)[1], None, 2)] * several
        rows.append(
            (
                *shared,
                number(m.step_ms_median, None, 2),
                *ratio,
                number(m.spread_percent, None, 1),
                number(m.samples_per_s_median, None, 0, 1, ","),
                number(m.share_of_limit_percent, None, 0),
                number(m.first_step_s, None, 1),
                number(m.peak_rss_mb, None, 0, 1, ","),
                *[number(m.device_peak_mb, None, 0, 1, ",")] * gpu,
            )
        )
        if m.more:
            more.append(f"{' of '.join(named)}: " + ", ".join(f"{name} {value:g}" for name, value in m.more.items()))
    head = ("work", *["who"] * several, "batch", "T", "ms a step", *["x first"] * several)
    head += ("spread, %", "samples/s", "limit, %", "first step, s", "peak MB", *["device MB"] * gpu)
    lines += [terminal(table_of(head, rows)), *more]
    lines += ["", "limit: share of the machine's best rate; spread: between the quartiles of the blocks"]
    if several:
        lines.append("x first: time a step in multiples of the first's, median over pairs of blocks in turn")
    if limits.reason is not None:
        lines.append(f"limits unknown: {limits.reason}")
    load = result.load_average_before
    if load is not None and load > 0.5:
        lines.append(
            f"warning: {load:g} processes wanted to run in the minute before, on average; the figures are doubtful"
        )
    lines += [f"{name}: {WORKS[name].what}" for name in dict.fromkeys(m.work for m in result.measurements)]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}"
