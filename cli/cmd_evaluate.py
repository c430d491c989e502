"""kerasburst evaluate."""

from __future__ import annotations

import json

import click
from kerasburst_cli.options import data_dir_option, json_option
from kerasburst_cli.running import load_tensorflow, say

from kerasburst import records


@click.command("evaluate")
@click.argument("run", type=click.Path())
@click.option("--queries", default=16, help="K, encodings of each test example.")
@click.option("--batch-size", type=int, help="Default: the run's.")
@click.option("--dataset", help="The path of the run's data, if it has moved.")
@data_dir_option
@json_option
def command(run, queries, batch_size, dataset, data_dir, as_json):
    """Measure a trained run's accuracy on its test part, over many encodings.

    The accuracy is the mean over K encodings of each example. A second accuracy averages the logits of the K
    encodings before it decides.
    """
    load_tensorflow(any_backend=True)
    from kerasburst.training.evaluation import evaluate

    result = evaluate(run, queries=queries, data_dir=data_dir, dataset=dataset, batch_size=batch_size)
    if as_json:
        click.echo(json.dumps(records.to_json(result), indent=2))
        return
    low, high = result.accuracy_interval
    say(f"test examples             {result.examples:,}")
    say(f"encodings of each (K)     {result.queries}")
    say(f"accuracy                  {result.accuracy:.2%}  (95 % interval {low:.2%} to {high:.2%})")
    if result.queries > 1:
        spread = f"{min(result.accuracies):.2%} to {max(result.accuracies):.2%}"
        say(f"  of single encodings     {spread}")
        say(f"accuracy of mean logits   {result.accuracy_of_mean_logits:.2%}")
    say(f"cross-entropy             {result.loss:.4f} nats")
    say("firing rates              " + ", ".join(f"{n} {r:.3f}" for n, r in result.firing_rates.items()))
