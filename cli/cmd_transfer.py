"""kerasburst transfer."""

from __future__ import annotations

import dataclasses

import click
from kerasburst_cli import options as shared
from kerasburst_cli.running import interruptible, load_tensorflow

from kerasburst import config as configs
from kerasburst import records
from kerasburst.config import COMPARED_ENCODINGS, ENCODED
from kerasburst.data.datasets import holds_events
from kerasburst.registry import ENCODERS
from kerasburst.studies.transfer.config import FREEZES, SOURCE, TARGET
from kerasburst.validation import LARGEST, InputError, check_int, user_path

# Options of the target's training, by their names there; the target's epochs go by another name.
_TRAIN = {
    **{name: name for name in ("num_steps", "model", "batch_size", "learning_rate", "seed", "train_limit")},
    **{"data_dir": "data_dir", "queries": "queries", "target": "dataset", "target_epochs": "epochs"},
}
_PLAN = ("source", "source_epochs", "source_encoding", "encodings", "freeze", "seeds")
_CLOSED = ("source", "source_epochs", "source_encoding", "encodings", "num_steps", "model")  # which a run has to say


@click.command("transfer")
@click.option("--source", default=SOURCE, help="Data set to learn features on: a name or a path.")
@click.option(
    "--target", default=TARGET, help="Data set to transfer the features to. NAME:0-4 takes some classes of a data set."
)
@click.option(
    "--from-run",
    "run",
    type=click.Path(),
    help="Start from this finished training run instead of --source; its settings are the defaults.",
)
@shared.encodings_option
@click.option(
    "--source-encoding",
    type=shared.Named(list(ENCODERS)),
    help="The source's encoder, where one data set holds images and the other events. Default: rate for images, none "
    "for events.",
)
@click.option(
    "--freeze",
    type=click.Choice(FREEZES),
    help="What the target keeps of the source: the convolutions, or all but the output layer. "
    "Default: conv if there are convolutions.",
)
@click.option("--source-epochs", type=int, help="Default: the source's own.")
@click.option("--target-epochs", type=int, help="Epochs of every network on the target. Default: the target's own.")
@click.option("--seeds", default=3, help="Number of seeds, for paired intervals.")
@shared.training_options(
    *("seed", "train_limit", "num_steps", "model", "batch_size", "learning_rate"),
    seed="The first of them.",
    train_limit="Train source and target on stratified subsets of this many examples.",
)
@shared.config_option("queries", help="K, encodings of each test example; an accuracy is the mean over them.")
@shared.data_dir_option
@shared.set_option
@shared.fleet_options
@shared.directory_options("transfer", "runs/transfer-SOURCE-TARGET", "or begin it. --seeds may grow")
@click.pass_context
def command(ctx, run, assignments, jobs, backend, out, resume, force, as_json, quiet, **options):
    """Measure transfer: train on one data set, freeze the features, train a new head on another.

    Images can be the source of events, and events of images: images get the events' height, width and polarities. Each
    transfer is compared with training from scratch, with the same budget, order and seeds, and with a control
    whose frozen layers were never trained: if transfer does not beat it, the features were worth nothing. The
    directory holds transfer.json, transfer.png and every network's record.
    """
    shared.check_going_on(resume, force, out, "transfer")
    shared.make_absolute(options)
    given = shared.given_values(ctx, options)
    if "target_epochs" in given:  # of which the config knows as its epochs
        check_int("target_epochs", given["target_epochs"], low=1, high=LARGEST)
    if run is None and not resume:
        shared.choose_for_events(given, options["target"])
        if (events := holds_events(options["source"])) != holds_events(options["target"]):
            given.setdefault("source_encoding", ENCODED[0] if events else COMPARED_ENCODINGS[0])
    source = options["source"] if run is None else user_path("--from-run", run).resolve().name
    out = shared.place(out, f"transfer-{shared.dataset_label(source)}-{shared.dataset_label(options['target'])}")

    from kerasburst.studies.transfer.config import TransferConfig

    # What is resumed is what was begun, but for what is said anew; transfer() refuses what may not differ.
    begun = shared.begun_config(TransferConfig, out, resume)
    if run is not None:
        config = _of_run(run, given, assignments)
    else:
        base = (
            TransferConfig(train=dataclasses.replace(shared.TRAIN_DEFAULT, dataset=TARGET)) if begun is None else begun
        )
        train = dataclasses.replace(base.train, **{_TRAIN[name]: v for name, v in given.items() if name in _TRAIN})
        train = configs.set_parameters(train, [shared.parse_assignment(text) for text in assignments])
        config = dataclasses.replace(base, train=train, **{n: v for n, v in given.items() if n in _PLAN})
    load_tensorflow(any_backend=True)
    from kerasburst_cli.fleet_progress import make_fleet_observer

    from kerasburst.reports.transfer import save_transfer_plot
    from kerasburst.studies.transfer.study import transfer

    observer = make_fleet_observer(quiet=quiet, as_json=as_json)
    with interruptible(observer, out, f"kerasburst transfer --resume --out {out}"):
        result = transfer(config, out, resume=resume, force=force, jobs=jobs, backend=backend, observer=observer)
    value = records.to_json(result)
    save_transfer_plot(value, out / "transfer.png")
    shared.print_result(value, out, as_json=as_json, text=lambda: summary(value, out))


def _of_run(run, given, assignments):
    """Return the config of a transfer from a run, which says itself how its network is built."""
    closed = [f"--{name.replace('_', '-').removesuffix('s')}" for name in given if name in _CLOSED]
    closed += ["--set"] * bool(assignments)
    if closed:
        raise InputError(f"{', '.join(sorted(closed))} must not be given with --from-run: its config.json says that")
    options = {
        name: value for name, value in given.items() if name not in ("target", "target_epochs") and name not in _CLOSED
    }
    if "target" not in given:
        raise InputError("--target must be given with --from-run, received none")
    load_tensorflow(any_backend=True)
    from kerasburst.studies.transfer.study import config_of_run

    return config_of_run(run, given["target"], given.get("target_epochs"), **options)


def summary(result: dict, out) -> str:
    """Return the table of arms by encoding, and what was trained."""
    from kerasburst.reports.table import count, terminal
    from kerasburst.reports.transfer import arms_table

    data, budget = result["data"], result["budget"]
    lines = [
        f"{data['source']['name']} to {data['target']['name']}: {', '.join(result['frozen_layers'])} frozen, "
        f"{budget['source_epochs']} + {budget['target_epochs']} epochs, {budget['target_train_examples']} training "
        f"examples, {count(len(result['seeds']), 'seed')}",
        "",
        terminal(arms_table(result)),
    ]
    lines += [f"{name}: warning: {text}" for name, found in result["encodings"].items() for text in found["warnings"]]
    return "\n".join([*lines, "", f"written to {out}: transfer.json, transfer.png"])
