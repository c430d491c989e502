"""kerasburst train."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import re
from collections.abc import Callable

import click
from kerasburst_cli import options as shared
from kerasburst_cli.running import choose_jax, interruptible, load_tensorflow, say

from kerasburst import config as configs
from kerasburst import records
from kerasburst.config import TrainConfig
from kerasburst.data.datasets import holds_events
from kerasburst.data.events import Reading
from kerasburst.registry import ENCODERS, NETWORKS, NEURONS
from kerasburst.validation import InputError, user_path

_SCOPES = {"encoder": ENCODERS, "model": NETWORKS, "neuron": NEURONS}
_FIELDS = {field.name for field in dataclasses.fields(TrainConfig)} - {"encoder", "network", "neuron", "data"}


def parameters_text(width: int = 100) -> str:
    """Return the parameters that `--set` takes, by class, with defaults, meanings and ranges, in lines of `width`."""
    text = click.HelpFormatter(width=width)
    for owner, rows in itertools.groupby(shared.all_parameters(), key=lambda row: (row[1].partition(".")[0], row[0])):
        meanings = _meanings(Reading if owner[0] == "data" else _SCOPES[owner[0]][owner[1]])
        lines = [(f"{name}={default!r}", meanings.get(name.partition(".")[2], "")) for _, name, default in rows]
        with text.section(" ".join(owner)):
            both = ("encoder.trainable=False", "trainable_burst_size and trainable_intensity_map together")
            text.write_dl([both, *lines] if any(line.startswith("encoder.trainable_") for line, _ in lines) else lines)
    return text.getvalue().strip()


def models_text() -> str:
    """Return the networks that `--model` takes, with what each is."""
    text = click.HelpFormatter(width=100)
    with text.section("networks"):
        text.write_dl([(name, (NETWORKS[name].__doc__ or "").strip().partition("\n")[0]) for name in NETWORKS])
    return text.getvalue().strip()


def _meanings(cls: type) -> dict[str, str]:
    """Return what the `Args` sections of a class and of its bases say of each parameter."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        document = inspect.cleandoc(vars(base).get("__doc__") or "")
        section = re.search(r"^Args:\n((?:(?: .*)?\n?)+)", document, re.MULTILINE)
        entries = re.finditer(r"^ {4}(\w[\w, ]*): (.*(?:\n {5,}.*)*)", section[1] if section else "", re.MULTILINE)
        for names, text in (entry.groups() for entry in entries):
            said = " ".join(text.split()).replace("`", "").removesuffix(".")
            found |= dict.fromkeys(names.split(", "), said)
    return found


