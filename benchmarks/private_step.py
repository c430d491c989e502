"""What a private training step costs: time and peak memory, private against ordinary, in one run on JAX.

Each variant is a process of its own: the ordinary step, and private steps whose gradients of single examples are taken
in microbatches of several sizes. Rounds go through all variants in turn, so that a change of the machine's load meets
all of them. Time is the median over epochs after the first, which compiles. Memory is the growth of the process's peak
resident set from before the network is built; on a GPU JAX's own peak.

Run: KERAS_BACKEND=jax python benchmarks/private_step.py --microbatch 1 --microbatch 4 --microbatch 16
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # else JAX's peak is all of a GPU's memory
SEED = 0


def peak_rss_mb():
    """Return the peak resident set of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kB on Linux


def measure(model, batch_size, num_steps, steps, epochs, microbatch):
    """Train one variant here; return its figures.

    Args:
        model: name of the network.
        batch_size: expected size of a private batch, size of an ordinary one.
        num_steps: T.
        steps: of an epoch.
        epochs: that are timed.
        microbatch: gradients of single examples at once; None for ordinary training.
    """
    import jax
    import keras
    import numpy as np

    import kerasburst as kb

    rng = np.random.default_rng(SEED)
    images = rng.random((batch_size * steps, 28, 28, 1), dtype="float32")
    spikes = np.asarray(kb.RateEncoder(num_steps, seed=SEED)(images)).astype("uint8")
    labels = rng.integers(0, 10, len(spikes))
    before = peak_rss_mb()
    network = getattr(kb, model)(10)
    network.build((None, *spikes.shape[1:]))
    network.compile(
        optimizer=keras.optimizers.Adam(1e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    if microbatch is not None:
        sizes = {"batch_size": batch_size, "train_size": len(spikes), "epochs": epochs + 1, "steps_per_epoch": steps}
        kb.make_private(network, epsilon=8.0, microbatch_size=microbatch, seed=SEED, **sizes)
    seconds = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.begun = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            float(logs["loss"])  # waits for the device
            seconds.append(time.perf_counter() - self.begun)

    network.fit(spikes, labels, batch_size=batch_size, epochs=epochs + 1, verbose=0, callbacks=[Watch()])
    device = jax.devices()[0]
    gpu = (device.memory_stats() or {}).get("peak_bytes_in_use") if device.platform == "gpu" else None
    return {
        "step_ms": 1000 * statistics.median(seconds[1:]) / steps,
        "compile_s": seconds[0],
        "peak_rss_growth_mb": peak_rss_mb() - before,
        "gpu_peak_mb": None if gpu is None else gpu / 2**20,
        "device": device.device_kind,
        "parameters": network.count_params(),
    }


def main(arguments=None):
    """Measure all variants in turn and print the table; return the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="SNNConvNet")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--num-steps", type=int, default=10)
    parser.add_argument("--steps", type=int, default=4, help="steps of an epoch")
    parser.add_argument("--epochs", type=int, default=3, help="that are timed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--microbatch", type=int, action="append")
    parser.add_argument("--json", help="write the figures of every round here")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    sizes = [options.model, options.batch_size, options.num_steps, options.steps, options.epochs]
    if options.one:
        print(json.dumps(measure(*sizes, json.loads(options.one))))
        return []
    variants = {"ordinary": None} | {f"private, microbatch {m}": m for m in options.microbatch or (1, 4, 16)}
    found = {name: [] for name in variants}
    here = [sys.executable, os.path.abspath(__file__), *(sys.argv[1:] if arguments is None else arguments)]
    for _ in range(options.rounds):
        for name, microbatch in variants.items():
            done = subprocess.run(
                [*here, "--one", json.dumps(microbatch)], check=True, stdout=subprocess.PIPE, text=True
            )
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(found, file, indent=2)
    base = statistics.median(each["step_ms"] for each in found["ordinary"])
    print(f"{options.model}, batch {options.batch_size}, T = {options.num_steps}, {found['ordinary'][0]['device']}, "
          f"medians of {options.rounds} rounds")  # fmt: skip
    print("| step | ms | times ordinary | peak growth, MB | of a GPU, MB | first epoch, s |\n|---|---|---|---|---|---|")
    rows = []
    for name, each in found.items():
        middle = {key: statistics.median(row[key] for row in each) if each[0][key] is not None else None
                  for key in ("step_ms", "peak_rss_growth_mb", "gpu_peak_mb", "compile_s")}  # fmt: skip
        gpu = "–" if middle["gpu_peak_mb"] is None else f"{middle['gpu_peak_mb']:.0f}"
        print(f"| {name} | {middle['step_ms']:.1f} | {middle['step_ms'] / base:.1f} | "
              f"{middle['peak_rss_growth_mb']:.0f} | {gpu} | {middle['compile_s']:.1f} |")  # fmt: skip
        rows.append((name, middle))
    return rows


if __name__ == "__main__":
    main()
