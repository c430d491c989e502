"""kerasburst encode."""

from __future__ import annotations

import json

import click

from kerasburst import config as configs
from kerasburst.cli.options import data_dir_option, json_option, numbered, parse_assignment, set_option
from kerasburst.cli.quiet import load_tensorflow
from kerasburst.config import TrainConfig
from kerasburst.validation import InputError, check_int, user_path


@click.command("encode")
@click.option("--dataset", default="digits", show_default=True, help="A data set's name, or an .npz file.")
@click.option("--index", type=int, default=0, show_default=True, help="Which test example.")
@click.option("--encoding", type=click.Choice(list(configs.ENCODERS)), default="rate", show_default=True)
@click.option("--num-steps", type=int, default=10, show_default=True, help="T, time steps.")
@click.option("--feature", "features", type=int, multiple=True, help="Flat index of a feature to draw. Repeatable.")
@click.option("--draws", type=int, default=200, show_default=True, help="Encodings behind the empirical rates.")
@click.option("--seed", type=int, default=0, show_default=True)
@data_dir_option
@set_option
@click.option("--out", type=click.Path(), help="Directory to write. Default: runs/encode-ENCODING, numbered.")
@json_option
def command(dataset, index, encoding, num_steps, features, draws, seed, data_dir, assignments, out, as_json):
    """Draw what an encoder does to an example.

    Writes encoding.png (raster of features, encoded frames, empirical against exact spike probability) and
    encoding.json.
    """
    for text in assignments:
        if not text.startswith("encoder."):
            raise InputError(f"--set of encode must be encoder.NAME=VALUE, received {text!r}")
    config = TrainConfig(dataset=dataset, encoding=encoding, num_steps=num_steps, seed=seed, data_dir=data_dir)
    config = configs.set_parameters(config, [parse_assignment(text) for text in assignments])
    check_int("draws", draws, low=1)
    out = user_path("--out", out) if out else numbered("runs", f"encode-{encoding}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"out must be a new or empty directory, {out} is not")
    load_tensorflow()
    from kerasburst.data.datasets import load_dataset
    from kerasburst.reports.encoding import encode

    encoder = config.make_encoder()
    data = load_dataset(dataset, data_dir=data_dir, seed=seed)
    check_int("index", index, low=0, high=len(data.x_test) - 1)
    label = data.class_names[int(data.y_test[index])]
    title = f"{encoding}: {data.name}, test example {index} ({label}), T = {num_steps}"
    result = encode(encoder, data.x_test[index], out, features=list(features), draws=draws, seed=seed, title=title)
    if as_json:
        click.echo(json.dumps({"out": str(out), **result}, indent=2))
        return
    click.echo(title)
    click.echo(f"mean intensity          {result['mean_intensity']:.4f}")
    click.echo(f"firing rate             {result['firing_rate']:.4f}  (exact {result['firing_rate_exact']:.4f})")
    click.echo(
        f"spikes per feature      {result['spikes_per_feature']:.3f}, at most {result['spikes_per_feature_max']:.3f}"
    )
    click.echo(f"features never spiking  {result['silent_share']:.1%}")
    click.echo("firing rate by step     " + " ".join(f"{rate:.2f}" for rate in result["firing_rate_by_step"]))
    click.echo(
        f"empirical against exact {result['largest_deviation']:.4f} apart at most, "
        f"{result['largest_deviation_in_standard_errors']:.1f} standard errors, over {draws} draws"
    )
    click.echo(f"written to              {out}")
