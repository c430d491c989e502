"""Measure a training step of kerasburst's networks and of peers' on the same network and batch, side by side.

    python benchmarks/networks.py --peers peers/bin/python

    sew   SEWResNet of depth 18 (stem "imagenet", ADD), and SpikingJelly's sew_resnet18, beta 1
    conv  two 3x3 convolutions with LIF and pooling, Dense, LIF: SpikingVGG without normalisation, and snnTorch

Each library runs in a process of its own, the processes of a work take turns, and the table has medians over all
turns. A step is forward, backward and Adam. Memory is the process's peak over what it had before the network was made.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

WORKS = {"sew": "spikingjelly", "conv": "snntorch"}
SHAPES = {"sew": (32, 32, 3), "conv": (28, 28, 1)}
CLASSES = 10


def rss_mb(peak: bool) -> float:
    """Return this process's resident memory, now or at its peak."""
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def measure(step, count: int) -> list[float]:
    """Return the milliseconds of `count` steps after two that warm up."""
    found = []
    for _ in range(2 + count):
        begun = time.perf_counter()
        step()
        found.append(1e3 * (time.perf_counter() - begun))
    return found[2:]


def spikes(work: str, steps: int, batch: int):
    """Return random spikes `(batch, steps, height, width, channels)` and labels."""
    import numpy as np

    rng = np.random.default_rng(0)
    return (rng.random((batch, steps, *SHAPES[work])) < 0.3).astype("float32"), rng.integers(0, CLASSES, batch)


def kerasburst(work: str, steps: int, batch: int, count: int, threads: int):
    """Measure our network, compiled by Keras as `fit` compiles it."""
    import keras
    import tensorflow as tf

    import kerasburst as kb

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    x, y = spikes(work, steps, batch)
    before = rss_mb(peak=False)
    if work == "sew":
        network = kb.SEWResNet(CLASSES, depth=18, stem="imagenet", beta=1.0, readout="mean", seed=0)
    else:
        options = {"filters": ((32,), (64,)), "hidden_units": 256, "normalization": "none"}
        network = kb.SpikingVGG(CLASSES, **options, seed=0)
    network.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)
    return measure(lambda: network.train_on_batch(x, y), count), before


def spikingjelly(work: str, steps: int, batch: int, count: int, threads: int):
    """Measure SpikingJelly's network in its multi-step mode."""
    import types

    import torch

    for name in ("torchvision", "torchvision.models", "torchvision.models.utils"):  # for pretrained weights alone
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torchvision.models.utils"].load_state_dict_from_url = None
    from spikingjelly.activation_based import functional, neuron
    from spikingjelly.activation_based.model import sew_resnet

    torch.set_num_threads(threads)
    x, y = spikes(work, steps, batch)
    before = rss_mb(peak=False)
    options = {"spiking_neuron": neuron.IFNode, "v_reset": None, "detach_reset": True, "num_classes": CLASSES}
    network = sew_resnet.sew_resnet18(cnf="ADD", **options)
    functional.set_step_mode(network, "m")
    optimizer, loss = torch.optim.Adam(network.parameters(), 1e-3), torch.nn.CrossEntropyLoss()
    x, y = torch.tensor(x).permute(1, 0, 4, 2, 3).contiguous(), torch.tensor(y)

    def step():
        optimizer.zero_grad()
        loss(network(x).mean(0), y).backward()
        optimizer.step()
        functional.reset_net(network)

    return measure(step, count), before


def snntorch(work: str, steps: int, batch: int, count: int, threads: int):
    """Measure snnTorch's network, one call for each time step."""
    import snntorch as snn
    import torch
    from snntorch import utils
    from torch import nn

    torch.set_num_threads(threads)
    x, y = spikes(work, steps, batch)
    before = rss_mb(peak=False)

    def leaky(**options):
        return snn.Leaky(beta=0.95, init_hidden=True, **options)

    network = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), leaky(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), leaky(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(64 * 7 * 7, 256), leaky(), nn.Linear(256, CLASSES), leaky(output=True)),
    )
    optimizer, loss = torch.optim.Adam(network.parameters(), 1e-3), nn.CrossEntropyLoss()
    x, y = torch.tensor(x).permute(1, 0, 4, 2, 3).contiguous(), torch.tensor(y)

    def step():
        optimizer.zero_grad()
        utils.reset(network)
        for now in x:
            _, mem = network(now)
        loss(mem, y).backward()
        optimizer.step()

    return measure(step, count), before


def worker(library: str, work: str, *numbers: str) -> None:
    """Measure one library and print what was found."""
    times, before = globals()[library](work, *map(int, numbers))
    print(json.dumps({"ms": times, "peak_mb": rss_mb(peak=True) - before}))


def main(peers: str, works: list[str], steps: int, batch: int, count: int, threads: int, turns: int) -> None:
    """Let the libraries take turns, and print a table."""
    print("| work | library | ms a step, median (least to most) | to kerasburst | peak MB | to kerasburst |")
    print("|---|---|---|---|---|---|")
    for work in works:
        found: dict[str, list[dict]] = {"kerasburst": [], WORKS[work]: []}
        for _ in range(turns):
            for library, results in found.items():
                python = sys.executable if library == "kerasburst" else peers
                arguments = [python, __file__, "--worker", library, work, *map(str, (steps, batch, count, threads))]
                done = subprocess.run(arguments, capture_output=True, text=True, check=False)
                if done.returncode:
                    sys.exit(f"{library} failed: {done.stderr.strip().splitlines()[-1]}")
                results.append(json.loads(done.stdout.splitlines()[-1]))
        times = {library: [ms for each in results for ms in each["ms"]] for library, results in found.items()}
        medians = {library: statistics.median(values) for library, values in times.items()}
        memory = {library: statistics.median(each["peak_mb"] for each in results) for library, results in found.items()}
        for library, values in times.items():
            ratio, more = medians[library] / medians["kerasburst"], memory[library] / memory["kerasburst"]
            span = f"{medians[library]:.0f} ({min(values):.0f} to {max(values):.0f})"
            print(f"| {work} | {library} | {span} | {ratio:.2f} | {memory[library]:.0f} | {more:.2f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:])
    else:
        import argparse

        parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
        parser.add_argument("--peers", default=sys.executable, help="Python that has the peers.")
        parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
        for name, default in (("steps", 4), ("batch", 8), ("count", 5), ("threads", 1), ("turns", 2)):
            parser.add_argument(f"--{name}", type=int, default=default)
        main(**vars(parser.parse_args()))
