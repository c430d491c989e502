"""kerasburst reproduce."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys

import click
from kerasburst_cli import options as shared
from kerasburst_cli.running import interruptible, load_tensorflow, say

from kerasburst import files, records
from kerasburst.paper.claims import CLAIMS
from kerasburst.paper.scales import SCALES
from kerasburst.validation import InputError

_DATASETS = list(dict.fromkeys(name for scale in SCALES.values() for name in scale.datasets))


@click.command("reproduce")
@click.option(
    "--scale",
    type=click.Choice(list(SCALES)),
    default="smoke",
    help="smoke: minutes; cpu: a night on 2 cores; full: the paper's sizes.",
)
@click.option("--claims", type=click.Choice(list(CLAIMS)), multiple=True, help="Repeatable. Default: all.")
@click.option(
    "--dataset", "datasets", type=click.Choice(_DATASETS), multiple=True, help="Repeatable. Default: the scale's."
)
@click.option("--seeds", type=int, help="Number of seeds. Default: the scale's.")
@shared.data_dir_option
@shared.fleet_options
@shared.directory_options(
    "reproduction", "runs/reproduce-SCALE", "or begin it. Claims, data sets and seeds may be added"
)
@click.pass_context
def command(ctx, jobs, backend, out, resume, force, as_json, quiet, **options):
    """Test the paper's claims on this machine, each with an interval, a verdict, and the rule behind it.

    Prints the plan and the expected time, trains and audits what is missing, and writes reproduction.json and
    reproduction.md. Data sets that are not available are skipped, with the reason. Exit code 3: controls of an audit
    failed, and its figures do not count. Exit code 1: parts failed.
    """
    shared.check_going_on(resume, force, out, "reproduction")
    shared.make_absolute(options)
    given = shared.given_values(ctx, options)
    out = shared.place(out, f"reproduce-{options['scale']}")

    from kerasburst.paper.config import ReproduceConfig

    begun = shared.begun_config(ReproduceConfig, out, resume)
    if begun is not None:
        for name in ("claims", "datasets"):
            if name in given:  # more of them; None is all there are
                given[name] = None if getattr(begun, name) is None else (*getattr(begun, name), *given[name])
    config = ReproduceConfig(**given) if begun is None else dataclasses.replace(begun, **given)
    load_tensorflow()
    from kerasburst_cli.fleet_progress import make_fleet_observer

    from kerasburst.paper.study import reproduce
    from kerasburst.reports.reproduction import write_markdown

    observer = make_fleet_observer(quiet=quiet, as_json=as_json)

    def show(plan):
        if not quiet:
            say(plan_text(plan, config, out, jobs), err=as_json)

    with interruptible(observer, out, f"kerasburst reproduce --resume --out {out}"):
        try:
            result, error = reproduce(
                config, out, resume=resume, force=force, jobs=jobs, backend=backend, observer=observer, planned=show
            )
        except KeyboardInterrupt:
            with contextlib.suppress(InputError):  # a damaged one is written anew where the run goes on
                if (out / "reproduction.json").exists():  # the page of what is there
                    write_markdown(files.read_json(out / "reproduction.json"), out / "reproduction.md")
            raise
    value = json.loads(json.dumps(records.to_json(result)))
    write_markdown(value, out / "reproduction.md")
    shared.print_result(value, out, as_json=as_json, text=lambda: summary(value, out))
    if error is not None:
        raise error
    code = 0
    if any(each["failed"] for each in value["audits"]):
        say("controls of an audit failed: the figures that rest on them do not count", err=True)
        code = shared.INVALID
    unmade = sum(part["state"] == "failed" for part in value["plan"])
    if unmade:
        say(f"parts that could not be made: {unmade}; reproduction.md says why", err=True)
        code = 1
    if code:
        sys.exit(code)


def plan_text(plan, config, out, jobs) -> str:
    """Return what is going to be run, and about how long it takes."""
    from kerasburst.reports.table import count, duration, table_of, terminal

    jobs = jobs or os.cpu_count() or 1
    groups: dict[tuple[str, str], list] = {}
    for part in plan.parts:
        groups.setdefault((part.kind, part.dataset), []).append(part)
    lines = [
        f"scale {config.scale}: {config.size.note}",
        f"{len(config.claims)} claims, {count(len(config.seed_list), 'seed')}, {jobs} at once",
    ]
    rows = []
    for (kind, dataset), parts in groups.items():
        left = [part for part in parts if part.result(out) is None]
        seconds = sum(part.seconds for part in left) / (1 if kind == "profile" else jobs)
        models = sum(part.tasks for part in parts)
        expected = duration(seconds) if left else "-"
        rows.append((kind, dataset, len(parts), models, len(parts) - len(left), expected))
    lines += ["", terminal(table_of(("what", "data", "parts", "models", "done", "expected"), rows))]
    lines += [f"skipped: {name}: {why}" for name, why in plan.skipped.items()]
    lines += ["", f"about {duration(plan.seconds(jobs, out))} in all, on cores like those it was estimated on"]
    return "\n".join(lines) + "\n"


def summary(result: dict, out) -> str:
    """Return each claim with its figure and verdict."""
    from kerasburst.reports.reproduction import figure, interval, said

    lines = []
    for claim in result["claims"]:
        seeds = claim["verdict"]["seeds"]
        lines.append(f"{claim['text']} ({claim['paper']})")
        if seeds:
            over = f"({interval(claim)}) over {seeds} seed{'s' * (seeds != 1)}"
            lines.append(f"  {claim['figure']}: {figure(claim)} {over}; {claim['spoken_for']}")
        lines += [f"  {said(claim)}", ""]
    for each in result["audits"]:
        aucs = [f"K = {k} {sum(values.values()) / len(values):.3f}" for k, values in each["aucs"].items() if values]
        right = each["test_accuracies"]
        if right:
            accuracy = f"accuracy {sum(right.values()) / len(right):.1%}"
            lines.append(f"{each['kind']} {each['dataset']} {each['encoding']}: {accuracy}, AUC {', '.join(aucs)}")
        lines += [f"  seed {seed}: control failed: {names}" for seed, names in each["failed"].items()]
    failed = [part for part in result["plan"] if part["state"] == "failed"]
    lines += [f"{part['name']}: {part['reason']}" for part in failed]
    lines += [f"{name} was skipped: {why}" for name, why in result["skipped"].items()]
    lines += ["", f"written to {out}: reproduction.md, reproduction.json"]
    return "\n".join(lines)
