"""kerasburst sweep."""

from __future__ import annotations

import dataclasses
import sys

import click
from kerasburst_cli import options as shared
from kerasburst_cli.running import interruptible, load_tensorflow, say

from kerasburst import config as configs
from kerasburst import records
from kerasburst.data.datasets import holds_events
from kerasburst.validation import InputError

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
    metavar="NAME,...",
    help="Any of test_accuracy, train_accuracy, input_firing_rate and audit_auc, which audits every point.",
)
@shared.training_options("dataset", "encoding")
@click.option("--seeds", default=3, help="Number of seeds, for intervals.")
@shared.training_options("seed", seed="The first of them.")
@click.option(
    "--search",
    "searches",
    multiple=True,
    metavar="grid|random|pareto|SCOPE.NAME=RANGE",
    help="grid: every combination (default); random: --samples of them; pareto: Optuna looks for high accuracy and low "
    "attack AUC, in --trials audits. --search encoder.margin=1:8 is short for --search pareto --param "
    "encoder.margin=1:8; repeatable. A range may end in :log.",
)
@click.option("--samples", "--trials", default=20, help="Points of a random search, or trials of a Pareto search.")
@click.option("--shadows", default=4, help="N, shadow models of each audit; even.")
@click.option(
    "--queries",
    multiple=True,
    default=(1, 4),
    help="K, encodings of each example that the attacker sees; audit_auc is at the largest. Repeatable.",
)
@click.option("--members", type=int, help="Training examples of an audit's target. Default: a third, at most 1000.")
@shared.training_options(
    *("num_steps", "model", "epochs", "batch_size", "learning_rate", "train_limit"),
    epochs="Default: the data set's own; in audits as many updates as that.",
    train_limit="Train on, or draw from, a stratified subset of this many examples.",
)
@shared.data_dir_option
@shared.set_option
@shared.fleet_options
@shared.directory_options("sweep", "runs/sweep-DATASET-ENCODING", "or begin it. --seeds and --trials may grow")
@click.pass_context
def command(
    ctx, parameters, searches, metrics, assignments, jobs, backend, out, resume, force, as_json, quiet, **options
):
    """Vary parameters and measure accuracy, firing rates, and what an attacker learns.

    Every point is trained on every seed, and audited if audit_auc is a metric. An invalid combination is listed with
    its reason. The directory holds sweep.json, a picture for each metric of one or two parameters, and with AUCs the
    Pareto front of accuracy against AUC. A Pareto search (extra: search) audits its trials on one half of the data,
    and then the point that it chooses and the one it began with on the other half. Exit code 3: controls of an
    audit failed, and that seed of its point does not count.
    """
    shared.check_going_on(resume, force, out, "sweep")
    shared.make_absolute(options)
    options["metrics"] = tuple(name.strip() for name in metrics.split(","))
    ranges = [text for text in searches if "=" in text]
    if len({*(text for text in searches if text not in ranges), *(["pareto"] if ranges else [])}) > 1:
        raise InputError(f"--search must be of one kind, received {', '.join(searches)}")
    if searches:
        options["search"] = "pareto" if ranges else searches[0]
    parameters = (*parameters, *ranges)
    given = shared.given_values(ctx, options)
    if "encoding" not in given and not resume and holds_events(options["dataset"]):
        options["encoding"] = given["encoding"] = configs.ENCODED[0]
    out = shared.place(out, f"sweep-{shared.dataset_label(options['dataset'])}-{options['encoding']}")

    from kerasburst.studies.sweep.config import SweepConfig
    from kerasburst.studies.sweep.space import parse_parameter

    # What is resumed is what was begun, but for what is said anew; sweep() refuses what may not differ.
    begun = shared.begun_config(SweepConfig, out, resume)
    train = dataclasses.replace(
        shared.TRAIN_DEFAULT if begun is None else begun.train,
        **{n: v for n, v in given.items() if n in shared.TRAIN_FIELDS},
    )
    train = configs.set_parameters(train, [shared.parse_assignment(text) for text in assignments])
    fields = {name: value for name, value in given.items() if name in (*_PLAN, "metrics")}
    if parameters or begun is None:
        fields["parameters"] = tuple(parse_parameter(text) for text in parameters)
    config = SweepConfig(train=train, **fields) if begun is None else dataclasses.replace(begun, train=train, **fields)
    if config.search == "pareto":
        from kerasburst.studies.sweep.search import load_optuna

        load_optuna()
    load_tensorflow(any_backend=True)
    from kerasburst_cli.fleet_progress import make_fleet_observer

    from kerasburst.reports.sweep import save_sweep_figures
    from kerasburst.studies.sweep.study import sweep

    observer = make_fleet_observer(quiet=quiet, as_json=as_json)
    with interruptible(observer, out, f"kerasburst sweep --resume --out {out}"):
        result, error = sweep(config, out, resume=resume, force=force, jobs=jobs, backend=backend, observer=observer)
    value = records.to_json(result)
    pictures = save_sweep_figures(value, out)
    names = [path.name for path in pictures]
    shared.print_result(value, out, as_json=as_json, text=lambda: summary(value, out, names))
    if error is not None:
        raise error
    invalid = sum(bool(each["failed_controls"]) for point in value["points"] for each in point["seeds"])
    if invalid:
        say(f"controls of {invalid} audits failed: those seeds do not count", err=True)
        sys.exit(shared.INVALID)


def summary(result: dict, out, pictures) -> str:
    """Return the table of the points with what is on the front, and of the effect of each parameter."""
    from kerasburst.reports.sweep import NOTHING_JUDGED, effects_table, judged_table, points_table
    from kerasburst.reports.table import terminal

    lines = [terminal(points_table(result))]
    if result["front"]:
        lines.append("On the front: by their means no other point is as accurate and leaks as little.")
    effects = effects_table(result)
    lines += ["", terminal(effects)] if effects is not None else []
    if (judged := judged_table(result)) is not None:
        lines += ["", terminal(judged)]
    elif result["config"].get("search") == "pareto":
        lines += ["", NOTHING_JUDGED]
    return "\n".join([*lines, "", f"written to {out}: {', '.join(['sweep.json', *pictures])}"])
