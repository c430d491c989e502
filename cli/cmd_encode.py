"""kerasburst encode."""

from __future__ import annotations

import json

import click
from kerasburst_cli.options import Named, data_dir_option, json_option, parse_assignment, place, set_option
from kerasburst_cli.running import load_tensorflow, say

from kerasburst.config import TrainConfig
from kerasburst.registry import ENCODERS
from kerasburst.validation import LARGEST, InputError, check_int


@click.command("encode")
@click.option("--dataset", default="digits", help="A data set's name or the path of data.")
@click.option("--index", default=0, help="Which test example.")
@click.option(
    "--encoding",
    "encodings",
    type=Named(list(ENCODERS)),
    multiple=True,
    help="Repeatable: each then has a directory in --out. Default: rate.",
)
@click.option("--num-steps", default=10, help="T, time steps.")
@click.option("--feature", "features", type=int, multiple=True, help="Flat index of a feature to draw. Repeatable.")
@click.option("--draws", default=200, help="Number of encodings that the empirical rates are measured on.")
@click.option("--seed", default=0)
@data_dir_option
@set_option
@click.option("--out", type=click.Path(), help="Directory to write. Default: runs/encode-ENCODING, numbered.")
@json_option
def command(encodings, features, assignments, out, as_json, **options):
    """Draw what an encoder does to an example.

    Writes encoding.png (raster of features, encoded frames, empirical against exact spike probability) and
    encoding.json. --set takes parameters that all the given encodings have.
    """
    for text in assignments:
        if not text.startswith("encoder."):
            raise InputError(f"--set of encode must be encoder.NAME=VALUE, received {text!r}")
    parameters = {parse_assignment(text)[1]: parse_assignment(text)[2] for text in assignments}
    encodings = list(dict.fromkeys(encodings or ["rate"]))
    check_int("draws", options["draws"], low=1, high=LARGEST)
    out = place(out, "encode-" + "-".join(encodings))
    load_tensorflow(any_backend=True)
    from kerasburst.reports.encoding import check_new, encode

    check_new(out)
    for encoding in encodings:  # a parameter that one of them does not have is found before another is drawn
        of_encoder = {"num_steps": options["num_steps"], "seed": options["seed"], "encoder": parameters}
        TrainConfig(encoding=encoding, **of_encoder).make_encoder()
    results = {}
    for encoding in encodings:
        folder = out / encoding if len(encodings) > 1 else out
        results[encoding] = encode(encoding, out=folder, encoder=parameters, features=list(features), **options)
        if not as_json:
            say(_summary(results[encoding], options["draws"]))
            say(f"written to              {folder}")
    if as_json:
        found = results[encodings[0]] if len(encodings) == 1 else {"encodings": results}
        click.echo(json.dumps({"out": str(out), **found}, indent=2))


def _summary(result: dict, draws: int) -> str:
    return "\n".join(
        [
            result["title"],
            f"mean intensity          {result['mean_intensity']:.4f}",
            f"firing rate             {result['firing_rate']:.4f}  (exact {result['firing_rate_exact']:.4f})",
            f"spikes per feature      {result['spikes_per_feature']:.3f}, "
            f"at most {result['spikes_per_feature_max']:.3f}",
            f"features never spiking  {result['silent_share']:.1%}",
            "firing rate by step     " + " ".join(f"{rate:.2f}" for rate in result["firing_rate_by_step"]),
            f"empirical against exact {result['largest_deviation']:.4f} apart at most, "
            f"{result['largest_deviation_in_standard_errors']:.1f} standard errors, over {draws} draws"
            + _agrees(result),
        ]
    )


def _agrees(result: dict) -> str:
    if result["p_value"] is None:
        return ""
    cells = result["features"] * result["num_steps"]
    verdict = "agrees" if result["p_value"] >= 0.001 else "DIFFERS"
    p = f"p = {result['p_value']:.2g} for the furthest of {cells:,} probabilities, corrected for their number"
    return f": {verdict} ({p})"
