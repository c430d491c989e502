"""What the tests of both networks share."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from kerasburst.encoders.delayed_burst import DelayedBurstEncoder
from kerasburst.encoders.poisson_burst import PoissonBurstEncoder
from kerasburst.encoders.rate import RateEncoder
from kerasburst.neurons.surrogate import FastSigmoid
from tests.neurons.common import gradients

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="of TensorFlow: its graphs, or its padded batches"
)
REPOSITORY = Path(__file__).resolve().parents[2]

# Every neuron parameter and shared argument away from its default.
VARIED = {
    "num_classes": 3,
    "readout": "mean",
    "beta": 0.8,
    "threshold": 0.7,
    "reset_mechanism": "zero",
    "surrogate": FastSigmoid(5.0),
    "trainable_beta": True,
    "trainable_threshold": True,
    "per_neuron": True,
    "seed": 7,
    "name": "mine",
}

ENCODERS = {
    "none": lambda: None,
    "regular": lambda: RateEncoder(6, mode="regular", gain=0.8),
    "poisson": lambda: PoissonBurstEncoder(
        6,
        burst_interval=3,
        mean_burst_size=1.5,
        intensity_map="power",
        gamma=1.5,
        overflow="spill",
        seed=5,
        name="poisson",
    ),
    "delayed": lambda: DelayedBurstEncoder(6, mean_burst_size=3.0, margin=2.0, overflow="clip", silence=None, seed=3),
}


def draw_spikes(*shape, seed=0, p=0.4):
    return (np.random.default_rng(seed).uniform(size=shape) < p).astype(np.uint8)


def dense(x, layer):
    kernel, bias = (weights.astype(np.float64) for weights in layer.get_weights())
    return x @ kernel + bias


def enliven(network, seed=0):
    """Give all weights large random values, so that all layers fire; betas and thresholds in their ranges."""
    rng = np.random.default_rng(seed)
    values = []
    for weight in network.weights:
        if weight.name in ("beta", "threshold"):
            values.append(rng.uniform(0.3, 1.0, weight.shape))
        elif weight.name in ("gamma", "moving_variance"):
            values.append(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("bias", "moving_mean"):
            values.append(rng.normal(0.3, 0.2, weight.shape))
        else:
            size = np.prod(weight.shape[:-1])
            values.append(rng.normal(1.0 / size, 1.5 / np.sqrt(size), weight.shape))
    network.set_weights(values)
    return network


def weight_gradients(loss, x, weights):
    """Return the gradients of `tests.neurons.common.weighted` with respect to the weights."""
    return gradients(lambda *values: loss(x, *values), *weights)


def in_a_fresh_process(modules, models, folder):
    """Load `models` where nothing but `modules` has been imported; give their outputs for `folder`/x.npy."""
    code = f"import numpy as np, keras, {', '.join(modules)}\nx = np.load('x.npy')\n" + "".join(
        f"net = keras.saving.load_model('{name}.keras')\n"
        f"np.savez('{name}.npz', logits=net(x), trace=net.membrane_trace(x))\n"
        for name in models
    )
    paths = [str(REPOSITORY), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p), "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=folder, timeout=300)
    return {name: np.load(folder / f"{name}.npz") for name in models}
