"""kerasburst profile."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
from kerasburst_cli import options as shared
from kerasburst_cli.running import interruptible, load_tensorflow

from kerasburst import config as configs
from kerasburst import records
from kerasburst.profiling.config import DEFAULT_ENCODINGS, DEFAULT_EPOCHS, ENCODINGS, FEEDS, MODES, ProfileConfig
from kerasburst.validation import InputError, user_path

_TRAIN = ("dataset", "num_steps", "model", "epochs", "batch_size", "seed", "train_limit", "data_dir")
_PROFILE = ("mode", "repeats", "window_s", "feeds")
_OPEN = ("data_dir", *_PROFILE)  # what --run leaves open


@click.command("profile")
@click.option("--run", type=click.Path(), help="Profile the network and the encoding of this finished training run.")
@shared.training_options("dataset")
@click.option(
    "--encoding",
    "encodings",
    type=shared.Named(list(ENCODINGS)),
    multiple=True,
    default=DEFAULT_ENCODINGS,
    show_default=False,
    help=f"Repeatable. rate is Bernoulli, rate_regular deterministic. Default: {', '.join(DEFAULT_ENCODINGS)}.",
)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default="train",
    help="Measure epochs of training, or inference on the test part.",
)
@click.option(
    "--feed",
    "feeds",
    type=click.Choice(FEEDS),
    multiple=True,
    default=FEEDS[:1],
    show_default=False,
    help="Repeatable. pipeline encodes each batch as it is needed; encoded encodes all examples before the measurement "
    "and holds them in memory, so that the network alone is measured. Default: pipeline.",
)
@click.option("--repeats", default=3, help="R, measurements of each encoding and feed.")
@click.option(
    "--window",
    "window_s",
    type=float,
    help="Least length of a measurement, seconds. Default: 2; 20 with a GPU, whose energy is read.",
)
@shared.training_options(
    *("num_steps", "model", "epochs", "batch_size", "seed", "train_limit"),
    epochs=f"Epochs of the networks whose operations are counted. Default: {DEFAULT_EPOCHS}.",
)
@shared.data_dir_option
@shared.set_option
@shared.directory_options("profile", "runs/profile-DATASET")
@click.pass_context
def command(ctx, run, assignments, out, resume, force, as_json, quiet, **options):
    """Measure what encodings cost: time, memory, power, and the operations of the trained networks.

    Every measurement runs in a new process, one at a time, in rotating order, after a warm-up. The directory holds
    profile.json and profile.png, and power_trace.csv and power.png if power can be measured. What this machine cannot
    measure is null in profile.json, with the reason. The energy per example is estimated from operation counts.
    """
    shared.check_going_on(resume, force, out, "profile")
    shared.make_absolute(options)
    given = shared.given_values(ctx, options)
    if run is None and not resume:
        shared.choose_for_events(given, options["dataset"])
    name = Path(options["dataset"]).stem if run is None else user_path("--run", run).resolve().name
    out = shared.place(out, f"profile-{name}")

    config = _config(run, given, assignments, shared.begun_config(ProfileConfig, out, resume))
    load_tensorflow(any_backend=True)
    from kerasburst_cli.fleet_progress import make_fleet_observer

    from kerasburst.profiling.study import profile
    from kerasburst.reports.profile import write_report

    observer = make_fleet_observer(quiet=quiet, as_json=as_json)
    with interruptible(observer, out, f"kerasburst profile --resume --out {out}"):
        result = profile(config, out, resume=resume, force=force, observer=observer)
    write_report(out)
    value = records.to_json(result)
    shared.print_result(value, out, as_json=as_json, text=lambda: summary(value, out))


def _config(run, given, assignments, begun) -> ProfileConfig:
    """Return the config of a new profile, or of the one that was begun with what is said anew."""
    base = ProfileConfig(train=shared.TRAIN_DEFAULT) if begun is None else begun
    if run is not None or base.run is not None:
        flags = {option.name: option.opts[0] for option in command.params}
        closed = [flags[name] for name in given if name not in _OPEN] + (["--set"] if assignments else [])
        if closed:
            raise InputError(
                f"{', '.join(closed)} must not be given with --run: its config.json says how the network was trained"
            )
        if begun is None:
            load_tensorflow(any_backend=True)
            return ProfileConfig.of_run(run, **given)
        if run is not None and str(user_path("--run", run).resolve()) != base.run:
            raise InputError(f"--run must be the run that the profile was begun with, {base.run}, received {run}")
    train = dataclasses.replace(base.train, **{name: given[name] for name in _TRAIN if name in given})
    train = configs.set_parameters(train, [shared.parse_assignment(text) for text in assignments])
    return dataclasses.replace(
        base, train=train, **{name: given[name] for name in (*_PROFILE, "encodings") if name in given}
    )


def summary(result: dict, out) -> str:
    """Return the tables of medians with their quartiles, and the ratios to each baseline."""
    from kerasburst.reports.profile import gpu_table, medians_table, power_verdicts, ratio_tables, reasons
    from kerasburst.reports.table import count, terminal

    data, load = result["data"], result["load_average_before"]
    processes = count(result["repeats"], "process", "processes")
    lines = [f"{data['name']}: a pass is {result['pass_is']}; {processes} of each"]
    for table in (medians_table(result), *gpu_table(result), *ratio_tables(result)):
        lines += ["", terminal(table)]
    lines += ["", *power_verdicts(result)]
    if gpu_table(result):
        lines.append("mJ are of the GPU's whole board, per example; one that waits draws fewer W and may take more mJ")
    if result["repeats"] > 1:
        lines.append("medians, and quartiles of the repeats; ratios are paired by repeat")
    lines.append("AC, MAC and µJ are per example; µJ is an estimate: 4.6 pJ a MAC, 0.9 pJ an AC (Horowitz 2014, 45 nm)")
    lines += [f"unknown: {', '.join(fields)}: {reason}" for reason, fields in reasons(result).items()]
    if load is not None and load > 0.5:
        lines.append(f"warning: {load:g} processes wanted to run in the minute before, on average; times are doubtful")
    if data["note"]:
        lines.append(f"data: {data['note']}")
    traced = ", power.png, power_trace.csv" if (out / "power_trace.csv").exists() else ""
    return "\n".join([*lines, "", f"written to {out}: profile.json, profile.png{traced}"])
