"""The encoded set never exists as a whole: memory does not grow with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BATCHES = 24

SCRIPT = """
import resource, sys
import numpy as np
from kerasburst.data.pipeline import make_dataset
from kerasburst.encoders.{module} import {encoder}

x = np.random.default_rng(0).integers(0, 256, (60_000, 28, 28), "uint8").astype("float32")
x /= 255
dataset = make_dataset(x, np.zeros(60_000, "int64"), {encoder}({num_steps}), 128, seed=0, shuffle=True)
for number, (spikes, _) in enumerate(dataset.take({batches})):
    assert spikes.shape == (128, {num_steps}, 28, 28) and spikes.dtype == "uint8"
assert number == {batches} - 1
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_rss_mb(**fields):
    """Peak RSS in MB of a process of its own that streams some batches."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(batches=BATCHES, **fields)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1]) * (1 if sys.platform == "darwin" else 1024) / 1e6


@pytest.mark.slow
@pytest.mark.parametrize(
    "module, encoder",
    [("rate", "RateEncoder"), ("poisson_burst", "PoissonBurstEncoder"), ("delayed_burst", "DelayedBurstEncoder")],
)
def test_ten_times_the_steps_take_little_more_memory(module, encoder):
    pytest.importorskip("resource")
    short, long = (peak_rss_mb(module=module, encoder=encoder, num_steps=num_steps) for num_steps in (10, 100))
    print(f"peak RSS of {encoder}: {short:.0f} MB at T = 10, {long:.0f} MB at T = 100")
    # 60,000 encoded examples would be 4,704 MB at T = 100; a batch is 10 MB, of uniforms 40 MB.
    assert long - short <= 300.0, f"peak RSS {short:.0f} MB at T = 10, {long:.0f} MB at T = 100"
