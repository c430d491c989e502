"""Throughput of an exported network's `serving_default` against Keras' `predict`, batch 1 and 128.

The default SNNConvNet on 28x28 images, Poisson-Burst, T = 10. Both encode inside. Medians over blocks after warm-up.

Run: python benchmarks/serving.py [--steps 20]
"""

import argparse
import statistics
import tempfile
import time

import numpy as np
import tensorflow as tf

import kerasburst as kb


def rate(ask, x, steps):
    """Return examples a second: the median over 5 blocks of `steps` calls, and the slowest and fastest block's."""
    for _ in range(3):
        ask(x)
    rates = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(steps):
            ask(x)
        rates.append(steps * len(x) / (time.perf_counter() - start))
    return statistics.median(rates), min(rates), max(rates)


def main():
    """Print a line for each batch size and way of asking."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20, help="calls of a block; a tenth of them at batch 128")
    arguments = parser.parse_args()
    network = kb.SNNConvNet(10, encoder=kb.PoissonBurstEncoder(10, seed=0), seed=0)
    network.build((None, 28, 28, 1))
    images = np.random.default_rng(0).uniform(size=(128, 28, 28, 1)).astype("float32")
    with tempfile.TemporaryDirectory() as place:
        kb.export.savedmodel(network, f"{place}/served")
        loaded = tf.saved_model.load(f"{place}/served")
        serve = loaded.signatures["serving_default"]
        ways = {
            "Keras predict": lambda x: network.predict(x, verbose=0),
            "Keras predict_on_batch": network.predict_on_batch,
            "serving_default": lambda x: serve(images=tf.constant(x))["logits"].numpy(),
        }
        for batch in (1, 128):
            for name, ask in ways.items():
                steps = arguments.steps if batch == 1 else max(1, arguments.steps // 10)
                median, low, high = rate(ask, images[:batch], steps)
                print(f"batch {batch:>3}  {name:<23} {median:>8.1f} images/s  ({low:.1f} to {high:.1f})", flush=True)


if __name__ == "__main__":
    main()
