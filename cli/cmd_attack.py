"""kerasburst attack."""

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
from kerasburst.validation import InputError, user_path

_DEFAULT = TrainConfig()
_TRAIN = ("dataset", "num_steps", "model", "epochs", "batch_size", "learning_rate", "seed", "train_limit", "data_dir")
_AUDIT = ("protocol", "targets", "shadows", "members", "population", "tf_privacy")
# What --run leaves open; the rest comes from the run.
_OPEN = ("seed", "data_dir", "protocol", "shadows", "queries", "members", "population", "tf_privacy")


@click.command("attack")
@click.option(
    "--run",
    type=click.Path(),
    help="Audit the network of this finished training run, which must have left examples untouched (--train-limit).",
)
@click.option("--dataset", default=_DEFAULT.dataset, show_default=True, help="A data set's name or the path of data.")
@click.option(
    "--encoding",
    "encodings",
    type=click.Choice(list(ENCODERS)),
    multiple=True,
    default=list(ENCODERS),
    help="Repeatable; several are compared on the same members and seeds. Default: all.",
)
@click.option(
    "--protocol",
    type=click.Choice(["audit", "paper", "paper-overlapping"]),
    default="audit",
    show_default=True,
    help="audit: N shadows and every attack; paper: one shadow and an SVM per class; paper-overlapping: the same with "
    "the shadow's data drawn from the target's own, a flaw repeated for comparison.",
)
@click.option("--targets", type=int, default=1, show_default=True, help="Target models of each encoding.")
@click.option(
    "--shadows",
    type=int,
    default=8,
    show_default=True,
    help="N, shadow models of each encoding; even. Of --protocol audit.",
)
@click.option(
    "--queries",
    type=int,
    multiple=True,
    default=(1, 4, 16),
    show_default=True,
    help="K, encodings of each example that the attacker sees. Repeatable.",
)
@click.option(
    "--members",
    type=int,
    help="Training examples of a target. Default: a third of the pool (by the paper's protocols a fifth), at most "
    "1000. With --run: those of the run's that are audited, by default half of them, at most 1000.",
)
@click.option(
    "--population",
    type=int,
    help="Examples that train nothing, for RMIA. Default: a fifth of the pool, at most 1000; none by the paper's.",
)
@click.option("--num-steps", type=int, default=_DEFAULT.num_steps, show_default=True, help="T, time steps.")
@click.option("--model", type=click.Choice(list(NETWORKS)), help="Default: by the kind of data.")
@click.option("--epochs", type=int, help="Default: as many updates as train makes on the whole pool.")
@click.option("--batch-size", type=int, default=_DEFAULT.batch_size, show_default=True)
@click.option("--learning-rate", type=float, default=_DEFAULT.learning_rate, show_default=True)
@click.option(
    "--seed",
    type=int,
    default=_DEFAULT.seed,
    show_default=True,
    help="With --run of the audit's own draws, by default the run's seed.",
)
@click.option("--train-limit", type=int, help="Draw from a stratified subset of this many training examples.")
@data_dir_option
@set_option
@click.option(
    "--tf-privacy/--no-tf-privacy",
    default=False,
    help="Run tensorflow-privacy's attacks, too; each class of each encoding takes about a minute of a core. "
    "Needs pip install 'kerasburst[tf-privacy]'; --resume may add or leave them.",
)
@jobs_option
@backend_option
@click.option("--out", type=click.Path(), help="The audit's directory. Default: runs/attack-DATASET or -RUN, numbered.")
@click.option("--resume", is_flag=True, help="Go on with the audit in --out, or begin it.")
@click.option("--force", is_flag=True, help="Replace the audit in --out.")
@json_option
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(ctx, run, assignments, encodings, queries, jobs, backend, out, resume, force, as_json, quiet, **options):
    """Audit encodings for membership inference: can an attacker tell who was in the training set?

    Trains targets and shadow models, attacks, and judges its own controls: exit code 3 says that they failed and
    the figures are not to be used. The directory holds audit.json, audit.html and scores.npz.

    With --run the target is the network of a finished training run, as it is. What it was trained with is then the
    run's to say; its shadow models are trained alike.
    """
    check_going_on(resume, force, out, "audit")
    make_absolute(options)
    given = {
        name
        for name in (*_TRAIN, *_AUDIT, "encodings", "queries")
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    if out is None:
        name = dataset_label(options["dataset"]) if run is None else user_path("--run", run).resolve().name
        out = numbered("runs", f"attack-{name}")
    out = user_path("--out", out)

    load_tensorflow()
    from kerasburst_cli.fleet_progress import make_fleet_observer

    from kerasburst.privacy.audit import audit
    from kerasburst.privacy.config import AuditConfig
    from kerasburst.reports.audit import write_report

    # A resumed audit is the one that was begun, but for what is said anew: which audit() then refuses if it differs.
    begun = records.load(AuditConfig, out / "config.json") if resume and (out / "config.json").exists() else None
    values = {**options, "encodings": encodings, "queries": queries}
    if run is not None or (begun is not None and begun.run is not None):
        _check_open(given, assignments, run)
        config = _of_run(run, begun, {name: values[name] for name in _OPEN if name in given})
    else:
        if begun is not None:
            values = {name: value for name, value in values.items() if name in given}
        config = _of_options(AuditConfig(train=_DEFAULT) if begun is None else begun, values, assignments)
    observer = make_fleet_observer(quiet=quiet, as_json=as_json)
    try:
        result = audit(config, out, resume=resume, force=force, jobs=jobs, backend=backend, observer=observer)
    except KeyboardInterrupt:
        observer.close()
        if (out / "config.json").exists():
            click.echo(f"stopped; go on with: kerasburst attack --resume --out {out}", err=True)
        raise
    finally:
        observer.close()
    write_report(out)
    for name, encoding in result.encodings.items():
        for warning in encoding.warnings:
            click.echo(f"warning: {name}: {warning}", err=True)
    if as_json:
        click.echo(json.dumps({"out": str(out), **records.to_json(result)}, indent=2))
    elif not quiet:
        click.echo(summary(result, out))
    if not result.valid:
        for control in result.controls:
            if not control.ok:
                came = control.detail if control.auc is None else f"AUC {control.auc:.3f} {_span(control.interval)}"
                where = f" ({control.encoding})" if control.encoding else ""
                click.echo(f"control failed: {control.name}{where}: {control.rule}; {came}", err=True)
        click.echo("the audit is invalid: its figures are not to be used", err=True)
        sys.exit(INVALID)


def _of_options(base, values, assignments):
    """Give the config of an audit that trains its targets."""
    train = dataclasses.replace(base.train, **{name: values[name] for name in _TRAIN if name in values})
    train = configs.set_parameters(train, [parse_assignment(text) for text in assignments])
    return dataclasses.replace(
        base, train=train, **{name: values[name] for name in (*_AUDIT, "encodings", "queries") if name in values}
    )


def _check_open(given, assignments, run) -> None:
    """Refuse what the run has to say."""
    closed = [f"--{name.replace('_', '-').replace('encodings', 'encoding')}" for name in given if name not in _OPEN]
    if assignments:
        closed.append("--set")
    if closed:
        whose = "--run" if run is not None else "the audit of a run"
        raise InputError(
            f"{', '.join(sorted(closed))} must not be given with {whose}: its network is the one target, and its "
            "config.json says how shadows train; attack --dataset trains targets to order"
        )


def _of_run(run, begun, values):
    """Give the config of an audit of a run: a new one, or the one that was begun, with the run where it is now."""
    from kerasburst.privacy.audited_run import AuditedRun

    if begun is None:
        return AuditedRun.load(run).config(**values)
    if begun.run is None:
        raise InputError("--run must not be given, the audit in --out was begun without")
    if run is not None:
        place = str(user_path("--run", run).resolve())
        begun = dataclasses.replace(begun, run=dataclasses.replace(begun.run, path=place))
    train = dataclasses.replace(begun.train, **{name: values.pop(name) for name in _TRAIN if name in values})
    return dataclasses.replace(begun, train=train, **values)


def summary(result, out) -> str:
    """Give the table of attacks at the largest K of each encoding, beside the accuracies."""
    run = result.config["run"]
    whose, trained = "each target", "its members"
    if run is not None:
        whose, trained = f"the run {run['path']}", "what it was trained on"
    lines = [
        f"{result.protocol} on {result.data['name']}: {result.counts['members']} members, "
        f"{result.counts['non_members']} non-members of {whose}"
    ]
    if result.overlap is not None:
        lines.append(f"target and shadow share {result.overlap} training examples")
    for name, encoding in result.encodings.items():
        lines.append("")
        tested, fitted = (
            f"{share:.1%} ({low:.1%} to {high:.1%})"
            for share, (low, high) in (
                (encoding.test_accuracy, encoding.test_accuracy_interval),
                (encoding.train_accuracy, encoding.train_accuracy_interval),
            )
        )
        lines.append(f"{name}: test accuracy {tested}, on {trained} {fitted}")
        lines.append(f"  {'attack':<20} {'K':>3}  {'AUC':>5}  {'95 % interval':<15} TPR at 10 % FPR")
        for attack in encoding.attacks:
            tpr = attack.tpr_at_fpr["0.1"]
            lines.append(
                f"  {attack.name:<20} {attack.queries:>3}  {attack.auc:.3f}  {_span(attack.auc_interval):<15} "
                + ("not resolvable" if tpr is None else f"{tpr:.3f}")
            )
        if encoding.tf_privacy is not None:
            found = [a for a in encoding.tf_privacy.attacks if a.label is None and a.skipped is None]
            lines.append("  AUC by tensorflow-privacy: " + ", ".join(f"{a.attack} {a.auc:.3f}" for a in found))
    lines += ["", f"written to {out}: audit.html, audit.json, scores.npz"]
    return "\n".join(lines)


def _span(interval) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
