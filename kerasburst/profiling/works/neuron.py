"""The LIF layer alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kerasburst.neurons.lif import LIF


def lif(options: dict) -> Callable[[int], dict]:
    """Build the forward and backward pass of a LIF layer over feature maps, inside a graph as in a network.

    The gradient with respect to the spikes is given: another example's current, whose values do not matter.
    """
    with np.load(options["inputs"]) as file:
        current = tf.constant(file["current"])
    upstream = tf.roll(current, 1, axis=0)
    layer = LIF(beta=options.get("beta", 0.95))
    layer.build(current.shape)

    @tf.function
    def step(current, upstream):
        with tf.GradientTape() as tape:
            tape.watch(current)
            spikes = layer(current)
        return spikes, tape.gradient(spikes, current, output_gradients=upstream)

    def run(steps: int) -> dict:
        begun = time.perf_counter()
        for _ in range(steps):
            spikes, gradient = step(current, upstream)
        float(spikes[-1, -1, -1, -1, -1]), float(gradient[-1, -1, -1, -1, -1])
        return {"seconds": time.perf_counter() - begun}

    return run
