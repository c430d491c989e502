"""Each neuron's spikes, membranes and gradients on every backend that is installed, against each other."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from .common import BACKEND, NEURONS, arrays, draw, gradients, weighted

OTHERS = [name for name in ("tensorflow", "jax", "torch") if name != BACKEND]


def measured():
    """Return what this process's backend computes, by name."""
    found = {}
    for name, (layer, _, settings, _) in NEURONS.items():
        x, mask = draw(2, 8, 3, seed=4), np.array([[1] * 8, [1] * 5 + [0] * 3], bool)
        rng = np.random.default_rng(5)
        weights = [rng.normal(size=x.shape).astype("float32") for _ in range(2)]
        ours = layer(**{**settings, "return_mem": True} | ({} if name not in TRAINABLE else {TRAINABLE[name]: True}))
        loss, trained = weighted(ours, x, weights, mask=mask)
        found[f"{name}/spk"], found[f"{name}/mem"] = arrays(ours(x, mask=mask))
        for number, gradient in enumerate(gradients(loss, x, *trained)):
            found[f"{name}/gradient{number}"] = gradient
    return found


TRAINABLE = {name: "trainable_beta" for name in ("LIF", "Synaptic", "AdaptiveLIF", "LeakyIntegrator", "RecurrentLIF")}


@pytest.mark.thorough
@pytest.mark.parametrize("other", OTHERS)
def test_backends_agree(other, tmp_path):
    if importlib.util.find_spec(other) is None:
        pytest.skip(f"{other} is not installed")
    code = "import sys, numpy; from tests.neurons.test_backends import measured; numpy.savez(sys.argv[1], **measured())"
    environment = {**os.environ, "KERAS_BACKEND": other}
    path = tmp_path / "found.npz"
    subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=True, capture_output=True)
    ours, theirs = measured(), np.load(path)
    assert set(ours) == set(theirs.files)
    for name, value in ours.items():
        if name.endswith("spk"):
            np.testing.assert_array_equal(value, theirs[name], err_msg=name)
        else:
            scale = max(1.0, np.abs(value).max())
            np.testing.assert_allclose(value, theirs[name], rtol=1e-4, atol=1e-4 * scale, err_msg=name)
