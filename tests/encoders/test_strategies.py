"""Replicas of a strategy draw their own spikes; one process alone draws what it drew without a strategy."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from kerasburst import backend
from kerasburst.encoders.rate import RateEncoder

pytestmark = pytest.mark.skipif(backend.name != "tensorflow", reason="tf.distribute is TensorFlow's")

REPLICAS = """
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from kerasburst.encoders.poisson_burst import PoissonBurstEncoder

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layer = PoissonBurstEncoder(8, seed=3)
x = np.full((1, 200), 0.5, "float32")

@tf.function
def step():
    return strategy.run(lambda: layer(x))

draws = [part.numpy() for _ in range(3) for part in strategy.experimental_local_results(step())]
assert len(draws) == 6
for i, one in enumerate(draws):
    for other in draws[:i]:
        assert 0.1 < (one != other).mean() < 0.6, (i, (one != other).mean())
print("six different draws")
"""


@pytest.mark.thorough
def test_each_replica_draws_its_own():
    done = subprocess.run([sys.executable, "-c", REPLICAS], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "six different draws" in done.stdout, done.stderr[-2000:]


def test_steps_of_one_execution_draw_afresh():
    inputs = keras.Input((50,))
    model = keras.Model(inputs, RateEncoder(4, seed=0)(inputs))
    model.compile(steps_per_execution=3, jit_compile=False)
    spikes = model.predict(np.full((6, 50), 0.5, "float32"), batch_size=2, verbose=0)
    batches = spikes.reshape(3, -1)
    assert (batches[0] != batches[1]).any() and (batches[1] != batches[2]).any() and (batches[0] != batches[2]).any()
