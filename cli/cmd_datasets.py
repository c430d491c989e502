"""kerasburst datasets."""

from __future__ import annotations

import json

import click
from kerasburst_cli.options import data_dir_option, json_option
from kerasburst_cli.running import say

from kerasburst.data.catalogue import DATASETS
from kerasburst.data.datasets import list_datasets
from kerasburst.registry import READERS
from kerasburst.reports.table import Cell, table_of, terminal


@click.command("datasets")
@data_dir_option
@json_option
def command(data_dir, as_json):
    """List the data sets, their sizes, and whether each is available here."""
    rows = list_datasets(data_dir)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    head = ("name", "example", "classes", "train + test", "epochs", "here", "where")
    say(terminal(table_of(head, map(_row, rows))))
    say("\nor the path of your own data:")
    for reader in READERS.values():
        say(f"  {reader.what}: {reader.contents}")


def _row(row: dict) -> tuple:
    split = f"{row['num_train']:,} + {row['num_test']:,}" if row["num_train"] else f"{row['num_examples']:,} split"
    shape, here = "x".join(map(str, row["sample_shape"])), "part" if row["note"] else "yes"
    here = here if row["available"] else "no"
    return row["name"], shape, row["num_classes"], Cell(split), row["default_epochs"], here, _place(row)


def _place(row: dict) -> str:
    if not row["available"] and (expected := DATASETS[row["name"]].expected):
        return f"{expected} in --data-dir"
    if not row["available"]:
        return f"a network, or {row['name']}.npz in --data-dir"
    return f"{row['where']} ({row['note']})" if row["note"] else row["where"]
