"""kerasburst sweep."""

from __future__ import annotations

import dataclasses
import json
import sys

import click
from click.core import ParameterSource
from kerasburst_cli.options import (
    INVALID,
    backend_option,
    check_going_on,
    data_dir_option,
    dataset_label,
    full_dataset,
    jobs_option,
    json_option,
    numbered,
    parse_assignment,
    set_option,
)
from kerasburst_cli.quiet import load_tensorflow

from kerasburst import config as configs
from kerasburst import records
from kerasburst.config import TrainConfig
from kerasburst.registry import ENCODERS, NETWORKS
from kerasburst.validation import user_path

_DEFAULT = TrainConfig()
_TRAIN = (
    *("dataset", "encoding", "num_steps", "model", "epochs", "batch_size", "learning_rate", "seed", "train_limit"),
    "data_dir",
)
_PLAN = ("seeds", "search", "samples", "shadows", "members", "queries")


@click.command("sweep")
@click.option(
    "--param",
    "parameters",
    multiple=True,
    metavar="SCOPE.NAME=VALUES",
    help="What to vary: encoder., neuron., model. or train.NAME, as a list (2,5,10) or a range (1:6, 0.5:1:0.1). "
    "Repeatable.",
)
@click.option(
    "--metric",
    "metrics",
    default="test_accuracy",
    show_default=True,
    metavar="NAME,...",
    help="Out of test_accuracy, train_accuracy, input_firing_rate and audit_auc, which audits every point.",
)
@click.option("--dataset", default=_DEFAULT.dataset, show_default=True, help="A data set's name or the path of data.")
@click.option("--encoding", type=click.Choice(list(ENCODERS)), default=_DEFAULT.encoding, show_default=True)
@click.option("--seeds", type=int, default=3, show_default=True, help="Number of seeds, for intervals.")
@click.option("--seed", type=int, default=_DEFAULT.seed, show_default=True, help="The first of them.")
@click.option(
    "--search",
    type=click.Choice(["grid", "random"]),
    default="grid",
    show_default=True,
    help="Every combination, or --samples of them.",
)
@click.option("--samples", type=int, default=20, show_default=True, help="Points of a random search.")
@click.option("--shadows", type=int, default=4, show_default=True, help="N, shadow models of each audit; even.")
@click.option(
    "--queries",
    type=int,
    multiple=True,
    default=(1, 4),
    show_default=True,
    help="K, encodings of each example that the attacker sees; audit_auc is at the largest. Repeatable.",
)
@click.option("--members", type=int, help="Training examples of an audit's target. Default: a third, at most 1000.")
@click.option("--num-steps", type=int, default=_DEFAULT.num_steps, show_default=True, help="T, time steps.")
@click.option("--model", type=click.Choice(list(NETWORKS)), help="Default: by the kind of data.")
@click.option("--epochs", type=int, help="Default: the data set's own; in audits as many updates as that.")
@click.option("--batch-size", type=int, default=_DEFAULT.batch_size, show_default=True)
@click.option("--learning-rate", type=float, default=_DEFAULT.learning_rate, show_default=True)
@click.option("--train-limit", type=int, help="Train on, or draw from, a stratified subset of this many examples.")
@data_dir_option
@set_option
@jobs_option
@backend_option
@click.option("--out", type=click.Path(), help="The directory. Default: runs/sweep-DATASET-ENCODING, numbered.")
@click.option("--resume", is_flag=True, help="Go on with the sweep in --out, or begin it; it may take more --seeds.")
@click.option("--force", is_flag=True, help="Replace the sweep in --out.")
@json_option
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(ctx, parameters, metrics, assignments, jobs, backend, out, resume, force, as_json, quiet, **options):
    """Vary parameters and see what they do to accuracy, firing, and what an attacker learns.

    Every point is trained, or with audit_auc audited, on every seed. A point that is no configuration is listed with
    its reason. The directory holds sweep.json, a picture for each metric of one or two parameters, and with AUCs the
    Pareto front of accuracy against AUC. Exit code 3 says that controls of an audit failed: that seed of its point
    does not count.
    """
    check_going_on(resume, force, out, "sweep")
    if options["data_dir"] is not None:
        options["data_dir"] = str(user_path("data_dir", options["data_dir"]).resolve())
    options["dataset"] = full_dataset(options["dataset"])
    options["metrics"] = tuple(name.strip() for name in metrics.split(","))
    given = {
        name: value for name, value in options.items() if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    if out is None:
        out = numbered("runs", f"sweep-{dataset_label(options['dataset'])}-{options['encoding']}")
    out = user_path("--out", out)

    load_tensorflow()
    from kerasburst_cli.fleet_progress import interruptible, make_fleet_observer

    from kerasburst.reports.sweep import save_sweep_figures
    from kerasburst.studies.sweep.config import SweepConfig
    from kerasburst.studies.sweep.space import parse_parameter
    from kerasburst.studies.sweep.study import sweep

    # What is resumed is what was begun, but for what is said anew; sweep() refuses what may not differ.
    begun = records.load(SweepConfig, out / "config.json") if resume and (out / "config.json").exists() else None
    train = dataclasses.replace(
        _DEFAULT if begun is None else begun.train, **{n: v for n, v in given.items() if n in _TRAIN}
    )
    train = configs.set_parameters(train, [parse_assignment(text) for text in assignments])
    fields = {name: value for name, value in given.items() if name in (*_PLAN, "metrics")}
    if parameters or begun is None:
        fields["parameters"] = tuple(parse_parameter(text) for text in parameters)
    config = SweepConfig(train=train, **fields) if begun is None else dataclasses.replace(begun, train=train, **fields)
    observer = make_fleet_observer(quiet=quiet, as_json=as_json)
    with interruptible(observer, "sweep", out):
        result, error = sweep(config, out, resume=resume, force=force, jobs=jobs, backend=backend, observer=observer)
    value = records.to_json(result)
    pictures = save_sweep_figures(value, out)
    if as_json:
        click.echo(json.dumps({"out": str(out), **value}, indent=2))
    elif not quiet:
        click.echo(summary(value, out, [path.name for path in pictures]))
    if error is not None:
        raise error
    invalid = sum(bool(each["failed_controls"]) for point in value["points"] for each in point["seeds"])
    if invalid:
        click.echo(f"controls of {invalid} audits failed: those seeds do not count", err=True)
        sys.exit(INVALID)


def summary(result: dict, out, pictures) -> str:
    """Give the table of the points with what is on the front, and the effect of each parameter."""
    from kerasburst.reports.sweep import EFFECTS, fewer_queries, metric_title, pairs_used, shown

    labels, metrics = result["parameters"], result["metrics"]
    points = result["points"]
    seeds = len(result["seeds"])
    ks = fewer_queries(result)
    heads = [*labels, *(metric_title(result, metric) for metric in metrics), *(f"K = {k}" for k in ks)]
    rows = []
    for i, point in enumerate(points):
        row = [shown(point["values"][label]) for label in labels]
        row += [_estimate(point["estimates"].get(metric), seeds) for metric in metrics]
        row += [_estimate((point["auc_by_queries"] or {}).get(k), seeds) for k in ks]
        rows.append((row, "  *" if i in result["front"] else f"  {point['reason']}" if point["reason"] else ""))
    count = f"{len(points)} point{'s' * (len(points) != 1)}, {seeds} seed{'s' * (seeds != 1)}"
    lines = [f"{result['config']['train']['encoding']} on {result['data']['name']}: {count}", ""]
    lines += _table(heads, rows)
    lines += ["", "means over seeds with the half-width of their 95 % t-interval"]
    if result["front"]:
        lines[-1] += "; * by their means no other is as accurate and leaks as little"
    lines += [
        f"point {i}, seed {each['seed']}: {each['reason']}"
        for i, point in enumerate(points)
        for each in point["seeds"]
        if each["reason"]
    ]
    effects = [
        (
            [each["parameter"], f"{shown(each['against'])} to {shown(each['value'])}", pairs_used(each)]
            + [_estimate(each["estimates"].get(metric), seeds, "+") for metric in metrics],
            "",
        )
        for each in result["effects"]
    ]
    if effects:
        heads = ["effect of", "from", "pairs", *(metric_title(result, metric) for metric in metrics)]
        lines += ["", *_table(heads, effects), "", EFFECTS]
    lines += ["", f"written to {out}: {', '.join(['sweep.json', *pictures])}"]
    return "\n".join(lines)


def _table(heads, rows) -> list[str]:
    widths = [max(len(head), *(len(row[i]) for row, _ in rows)) for i, head in enumerate(heads)]
    lines = ["  ".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True))]
    for row, mark in rows:
        lines.append("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) + mark)
    return lines


def _estimate(estimate, seeds, sign="") -> str:
    if estimate is None:
        return "–"
    text = f"{estimate['mean']:{sign}.3f}"
    if estimate["interval"] is not None:
        text += f" ±{(estimate['interval'][1] - estimate['interval'][0]) / 2:.3f}"
    return text if estimate["seeds"] == seeds else f"{text} ({estimate['seeds']} of {seeds})"
