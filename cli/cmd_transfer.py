"""kerasburst transfer."""

from __future__ import annotations

import dataclasses
import json

import click
from click.core import ParameterSource
from kerasburst_cli.options import (
    backend_option,
    check_going_on,
    data_dir_option,
    dataset_label,
    jobs_option,
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
from kerasburst.registry import ENCODERS, NETWORKS
from kerasburst.studies.transfer.config import FREEZES, SOURCE, TARGET
from kerasburst.validation import InputError, user_path

_DEFAULT = TrainConfig()
# Options of the target's training, by their names there; the target's epochs go by another name.
_TRAIN = {
    **{name: name for name in ("num_steps", "model", "batch_size", "learning_rate", "seed", "train_limit")},
    **{"data_dir": "data_dir", "queries": "queries", "target": "dataset", "target_epochs": "epochs"},
}
_PLAN = ("source", "source_epochs", "encodings", "freeze", "seeds")
_CLOSED = ("source", "source_epochs", "encodings", "num_steps", "model")  # which a run has to say


@click.command("transfer")
@click.option("--source", default=SOURCE, show_default=True, help="Data set to learn features on: a name or a path.")
@click.option(
    "--target",
    default=TARGET,
    show_default=True,
    help="Data set to carry them over to. NAME:0-4 takes some classes of a data set.",
)
@click.option(
    "--from-run",
    "run",
    type=click.Path(),
    help="Start from this finished training run instead of --source; its settings are the defaults.",
)
@click.option(
    "--encoding",
    "encodings",
    type=click.Choice(list(ENCODERS)),
    multiple=True,
    default=list(ENCODERS),
    help="Repeatable. Default: all.",
)
@click.option(
    "--freeze",
    type=click.Choice(FREEZES),
    help="What the target keeps of the source: the convolutions, or all but the output layer. "
    "Default: conv where there are convolutions.",
)
@click.option("--source-epochs", type=int, help="Default: the source's own.")
@click.option("--target-epochs", type=int, help="Of every arm alike. Default: the target's own.")
@click.option("--seeds", type=int, default=3, show_default=True, help="Number of seeds, for paired intervals.")
@click.option("--seed", type=int, default=_DEFAULT.seed, show_default=True, help="The first of them.")
@click.option("--train-limit", type=int, help="Train source and target on stratified subsets of this many examples.")
@click.option("--num-steps", type=int, default=_DEFAULT.num_steps, show_default=True, help="T, time steps.")
@click.option("--model", type=click.Choice(list(NETWORKS)), help="Default: by the kind of data.")
@click.option("--batch-size", type=int, default=_DEFAULT.batch_size, show_default=True)
@click.option("--learning-rate", type=float, default=_DEFAULT.learning_rate, show_default=True)
@click.option(
    "--queries",
    type=int,
    default=_DEFAULT.queries,
    show_default=True,
    help="K, encodings of each test example that an accuracy is a mean over.",
)
@data_dir_option
@set_option
@jobs_option
@backend_option
@click.option("--out", type=click.Path(), help="The directory. Default: runs/transfer-SOURCE-TARGET, numbered.")
@click.option("--resume", is_flag=True, help="Go on with what stands in --out, or begin it; it may take more --seeds.")
@click.option("--force", is_flag=True, help="Replace what stands in --out.")
@json_option
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(ctx, run, assignments, jobs, backend, out, resume, force, as_json, quiet, **options):
    """Measure what carries over: learn one data set, freeze, learn another under a new head.

    Beside each transfer stand training from scratch, with the same budget, order and seeds, and a control whose frozen
    layers were never trained: transfer that does not beat it has carried nothing over. The directory holds
    transfer.json, transfer.png and every network's record.
    """
    check_going_on(resume, force, out, "transfer")
    make_absolute(options)
    given = {
        name: value for name, value in options.items() if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    if out is None:
        source = options["source"] if run is None else user_path("--from-run", run).resolve().name
        out = numbered("runs", f"transfer-{dataset_label(source)}-{dataset_label(options['target'])}")
    out = user_path("--out", out)

    load_tensorflow()
    from kerasburst_cli.fleet_progress import make_fleet_observer

    from kerasburst.reports.transfer import save_transfer_plot
    from kerasburst.studies.transfer.config import TransferConfig
    from kerasburst.studies.transfer.study import config_of_run, transfer

    # What is resumed is what was begun, but for what is said anew; transfer() refuses what may not differ.
    begun = records.load(TransferConfig, out / "config.json") if resume and (out / "config.json").exists() else None
    if run is not None:
        config = _of_run(run, given, assignments, config_of_run)
    else:
        base = TransferConfig(train=dataclasses.replace(_DEFAULT, dataset=TARGET)) if begun is None else begun
        train = dataclasses.replace(base.train, **{_TRAIN[name]: v for name, v in given.items() if name in _TRAIN})
        train = configs.set_parameters(train, [parse_assignment(text) for text in assignments])
        config = dataclasses.replace(base, train=train, **{n: v for n, v in given.items() if n in _PLAN})
    observer = make_fleet_observer(quiet=quiet, as_json=as_json)
    try:
        result = transfer(config, out, resume=resume, force=force, jobs=jobs, backend=backend, observer=observer)
    except KeyboardInterrupt:
        observer.close()
        if (out / "config.json").exists():
            click.echo(f"stopped; go on with: kerasburst transfer --resume --out {out}", err=True)
        raise
    finally:
        observer.close()
    save_transfer_plot(records.to_json(result), out / "transfer.png")
    if as_json:
        click.echo(json.dumps({"out": str(out), **records.to_json(result)}, indent=2))
    elif not quiet:
        click.echo(summary(result, out))


def _of_run(run, given, assignments, config_of_run):
    """Give the config of a transfer from a run, which says itself how its network is built."""
    closed = [f"--{name.replace('_', '-').removesuffix('s')}" for name in given if name in _CLOSED]
    closed += ["--set"] * bool(assignments)
    if closed:
        raise InputError(f"{', '.join(sorted(closed))} must not be given with --from-run: its config.json says that")
    options = {
        name: value for name, value in given.items() if name not in ("target", "target_epochs") and name not in _CLOSED
    }
    if "target" not in given:
        raise InputError("--target must be given with --from-run, received none")
    return config_of_run(run, given["target"], given.get("target_epochs"), **options)


def summary(result, out) -> str:
    """Give the table of arms by encoding, and what the differences are."""
    data, budget = result.data, result.budget
    lines = [
        f"{data['source']['name']} to {data['target']['name']}: {', '.join(result.frozen_layers)} frozen, "
        f"{budget['source_epochs']} + {budget['target_epochs']} epochs, {budget['target_train_examples']} training "
        f"examples, {len(result.seeds)} seed{'s' * (len(result.seeds) != 1)}",
        "",
        f"{'encoding':<14} {'scratch':>8} {'transfer':>9} {'control':>8}   {'transfer - scratch':<26} "
        "transfer - control",
    ]
    for name, found in result.encodings.items():
        means = [100 * sum(values) / len(values) for values in (found.scratch, found.transfer, found.control)]
        lines.append(
            f"{name:<14} {means[0]:>7.1f}% {means[1]:>8.1f}% {means[2]:>7.1f}%   "
            f"{_points(found.difference, found.difference_interval):<26} "
            + _points(found.over_control, found.over_control_interval)
        )
    lines += ["", "differences in points of test accuracy, 95 % intervals over paired seeds"]
    lines += [f"{name}: warning: {text}" for name, found in result.encodings.items() for text in found.warnings]
    lines += ["", f"written to {out}: transfer.json, transfer.png"]
    return "\n".join(lines)


def _points(difference, interval) -> str:
    text = f"{100 * difference:+.1f}"
    return text if interval is None else f"{text} ({100 * interval[0]:+.1f} to {100 * interval[1]:+.1f})"
