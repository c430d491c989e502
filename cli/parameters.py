"""The list that `--list-parameters` prints: each parameter with its default, and what its class says of it."""

from __future__ import annotations

import inspect
import itertools
import re

import click
from kerasburst_cli.options import all_parameters

from kerasburst.data.events import Reading
from kerasburst.registry import ENCODERS, NETWORKS, NEURONS

_SCOPES = {"encoder": ENCODERS, "model": NETWORKS, "neuron": NEURONS}


def parameters_text(width: int = 100) -> str:
    """Return the parameters that `--set` takes, by class, with defaults, meanings and ranges.

    Args:
        width: of a line, in characters.
    """
    text = click.HelpFormatter(width=width)
    for owner, rows in itertools.groupby(all_parameters(), key=lambda row: (row[1].partition(".")[0], row[0])):
        meanings = _meanings(Reading if owner[0] == "data" else _SCOPES[owner[0]][owner[1]])
        lines = [(f"{name}={default!r}", meanings.get(name.partition(".")[2], "")) for _, name, default in rows]
        with text.section(" ".join(owner)):
            both = ("encoder.trainable=False", "trainable_burst_size and trainable_intensity_map together")
            text.write_dl([both, *lines] if any(line.startswith("encoder.trainable_") for line, _ in lines) else lines)
    return text.getvalue().strip()


def models_text(width: int = 100) -> str:
    """Return the networks that `--model` takes, with what each is."""
    text = click.HelpFormatter(width=width)
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
