"""Options that several commands share, and how `--set` reads its values."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from kerasburst_cli.running import say

from kerasburst import files, records
from kerasburst.config import COMPARED_ENCODINGS, ENCODED, TrainConfig
from kerasburst.data.datasets import holds_events, path_reader
from kerasburst.data.derived import split_classes
from kerasburst.data.events import Reading
from kerasburst.parameters import parameters
from kerasburst.registry import ENCODERS, NETWORKS, NEURONS, OWN
from kerasburst.validation import InputError, user_path

T = TypeVar("T")
INVALID = 3  # exit code where a control of an audit failed


class Named(click.Choice):
    """A choice of names to which a module of the user's own may add."""

    def convert(self, value, param, ctx):
        """Return the name; of an unknown one say where others come from."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            error.message = f"{error.message.rstrip('.')}; {OWN}."
            raise


def parse_assignment(text: str) -> tuple[str, str, Any]:
    """Read SCOPE.NAME=VALUE.

    VALUE is JSON where it can be, a list where it has commas, None for "none", else a string.

    Example:
        >>> parse_assignment("encoder.mean_burst_size=3"), parse_assignment("model.filters=8,16")
        (('encoder', 'mean_burst_size', 3), ('model', 'filters', [8, 16]))
    """
    target, equals, value = text.partition("=")
    scope, dot, name = target.strip().partition(".")
    if not (equals and dot and name):
        raise InputError(f"--set must be SCOPE.NAME=VALUE, such as encoder.mean_burst_size=3, received {text!r}")
    return scope, name, _value(value.strip())


def _value(text: str) -> Any:
    value = files.parse_word(text)
    if value == text and "," in text and "(" not in text:
        return [_value(part.strip()) for part in text.split(",")]
    return value


def numbered(folder: str, name: str) -> Path:
    """Return the first of folder/name, folder/name-2, folder/name-3, ... that does not exist."""
    path, number = Path(folder, name), 1
    while path.exists():
        number += 1
        path = Path(folder, f"{name}-{number}")
    return path


def choose_for_events(given: dict[str, Any], dataset: str) -> None:
    """Choose the encodings that take events, where a data set holds them and the user has not chosen."""
    if "encodings" not in given and holds_events(dataset):
        given["encodings"] = ENCODED


def full_dataset(text: str, argument: str = "dataset") -> str:
    """Return a known data set's name unchanged, and a path as an absolute one."""
    path, classes = split_classes(text)
    if path_reader(path, argument) is None:
        return text
    return str(user_path(argument, path).resolve()) + ("" if classes is None else text[len(str(path)) :])


def dataset_label(dataset: str) -> str:
    """Return what a data set is called in the name of a folder.

    Example:
        >>> dataset_label("/data/mine.npz"), dataset_label("digits:0-4")
        ('mine', 'digits_0-4')
    """
    path, classes = split_classes(dataset)
    return Path(path).stem + ("" if classes is None else dataset[len(str(path)) :].replace(":", "_"))


def check_going_on(resume: bool, force: bool, out: str | None, what: str) -> None:
    """Refuse --resume together with --force, or without the directory of the `what` to go on with."""
    if resume and force:
        raise InputError("--resume and --force exclude each other, received both")
    if resume and out is None:
        raise InputError(f"--resume needs --out, the directory of the {what} to go on with")


def make_absolute(options: dict[str, Any]) -> None:
    """Make the paths among a command's options good in another working directory: the data's folder, users' files."""
    if options.get("data_dir") is not None:
        options["data_dir"] = str(user_path("data_dir", options["data_dir"]).resolve())
    for name in ("dataset", "source", "target"):
        if name in options:
            options[name] = full_dataset(options[name], name)


