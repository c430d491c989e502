"""kerasburst datasets."""

from __future__ import annotations

import json

import click
from kerasburst_cli.options import data_dir_option, json_option

from kerasburst.data.datasets import list_datasets
from kerasburst.registry import READERS


@click.command("datasets")
@data_dir_option
@json_option
def command(data_dir, as_json):
    """List the data sets, their sizes, and whether each is available here."""
    rows = list_datasets(data_dir)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (
        ("name", "left"),
        ("example", "left"),
        ("classes", "right"),
        ("train + test", "right"),
        ("epochs", "right"),
        ("here", "left"),
        ("where", "left"),
    ):
        table.add_column(title, justify=justify, overflow="fold")
    for row in rows:
        split = f"{row['num_train']:,} + {row['num_test']:,}" if row["num_train"] else f"{row['num_examples']:,} split"
        table.add_row(
            row["name"],
            "x".join(map(str, row["sample_shape"])),
            str(row["num_classes"]),
            split,
            str(row["default_epochs"]),
            ("part" if row["note"] else "yes") if row["available"] else "no",
            _place(row),
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)
    for reader in READERS.values():
        console.print(f"Or the path of {reader.what} of your own: {reader.contents}.")


def _place(row: dict) -> str:
    if not row["available"]:
        return f"a network, or {row['name']}.npz in --data-dir"
    return f"{row['where']} ({row['note']})" if row["note"] else row["where"]
