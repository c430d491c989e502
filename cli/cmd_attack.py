"""kerasburst attack."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import click
from kerasburst_cli import options as shared
from kerasburst_cli.running import choose_jax, interruptible, load_tensorflow, say

from kerasburst import config as configs
from kerasburst import files, records
from kerasburst.validation import LARGEST, InputError, is_number, user_path

_AUDIT = (
    *("protocol", "targets", "shadows", "members", "population", "tf_privacy", "pools", "canaries", "match"),
    *("attacks", "flips"),
)
# What --run leaves open; the rest comes from the run.
_OPEN = (
    *("seed", "data_dir", "protocol", "shadows", "queries", "members", "population", "tf_privacy"),
    *("snapshots", "canaries", "match", "attacks"),
)


@click.command("attack")
@click.option(
    "--run",
    type=click.Path(),
    help="Audit the network of this finished training run. The run must have left some examples unused "
    "(--train-limit).",
)
@shared.training_options("dataset")
@shared.encodings_option
@click.option(
    "--arm",
    "arms",
    multiple=True,
    metavar="NAME[:parameter=value,...]",
    help="What to compare: an encoder with parameters, rate_regular, or a defence (input_noise, input_dropout, "
    "label_smoothing, weight_decay, early_stopping, adversary, private) on rate_regular; encoding=NAME puts it on "
    "another encoder. Repeatable; replaces the default of --encoding.",
)
@click.option(
    "--snapshots",
    metavar="E1,E2,...",
    help="Epochs after which every model is attacked; the last is always one of them. Default: a quarter and half of "
    "the training.",
)
@click.option(
    "--match",
    type=click.Choice(["accuracy", "none"]),
    default="accuracy",
    help="accuracy: compare arms at equal test accuracy, and at an equal gap between accuracy on members and test "
    "accuracy.",
)
@click.option(
    "--protocol",
    type=click.Choice(["audit", "paper", "paper-overlapping"]),
    default="audit",
    help="audit: N shadows and every attack; paper: one shadow and an SVM per class; paper-overlapping: the same with "
    "the shadow's data drawn from the target's, a flaw that is repeated for comparison.",
)
@click.option("--targets", default=1, help="Target models of each encoding.")
@click.option("--shadows", default=8, help="N, shadow models of each encoding, an even number. For --protocol audit.")
@click.option(
    "--queries",
    multiple=True,
    default=(1, 4, 16),
    help="K, encodings of each example that the attacker sees. Repeatable.",
)
@click.option(
    "--members",
    type=int,
    help="Training examples of a target. Default: a third of the pool (a fifth with the paper's protocols), at most "
    "1000. With --run: how many of the run's training examples to audit; default: half, at most 1000.",
)
@click.option(
    "--population",
    type=int,
    help="Examples that no model trains on, for RMIA. Default: a fifth of the pool, at most 1000; none with the "
    "paper's protocols.",
)
@click.option(
    "--pools",
    default=1,
    help="Disjoint parts of the data, each with its own members and shadow models; with 3 or more, intervals cover "
    "other data.",
)
@click.option(
    "--canaries",
    type=int,
    help="Examples that shadow models train on with a wrong label. Default: a twentieth of the members, 8 to 64.",
)
@click.option(
    "--attack",
    "attacks",
    multiple=True,
    metavar="NAME",
    help="Also run an attack that needs queries of its own: input_dropout, or replay (of the spikes of the training). "
    "Repeatable.",
)
@click.option(
    "--flips",
    is_flag=True,
    help="Choose the targets' members by independent coin flips, not by halves. Epsilon is then also bounded from "
    "one run.",
)
@shared.training_options(
    *("num_steps", "model", "epochs", "batch_size", "learning_rate", "seed", "train_limit"),
    epochs="Default: as many updates as train makes on the whole pool.",
    seed="Seed of the audit. With --run the default is the run's seed.",
    train_limit="Draw from a stratified subset of this many training examples.",
)
@shared.data_dir_option
@shared.set_option
@click.option(
    "--tf-privacy/--no-tf-privacy",
    default=False,
    show_default=False,
    help="Run tensorflow-privacy's attacks, too; each class of each encoding takes about a minute of a core. "
    "Needs pip install 'kerasburst[tf-privacy]'. --resume can add them.",
)
@shared.fleet_options
@shared.directory_options("audit", "runs/attack-DATASET or -RUN")
@click.pass_context
def command(ctx, run, assignments, jobs, backend, out, resume, force, as_json, quiet, **options):
    """Audit encodings for membership inference: can an attacker tell who was in the training set?

    Trains target and shadow models, attacks them and checks its own controls. Exit code 3: controls failed, do not use
    the figures. The directory holds audit.json, audit.html and scores.npz.

    With --run, the target is the network of a finished training run. Its settings come from that run, and its shadow
    models are trained in the same way.
    """
    shared.check_going_on(resume, force, out, "audit")
    shared.make_absolute(options)
    given = shared.given_values(ctx, options)
    if run is None and not resume and not options["arms"]:
        shared.choose_for_events(given, options["dataset"])
    if options["arms"]:
        given.setdefault("encodings", ())
    values = options | given
    for name, read in (("snapshots", _epochs), ("arms", _arms)):
        if name in given:
            values[name] = given[name] = read(given[name])
        else:
            values.pop(name)
    name = shared.dataset_label(options["dataset"]) if run is None else user_path("--run", run).resolve().name
    out = shared.place(out, f"attack-{name}")

    if _is_private(Path(run) if run is not None else out):
        choose_jax()
    if resume:  # arms that were begun are checked by their classes
        load_tensorflow(any_backend=True)
    from kerasburst.privacy.config import AuditConfig

    # A resumed audit is the one that was begun, but for what is said anew: which audit() then refuses if it differs.
    begun = shared.begun_config(AuditConfig, out, resume)
    if run is not None or (begun is not None and begun.run is not None):
        _check_open(given, assignments, run)
        config = _of_run(run, begun, {name: given[name] for name in _OPEN if name in given})
    else:
        base = AuditConfig(train=shared.TRAIN_DEFAULT) if begun is None else begun
        config = _of_options(base, values if begun is None else given, assignments)
    load_tensorflow(any_backend=True)
    from kerasburst_cli.fleet_progress import make_fleet_observer

    from kerasburst.privacy.audit import audit
    from kerasburst.reports.audit import alarms, judge, write_report

    observer = make_fleet_observer(quiet=quiet, as_json=as_json)
    with interruptible(observer, out, f"kerasburst attack --resume --out {out}"):
        result = audit(
            config, out, resume=resume, force=force, jobs=jobs, backend=backend, observer=observer, warn=_warn
        )
    write_report(out)
    for name, encoding in result.encodings.items():
        for warning in encoding.warnings:
            _warn(f"{name}: {warning}")
    value = records.to_json(result)
    for alarm in alarms(value):
        _warn(alarm)
    shared.print_result(value, out, as_json=as_json, text=lambda: summary(value, out))
    if not result.valid:
        verdict = judge(value)
        say("\n".join([*verdict.failed, verdict.line]), err=True)
        sys.exit(shared.INVALID)


def _warn(text: str) -> None:
    say(f"warning: {text}", err=True)


def _is_private(folder: Path) -> bool:
    """Return whether the config in a run's or an audit's directory, if there is one, trains privately."""
    try:
        value = files.read_json(folder / "config.json")
        train, arms = value.get("train", value), value.get("arms", [])
        epsilon = train.get("epsilon")
        return (is_number(epsilon) and 0 < epsilon <= LARGEST) or any(arm.get("defence") == "private" for arm in arms)
    except (InputError, AttributeError, TypeError):  # which is told where it is read
        return False


def _epochs(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--snapshots must be epochs with commas between them, such as 4,8,16, received {text!r}"
        ) from None


def _arms(texts):
    if any(text.partition(":")[0] == "private" for text in texts):
        choose_jax()
    load_tensorflow(any_backend=True)  # in which defences are written
    from kerasburst.privacy.arms import parse_arm

    return tuple(parse_arm(text) for text in texts)


def _of_options(base, values, assignments):
    """Return the config of an audit that trains its targets."""
    train = dataclasses.replace(base.train, **{name: values[name] for name in shared.TRAIN_FIELDS if name in values})
    train = configs.set_parameters(train, [shared.parse_assignment(text) for text in assignments])
    return dataclasses.replace(
        base,
        train=train,
        **{name: values[name] for name in (*_AUDIT, "encodings", "arms", "snapshots", "queries") if name in values},
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
    """Return the config of an audit of a run: a new one, or the one that was begun, with the run where it is now."""
    load_tensorflow(any_backend=True)
    from kerasburst.privacy.audited_run import AuditedRun

    if begun is None:
        return AuditedRun.load(run).config(**values)
    if begun.run is None:
        raise InputError("--run must not be given, the audit in --out was begun without")
    if run is not None:
        place = str(user_path("--run", run).resolve())
        begun = dataclasses.replace(begun, run=dataclasses.replace(begun.run, path=place))
    train = dataclasses.replace(
        begun.train, **{name: values.pop(name) for name in shared.TRAIN_FIELDS if name in values}
    )
    return dataclasses.replace(begun, train=train, **values)


def summary(result: dict, out) -> str:
    """Return the verdict, the table of attacks of each encoding whose controls hold, and the verdict again."""
    from kerasburst.privacy.reading import failed_controls
    from kerasburst.reports.audit import judge
    from kerasburst.reports.audit_tables import attacks_table
    from kerasburst.reports.equal_fit import answers, sentence
    from kerasburst.reports.table import terminal

    run, counts, verdict = result["config"]["run"], result["counts"], judge(result)
    whose = "each target" if run is None else f"the run {run['path']}"
    trained = "its members" if run is None else "what it was trained on"
    sides = f"{counts['members']} members, {counts['non_members']} non-members"
    said = verdict.line
    lines = [f"{result['protocol']} on {result['data']['name']}: {sides} of {whose}", said]
    lines += filter(None, [*answers(result), sentence(result)])
    if result["overlap"] is not None:
        lines.append(f"target and shadow share {result['overlap']} training examples")
    for name, found in result["encodings"].items():
        if failed := failed_controls(result, name):
            lines += ["", f"{name}: not to be used, {', '.join(failed)} failed; its figures are in audit.json"]
        else:
            lines += ["", terminal(attacks_table(name, found, trained))]
    lines += ["", said] if result["valid"] else [""]
    return "\n".join([*lines, f"written to {out}: audit.html, audit.json, scores.npz"])