set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="SCOPE.NAME=VALUE",
    help="Set a parameter of the encoder, neuron, model or data, such as encoder.mean_burst_size=3 or "
    "data.step_us=1000. Repeatable.",
)
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(),
    help="Folder of data files. Default: the run's, if there is one; else KERASBURST_DATA.",
)
jobs_option = click.option(
    "--jobs",
    type=int,
    help="Networks trained side by side, each with its share of the cores as threads. Default: the number of cores.",
)
backend_option = click.option(
    "--backend",
    type=click.Choice(["loky", "dask", "ray"]),
    default="loky",
    help="loky: processes on this machine. dask, ray: the cluster at DASK_SCHEDULER_ADDRESS or RAY_ADDRESS, whose "
    "machines must all see --out; without an address, a cluster on this machine.",
)
TRAIN_DEFAULT = TrainConfig()
_TRAINING: dict[str, dict] = {
    "dataset": {"help": "Name of a data set, or path of your own."},
    "encoding": {"type": Named(list(ENCODERS))},
    "num_steps": {"help": "T, time steps."},
    "model": {"type": Named(list(NETWORKS)), "help": "Default: depends on the data."},
    "epochs": {"type": int, "help": "Default: the data set's own."},
    "batch_size": {},
    "learning_rate": {},
    "seed": {},
    "train_limit": {"type": int, "help": "Train on a stratified subset of this many examples."},
}
TRAIN_FIELDS = (*_TRAINING, "data_dir")  # those of TrainConfig's fields that are options of studies


def _combine(*options: Callable) -> Callable:
    """Return a decorator that adds options, shown in this order."""

    def add(command):
        for option in reversed(options):
            command = option(command)
        return command

    return add


def config_option(field: str, *flags: str, **settings: Any) -> Callable:
    """Return an option that sets a field of `TrainConfig` and has its default; `flags` where it is called otherwise."""
    flags = flags or (f"--{field.replace('_', '-')}",)
    return click.option(*flags, field, default=getattr(TRAIN_DEFAULT, field), **settings)


def training_options(*names: str, **helps: str) -> Callable:
    """Return a decorator that adds options which set fields of `TrainConfig`.

    Args:
        names: of the fields, in the order of `--help`.
        helps: another help text than usual, by name.
    """
    found = []
    for name in names:
        settings = _TRAINING[name] | ({"help": helps[name]} if name in helps else {})
        found.append(config_option(name, **settings))
    return _combine(*found)


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")


encodings_option = click.option(
    "--encoding",
    "encodings",
    type=Named(list(ENCODERS)),
    multiple=True,
    default=COMPARED_ENCODINGS,
    show_default=False,
    help=f"Repeatable; all are trained with the same examples and seeds. Default: {', '.join(COMPARED_ENCODINGS)}; "
    f"for events: {', '.join(ENCODED)}.",
)
quiet_option = click.option("--quiet", is_flag=True, help="Show no progress, only warnings and the result.")
fleet_options = _combine(jobs_option, backend_option)


def directory_options(what: str, place: str, resume: str = "or begin it") -> Callable:
    """Return a decorator that adds --out, --resume, --force, --json and --quiet.

    Args:
        what: is in the directory, as in "the audit in --out".
        place: the directory by default, as `--help` shows it.
        resume: what more --resume means.
    """
    return _combine(
        click.option("--out", type=click.Path(), help=f"The {what}'s directory. Default: {place}, numbered."),
        click.option("--resume", is_flag=True, help=f"Resume the {what} in --out, {resume}."),
        click.option("--force", is_flag=True, help=f"Replace the {what} in --out."),
        json_option,
        quiet_option,
    )


def given_values(ctx: click.Context, values: dict[str, Any]) -> dict[str, Any]:
    """Return those of a command's values that are not defaults."""
    return {n: v for n, v in values.items() if ctx.get_parameter_source(n) is not ParameterSource.DEFAULT}


def begun_config(cls: type[T], out: Path, resume: bool) -> T | None:
    """Return the config of what is resumed in `out`; None where it begins there."""
    path = out / "config.json"
    return records.load(cls, path) if resume and os.path.lexists(path) else None


def place(out: str | None, name: str) -> Path:
    """Return the directory to write to, by default a new one in runs/."""
    return user_path("--out", numbered("runs", name) if out is None else out)


def print_result(value: dict, out: Path, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print a result's JSON, or what `text` returns."""
    if as_json:
        click.echo(json.dumps({"out": str(out), **value}, indent=2))
    else:
        say(text())


def all_parameters() -> list[tuple[str, str, Any]]:
    """Return every parameter `--set` takes: (owner, "scope.name", default)."""
    rows = []
    for scope, registry in (("encoder", ENCODERS), ("model", NETWORKS), ("neuron", NEURONS)):
        for owner in registry:
            rows += [(owner, f"{scope}.{n}", value) for n, value in parameters(scope, owner).items()]
    rows += [("(all)", f"data.{field.name}", field.default) for field in dataclasses.fields(Reading)]
    return rows
