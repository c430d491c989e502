"""Options that several commands share, and how `--set` reads its values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from kerasburst.config import parameters
from kerasburst.data.datasets import path_reader
from kerasburst.data.derived import split_classes
from kerasburst.registry import ENCODERS, NETWORKS
from kerasburst.validation import InputError, user_path

INVALID = 3  # exit code where a control of an audit failed


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
    if text.lower() in ("none", "null"):
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return json.loads(text)
    except ValueError:
        pass
    if "," in text and "(" not in text:
        return [_value(part.strip()) for part in text.split(",")]
    return text


def numbered(folder: str, name: str) -> Path:
    """Give the first of folder/name, folder/name-2, folder/name-3, ... that does not exist."""
    path, number = Path(folder, name), 1
    while path.exists():
        number += 1
        path = Path(folder, f"{name}-{number}")
    return path


def full_dataset(text: str) -> str:
    """Return a known data set's name unchanged, and a path as an absolute one."""
    path, classes = split_classes(text)
    if path_reader(path) is None:
        return text
    return str(user_path("dataset", path).resolve()) + ("" if classes is None else text[len(path) :])


def dataset_label(dataset: str) -> str:
    """Give what a data set is called in the name of a folder.

    Example:
        >>> dataset_label("/data/mine.npz"), dataset_label("digits:0-4")
        ('mine', 'digits_0-4')
    """
    path, classes = split_classes(dataset)
    return Path(path).stem + ("" if classes is None else dataset[len(path) :].replace(":", "_"))


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
            options[name] = full_dataset(options[name])


set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="SCOPE.NAME=VALUE",
    help="Set a parameter of the encoder, neuron or model, such as encoder.mean_burst_size=3. Repeatable.",
)
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(),
    help="Folder of data files. Default: where a run had them, or the one KERASBURST_DATA names.",
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
    show_default=True,
    help="Processes here, or a cluster whose machines see --out: that of DASK_SCHEDULER_ADDRESS or RAY_ADDRESS, else "
    "one of this machine.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")


def all_parameters() -> list[tuple[str, str, Any]]:
    """Give every parameter `--set` takes: (owner, "scope.name", default)."""
    rows = []
    for scope, registry in (("encoder", ENCODERS), ("model", NETWORKS)):
        for owner in registry:
            rows += [(owner, f"{scope}.{n}", value) for n, value in parameters(scope, owner).items()]
    return rows + [("every network", f"neuron.{n}", value) for n, value in parameters("neuron").items()]
