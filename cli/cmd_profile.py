"""kerasburst profile."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
from click.core import ParameterSource
from kerasburst_cli.options import (
    check_going_on,
    data_dir_option,
    json_option,
    make_absolute,
    numbered,
    parse_assignment,
    set_option,
)
from kerasburst_cli.quiet import load_tensorflow

from kerasburst import config as configs
from kerasburst import records
from kerasburst.config import TrainConfig
from kerasburst.profiling.config import BASELINES, DEFAULT_EPOCHS, ENCODINGS, MODES, ProfileConfig
from kerasburst.validation import InputError, user_path

_DEFAULT = TrainConfig()
_TRAIN = ("dataset", "num_steps", "epochs", "batch_size", "seed", "train_limit", "data_dir")
_PROFILE = ("mode", "repeats")
_OPEN = ("data_dir", *_PROFILE)  # what --run leaves open


@click.command("profile")
@click.option("--run", type=click.Path(), help="Profile the network and the encoding of this finished training run.")
@click.option("--dataset", default=_DEFAULT.dataset, show_default=True, help="A data set's name or the path of data.")
@click.option(
    "--encoding",
    "encodings",
    type=click.Choice(list(ENCODINGS)),
    multiple=True,
    default=list(ENCODINGS),
    help="Repeatable. rate is Bernoulli, rate_regular deterministic. Default: all.",
)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default="train",
    show_default=True,
    help="Measure epochs of training, or inference over the test part.",
)
@click.option("--repeats", type=int, default=3, show_default=True, help="R, measurements of each encoding.")
@click.option("--num-steps", type=int, default=_DEFAULT.num_steps, show_default=True, help="T, time steps.")
@click.option("--epochs", type=int, help=f"Of the networks whose operations are counted. Default: {DEFAULT_EPOCHS}.")
@click.option("--batch-size", type=int, default=_DEFAULT.batch_size, show_default=True)
@click.option("--seed", type=int, default=_DEFAULT.seed, show_default=True)
@click.option("--train-limit", type=int, help="Train on a stratified subset of this many examples.")
@data_dir_option
@set_option
@click.option("--out", type=click.Path(), help="The profile's directory. Default: runs/profile-DATASET, numbered.")
@click.option("--resume", is_flag=True, help="Go on with the profile in --out, or begin it.")
@click.option("--force", is_flag=True, help="Replace the profile in --out.")
@json_option
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(ctx, run, encodings, assignments, out, resume, force, as_json, quiet, **options):
    """Measure what encodings cost: time, memory, power, and the operations of the trained networks.

    Every measurement is a fresh process, one at a time, in an order that rotates; the first epoch, or two passes, warm
    up. The directory holds profile.json, profile.png, and where power can be read power_trace.csv and power.png. What
    this machine cannot measure is null in profile.json, with the reason. The energy per example is an estimate from
    operation counts.
    """
    check_going_on(resume, force, out, "profile")
    make_absolute(options)
    values = {**options, "encodings": encodings}
    given = {n: v for n, v in values.items() if ctx.get_parameter_source(n) is not ParameterSource.DEFAULT}
    if out is None:
        name = Path(options["dataset"]).stem if run is None else user_path("--run", run).resolve().name
        out = numbered("runs", f"profile-{name}")
    out = user_path("--out", out)

    load_tensorflow()
    from kerasburst_cli.fleet_progress import make_fleet_observer

    from kerasburst.profiling.study import profile
    from kerasburst.reports.profile import write_report

    config = _config(run, given, assignments, out if resume else None)
    observer = make_fleet_observer(quiet=quiet, as_json=as_json)
    try:
        result = profile(config, out, resume=resume, force=force, observer=observer)
    except KeyboardInterrupt:
        observer.close()
        if (out / "config.json").exists():
            click.echo(f"stopped; go on with: kerasburst profile --resume --out {out}", err=True)
        raise
    finally:
        observer.close()
    write_report(out)
    if as_json:
        click.echo(json.dumps({"out": str(out), **records.to_json(result)}, indent=2))
    elif not quiet:
        click.echo(summary(result, out))


def _config(run, given, assignments, begun) -> ProfileConfig:
    """Give the config of a new profile, or of the one in the directory `begun` with what is said anew."""
    going_on = begun is not None and (begun / "config.json").exists()
    base = records.load(ProfileConfig, begun / "config.json") if going_on else ProfileConfig(train=_DEFAULT)
    if run is not None or base.run is not None:
        flags = {option.name: option.opts[0] for option in command.params}
        closed = [flags[name] for name in given if name not in _OPEN] + (["--set"] if assignments else [])
        if closed:
            raise InputError(
                f"{', '.join(closed)} must not be given with --run: its config.json says how the network was trained"
            )
        if not going_on:
            return ProfileConfig.of_run(run, **given)
        if run is not None and str(user_path("--run", run).resolve()) != base.run:
            raise InputError(f"--run must be the run that the profile was begun with, {base.run}, received {run}")
    train = dataclasses.replace(base.train, **{name: given[name] for name in _TRAIN if name in given})
    train = configs.set_parameters(train, [parse_assignment(text) for text in assignments])
    return dataclasses.replace(
        base, train=train, **{name: given[name] for name in (*_PROFILE, "encodings") if name in given}
    )


def summary(result, out) -> str:
    """Give the table of medians with their spread, and the ratios to rate coding."""
    data = result.data
    processes = f"{result.repeats} process{'es' if result.repeats > 1 else ''} of each encoding"
    lines = [f"{data['name']}: a pass is {result.pass_is}; {processes}", ""]
    wide = max(len(name) for name in result.encodings) + 2
    columns = [c for c in _COLUMNS if any(one.figures[c[0]] is not None for one in result.encodings.values())]
    heads = [head for _, head, _, _ in columns]
    lines.append(" " * wide + "".join(f"{head:>{_WIDTH}}" for head in ("accuracy", *heads)))
    for name, one in result.encodings.items():
        cells = [f"{one.evaluation['accuracy']:.1%}"]
        cells += [_cell(one, field, factor, digits) for field, _, factor, digits in columns]
        lines.append(f"{name:<{wide}}" + "".join(f"{cell:>{_WIDTH}}" for cell in cells))
    for base in BASELINES:
        others = {name: one.ratios[base] for name, one in result.encodings.items() if base in one.ratios}
        if len(others) < 2:
            continue
        lines += ["", f"ratio to {base}"]
        for name, ratios in others.items():
            if name != base:
                cells = ["", *(_ratio(ratios.get(field)) for field, *_ in columns)]
                lines.append(f"{name:<{wide}}" + "".join(f"{cell:>{_WIDTH}}" for cell in cells))
    lines.append("")
    if result.repeats > 1:
        lines.append(
            "± half the distance between the quartiles of the repeats; ratios paired by repeat, with quartiles"
        )
    lines.append("AC, MAC and µJ are per example; µJ is an estimate: 4.6 pJ a MAC, 0.9 pJ an AC (Horowitz 2014, 45 nm)")
    reasons: dict[str, list[str]] = {}
    for one in result.encodings.values():
        for field, reason in one.reasons.items():
            fields = reasons.setdefault(reason, [])
            fields += [field] if field not in fields else []
    lines += [f"unknown: {', '.join(fields)}: {reason}" for reason, fields in reasons.items()]
    load = result.load_average_before
    if load is not None and load > 0.5:
        lines.append(f"warning: other processes kept {load:g} cores busy in the minute before; times are doubtful")
    if data["note"]:
        lines.append(f"data: {data['note']}")
    lines += ["", f"written to {out}: profile.json, profile.png"]
    return "\n".join(lines)


_WIDTH = 17
# (field, heading, factor, digits after the point)
_COLUMNS = (
    ("wall_s", "wall s", 1, 3),
    ("cpu_time_s", "CPU s", 1, 2),
    ("peak_rss_mb", "peak MB", 1, 0),
    ("gpu_power_w", "GPU W", 1, 1),
    ("gpu_energy_j", "GPU J", 1, 2),
    ("gpu_peak_mb", "GPU peak MB", 1, 1),
    ("cpu_package_energy_j", "CPU package J", 1, 2),
    ("effective_acs_per_sample", "AC", 1, 0),
    ("effective_macs_per_sample", "MAC", 1, 0),
    ("energy_estimate_j_per_sample", "µJ", 1e6, 2),
)


def _cell(one, field, factor, digits) -> str:
    value = one.figures[field]
    if value is None:
        return "unknown"
    text = f"{factor * value:,.{digits}f}"
    if len(one.values.get(field, ())) > 1:
        low, high = one.spread[field]
        text += f" ± {factor * (high - low) / 2:,.{digits}f}"
    return text


def _ratio(ratio) -> str:
    if ratio is None:
        return "-"
    low, median, high = ratio
    return f"{median:.2f}" if low == high else f"{median:.2f} ({low:.2f}-{high:.2f})"
