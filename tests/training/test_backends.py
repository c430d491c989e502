"""Runs that are trained on one of Keras' backends and read on another, each in a process of its own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

NEXT = {"tensorflow": "jax", "jax": "torch", "torch": "tensorflow"}  # each writes once and reads once

CODE = """
import json, sys
import keras, numpy as np
import kerasburst as kb
if sys.argv[1] == "train":
    config = kb.TrainConfig(dataset="iris", encoding="rate", epochs=2, network={"hidden_units": 8}, queries=2)
    result = kb.train(config, sys.argv[2])
    result = kb.train(kb.TrainConfig(dataset="iris", encoding="rate", epochs=3, network={"hidden_units": 8}, queries=2),
                      sys.argv[2], resume=True)
    assert result.versions[keras.backend.backend()]
measured = kb.evaluate(sys.argv[2], queries=2)
network = kb.load_network(sys.argv[2]).with_encoder(None)
spikes = (np.random.default_rng(0).uniform(size=(20, 10, 4)) < 0.5).astype("uint8")
print(json.dumps({
    "accuracies": measured.accuracies,
    "loss": measured.loss,
    "rates": list(measured.firing_rates.values()),
    "logits": np.asarray(keras.ops.convert_to_numpy(network(spikes))).tolist(),
    "trace": network.membrane_trace(spikes, batch_size=8).tolist(),
}))
"""


def run(backend, what, folder):
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, what, str(folder)], env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.thorough
@pytest.mark.parametrize(("trained", "read"), NEXT.items())
def test_a_run_of_one_backend_is_read_on_another(trained, read, tmp_path):
    for name in {trained, read} - {"tensorflow"}:
        pytest.importorskip(name)
    want, got = run(trained, "train", tmp_path / "run"), run(read, "read", tmp_path / "run")
    assert got["accuracies"] == pytest.approx(want["accuracies"], abs=0.04)  # a tie may fall otherwise
    for name in ("loss", "rates", "logits", "trace"):
        np.testing.assert_allclose(got[name], want[name], rtol=1e-4, atol=1e-4)
    assert np.ptp(got["logits"]) > 0.1