def _list_option(name: str, text: Callable[[], str], help: str) -> Callable:
    """Return an option that prints a text, and ends the command."""

    def show(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            load_tensorflow(any_backend=True)
            say(text())
            ctx.exit()

    return click.option(name, is_flag=True, is_eager=True, expose_value=False, callback=show, help=help)


@click.command("train")
@shared.training_options("dataset")
@click.option(
    "--encoding",
    type=shared.Named(list(ENCODERS)),
    multiple=True,
    help=f"Default: {shared.TRAIN_DEFAULT.encoding}; none for events.",
)
@shared.training_options("num_steps", "model", "epochs", "batch_size", "learning_rate", "seed", "train_limit")
@shared.data_dir_option
@shared.set_option
@_list_option("--list-models", models_text, "List the networks that --model takes, and exit.")
@_list_option(
    "--list-parameters", parameters_text, "List what --set takes, with defaults, meanings and ranges, and exit."
)
@shared.config_option("validation_split", help="Share of the training part held out for validation.")
@click.option(
    "--early-stopping",
    type=int,
    metavar="EPOCHS",
    help="Stop after this many epochs without a better validation loss; needs --validation-split.",
)
@click.option(
    "--keep-best", is_flag=True, help="Keep the weights of the best validation loss; needs --validation-split."
)
@shared.config_option("queries", help="K, encodings of each test example; the test accuracy is the mean over them.")
@shared.config_option(
    "precision",
    type=click.Choice(configs.PRECISIONS),
    help="mixed_bfloat16 is faster where the processor has it (AVX512_BF16, AMX, GPUs); mixed_float16 is for GPUs.",
)
@click.option(
    "--epsilon",
    type=float,
    help="Train with (epsilon, delta)-differential privacy, by DP-SGD on JAX; needs the extra dp. --batch-size is "
    "then the expected size of a batch.",
)
@shared.config_option("delta", help="With --epsilon: delta, below 1 / number of examples.")
@shared.config_option(
    "clipping_norm", "--clip", help="With --epsilon: each example's gradient is clipped to this norm."
)
@shared.config_option(
    "encodings_per_example",
    help="With --epsilon: K, encodings of each example; the mean of their gradients is clipped.",
)
@shared.config_option(
    "spike_cost",
    help="Weight in the loss of the mean probability of an input spike; needs --set encoder.trainable=true.",
)
@shared.config_option("firing_penalty", help="Weight in the loss of the hidden neurons' mean squared firing rate.")
@shared.config_option(
    "adversary",
    metavar="WEIGHT",
    help="Weight in the loss of an attacker that sees membranes and tries to tell training examples from a reference "
    "part.",
)
@shared.config_option(
    "reference_split",
    help="With --adversary: share of the training part that is the reference part; nothing else is trained on it.",
)
@click.option(
    "--config", "config_file", type=click.Path(), help="Repeat the run of this config.json; options override it."
)
@click.option("--out", type=click.Path(), help="The run directory. Default: runs/DATASET-ENCODING, numbered.")
@click.option(
    "--resume", is_flag=True, help="Resume the run in --out, or begin it. With more --epochs, continue a finished run."
)
@click.option("--force", is_flag=True, help="Replace the run in --out.")
@click.option(
    "--strategy",
    type=click.Choice(configs.STRATEGIES),
    help="Share each batch (TensorFlow only). mirrored: between this machine's GPUs; multi_worker: between the "
    "machines of TF_CONFIG, each of which runs this command.",
)
@click.option("--tensorboard", is_flag=True, help="Log to OUT/tensorboard.")
@shared.json_option
@shared.quiet_option
@click.pass_context
def command(ctx, assignments, config_file, out, resume, force, strategy, tensorboard, as_json, quiet, **options):
    """Train a spiking network on encoded data, and measure it.

    The run directory holds config.json, result.json, model.keras, history.csv and curves.png. Resume an interrupted
    run with --resume --out DIRECTORY.
    """
    shared.check_going_on(resume, force, out, "run")
    given = shared.given_values(ctx, {name: value for name, value in options.items() if name in _FIELDS})
    if len(options["encoding"]) > 1:
        raise InputError(f"--encoding of train must be given once, received {', '.join(options['encoding'])}")
    if "encoding" in given:
        (given["encoding"],) = given["encoding"]
    base = shared.TRAIN_DEFAULT
    if config_file is not None:
        base = records.load(TrainConfig, config_file)
    elif resume and (path := user_path("--out", out) / "config.json").exists():
        base = records.load(TrainConfig, path)
    shared.make_absolute(given)
    if base is shared.TRAIN_DEFAULT and "encoding" not in given and holds_events(given.get("dataset", base.dataset)):
        given["encoding"] = configs.ENCODED[0]
    config = dataclasses.replace(base, **given)
    if config_file is not None and given.get("dataset", base.dataset) != base.dataset:
        # What was filled in for the other data set is chosen anew, unless it is given here.
        anew = {name: given.get(name) for name in ("model", "epochs")}
        config = dataclasses.replace(config, **anew, network=base.network if given.get("model") else {})
    if "encoding" in given and given["encoding"] != base.encoding:
        config = dataclasses.replace(config, encoder={})
    if "model" in given and given["model"] != base.model:
        config = dataclasses.replace(config, network={})
    config = configs.set_parameters(config, [shared.parse_assignment(text) for text in assignments])
    out = shared.place(out, f"{shared.dataset_label(config.dataset)}-{config.encoding}")
    if config.epsilon is not None:
        choose_jax()
    elif "delta" in given or "clipping_norm" in given:
        raise InputError(f"{'--delta' if 'delta' in given else '--clip'} needs --epsilon, which trains privately")

    load_tensorflow(any_backend=True)
    from kerasburst_cli.progress import make_observer

    from kerasburst.training.fit import train

    observer = make_observer(quiet=quiet, as_json=as_json)
    again = f"kerasburst train --resume --out {out}"
    if strategy is not None:  # another worker may not see this directory: its command must say it all
        again = "the same command and --resume"
    with interruptible(observer, out, again):
        result = train(
            config, out, resume=resume, force=force, observer=observer, tensorboard=tensorboard, strategy=strategy
        )
    if result is None:  # a worker that is not the chief
        return
    for warning in result.warnings:
        say(f"warning: {warning}", err=True)
    shared.print_result(records.to_json(result), out, as_json=as_json, text=lambda: summary(result, out))


def summary(result, out) -> str:
    """Return the lines that end a training."""
    low, high = result.test_accuracy_interval
    draws = f"mean of {result.test_queries} encodings" if result.test_queries > 1 else "1 encoding"
    lines = [
        f"test accuracy   {result.test_accuracy:.2%}  (95 % interval {low:.2%} to {high:.2%}, {draws})",
        f"train accuracy  {result.train_accuracy:.2%}",
        f"trained         {result.epochs} epochs in {result.train_seconds:.1f} s, "
        f"{result.samples_per_second:,.0f} examples/s",
        "firing rates    " + ", ".join(f"{name} {rate:.3f}" for name, rate in result.firing_rates.items()),
        f"written to      {out}",
    ]
    if result.privacy is not None:
        p = result.privacy
        lines[1:1] = [
            f"privacy         epsilon {p.epsilon:.3g} at delta {p.delta:g}: noise {p.noise_multiplier:.3g}, clipped to "
            f"{p.clipping_norm:g}, {p.steps} steps at rate {p.sampling_rate:.3g}"
        ]
    if result.trained_encoder is not None:
        lines[-1:-1] = [f"learnt          {name} {_learnt(value)}" for name, value in result.trained_encoder.items()]
    if result.note:
        lines.insert(0, f"data            {result.note}")
    return "\n".join(lines)


def _learnt(value) -> str:
    """Return a trained value, or its extent over the features, as text."""
    if isinstance(value, dict):
        return ", ".join(f"{name.partition('_')[0]} {_learnt(each)}" for name, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else " ".join(f"{each:.4g}" for each in value)
