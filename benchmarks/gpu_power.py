"""Measure what encodings cost on a GPU, in watts and joules an example, all in one process with one compiled network.

    python benchmarks/gpu_power.py --data-dir DIR --window 20 --rounds 2 --out power.jsonl

`kerasburst profile` measures each encoding in a process of its own; where compiling takes longer than measuring, this
asks the same in less time. Each encoding is fed by the pipeline, which encodes on the host, and from spikes that were
encoded before: a GPU that waits for the host draws fewer watts, and may still cost more joules an example. The arms
take turns, each round beginning with the next; an arm's window begins after an epoch of its own.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

ENCODINGS = {
    "rate_regular": ("rate", {"mode": "regular"}),
    "rate": ("rate", {}),
    "poisson_burst": ("poisson_burst", {}),
    "delayed_burst": ("delayed_burst", {}),
}
FEEDS = ("encoded", "pipeline")
BASELINE = "rate_regular"
_ENDLESS = 1_000_000  # epochs


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--encoding", "encodings", type=click.Choice(list(ENCODINGS)), multiple=True, help="Default: all.")
@click.option("--feed", "feeds", type=click.Choice(FEEDS), multiple=True, help="Default: both.")
@click.option("--dataset", default="mnist", show_default=True)
@click.option("--data-dir", type=click.Path(exists=True, file_okay=False), help="Default: KERASBURST_DATA.")
@click.option("--train-limit", type=int, default=10_000, show_default=True)
@click.option(
    "--batch-size", type=int, default=125, show_default=True, help="A divisor of --train-limit compiles once."
)
@click.option("--window", type=float, default=20.0, show_default=True, help="Seconds an arm is measured, each round.")
@click.option("--rounds", type=int, default=2, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A file for the lines of JSON.")
def command(encodings, feeds, dataset, data_dir, train_limit, batch_size, window, rounds, out):
    """Print one line of JSON for each window, then the ratios to deterministic rate coding."""
    from kerasburst.config import TrainConfig
    from kerasburst.data.datasets import load_source
    from kerasburst.data.splits import make_splits
    from kerasburst.profiling.profiler import Profiler, ProfilerCallback
    from kerasburst.profiling.study import HeldEncoder, encoded
    from kerasburst.training.fit import run_epochs
    from kerasburst.training.setup import build, prepare

    def plan(name: str):
        encoding, encoder = ENCODINGS[name]
        config = TrainConfig(dataset=dataset, data_dir=data_dir, encoding=encoding, encoder=encoder, epochs=_ENDLESS)
        return dataclasses.replace(config, batch_size=batch_size, train_limit=train_limit)

    splits = make_splits(load_source(dataset, data_dir=data_dir), 0, train_limit, 0.0)
    network, idle_w, lines, arms = None, None, [], {}
    for name in encodings or ENCODINGS:
        config, data = prepare(plan(name), splits)
        built, encoder = build(config, data)
        network = network or built
        for feed in feeds or FEEDS:
            held = feed == "encoded"
            fed = (HeldEncoder(config.num_steps), encoded("train", config, data)) if held else (encoder, data)
            arms[name, feed] = (config, *fed)
    for number in range(rounds):
        order = list(arms)[number % len(arms) :] + list(arms)[: number % len(arms)]
        for name, feed in order:
            config, encoder, data = arms[name, feed]
            profiler = Profiler(**({} if idle_w is None else {"idle_s": 0.0}))
            callback = ProfilerCallback(profiler, window_s=window)
            run_epochs(network, encoder, config, data, callbacks=[callback])
            found = profiler.result
            idle_w = found.gpu_idle_power_w if idle_w is None else idle_w
            lines.append(line(number, name, feed, found, callback.epochs * len(data.x_train), idle_w))
            click.echo(json.dumps(lines[-1]))
            if out:
                with out.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    for feed in feeds or FEEDS:
        for name in encodings or ENCODINGS:
            click.echo(f"{feed:9} {name:14} {ratios(lines, name, feed)}")


def line(number, name, feed, found, examples: int, idle_w: float | None) -> dict:
    """Return the figures of a window; what the machine cannot measure is null, with the reason."""
    figures = {"round": number, "encoding": name, "feed": feed, "seconds": round(found.wall_s, 3), "examples": examples}
    figures |= {"examples_per_s": round(examples / found.wall_s, 1), "gpu_busy_percent": found.gpu_utilisation_percent}
    figures |= {"gpu_w": found.gpu_power_w, "gpu_idle_w": idle_w, "mj_per_example": None, "mj_above_idle": None}
    if found.gpu_energy_j is None:
        return {**figures, "reason": found.reasons["gpu_energy_j"]}
    figures["mj_per_example"] = 1000 * found.gpu_energy_j / examples
    if idle_w is not None:
        figures["mj_above_idle"] = 1000 * (found.gpu_energy_j - idle_w * found.wall_s) / examples
    return figures


def ratios(lines: list[dict], name: str, feed: str) -> str:
    """Return the ratios of an arm to deterministic rate coding in the same round, least and most over the rounds."""
    by = {(each["round"], each["encoding"]): each for each in lines if each["feed"] == feed}
    told = []
    for figure in ("gpu_w", "mj_per_example", "mj_above_idle", "examples_per_s"):
        pairs = [(each, by.get((number, BASELINE))) for (number, encoding), each in by.items() if encoding == name]
        values = [a[figure] / b[figure] for a, b in pairs if b and a[figure] is not None and b[figure]]
        told.append(f"{figure} x {min(values):.3f} to {max(values):.3f}" if values else f"{figure} unknown")
    return ", ".join(told)


if __name__ == "__main__":
    command()
