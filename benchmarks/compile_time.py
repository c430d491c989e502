"""Measure how long a first step takes where XLA compiles it whole, as Keras does on a GPU.

    python benchmarks/compile_time.py                            # this checkout
    python benchmarks/compile_time.py --checkout ../old          # another one, with this environment's packages
    python benchmarks/compile_time.py --floor                    # the same without neurons and bursts

Each work runs in a process of its own. The first call traces, compiles and runs; later ones only run. `compile_cpu_s`
is their difference in processor time, which other work on the machine hardly changes; the clock stands beside.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import click

BATCH, STEPS, LATER = 128, 10, 2
ENCODERS = ("encode_rate", "encode_poisson_burst", "encode_delayed_burst")
WORKS = ("conv_train", "conv_lif_train", "conv_infer", "lif", "fc_train", *ENCODERS)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--work", "works", type=click.Choice(WORKS), multiple=True, help="Repeatable. Default: all.")
@click.option("--checkout", type=click.Path(exists=True, file_okay=False), help="Of another version, to measure it.")
@click.option("--limit", type=int, default=200, show_default=True, help="Seconds of processor time for a work.")
@click.option("--out", type=click.Path(dir_okay=False), help="A file for the figures, one line of JSON a work.")
@click.option("--floor", is_flag=True, help="What a work takes without us: ReLU for neurons, bare draws for encoders.")
@click.option("--inside", is_flag=True, hidden=True)
def command(works, checkout, limit, out, floor, inside):
    """Print one line of JSON for each work."""
    if inside:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        click.echo(json.dumps(measure(works[0], floor)))
        return
    checkout = Path(checkout or Path(__file__).parents[1]).resolve()
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
    }
    for work in works or WORKS:
        load = os.getloadavg()[0]
        told = [sys.executable, str(Path(__file__).resolve()), "--inside", "--work", work, "--limit", str(limit)]
        told += ["--floor"] * floor
        done = subprocess.run(told, env=environment, cwd=checkout, capture_output=True, text=True)
        found = {"work": work, "floor": floor, "load_average_before": round(load, 2)}
        if done.returncode == 0:
            found |= json.loads(done.stdout.splitlines()[-1])
        elif done.returncode in (-signal.SIGKILL, -signal.SIGXCPU):
            found |= {"reason": f"not done within {limit} s of processor time"}
        else:
            found |= {"reason": done.stderr.strip().splitlines()[-1]}
        click.echo(json.dumps(found))
        if out:
            with Path(out).open("a") as file:
                file.write(json.dumps(found) + "\n")


def measure(work: str, floor: bool) -> dict:
    """Return the seconds of a work's first step and of a later one, by the clock and of the processor."""
    call = build(work, floor)
    (first, first_cpu), *later = [_timed(call) for _ in range(1 + LATER)]
    step, step_cpu = (min(seconds) for seconds in zip(*later, strict=True))
    found = {"first_step_s": first, "first_step_cpu_s": first_cpu, "step_s": step, "step_cpu_s": step_cpu}
    return {name: round(value, 2) for name, value in {**found, "compile_cpu_s": first_cpu - step_cpu}.items()}


def _timed(call) -> tuple[float, float]:
    clock, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - clock, time.process_time() - processor


def build(work: str, floor: bool):
    """Return a function that does one step of a work and waits for its end; nothing of it is compiled yet."""
    import keras
    import numpy as np
    import tensorflow as tf

    import kerasburst as kb

    rng = np.random.default_rng(0)
    if work in ENCODERS:
        x = tf.constant(rng.random((256, 32, 32, 3), dtype="float32"))
        encoder = {
            "encode_rate": lambda: kb.RateEncoder(32, seed=0),
            "encode_poisson_burst": lambda: kb.PoissonBurstEncoder(32, burst_interval=8, mean_burst_size=3.0, seed=0),
            "encode_delayed_burst": lambda: kb.DelayedBurstEncoder(32, mean_burst_size=3.0, margin=8, seed=0),
        }[work]()

        def draw(x):  # one number for each step of each feature, and a comparison
            numbers = tf.random.stateless_uniform((256, 32, 32, 32, 3), (0, 0), 0, 256, tf.int32)
            return numbers < tf.cast(256 * x, tf.int32)[:, None]

        encode = tf.function(draw if floor else lambda x: encoder(x), jit_compile=True, autograph=False)
        return lambda: encode(x).numpy()
    if work == "lif":
        current = tf.constant(rng.normal(size=(BATCH, STEPS, 28, 28, 32)).astype("float32"))
        layer = keras.layers.ReLU() if floor else kb.LIF()
        layer.build(current.shape)

        @tf.function(jit_compile=True, autograph=False)
        def both(current):
            with tf.GradientTape() as tape:
                tape.watch(current)
                total = tf.reduce_sum(layer(current))
            return total, tape.gradient(total, current)

        return lambda: [each.numpy() for each in both(current)]
    if work == "fc_train":
        x, y, network = rng.random((BATCH, STEPS, 30)) < 0.3, rng.integers(0, 2, BATCH), kb.SNNFCNet(2, seed=0)
    else:
        x, y = rng.random((BATCH, STEPS, 28, 28, 1)) < 0.2, rng.integers(0, 10, BATCH)
        network = kb.SNNConvNet(10, conv_activation="lif" if work == "conv_lif_train" else "relu", seed=0)
    x = tf.constant(x.astype("float32"))
    network = without_neurons(network, x.shape[2:]) if floor else network
    network.build(x.shape)
    if work == "conv_infer":
        infer = tf.function(lambda x: network(x, training=False), jit_compile=True, autograph=False)
        return lambda: infer(x).numpy()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=True)
    network.optimizer.build(network.trainable_variables)
    network.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors((x, y)).repeat())
    return lambda: float(network.train_function(batches)["loss"])


def without_neurons(network, features: tuple):
    """Return a Keras model of the network's layers over all steps as one batch, with ReLU for neurons."""
    import keras

    inputs = keras.Input((STEPS, *features), batch_size=BATCH)
    x = keras.ops.reshape(inputs, (-1, *features))
    for filters in network.filters if len(features) == 3 else ():
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(network.hidden_units, activation="relu")(x)
    x = keras.layers.Dense(network.num_classes)(x)
    return keras.Model(inputs, keras.ops.reshape(x, (-1, STEPS, network.num_classes))[:, -1])


if __name__ == "__main__":
    command()
