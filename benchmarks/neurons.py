"""Compare neurons under three encodings on Fashion-MNIST: accuracy, firing rates and time, with intervals.

    python benchmarks/neurons.py --out study          # choose, train, and print the table; begun again, it goes on
    python benchmarks/neurons.py --out study --table  # the table of what is done

Each training is one `kerasburst train` into a folder of its own, with 3,000 training images. First each neuron's one
parameter is chosen, for each encoding, by the accuracy on 1,000 other training images that no final training uses for
anything; then come the final trainings, on three seeds that chose nothing, measured on the 10,000 test images.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import click

from kerasburst.reports import table as tables

ENCODINGS = ("rate", "poisson_burst", "delayed_burst")
# The parameter that is chosen for each neuron, and its candidates: as many for each.
NEURONS = {
    "lif": ("beta", (0.8, 0.9, 0.95)),
    "adaptive_lif": ("kappa", (0.5, 1.0, 2.0)),
    "izhikevich": ("input_scale", (10.0, 30.0, 90.0)),
    "adex": ("input_scale", (500.0, 1500.0, 4500.0)),
}
SEEDS, CHOOSING = (1, 2, 3), 0
TRAINING, VALIDATION = 3000, 1000
SHARED = ("--dataset", "fashion_mnist", "--num-steps", "16", "--epochs", "8", "--batch-size", "64", "--quiet")
NETWORK = ("--set", "model.filters=8,16", "--set", "model.hidden_units=128")
COMMAND = (sys.executable, "-c", "from kerasburst_cli.main import main; main()")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the trainings.")
@click.option("--table", is_flag=True, help="Train nothing.")
def command(out, table):
    """Train what is not there yet, and print the table."""
    if not table:
        out.mkdir(parents=True, exist_ok=True)
        choosing = [(e, n, value) for e in ENCODINGS for n, (_, values) in NEURONS.items() for value in values]
        for encoding, neuron, value in choosing:
            folder = out / "choose" / f"{encoding}-{neuron}-{value:g}"
            split = VALIDATION / (TRAINING + VALIDATION)
            more = ("--train-limit", str(TRAINING + VALIDATION), "--validation-split", str(split), "--queries", "1")
            train(folder, encoding, neuron, value, CHOOSING, *more)
        for seed in SEEDS:
            for encoding in ENCODINGS:
                for neuron in NEURONS:
                    value = chosen(out, encoding, neuron)
                    folder = out / "final" / f"{encoding}-{neuron}-{seed}"
                    train(folder, encoding, neuron, value, seed, "--train-limit", str(TRAINING))
    click.echo(markdown(out))


def train(folder: Path, encoding: str, neuron: str, value: float, seed: int, *more: str) -> None:
    """Train into a folder, or go on with what is there; a training that fails is told and left out."""
    if (folder / "result.json").exists():
        return
    click.echo(f"training {folder.name}", err=True)
    settings = ("--set", f"model.neuron={neuron}", "--set", f"neuron.{NEURONS[neuron][0]}={value}")
    where = ("--encoding", encoding, "--seed", str(seed), "--resume", "--out", str(folder))
    done = subprocess.run([*COMMAND, "train", *SHARED, *NETWORK, *settings, *where, *more])
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        click.echo(f"failed: {folder.name}", err=True)


def chosen(out: Path, encoding: str, neuron: str) -> float:
    """Return the value with the highest validation accuracy, the first of equal ones."""
    accuracy = {}
    for value in NEURONS[neuron][1]:
        path = out / "choose" / f"{encoding}-{neuron}-{value:g}" / "result.json"
        if path.exists():
            accuracy[value] = json.loads(path.read_text())["validation_accuracy"]
    if not accuracy:
        raise click.ClickException(f"no training has chosen {neuron}'s {NEURONS[neuron][0]} under {encoding}")
    return max(accuracy, key=accuracy.get)


def markdown(out: Path) -> str:
    """Return the table of the final trainings that are done."""
    rows = []
    for encoding in ENCODINGS:
        for neuron, (name, _) in NEURONS.items():
            found = [out / "final" / f"{encoding}-{neuron}-{seed}" / "result.json" for seed in SEEDS]
            results = [json.loads(path.read_text()) for path in found if path.exists()]
            if not results:
                continue
            rates = [result["firing_rates"] for result in results]
            rows.append(
                (
                    encoding,
                    f"{neuron}, {name} {chosen(out, encoding, neuron):g}",
                    len(results),
                    share([result["test_accuracy"] for result in results], 1, 100),
                    share([rate["hidden_lif"] for rate in rates]),
                    share([rate["input"] for rate in rates]),
                    f"{statistics.median(each['train_seconds'] / each['epochs'] for each in results):.1f}",
                )
            )
    head = (
        "encoding",
        "neuron",
        "seeds",
        "test accuracy, %",
        "hidden firing rate",
        "input firing rate",
        "s an epoch",
    )
    return tables.markdown(tables.table_of(head, rows))


def share(values: list[float], digits: int = 3, scale: float = 1.0) -> str:
    """Return the mean over the seeds and its 95 % t interval."""
    return tables.estimate(*tables.over_seeds(values), digits, scale)


if __name__ == "__main__":
    command()
