"""The encoder layers, float32 spikes, inside a graph as in a model."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kerasburst.config import TrainConfig

Run = Callable[[int], dict]


def rate(options: dict) -> Run:
    """Build Bernoulli rate coding."""
    return _encoding("rate", options)


def poisson_burst(options: dict) -> Run:
    """Build Poisson-Burst coding."""
    return _encoding("poisson_burst", options)


def delayed_burst(options: dict) -> Run:
    """Build Delayed-Burst coding."""
    return _encoding("delayed_burst", options)


def _encoding(name: str, options: dict) -> Run:
    with np.load(options["inputs"]) as file:
        x = tf.constant(file["x"])
    encoder = TrainConfig(encoding=name, num_steps=options["num_steps"], seed=options.get("seed", 0)).make_encoder()
    encode = tf.function(lambda x: encoder(x), autograph=False)

    def run(steps: int) -> dict:
        begun = time.perf_counter()
        for _ in range(steps):
            spikes = encode(x)
        float(spikes[-1, -1, -1, -1, -1])
        return {"seconds": time.perf_counter() - begun}

    return run
