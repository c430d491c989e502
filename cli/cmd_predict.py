"""kerasburst predict."""

from __future__ import annotations

import json

import click
from kerasburst_cli.options import json_option
from kerasburst_cli.running import load_tensorflow, say

from kerasburst import files, records
from kerasburst.validation import InputError, user_path


@click.command("predict")
@click.argument("model", type=click.Path())
@click.option(
    "--input",
    "source",
    type=click.Path(),
    required=True,
    help="An .npy, .npz (with one array, or x) or PNG file of examples, or a recording of events.",
)
@click.option("--queries", default=16, help="K, encodings of each example.")
@click.option(
    "--seed", type=int, help="Seed of the encodings: the same seed gives the same answer. Default: a new one."
)
@click.option("--out", type=click.Path(), help="Write the result as JSON to this file, too.")
@json_option
def command(model, source, queries, seed, out, as_json):
    """Classify examples with a run's network or an export of it, over many encodings.

    Prints each example's class, its probability, and the spread of that probability over the single encodings.
    Integers and tables are raw values, which are scaled like the training data. Images of floats are intensities from
    0 to 1. PNG files are scaled from 0-255 to 0-1.
    """
    if out is not None:
        out = user_path("--out", out)
        if out.is_dir() or not out.absolute().parent.is_dir():
            raise InputError(f"--out must be a file in a directory that exists, received {out}")
    load_tensorflow(any_backend=True)
    from kerasburst.export.predicting import predict
    from kerasburst.reports.table import number, table_of, terminal

    result = predict(model, source, queries=queries, seed=seed)
    if out is not None:
        files.write_json(out, records.to_json(result))
    if as_json:
        click.echo(json.dumps(records.to_json(result), indent=2))
        return
    shares = zip(result.classes, result.labels, result.probabilities, result.spread, strict=True)
    rows = [(i, label, number(p[c]), number(spread[c])) for i, (c, label, p, spread) in enumerate(shares)]
    head = ("", "class", "probability", f"spread over K = {result.queries}, seed {result.seed}")
    say(terminal(table_of(head, rows)))
